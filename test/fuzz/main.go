// Command fuzz runs every fuzz target of the project, one after the other.
//
//	go run ./test/fuzz -time 60s
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"
)

func main() {
	span := flag.Duration("time", 10*time.Second, "how long each target is run")
	only := flag.String("run", "", "only the targets whose name contains this")
	flag.Parse()
	targets, err := list()
	if err != nil {
		fmt.Fprintln(os.Stderr, "fuzz:", err)
		os.Exit(2)
	}
	ran, failed := 0, 0
	for _, t := range targets {
		if !strings.Contains(t.name, *only) {
			continue
		}
		ran++
		fmt.Printf("%s %s for %v\n", t.pkg, t.name, *span)
		if out, err := t.fuzz(*span); err != nil {
			failed++
			os.Stdout.Write(out)
		}
	}
	fmt.Printf("%d passed, %d failed\n", ran-failed, failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// A target is a fuzz function of a package.
type target struct{ pkg, name string }

// fuzz runs the target, and returns what go test printed. What is interesting
// is not made smaller for long: by default a worker may spend a minute on each.
//
// Until Go 1.27 a run whose time is up may fail with nothing but a context's
// error (go.dev/issue/75804). A finding always leaves an input, and so does a
// target that hangs: such a run is no failure.
func (t target) fuzz(span time.Duration) ([]byte, error) {
	out, err := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$",
		"-fuzztime", span.String(), "-fuzzminimizetime", "20x", t.pkg).CombinedOutput()
	if err != nil && timeWasUp(out) {
		fmt.Println("  time was up in the middle of an input")
		return out, nil
	}
	return out, err
}

// timeWasUp reports whether a context's error is all that out has against the
// target.
func timeWasUp(out []byte) bool {
	_, verdict, failed := bytes.Cut(out, []byte("--- FAIL: "))
	_, reason, _ := bytes.Cut(verdict, []byte("\n"))
	reason, _, _ = bytes.Cut(reason, []byte("\nFAIL\n"))
	return failed && string(bytes.TrimSpace(reason)) == "context deadline exceeded"
}

// list asks go test which targets there are: package by package, since its
// answer names the package only after its targets.
func list() (targets []target, err error) {
	packages, err := exec.Command("go", "list", "./...").Output()
	if err != nil {
		return nil, err
	}
	for _, pkg := range strings.Fields(string(packages)) {
		out, err := exec.Command("go", "test", "-list", "^Fuzz", pkg).Output()
		if err != nil {
			return nil, fmt.Errorf("%s: %w: %s", pkg, err, out)
		}
		for s := bufio.NewScanner(bytes.NewReader(out)); s.Scan(); {
			if strings.HasPrefix(s.Text(), "Fuzz") {
				targets = append(targets, target{pkg, s.Text()})
			}
		}
	}
	return targets, nil
}
