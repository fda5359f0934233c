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
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"strings"
	"time"
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
	survived, err := matrix(ctx, *only)
	if err != nil {
		fmt.Fprintln(os.Stderr, "seeded:", err)
		os.Exit(2)
	}
	if survived > 0 {
		fmt.Printf("FAIL: %d variants survived\n", survived)
		os.Exit(1)
	}
}

func matrix(ctx context.Context, only string) (survived int, err error) {
	work, err := os.MkdirTemp("", "kurir-seeded-")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(work)
	for _, v := range variants {
		if !strings.Contains(v.Name, only) {
			continue
		}
		began := time.Now()
		caught, output, err := v.try(ctx, work)
		if err != nil {
			return survived, fmt.Errorf("%s: %w", v.Name, err)
		}
		if !caught {
			survived++
			fmt.Printf("SURVIVED  %-44s %s %s\n%s", v.Name, v.Package, v.Test, output)
			continue
		}
		fmt.Printf("caught    %-44s %s %s (%.1fs)\n", v.Name, v.Package, v.Test, time.Since(began).Seconds())
	}
	return survived, nil
}

// try lays the variant over the tree and runs its test. A variant that does not
// apply, does not compile or whose test does not exist is an error: it would
// prove nothing.
func (v variant) try(ctx context.Context, work string) (caught bool, output string, err error) {
	overlay, err := v.overlay(work)
	if err != nil {
		return false, "", err
	}
	if out, err := exec.CommandContext(ctx, "go", "vet", "-overlay", overlay, "./"+filepath.Dir(v.File)).CombinedOutput(); err != nil {
		return false, "", fmt.Errorf("it does not compile: %s", out)
	}
	ctx, cancel := context.WithTimeout(ctx, 3*time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, "go", "test", "-count=1", "-overlay", overlay, "-run", v.Test, "./"+v.Package).CombinedOutput()
	if strings.Contains(string(out), "no tests to run") {
		return false, "", fmt.Errorf("no test matches %s in %s", v.Test, v.Package)
	}
	if strings.Contains(string(out), "[build failed]") {
		return false, "", fmt.Errorf("it does not compile: %s", out)
	}
	return err != nil && ctx.Err() == nil, string(out), nil
}

func (v variant) overlay(work string) (file string, err error) {
	source, err := os.ReadFile(v.File)
	if err != nil {
		return "", err
	}
	if n := strings.Count(string(source), v.Old); n != 1 {
		return "", fmt.Errorf("%s has the text to replace %d times, not once: the code has moved on, and so must the variant", v.File, n)
	}
	broken := filepath.Join(work, "broken.go")
	if err := os.WriteFile(broken, []byte(strings.Replace(string(source), v.Old, v.New, 1)), 0o600); err != nil {
		return "", err
	}
	path, err := filepath.Abs(v.File)
	if err != nil {
		return "", err
	}
	data, err := json.Marshal(map[string]any{"Replace": map[string]string{path: broken}})
	if err != nil {
		return "", err
	}
	file = filepath.Join(work, "overlay.json")
	return file, os.WriteFile(file, data, 0o600)
}
