package conf_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/conf"
)

// One mistake a line; what is said of it, and where.
func TestEachYAMLMistakeHasItsOwnWords(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"", "1:1: the file is empty"},
		{"# only a comment\n", "1:1: the file is empty"},
		{"null\n", "1:1: the file is empty"},
		{"a: 1\nb: \"abc\nc: 2\n", "2:4: the quote that begins here is not closed: end the value with the same quote"},
		{"a: 'b\n", "1:4: the quote that begins here is not closed: end the value with the same quote"},
		{"a: 'it's'\n", "1:7: the text ends at this quote: write '' for a ' in single quotes, or put the whole in double quotes"},
		{"a: \"x\" y\n", `1:6: the text ends at this quote: write \" for a " in double quotes, or put the whole in single quotes`},
		{"a: \"\\d+\"\n", `1:5: in double quotes, \d is no escape: write \\ for a backslash, or use single quotes`},
		{"a:\n  b: 1\n\tc: 2\n", "3:1: a tab stands here: indent with spaces, two for each level"},
		{"a: x\n\u00a0\u00a0b: y\nc: z: 1\n", "2:1: this looks like a space and is none: type the spaces at the beginning of the line anew"},
		{"a:\n  - {b: x in [\"c\", \"d\"], e: f}\n", "2:14: a bracket stands in a value that is not in quotes: put the whole value in quotes"},
		{"a: 1\ntext: Gagal: {{ ref_id }}\n", "2:12: a second colon in a value that is not in quotes: put the whole value in quotes"},
		{"a: x ? y : z\n", "1:10: a second colon in a value that is not in quotes: put the whole value in quotes"},
		{"a: {{ ref_id }} ok\n", "1:4: a value that begins with {{ is a mapping to YAML: put the whole value in quotes, such as '{{ ref_id }}'"},
		{"a: {{ ref_id }}\n", "1:4: a value that begins with {{ is a mapping to YAML: put the whole value in quotes, such as '{{ ref_id }}'"},
		{"a: [1, 2\nc: 3\n", "1:4: [ is not closed: add ]"},
		{"a: 1\n\n\n# note\nrules:\n  - name: x\n    to: [a, b\n  - name: y\n    to: [c]\n", "7:9: [ is not closed: add ]"},
		{"a: {x: 1,\n y: ]\n}\nc: 3\n", "2:5: ] closes nothing that is open"},
		{"a: [b]]\n", "1:7: ] closes nothing that is open"},
		{"a: [b c, 'd]\ne: f\n", "1:10: the quote that begins here is not closed: end the value with the same quote"},
		{"a: [,]\n", "1:4: something is wrong between these brackets: separate values with commas, and put texts in quotes"},
		{"a: @shop\n", "1:4: a value cannot begin with @: put the whole value in quotes"},
		{"a: `x`\n", "1:4: a value cannot begin with `: put the whole value in quotes"},
		{"a: %x\n", "1:4: a value cannot begin with %: put the whole value in quotes"},
		{"a: , b\n", "1:4: a value cannot begin with ,: put the whole value in quotes"},
		{"a: 1\nb: *bold* text\n", "2:4: * begins an alias, and there is no anchor of this name: put the whole value in quotes if it is a text"},
		{"a: - b\n", "1:4: a list cannot begin on the line of its key: put each item on a line of its own"},
		{"a: | text\n", "1:4: after |, the text begins on the next line"},
		{"a:\n  b: 1\n c: 2\n", "3:2: this line is indented by 1, which fits none above: indent keys of one mapping alike, two spaces for each level"},
		{"a:\n  - b\n  c: d\n", "3:3: this line is indented by 2, which fits none above: indent keys of one mapping alike, two spaces for each level"},
		{"a:\n  - name: x\n    to: y\n - name: z\n", "4:2: a list item does not fit here: indent the items of one list alike, and keys of a mapping without a hyphen"},
		{"a:\n  - name: x\n     to: y\n", "3:6: this line is indented deeper than the one above allows, which has a value already: indent keys of one mapping alike"},
		{"a:\n  - name x\n    to: y\n", "2:5: here a key with a colon is due: write `key: value`, or indent the line deeper if it goes on with the text above"},
		{"a:\n  - name: x\n    to [a]\n    text: b\n", "3:5: here a key with a colon is due: write `key: value`, or indent the line deeper if it goes on with the text above"},
		{"a: |\n    x\n  y\nb: 1\n", "3:3: here a key with a colon is due: write `key: value`, or indent the line deeper if it goes on with the text above"},
		{"a:b\nc: d\n", "1:2: there is no space after the colon: write one"},
		{"a: 1\n---\nb: 2\n", "2:1: a second document begins here: a file has one: remove the --- above"},
		{"a: \x01\n", "1:4: a control character stands here: save the file as plain UTF-8 text"},
		{"a: ❌\xff\n", "1:5: this byte is no UTF-8: save the file as plain UTF-8 text"},
		{"\xff\xfea\x00", "1:1: the file is UTF-16: save it as UTF-8"},
		{"a: !urgent\n", "1:4: ! begins a tag to YAML: put the whole value in quotes, or write `not` instead of !"},
		{"a: ! urgent\n", "1:4: ! begins a tag to YAML: put the whole value in quotes, or write `not` instead of !"},
		{"a: Order #{{ ref_id }}\n", "1:10: warning: # begins a comment here: the value ends before it: put the whole value in quotes"},
		{"a: x == \"a #b\"\n", "1:12: warning: # begins a comment here: the value ends before it: put the whole value in quotes"},
		{"? [a]\n: b\n", "1:3: a key must be a text"},
		{"&a {b: *a}\n", "1:1: nested deeper than 100 levels, or in itself"},
		{strings.Repeat("[", 200) + strings.Repeat("]", 200), "1:101: nested deeper than 100 levels, or in itself"},
	} {
		f := conf.Parse("", []byte(tt.in), none)
		if got := strings.TrimPrefix(f.Problems().Error(), ":"); got != tt.want {
			t.Errorf("%q:\ngot  %s\nwant %s", tt.in, got, tt.want)
		}
	}
}

func TestWhatLooksOddAndIsRightIsTaken(t *testing.T) {
	for _, in := range []string{
		"a: b # a note\n",
		"a: [b] #c\n",
		"a: 'b' #c\n",
		"a: b#c\n",
		"a: http://localhost:8080/x\n",
		"a: it's {{ x }}\n",
		"a: !!str 1\n",
		"a: &x {b: 1}\nc: *x\nd: {<<: *x}\n",
		"---\na: 1\n",
		"a:\n- b\n- c\n",
		"\ufeffa: 1\n",
	} {
		if ps := conf.Parse("", []byte(in), none).Problems(); len(ps) > 0 {
			t.Errorf("%q: %v", in, ps)
		}
	}
}

// An alias bomb, and the widest file there may be, are refused or read quickly.
func TestAFileCannotBeTooMuch(t *testing.T) {
	bomb := "a0: &a0 [x, x, x, x, x, x, x, x, x]\n"
	for i := range 9 {
		last := string(rune('0' + i))
		next := string(rune('1' + i))
		bomb += "a" + next + ": &a" + next + " [" + strings.TrimSuffix(strings.Repeat("*a"+last+", ", 9), ", ") + "]\n"
	}
	for name, in := range map[string]string{
		"aliases": bomb,
		"size":    "a: " + strings.Repeat("x", conf.MaxSize),
		"values":  "[" + strings.Repeat("1,", conf.MaxNodes+1) + "]",
	} {
		f := conf.Parse("", []byte(in), none)
		if len(f.Problems()) != 1 || f.Root().Present() {
			t.Errorf("%s: %.200v", name, f.Problems())
		}
	}
}

func TestOfManyProblemsTheFirstAreTold(t *testing.T) {
	var in strings.Builder
	in.WriteString("sources: {")
	for i := range 40_000 {
		fmt.Fprintf(&in, "k%d: {x: 1}, ", i)
	}
	in.WriteString("}\n")
	f := conf.Parse("f", []byte(in.String()), none)
	for _, e := range f.Root().Get("sources").Entries() {
		e.Value.Warn("odd")
	}
	ps := f.Problems()
	if len(ps) != 201 || len(ps.Errors()) != 0 || !strings.Contains(ps[200].Message, "there are more") {
		t.Errorf("%d problems, errors %v", len(ps), ps.Errors())
	}
}
