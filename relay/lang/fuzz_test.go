package lang_test

import (
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/relay/lang"
)

// seeds are expressions that between them use all of the language.
func seeds() []string {
	all := []string{"", "(", "data.a.b[0]?.c", `let x = data; x.price ?? 1`, "if data.ok { 1 } else { 2 }", "-data.big ** 2 % 7", "1..3 | map(# * 2)",
		`event not in ["a"] and not (ref_id matches "^T")`, "é == “x”", "`a``b`", "{a: 1, (event): 2}", "data.items[1:-1]", "# + #acc", "\xff", "/* */ 1 // x", "'\\u0041'",
		"1 < 2 < 3", "a?b:c", "::len(data)", "$env", "any(any(any(", "0x1F + 0b1 + 0o7", "1e999", ".5", "b'x'", "not not true", "event | lower()"}
	for _, f := range lang.Reference() {
		all = append(all, f.Example)
	}
	for _, src := range attacks {
		all = append(all, src)
	}
	return all
}

// FuzzCompile: a source compiles or has a mistake with a place in it; what
// compiles evaluates the same way twice, and never panics.
func FuzzCompile(f *testing.F) {
	for _, src := range seeds() {
		f.Add(src)
	}
	vars := failed(f)
	f.Fuzz(func(t *testing.T, src string) {
		for _, as := range []lang.Type{lang.Any, lang.Bool, lang.Text} {
			p, err := lang.Message.Compile(src, as)
			if err != nil {
				placed(t, src, err)
				continue
			}
			v, err := p.Eval(vars)
			w, again := p.Eval(*vars)
			if message(err) != message(again) || !reflect.DeepEqual(v, w) {
				t.Fatalf("%q gives %#v, %v and then %#v, %v", src, v, err, w, again)
			}
			placed(t, src, err)
			lang.Print(v)
			p.Bool(vars)
			p.Text(vars)
			if _, err := p.Parts(vars); err != nil {
				t.Fatalf("the parts of %q: %v", src, err)
			}
		}
	})
}

// placed checks that an error stands in its source.
func placed(t *testing.T, src string, err error) {
	t.Helper()
	if mistakes, ok := err.(lang.Mistakes); ok {
		for _, e := range mistakes {
			placed(t, src, e)
		}
		return
	}
	if err == nil {
		return
	}
	e, ok := err.(*lang.Error)
	if !ok || e.Message == "" || e.Offset < 0 || e.Len < 0 || e.Offset > len(src) || e.Offset+e.Len > len(src)+1 {
		t.Fatalf("%q: %v stands at %+v", src, err, e)
	}
	if utf8.ValidString(src) && !utf8.ValidString(src[:e.Offset]) {
		t.Fatalf("%q: %v stands within a character, at %d", src, err, e.Offset)
	}
}

func FuzzTemplate(f *testing.F) {
	for _, src := range seeds() {
		f.Add("a {{" + src + "}} b")
	}
	f.Add(`{{ "}}" }} {{ {"a": {"b": 1}} }} {{`)
	f.Add("{{ 'x")
	vars := failed(f)
	f.Fuzz(func(t *testing.T, src string) {
		for to := lang.Plain; to <= lang.JSON; to++ {
			tmpl, err := lang.Message.Template(src, to)
			placed(t, src, err)
			if err != nil {
				continue
			}
			tmpl.Fields()
			s, err := tmpl.Render(vars)
			placed(t, src, err)
			if to == lang.Line && strings.ContainsAny(s, "\r\n\x00") {
				t.Fatalf("%q has two lines: %q", src, s)
			}
		}
	})
}
