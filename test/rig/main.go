// Command rig breaks a running Kurir on purpose and shows whether it kept its
// word. A ledger outside of the daemon, on another filesystem, records every
// 200 that a client got and every request that reached a sink; afterwards it is
// compared with the daemon's own log.
//
//	go run ./test/rig kill  -cycles 300           SIGKILL at random moments under load
//	go run ./test/rig power -cycles 50 -fs ext4   the filesystem shut down under the daemon
//	go run ./test/rig full  -rounds 20            the disk fills up, and is freed again
//	go run ./test/rig sync  -cycles 10            a sync fails with an I/O error
//
// Each run prints its seed; -seed runs the same schedule again.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"sort"
	"strings"
	"syscall"
	"time"
)

// A rig is one run: its settings and what it has at hand.
type rig struct {
	binary string
	work   string // scratch, removed at the end
	tags   string // build tags: a broken variant
	fs     string
	cycles int
	conns  int
	seed   uint64
	rand   *rand.Rand
	ledger *ledger
}

var rigs = map[string]func(*rig, context.Context) error{
	"kill":  (*rig).kill,
	"power": (*rig).power,
	"full":  (*rig).full,
	"sync":  (*rig).sync,
}

// errSkip says that this machine can't run a rig.
var errSkip = errors.New("skipped")

func main() {
	if len(os.Args) < 2 || rigs[os.Args[1]] == nil {
		fmt.Fprintf(os.Stderr, "usage: rig %s [-seed N] [-cycles N] ...\n", strings.Join(names(), "|"))
		os.Exit(2)
	}
	err := run(os.Args[1], os.Args[2:])
	switch {
	case errors.Is(err, errSkip):
		fmt.Printf("SKIP %s: %v\n", os.Args[1], err)
	case err != nil:
		fmt.Printf("FAIL %s: %v\n", os.Args[1], err)
		os.Exit(1)
	}
}

func names() (ns []string) {
	for n := range rigs {
		ns = append(ns, n)
	}
	sort.Strings(ns)
	return ns
}

func run(name string, args []string) error {
	r := &rig{}
	flags := flag.NewFlagSet("rig "+name, flag.ExitOnError)
	flags.Uint64Var(&r.seed, "seed", uint64(time.Now().UnixNano())%1_000_000, "the schedule to run")
	flags.IntVar(&r.cycles, "cycles", 10, "how often to break it")
	flags.IntVar(&r.conns, "conns", 16, "clients at once")
	flags.StringVar(&r.fs, "fs", "ext4", "the filesystem to shut down: ext4 or xfs")
	flags.StringVar(&r.tags, "tags", "", "build tags: a variant that must be caught, such as kurir_nosync")
	caught := flags.Bool("must-fail", false, "negative control: succeed only if something is found")
	flags.Parse(args)
	r.rand = rand.New(rand.NewPCG(r.seed, 0))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := r.prepare(ctx); err != nil {
		return err
	}
	defer os.RemoveAll(r.work)
	again := fmt.Sprintf("go run ./test/rig %s -seed %d %s", name, r.seed, strings.Join(args, " "))
	fmt.Printf("%s: seed %d, %d cycles; again: %s\n", name, r.seed, r.cycles, again)
	err := rigs[name](r, ctx)
	fmt.Printf("%s: %v\n", name, r.ledger)
	return verdict(err, *caught)
}

func verdict(err error, mustFail bool) error {
	var broken violations
	switch {
	case !mustFail:
		return err
	case errors.As(err, &broken):
		fmt.Printf("caught, as it must be: %v\n", err)
		return nil
	case err != nil:
		return err
	}
	return errors.New("the broken variant was not caught")
}

func (r *rig) prepare(ctx context.Context) (err error) {
	if r.work, err = os.MkdirTemp("", "kurir-rig-"); err != nil {
		return err
	}
	r.binary = filepath.Join(r.work, "kurir")
	build := exec.CommandContext(ctx, "go", "build", "-tags", r.tags, "-o", r.binary, "./cmd/kurir")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building kurir (run this from the project's directory): %w", err)
	}
	r.ledger, err = newLedger(r.seed)
	return err
}
