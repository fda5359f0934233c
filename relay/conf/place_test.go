package conf_test

import (
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"github.com/kurir-relay/kurir/relay/conf"
)

func none(string) (string, bool) { return "", false }

// placeOf gives where the word X of the value of key v stands.
func placeOf(t *testing.T, src string) conf.Place {
	t.Helper()
	f := conf.Parse("f.yaml", []byte(src), none)
	v := f.Root().Get("v")
	text, _ := v.Text()
	i := strings.Index(text, "X")
	if i < 0 {
		t.Fatalf("no X in %q: %v", text, f.Problems())
	}
	v.ReportAt(i, conf.Problem{Message: "here"})
	return f.Problems()[0].Place
}

func TestAPlaceInsideAScalarIsTheFiles(t *testing.T) {
	for name, src := range map[string]string{
		"plain":                         "v: a X b\n",
		"plain, over lines":             "v: a b\n  c\n\n\n    d X\n",
		"single quotes":                 "v: 'it''s a X'\n",
		"single quotes, over lines":     "v: 'it''s  \n  a\n\n  X b'\n",
		"double quotes":                 `v: "a\tb\x41\u2013 \"X\""` + "\n",
		"double quotes, over lines":     "v: \"a \\\n   b\n   \n   c X\"\n",
		"literal":                       "v: |\n  a\n\n   b\n  c X\n",
		"literal, more indented first":  "v: |2\n     a\n  X\n",
		"literal, blank lines first":    "v: |\n\n\n    a X\n",
		"literal, stripped":             "v: |-\n  a\n  b X\n\n",
		"folded":                        "v: >\n  a\n  b\n\n  c\n    d\n  e X\n",
		"folded, kept":                  "v: >+\n   a\n   X b\n\n",
		"after a tag":                   "v: !!str a X\n",
		"after an anchor":               "v: &name 'a X'\n",
		"after emoji":                   "v: |\n  ❌ <b>🎉 X\n",
		"Windows lines":                 "a: 1\r\nv: |\r\n  a\r\n  b X\r\n",
		"in a flow mapping":             "{a: 1, v: \"b X\"}\n",
		"on the line below":             "v:\n  a X\n",
		"on the line below, in quotes":  "v:\n  \"a X\"\n",
		"after a byte order mark":       "\ufeffv: a X\n",
		"in an alias, where it is made": "a: &a b X\nv: *a\n",
	} {
		t.Run(name, func(t *testing.T) {
			p := placeOf(t, src)
			lines := strings.Split(strings.TrimPrefix(src, "\ufeff"), "\n")
			if p.Line > len(lines) {
				t.Fatalf("line %d of %d", p.Line, len(lines))
			}
			line := []rune(lines[p.Line-1])
			if p.Col > len(line) || line[p.Col-1] != 'X' {
				t.Errorf("got %v, which is not X in %q", p, src)
			}
		})
	}
}

func TestAPlaceAfterAnExpandedNameIsTheFiles(t *testing.T) {
	lookup := func(name string) (string, bool) { return "a much longer text", name == "N" }
	f := conf.Parse("f.yaml", []byte("v: \"${N} $${Y} ${Z:-zz} X\"\n"), lookup)
	v := f.Root().Get("v")
	text, _ := v.Text()
	if want := "a much longer text ${Y} zz X"; text != want {
		t.Fatalf("got %q, want %q", text, want)
	}
	for word, col := range map[string]int{"X": 25, "zz": 16, "longer": 5, "${Y": 10} {
		f := conf.Parse("f.yaml", []byte("v: \"${N} $${Y} ${Z:-zz} X\"\n"), lookup)
		f.Root().Get("v").ReportAt(strings.Index(text, word), conf.Problem{Message: word})
		if got := f.Problems()[0].Place.Col; got != col {
			t.Errorf("%s: column %d, want %d", word, got, col)
		}
	}
}

// Whatever a scalar says and however it is written, the places of its letters
// are those of the same letters in the file.
func TestPlacesOfAllLetters(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		value := rapid.StringOfN(rapid.RuneFrom([]rune("abc:'\"\\#é❌{}\n \t")), 1, 40, -1).Draw(t, "value")
		style := rapid.SampledFrom([]yaml.Style{0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}).Draw(t, "style")
		src, err := yaml.Marshal(map[string]*yaml.Node{"v": {Kind: yaml.ScalarNode, Tag: "!!str", Style: style, Value: value}})
		if err != nil {
			t.Skip(err)
		}
		f := conf.Parse("f.yaml", src, none)
		v := f.Root().Get("v")
		text, _ := v.Text()
		lines := strings.Split(string(src), "\n")
		for i, r := range text {
			if !unicode.IsLetter(r) {
				continue
			}
			f := conf.Parse("f.yaml", src, none)
			f.Root().Get("v").ReportAt(i, conf.Problem{Message: "here"})
			p := f.Problems()[0].Place
			line := []rune(lines[p.Line-1])
			if p.Col > len(line) || line[p.Col-1] != r {
				t.Fatalf("%q: %c at %d has %v, in\n%s", text, r, utf8.RuneCountInString(text[:i]), p, src)
			}
		}
	})
}
