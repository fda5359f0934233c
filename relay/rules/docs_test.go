package rules_test

import (
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/relay/rules"
)

const page = "../../docs/rules.md"

// generated finds a generated part: <!-- NAME --> ... <!-- end -->.
var generated = regexp.MustCompile(`(?s)<!-- (keys: [a-z]+|names|functions) -->\n.*?<!-- end -->`)

func TestThePageOfRulesIsCurrent(t *testing.T) {
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	golden(t, page, generated.ReplaceAllStringFunc(string(old), func(part string) string {
		name := generated.FindStringSubmatch(part)[1]
		return "<!-- " + name + " -->\n" + generate(t, name) + "<!-- end -->"
	}))
}

func generate(t *testing.T, name string) string {
	t.Helper()
	what, section, _ := strings.Cut(name, ": ")
	switch {
	case what == "names":
		rows := "| name | is |\n|---|---|\n"
		for _, n := range lang.Message.Names() {
			rows += fmt.Sprintf("| `%s` | %s |\n", n.Name, n.Doc)
		}
		return rows
	case what == "functions":
		rows := "| function | gives | for example | |\n|---|---|---|---|\n"
		for _, f := range lang.Reference() {
			rows += fmt.Sprintf("| `%s` | %s | `%s` | `%s` |\n", f.Name, cell(f.Doc), cell(f.Example), cell(f.Yields))
		}
		return rows
	case rules.Sections[section] != nil:
		return "| key | default | meaning |\n|---|---|---|\n" + strings.Join(rows("", rules.Sections[section]), "")
	}
	t.Fatalf("%s has a part %q that nothing generates", page, name)
	return ""
}

// cell is a text that does not end its cell of a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// rows are the keys of a struct and, with a dot, of structs in it that have no
// section of their own.
func rows(prefix string, t reflect.Type) (all []string) {
	for _, f := range conf.Fields(t) {
		key := "`" + prefix + f.Key + "`"
		if f.Secret() {
			key += ", `" + prefix + f.Key + "_file`"
		}
		def := ""
		switch {
		case f.Required:
			def = "required"
		case f.Default != "" && f.Default != "{}":
			def = "`" + f.Default + "`"
		}
		all = append(all, fmt.Sprintf("| %s | %s | %s |\n", key, def, cell(f.Doc)))
		if inner := within(f.Type); inner != nil && !hasSection(inner) && len(conf.Fields(inner)) > 0 {
			all = append(all, rows(prefix+f.Key+".", inner)...)
		}
	}
	return all
}

// within is the struct that a key's value is made of; nil if it is none.
func within(t reflect.Type) reflect.Type {
	if conf.IsMap(t) {
		value, _ := t.Elem().FieldByName("Value")
		t = value.Type
	}
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct {
		return nil
	}
	return t
}

func hasSection(t reflect.Type) bool {
	for _, s := range rules.Sections {
		if s == t {
			return true
		}
	}
	return false
}

var example = regexp.MustCompile("(?s)```yaml\n(.*?)```")

// What an example on the page leaves out.
var rest = map[string]string{
	"sources": "sources: {isikuota: {preset: isikuota, secret: x}}\n",
	"sinks":   "sinks: {ops: {log: {}}}\n",
	"rules":   "rules: [{name: all, stop: true}]\n",
}

func TestEveryKeyHasAnExampleThatWorks(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	secret := filepath.Join(t.TempDir(), "secret")
	write(t, secret, "a secret\n")
	shown := map[string]bool{}
	for i, m := range example.FindAllStringSubmatch(string(text), -1) {
		src := strings.ReplaceAll(m[1], "/run/secrets/isikuota", secret)
		for _, key := range []string{"sources", "sinks", "rules"} {
			if !regexp.MustCompile(`(?m)^` + key + `:`).MatchString(src) {
				src += rest[key]
			}
		}
		set, problems := rules.Parse(fmt.Sprintf("example %d", i+1), []byte(src), rules.Options{Lookup: anything})
		if set == nil {
			t.Errorf("%v\n%s", problems, src)
			continue
		}
		if r := set.Run(set.Tests(), nil); r.Failed() > 0 {
			r.Text(os.Stdout, false)
			t.Errorf("the tests of example %d fail", i+1)
		}
		set.Close()
		note(shown, rules.Sections["file"], conf.Parse("", []byte(m[1]), anything).Root())
	}
	for _, section := range rules.Sections {
		for _, missing := range unshown(shown, section) {
			t.Errorf("no example has %s", missing)
		}
	}
}

// anything is an environment that has every name; those with a default keep it.
func anything(name string) (string, bool) {
	if strings.Contains(name, "SECRET") {
		return "a secret", true
	}
	return "", true
}

// note marks the keys of a struct that a value has.
func note(shown map[string]bool, t reflect.Type, n conf.Node) {
	for _, f := range conf.Fields(t) {
		v := n.Get(f.Key)
		if v.Kind() == "nothing" {
			v = n.Get(f.Key + "_file")
		}
		if v.Kind() == "nothing" {
			continue
		}
		shown[f.Key+": "+f.Doc] = true
		inner := within(f.Type)
		if f.Key == "sources" {
			inner = rules.Sections["source"]
		}
		if inner == nil {
			continue
		}
		items := v.Items()
		if f.Key == "sources" || conf.IsMap(f.Type) {
			items = nil
			for _, e := range v.Entries() {
				items = append(items, e.Value)
			}
		}
		for _, item := range items {
			note(shown, inner, item)
		}
	}
}

// unshown are the keys of a struct, and of those within, that were not marked.
func unshown(shown map[string]bool, t reflect.Type) (all []string) {
	for _, f := range conf.Fields(t) {
		if name := f.Key + ": " + f.Doc; !shown[name] {
			all = append(all, name)
		}
		if inner := within(f.Type); inner != nil && !hasSection(inner) {
			all = append(all, unshown(shown, inner)...)
		}
	}
	return slices.Compact(all)
}
