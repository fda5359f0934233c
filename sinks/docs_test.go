package sinks_test

import (
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/sinks"
)

var update = flag.Bool("update", false, "write the generated parts of docs/sinks.md")

const page = "../docs/sinks.md"

// generated finds a generated part: <!-- NAME --> ... <!-- end -->.
var generated = regexp.MustCompile(`(?s)<!-- (kinds|example|settings: [a-z]+) -->\n.*?<!-- end -->`)

func TestThePageOfSinksIsCurrent(t *testing.T) {
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	now := generated.ReplaceAllStringFunc(string(old), func(part string) string {
		name := generated.FindStringSubmatch(part)[1]
		return "<!-- " + name + " -->\n" + generate(t, name) + "<!-- end -->"
	})
	if *update {
		if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if now != string(old) {
		t.Errorf("%s is out of date: go test ./sinks -run ThePageOfSinks -update", page)
	}
}

func generate(t *testing.T, name string) string {
	t.Helper()
	what, kind, _ := strings.Cut(name, ": ")
	k, known := sinks.Lookup(kind)
	switch {
	case what == "kinds":
		return table("| kind | what it is |\n|---|---|\n", kindRows())
	case what == "settings" && known:
		return table("| key | default | meaning |\n|---|---|---|\n", settingRows("", reflect.TypeOf(k.Settings)))
	case what == "example":
		return example(t)
	}
	t.Fatalf("%s has a part %q that nothing generates", page, name)
	return ""
}

func table(head string, rows []string) string { return head + strings.Join(rows, "") }

func kindRows() (rows []string) {
	for _, k := range sinks.Kinds() {
		if k.Name != "file" { // the example
			rows = append(rows, fmt.Sprintf("| [`%s`](#%s) | %s |\n", k.Name, k.Name, k.Doc))
		}
	}
	return rows
}

// settingRows describes the keys that a struct takes, those of structs in it
// with a dot.
func settingRows(prefix string, t reflect.Type) (rows []string) {
	for _, f := range conf.Fields(t) {
		name := "`" + prefix + f.Key + "`"
		if f.Secret() {
			name += ", `" + prefix + f.Key + "_file`"
		}
		def := f.Default
		switch {
		case f.Required:
			def = "required"
		case def != "":
			def = "`" + def + "`"
		}
		rows = append(rows, fmt.Sprintf("| %s | %s | %s |\n", name, def, strings.ReplaceAll(f.Doc, "|", `\|`)))
		if inner, ok := nested(f.Type); ok {
			rows = append(rows, settingRows(prefix+f.Key+".", inner)...)
		}
	}
	return rows
}

// nested gives the struct of settings behind a pointer or in a list.
func nested(t reflect.Type) (reflect.Type, bool) {
	if t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice && !strings.HasPrefix(t.Name(), "Map[") {
		t = t.Elem()
	}
	return t, t.Kind() == reflect.Struct && len(conf.Fields(t)) > 0
}

// example is the part of example_test.go that a reader would write.
func example(t *testing.T) string {
	t.Helper()
	src, err := os.ReadFile("example_test.go")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(src), "// begin example\n\n")
	code, _, ok := strings.Cut(rest, "\n// end example")
	if !ok {
		t.Fatal("example_test.go has lost its marks")
	}
	return "```go\n" + code + "```\n"
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestTheExamplesOfThePageAreSound(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 4 {
		t.Fatalf("only %d examples were found", len(blocks))
	}
	for _, block := range blocks {
		t.Run(strings.TrimSpace(block[1][:min(40, len(block[1]))]), func(t *testing.T) {
			f := conf.Parse("sinks.md", []byte(block[1]), func(name string) (string, bool) {
				switch {
				case strings.HasSuffix(name, "_URL"):
					return "https://example.com/x", true
				case strings.HasSuffix(name, "_CHAT_ID"):
					return "-1001234567890", true
				}
				return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true
			})
			for _, sink := range f.Root().Get("sinks").Entries() {
				for _, e := range sink.Value.Entries() {
					if k, ok := sinks.Lookup(e.Name()); ok {
						k.New(e.Value, sinks.Place{Name: sink.Name()}).Close()
					}
				}
			}
			if ps := f.Problems(); len(ps) > 0 {
				t.Error(ps)
			}
		})
	}
}
