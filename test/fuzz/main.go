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
	failed := 0
	for _, t := range targets {
		if !strings.Contains(t.name, *only) {
			continue
		}
		fmt.Printf("%s %s for %v\n", t.pkg, t.name, *span)
		out, err := exec.Command("go", "test", "-run", "^$", "-fuzz", "^"+t.name+"$", "-fuzztime", span.String(), t.pkg).CombinedOutput()
		if err != nil {
			failed++
			os.Stdout.Write(out)
		}
	}
	fmt.Printf("%d targets, %d failed\n", len(targets), failed)
	if failed > 0 {
		os.Exit(1)
	}
}

// A target is a fuzz function of a package.
type target struct{ pkg, name string }

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
