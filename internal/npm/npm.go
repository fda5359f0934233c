// Package npm lets tests run against packages of npm, which are kept in the
// repository's .cache. Where npm or its registry cannot be had, such a test is
// skipped and says so.
package npm

import (
	"crypto/sha256"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Folder gives a folder in which node finds the packages, each named with its
// version: "express@5.1.0". The first use installs them.
func Folder(t testing.TB, packages ...string) string {
	t.Helper()
	for _, tool := range []string{"node", "npm"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("SKIPPED, nothing was shown: %s is not installed", tool)
		}
	}
	cache := filepath.Join(root(t), ".cache", "npm")
	folder := filepath.Join(cache, fmt.Sprintf("%x", sha256.Sum256([]byte(strings.Join(packages, " "))))[:16])
	if _, err := os.Stat(folder); err == nil {
		return folder
	}
	install(t, cache, folder, packages)
	return folder
}

// install builds the folder aside and puts it in place whole, since other tests
// may be at the same.
func install(t testing.TB, cache, folder string, packages []string) {
	t.Helper()
	if err := os.MkdirAll(cache, 0o755); err != nil {
		t.Fatal(err)
	}
	aside, err := os.MkdirTemp(cache, "new-")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(aside)
	args := append([]string{"install", "--prefix", aside, "--no-audit", "--no-fund", "--ignore-scripts", "--loglevel=error"}, packages...)
	if out, err := exec.Command("npm", args...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, nothing was shown: npm cannot install %v: %v\n%s", packages, err, out)
	}
	if err := os.Rename(aside, folder); err != nil && !os.IsExist(err) {
		if _, there := os.Stat(folder); there != nil {
			t.Fatal(err)
		}
	}
}

// root is the folder of go.mod.
func root(t testing.TB) string {
	t.Helper()
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir
		}
		if dir == filepath.Dir(dir) {
			t.Fatal("no go.mod above the test")
		}
		dir = filepath.Dir(dir)
	}
}
