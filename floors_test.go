// Package kurir_test holds what is true of the tree as a whole.
package kurir_test

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/kurir-relay/kurir/"

// floors are the packages from the ground up. A package may use those of lower
// floors, and none of its own: an arrow only goes down.
var floors = [][]string{
	{"relay/near", "testdata", "load"},
	{"relay"},
	{"relay/conf", "relay/lang", "relay/boltstore", "relay/storetest"},
	{"relay/source", "sinks", "sinks/sinktest"},
	{"relay/rules"},
	{"relay/server"},
	{"cmd/kurir"},
}

// dependencies are the modules that the program may use, the packages that may
// use them, and what for.
var dependencies = []struct{ module, users, reason string }{
	{"github.com/emersion/go-sasl", "sinks/sinktest", "the mail server of tests"},
	{"github.com/emersion/go-smtp", "sinks/sinktest", "the mail server of tests"},
	{"github.com/expr-lang/expr", "relay/lang", "conditions and templates"},
	{"github.com/fsnotify/fsnotify", "relay/rules", "rules.yaml is read again when it changes"},
	{"github.com/gin-gonic/gin", "relay/server", "routes of both listeners"},
	{"github.com/go-telegram/bot", "sinks", "the Bot API"},
	{"github.com/mattn/go-isatty", "cmd/kurir", "colours, and readable logs, only on a terminal"},
	{"github.com/prometheus/client_golang", "relay/server", "metrics"},
	{"github.com/robfig/cron/v3", "relay/rules cmd/kurir", "when to prune"},
	{"github.com/spf13/cobra", "cmd/kurir", "the command line"},
	{"github.com/wneessen/go-mail", "sinks", "mail"},
	{"go.etcd.io/bbolt", "relay/boltstore", "the store's file"},
	{"golang.org/x/sync", "cmd/kurir", "the group of actors that a daemon is"},
	{"golang.org/x/text", "relay/conf", "carets under wide characters"},
	{"golang.org/x/time", "relay/server", "the rate of log lines in a flood"},
	{"gopkg.in/yaml.v3", "relay/conf relay/rules", "rules.yaml"},
	{"pgregory.net/rapid", "relay/storetest", "random histories of a store"},
}

func TestArrowsOnlyGoDown(t *testing.T) {
	floor := map[string]int{}
	for i, names := range floors {
		for _, name := range names {
			floor[name] = i
		}
	}
	for name, imports := range packages(t) {
		here, known := floor[name]
		if !known {
			t.Errorf("%s stands on no floor: add it to the list above, where it belongs", name)
			continue
		}
		for _, path := range imports {
			used, own := strings.CutPrefix(path, module)
			there, known := floor[used]
			if own && (!known || there >= here) {
				t.Errorf("%s uses %s, which is not below it", name, used)
			}
		}
	}
}

func TestEveryDependencyHasItsPlaceAndReason(t *testing.T) {
	for name, imports := range packages(t) {
		for _, path := range imports {
			if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") || strings.HasPrefix(path, module) {
				continue
			}
			if !allowed(name, path) {
				t.Errorf("%s uses %s: a new dependency, or a new place for one, needs a line above with its reason", name, path)
			}
		}
	}
}

func allowed(name, path string) bool {
	for _, d := range dependencies {
		if path == d.module || strings.HasPrefix(path, d.module+"/") {
			for user := range strings.FieldsSeq(d.users) {
				if user == name {
					return true
				}
			}
		}
	}
	return false
}

// packages gives the imports of each package of the program, without its tests.
func packages(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, root := range []string{"relay", "sinks", "cmd", "testdata"} {
		err := filepath.WalkDir(root, func(file string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(file, ".go") || strings.HasSuffix(file, "_test.go") {
				return err
			}
			parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
			if err != nil {
				return err
			}
			name := filepath.ToSlash(filepath.Dir(file))
			all[name] = append(all[name], "")
			for _, i := range parsed.Imports {
				path, _ := strconv.Unquote(i.Path.Value)
				all[name] = append(all[name], path)
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if len(all) < 10 {
		t.Fatalf("only %d packages were found", len(all))
	}
	return all
}
