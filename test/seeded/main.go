// Command seeded breaks Kurir in known ways, one at a time, and runs the test
// that must notice. It fails if a broken variant survives: then the test is
// worth nothing.
//
//	go run ./test/seeded            the whole matrix
//	go run ./test/seeded -run dedupe
//
// A variant is a text in place of another in one source file. It is laid over
// the tree with `go test -overlay`; the tree itself is not touched.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/test/overlay"
)

// A variant is one bug: Old becomes New in File, and Test, a pattern for -run in
// Package, must then fail.
type variant struct {
	Name    string
	File    string
	Old     string
	New     string
	Package string
	Test    string
}

func main() {
	only := flag.String("run", "", "only the variants whose name contains this")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	chosen := slices.DeleteFunc(slices.Clone(variants), func(v variant) bool { return !strings.Contains(v.Name, *only) })
	survived, err := matrix(ctx, chosen)
	if err != nil {
		fmt.Fprintln(os.Stderr, "seeded:", err)
		os.Exit(2)
	}
	fmt.Printf("%d variants, %d survived\n", len(chosen), survived)
	if survived > 0 {
		os.Exit(1)
	}
}

func matrix(ctx context.Context, chosen []variant) (survived int, err error) {
	work, err := os.MkdirTemp("", "kurir-seeded-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(work)
	if err := sound(ctx, chosen); err != nil {
		return 0, err
	}
	for _, v := range chosen {
		began := time.Now()
		caught, output, err := v.try(ctx, work)
		switch {
		case ctx.Err() != nil:
			return survived, ctx.Err()
		case err != nil:
			survived++
			fmt.Printf("INVALID   %-50s %v\n", v.Name, err)
		case !caught:
			survived++
			fmt.Printf("SURVIVED  %-50s %s %s\n%s", v.Name, v.Package, v.Test, output)
		default:
			fmt.Printf("caught    %-50s %s %s (%.1fs)\n", v.Name, v.Package, v.Test, time.Since(began).Seconds())
		}
	}
	return survived, nil
}

// sound runs the tests on the tree as it is: one that fails anyway catches
// nothing.
func sound(ctx context.Context, chosen []variant) error {
	tests := map[string][]string{}
	for _, v := range chosen {
		test, _, _ := strings.Cut(v.Test, "/")
		tests[v.Package] = append(tests[v.Package], test)
	}
	for pkg, names := range tests {
		if out, err := goTest(ctx, pkg, strings.Join(names, "|")); err != nil {
			return fmt.Errorf("the tests of %s fail without any variant: %w\n%s", pkg, err, out)
		}
	}
	return nil
}

func goTest(ctx context.Context, pkg, test string, flags ...string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Minute)
	defer cancel()
	args := append([]string{"test", "-count=1", "-vet=off", "-timeout", "2m", "-run", test}, flags...)
	out, err := exec.CommandContext(ctx, "go", append(args, "./"+pkg)...).CombinedOutput()
	if ctx.Err() != nil {
		err = ctx.Err()
	}
	return string(out), err
}

var failed = regexp.MustCompile(`(?m)^\s*--- FAIL|^panic:|^fatal error:`)

// try lays the variant over the tree and runs its test. That it does not apply or
// compile, or that its test does not exist, is an error: it would prove nothing.
func (v variant) try(ctx context.Context, work string) (caught bool, output string, err error) {
	laid, err := overlay.Write(work, overlay.Patch{File: v.File, Old: v.Old, New: v.New})
	if err != nil {
		return false, "", err
	}
	os.Setenv("KURIR_SEEDED", filepath.Join(work, "laid0.go")) // for tests that read the source
	output, err = goTest(ctx, v.Package, v.Test, "-overlay", laid)
	switch {
	case strings.Contains(output, "no tests to run"):
		return false, "", fmt.Errorf("no test matches %s in %s", v.Test, v.Package)
	case err != nil && !failed.MatchString(output):
		return false, "", fmt.Errorf("the test was not run: %w\n%s", err, output)
	}
	return err != nil, output, nil
}
