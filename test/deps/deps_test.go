// Package deps_test keeps the list of what Kurir is built on.
package deps_test

import (
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// own is the prefix of this module's packages.
const own = "github.com/kurir-relay/kurir"

// allowed are the modules that packages of this one may import, each with what
// it saves. A further one is a decision: it is written down here.
var allowed = map[string]string{
	"github.com/expr-lang/expr":           "the parser of the one language of rules.yaml; conditions and texts are evaluated here",
	"github.com/fsnotify/fsnotify":        "a changed rules.yaml is noticed at once, on every system",
	"github.com/gin-gonic/gin":            "the router of both listeners",
	"github.com/go-telegram/bot":          "the Bot API's types and errors",
	"github.com/mattn/go-isatty":          "colours and readable logs on a terminal only",
	"github.com/prometheus/client_golang": "metrics in the form that monitoring reads",
	"github.com/robfig/cron/v3":           "schedules in five fields, with time zones",
	"github.com/spf13/cobra":              "the command line: help, completion, mistyped commands",
	"github.com/wneessen/go-mail":         "mails as other servers expect them: encodings, headers, STARTTLS",
	"go.etcd.io/bbolt":                    "the store: one file, one writer, crash-safe by design",
	"golang.org/x/net":                    "Telegram's markup is read with an HTML tokenizer",
	"golang.org/x/sync":                   "the group of actors that a daemon is",
	"golang.org/x/text":                   "how wide a character is, so that the caret stands under a mistake",
	"golang.org/x/time":                   "rates of sinks and of log lines",
	"gopkg.in/yaml.v3":                    "rules.yaml, with the line and column of each value",

	// Tests and rigs alone.
	"github.com/emersion/go-sasl":     "the logins of the mail server that tests run",
	"github.com/emersion/go-smtp":     "a mail server in the process of a test",
	"github.com/rogpeppe/go-internal": "sessions at a shell as text files, on the real program",
	"go.uber.org/goleak":              "a goroutine that a test leaves behind fails it",
	"golang.org/x/sys":                "mounts and the shutdown of a filesystem, in the rigs",
	"pgregory.net/rapid":              "random histories that shrink to the shortest that fails",
}

func TestOnlyAllowedModulesAreImported(t *testing.T) {
	used := map[string]bool{}
	for _, path := range imports(t) {
		module := moduleOf(path)
		if module == "" {
			t.Errorf("%s is imported: write down in this table what it saves, or do without it", path)
		}
		used[module] = true
	}
	for module, reason := range allowed {
		if !used[module] {
			t.Errorf("%s is allowed, and nobody imports it", module)
		}
		if reason == "" {
			t.Errorf("%s is allowed without a reason", module)
		}
	}
}

// imports lists what packages of this module and their tests import, beside the
// standard library and each other.
func imports(t *testing.T) (paths []string) {
	t.Helper()
	const each = `{{join .Imports "\n"}}{{"\n"}}{{join .TestImports "\n"}}{{"\n"}}{{join .XTestImports "\n"}}`
	out, err := exec.Command("go", "list", "-f", each, own+"/...").Output()
	if err != nil {
		t.Fatal(err)
	}
	for path := range strings.FieldsSeq(string(out)) {
		first, _, _ := strings.Cut(path, "/")
		if strings.Contains(first, ".") && path != own && !strings.HasPrefix(path, own+"/") {
			paths = append(paths, path)
		}
	}
	slices.Sort(paths)
	return slices.Compact(paths)
}

// moduleOf gives the allowed module that a package is of; "" if none.
func moduleOf(path string) string {
	for module := range allowed {
		if path == module || strings.HasPrefix(path, module+"/") {
			return module
		}
	}
	return ""
}
