// Command rig breaks a running Kurir on purpose and shows whether it kept its
// word. A ledger outside of the daemon, on another filesystem, records every
// 200 that a client got and every request that reached a sink; afterwards it is
// compared with the daemon's own log.
//
//	go run ./test/rig kill  -cycles 300           SIGKILL at random moments under load
//	go run ./test/rig power -cycles 50 -fs ext4   the filesystem shut down under the daemon
//	go run ./test/rig flood -cycles 100           as many times 10,000 forged requests
//
// Without arguments it lists all rigs. Each run prints its seed; -seed runs the
// same schedule again.
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
	"strings"
	"syscall"
	"time"

	"github.com/kurir-relay/kurir/test/overlay"
)

// A rig is one run: its settings and what it has at hand.
type rig struct {
	binary string
	work   string // scratch, removed at the end
	tags   string // build tags: a broken variant
	fs     string
	keys   int // that the store keeps in memory; 0 is its own measure
	cycles int
	conns  int
	seed   uint64
	rand   *rand.Rand
	ledger *ledger
	undo   []func() // what is done at the end, the last first
}

// A kind is one way of breaking it.
type kind struct {
	name    string
	does    string
	run     func(*rig, context.Context) error
	patches []overlay.Patch // laid over the program that is run
}

var kinds = []kind{
	{"kill", "SIGKILL at random moments under load", (*rig).kill, nil},
	{"steps", "SIGKILL at each step of a callback's way (with -keys 256)", (*rig).steps, failPoints},
	{"power", "a power cut: the filesystem is shut down under the daemon (root)", (*rig).power, nil},
	{"readonly", "the filesystem turns read-only under the daemon (root)", (*rig).readonly, nil},
	{"full", "the disk fills up, and is freed again (root)", (*rig).full, nil},
	{"sync", "a sync or a write of a commit fails (strace)", (*rig).sync, nil},
	{"damage", "damaged files", (*rig).damage, nil},
	{"reload", "new rules and secrets all the time, under load", (*rig).reload, nil},
	{"down", "a sink is down while many callbacks wait: 1,000 a cycle", (*rig).down, nil},
	{"flood", "forged signatures under load: 10,000 a cycle", (*rig).flood, nil},
	{"sleep", "the daemon is stopped for longer than its leases are: 45 s a cycle", (*rig).sleep, nil},
	{"slow", "thousands of connections that say nothing: 1,000 a cycle", (*rig).slow, nil},
}

// errSkip says that this machine can't run a rig.
var errSkip = errors.New("skipped")

func main() {
	k := find(os.Args[1:])
	if k == nil {
		fmt.Fprintln(os.Stderr, "usage: rig NAME [-seed N] [-cycles N] ...")
		for _, k := range kinds {
			fmt.Fprintf(os.Stderr, "  %-9s %s\n", k.name, k.does)
		}
		os.Exit(2)
	}
	err := run(k, os.Args[2:])
	switch {
	case errors.Is(err, errSkip):
		fmt.Printf("SKIP %s: %v\n", k.name, err)
	case err != nil:
		fmt.Printf("FAIL %s: %v\n", k.name, err)
		os.Exit(1)
	}
}

func find(args []string) *kind {
	for i := range kinds {
		if len(args) > 0 && kinds[i].name == args[0] {
			return &kinds[i]
		}
	}
	return nil
}

func run(k *kind, args []string) error {
	r := &rig{}
	flags := flag.NewFlagSet("rig "+k.name, flag.ExitOnError)
	flags.Uint64Var(&r.seed, "seed", uint64(time.Now().UnixNano())%1_000_000, "the schedule to run")
	flags.IntVar(&r.cycles, "cycles", 10, "how often to break it")
	flags.IntVar(&r.conns, "conns", 16, "clients at once")
	flags.StringVar(&r.fs, "fs", "ext4", "the filesystem to shut down: ext4 or xfs")
	flags.IntVar(&r.keys, "keys", 0, "dedupe keys in memory before they are written to the index; 0 is the program's own measure")
	flags.StringVar(&r.tags, "tags", "", "build tags: a variant that must be caught, such as kurir_nosync")
	caught := flags.Bool("must-fail", false, "negative control: succeed only if something is found")
	flags.Parse(args)
	if k.name == "steps" && r.keys == 0 {
		r.keys = 256
	}
	r.rand = rand.New(rand.NewPCG(r.seed, 0))

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer r.end()
	if err := r.prepare(ctx, k.patches); err != nil {
		return err
	}
	again := fmt.Sprintf("go run ./test/rig %s -seed %d %s", k.name, r.seed, strings.Join(args, " "))
	fmt.Printf("%s: seed %d, %d cycles; again: %s\n", k.name, r.seed, r.cycles, again)
	began := time.Now()
	err := k.run(r, ctx)
	fmt.Printf("%s: %v, in %v\n", k.name, r.ledger, time.Since(began).Round(time.Second))
	return verdict(err, *caught)
}

func verdict(err error, mustFail bool) error {
	var broken violations
	switch {
	case !mustFail:
		return err
	case errors.As(err, &broken):
		fmt.Printf("caught, as it must be: %.300s\n", err.Error())
		return nil
	case err != nil:
		return err
	}
	return errors.New("the broken variant was not caught")
}

// atEnd has something done when the run ends, however it ends.
func (r *rig) atEnd(undo func()) { r.undo = append(r.undo, undo) }

func (r *rig) end() {
	for i := len(r.undo) - 1; i >= 0; i-- {
		r.undo[i]()
	}
}

// prepare builds the program that is broken.
func (r *rig) prepare(ctx context.Context, patches []overlay.Patch) (err error) {
	if r.work, err = os.MkdirTemp("", "kurir-rig-"); err != nil {
		return err
	}
	r.atEnd(func() { os.RemoveAll(r.work) })
	if r.keys > 0 {
		patches = append(patches, overlay.Patch{File: "relay/boltstore/open.go", Old: "opts.Recent = 1 << 17", New: fmt.Sprint("opts.Recent = ", r.keys)})
	}
	laid, err := overlay.Write(r.work, patches...)
	if err != nil {
		return err
	}
	r.binary = filepath.Join(r.work, "kurir")
	build := exec.CommandContext(ctx, "go", "build", "-tags", r.tags, "-overlay", laid, "-o", r.binary, "./cmd/kurir")
	build.Stderr = os.Stderr
	if err := build.Run(); err != nil {
		return fmt.Errorf("building kurir (run this from the project's directory): %w", err)
	}
	r.ledger, err = newLedger(r.seed)
	return err
}

// load lets the clients work until some further callbacks are acknowledged, up
// to most, and then for a moment more.
func (r *rig) load(ctx context.Context, most int) {
	until := r.ledger.acknowledged() + r.rand.IntN(most)
	for limit := time.Now().Add(10 * time.Second); r.ledger.acknowledged() < until && time.Now().Before(limit) && ctx.Err() == nil; {
		time.Sleep(time.Millisecond)
	}
	time.Sleep(time.Duration(r.rand.IntN(5000)) * time.Microsecond)
}

// progress prints one line a tenth of the run.
func (r *rig) progress(cycle int) {
	if step := max(r.cycles/10, 1); (cycle+1)%step == 0 {
		fmt.Printf("  %d of %d: %v\n", cycle+1, r.cycles, r.ledger)
	}
}
