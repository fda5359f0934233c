// Command bench compares Kurir with a server that stores nothing and with
// servers that store with one commit a request, interleaved in one run on one
// machine, and writes what it measured as ratios to docs/performance.md.
package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const secret = "bench-secret-0123456789abcdef0123456789abcdef"

// A bench is one run: its settings, and the report it fills.
type bench struct {
	binary string        // the program under test
	work   string        // a directory on a real disk, removed at the end
	rounds int           // how often each measurement is repeated
	span   time.Duration // of one measurement
	conns  []int
	sizes  []int // stored callbacks to measure at
	report report
	serial int // makes every request's ref_id its own
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "baseline" {
		os.Exit(runBaseline(os.Args[2:]))
	}
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{}
	root := flag.String("root", "..", "the project's directory")
	out := flag.String("out", "", "write the report to this Markdown file, and as JSON beside it")
	short := flag.Bool("short", false, "two minutes: fewer rounds and connections, no large logs")
	only := flag.String("only", "", "measure only the sections whose name contains this")
	conns := flag.String("conns", "1,8,64,256", "connections at once")
	sizes := flag.String("sizes", "0,1000000,5000000", "stored callbacks to measure at")
	flag.IntVar(&b.rounds, "rounds", 5, "how often each measurement is repeated")
	flag.DurationVar(&b.span, "for", 2*time.Second, "how long one measurement takes")
	flag.StringVar(&b.work, "dir", "", "where to keep data meanwhile (default: a new directory beside the project's bin)")
	flag.Parse()
	if *short {
		b.rounds, b.span = 3, 700*time.Millisecond
		*conns, *sizes = "1,64", "0,100000"
	}
	b.conns, b.sizes = numbers(*conns), numbers(*sizes)

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := b.prepare(ctx, *root); err != nil {
		return err
	}
	defer os.RemoveAll(b.work)
	b.report.begin(b)
	for _, s := range sections {
		if !strings.Contains(s.name, *only) {
			continue
		}
		fmt.Fprintf(os.Stderr, "\n== %s\n", s.name)
		if err := s.measure(b, ctx); err != nil {
			return fmt.Errorf("%s: %w", s.name, err)
		}
	}
	return b.report.write(*out)
}

func (b *bench) prepare(ctx context.Context, root string) error {
	root, err := filepath.Abs(root)
	if err != nil {
		return err
	}
	b.binary = filepath.Join(root, "bin", "kurir")
	build := exec.CommandContext(ctx, "go", "build", "-trimpath", "-o", b.binary, "./cmd/kurir")
	build.Dir, build.Stderr = root, os.Stderr
	if err := build.Run(); err != nil {
		return err
	}
	if b.work == "" {
		b.work, err = os.MkdirTemp(filepath.Join(root, "bin"), "bench-")
		return err
	}
	return os.MkdirAll(b.work, 0o700)
}

func numbers(list string) (ns []int) {
	for s := range strings.SplitSeq(list, ",") {
		n, err := strconv.Atoi(cmp.Or(s, "0"))
		if err != nil {
			fmt.Fprintf(os.Stderr, "bench: %q is no number\n", s)
			os.Exit(2)
		}
		ns = append(ns, n)
	}
	return ns
}
