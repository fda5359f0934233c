package conf_test

import (
	"strings"
	"testing"

	"gopkg.in/yaml.v3"
	"pgregory.net/rapid"

	"github.com/kurir-relay/kurir/relay/conf"
)

func TestFormatOnlyMovesLines(t *testing.T) {
	for name, tt := range map[string]struct{ in, want string }{
		"two spaces for each level": {"a:\n    b:\n     c: 1\n", "a:\n  b:\n    c: 1\n"},
		"lists are indented":        {"a:\n- b\n-   c: d\n    e: f\n", "a:\n  - b\n  - c: d\n    e: f\n"},
		"lists in lists":            {"a:\n-   - b\n    - c\n-\n - d\n", "a:\n  - - b\n    - c\n  -\n    - d\n"},
		"blanks at line ends":       {"a: b  \nc: d\t\n", "a: b\nc: d\n"},
		"empty lines":               {"\n\na: b\n\n\n\nc: d\n\n\n", "a: b\n\nc: d\n"},
		"no line end at the end":    {"a: b", "a: b\n"},
		"Windows lines":             {"a: b\r\nc: |\r\n  d\r\n", "a: b\nc: |\n  d\n"},
		"order, quotes, flow":       {"z: 'q'\na: \"r\"\nm: [a, {b: c}]\n", "z: 'q'\na: \"r\"\nm: [a, {b: c}]\n"},
		"comments move with what follows": {"a:\n    # of b\n    b: 1 # one\n    # of c\n    c: 2\n# of d\nd: 3\n# the end\n",
			"a:\n  # of b\n  b: 1 # one\n  # of c\n  c: 2\n# of d\nd: 3\n# the end\n"},
		"a comment at the end of a level": {"a:\n    b: 1\n    # no more\nc: 2\n", "a:\n  b: 1\n  # no more\nc: 2\n"},
		"a text as it is": {"a:\n      b: |\n          x  \n            y\n\n\n          z\n      c: 1\n",
			"a:\n  b: |\n    x  \n      y\n\n\n    z\n  c: 1\n"},
		"a folded text":             {"a:\n- >-\n     x\n     y\n- z\n", "a:\n  - >-\n    x\n    y\n  - z\n"},
		"a text with its own level": {"a:\n    b: |1\n       x\n    c: 1\n", "a:\n  b: |1\n     x\n  c: 1\n"},
		"a text with its end kept":  {"a: |+\n  x\n\n\nb: 1\n", "a: |+\n  x\n\n\nb: 1\n"},
		"a hash in a text":          {"a:\n    b: |\n      # x\n       # y\n", "a:\n  b: |\n    # x\n     # y\n"},
		"quotes over lines":         {"a:\n    b: \"x\n      y\"\n    c: 'z\n\n      w'\n", "a:\n  b: \"x\n    y\"\n  c: 'z\n\n    w'\n"},
		"a flow over lines":         {"a:\n    b: [c,\n        d]\n    e: f\n", "a:\n  b: [c,\n      d]\n  e: f\n"},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := conf.Format([]byte(tt.in))
			if err != nil || string(got) != tt.want {
				t.Fatalf("%v, got\n%s\nwant\n%s", err, got, tt.want)
			}
			if again, err := conf.Format(got); err != nil || string(again) != string(got) {
				t.Errorf("once more: %v\n%s", err, again)
			}
		})
	}
}

func TestFormatRefusesWhatItCannotRead(t *testing.T) {
	if _, err := conf.Format([]byte("a: 'b\n")); err == nil || !strings.Contains(err.Error(), "1:4") {
		t.Error(err)
	}
}

// Whatever the file, its values are the same afterwards, and formatting it again
// changes nothing.
func TestFormatKeepsTheValues(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		src, err := yaml.Marshal(anyNode(t, 0))
		if err != nil {
			t.Skip(err)
		}
		if len(conf.Parse("f.yaml", src, none).Problems()) > 0 {
			t.Skip("yaml.v3 wrote what it cannot read")
		}
		once, err := conf.Format(src)
		if err != nil {
			t.Fatalf("%v\n%s", err, src)
		}
		again, err := conf.Format(once)
		if err != nil || string(again) != string(once) {
			t.Fatalf("%v\n%s\nbecame\n%s", err, once, again)
		}
	})
}

// anyNode is a document of any shape and style.
func anyNode(t *rapid.T, depth int) *yaml.Node {
	y := &yaml.Node{}
	kind := rapid.IntRange(0, 2).Draw(t, "kind")
	if depth == 0 {
		kind = 2
	} else if depth > 3 {
		kind = 0
	}
	switch kind {
	case 0:
		y.Kind, y.Tag = yaml.ScalarNode, "!!str"
		y.Value = rapid.StringOfN(rapid.RuneFrom([]rune("ab:'\"#{}- \n")), 1, 20, -1).Draw(t, "text")
		y.Style = rapid.SampledFrom([]yaml.Style{0, yaml.SingleQuotedStyle, yaml.DoubleQuotedStyle, yaml.LiteralStyle, yaml.FoldedStyle}).Draw(t, "style")
	case 1:
		y.Kind, y.Style = yaml.SequenceNode, rapid.SampledFrom([]yaml.Style{0, 0, yaml.FlowStyle}).Draw(t, "style")
		for range rapid.IntRange(1, 3).Draw(t, "items") {
			y.Content = append(y.Content, anyNode(t, depth+1))
		}
	case 2:
		y.Kind, y.Style = yaml.MappingNode, rapid.SampledFrom([]yaml.Style{0, 0, yaml.FlowStyle}).Draw(t, "style")
		for i := range rapid.IntRange(1, 3).Draw(t, "keys") {
			y.Content = append(y.Content, &yaml.Node{Kind: yaml.ScalarNode, Value: string(rune('k' + i))}, anyNode(t, depth+1))
		}
	}
	return y
}
