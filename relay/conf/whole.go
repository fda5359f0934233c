package conf

import (
	"crypto/sha256"
	"fmt"
	"hash"
	"io"
	"regexp"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// MaxNodes is how many values a file may have, aliases written out.
const MaxNodes = 200_000

// MaxDepth is how deep values may be nested.
const MaxDepth = 100

// weigh counts the values at y, aliases written out, as far as MaxNodes+1. It
// returns the first node that is nested too deep or holds itself.
func weigh(y *yaml.Node, depth int, known map[*yaml.Node]int) (n int, bad *yaml.Node) {
	if n, ok := known[y]; ok && n > 0 {
		return n, nil
	}
	if _, open := known[y]; open || depth > MaxDepth {
		return 0, y
	}
	known[y] = 0
	n = 1
	children := y.Content
	if y.Kind == yaml.AliasNode {
		children = []*yaml.Node{y.Alias}
	}
	for _, c := range children {
		m, bad := weigh(c, depth+1, known)
		if bad != nil {
			return 0, bad
		}
		n = min(n+m, MaxNodes+1)
	}
	known[y] = n
	return n, nil
}

// Fingerprint names what the value says after ${NAME} is replaced, with the
// contents of the files that its *_file keys name: two values of one
// fingerprint are the same setting.
func (n Node) Fingerprint() string {
	h := sha256.New()
	n.fingerprint(h, "")
	return fmt.Sprintf("%x", h.Sum(nil)[:16])
}

func (n Node) fingerprint(h hash.Hash, key string) {
	n = n.resolve()
	switch n.Kind() {
	case "mapping":
		io.WriteString(h, "{")
		for _, e := range n.Entries() {
			fmt.Fprintf(h, "%q:", e.Name())
			e.Value.fingerprint(h, e.Name())
		}
		io.WriteString(h, "}")
	case "list":
		io.WriteString(h, "[")
		for _, i := range n.Items() {
			i.fingerprint(h, key)
		}
		io.WriteString(h, "]")
	case "scalar":
		text := n.expansion().text
		fmt.Fprintf(h, "%s%q,", n.y.Tag, text)
		if strings.HasSuffix(key, "_file") {
			content, _ := readSecret(text)
			fmt.Fprintf(h, "%q", content)
		}
	}
}

// Value is the node as data: nil, bool, int64, float64, string, []any or
// map[string]any, with ${NAME} replaced in texts. A key that is no text is a
// problem.
func (n Node) Value() any {
	n = n.resolve()
	switch n.Kind() {
	case "mapping":
		m := map[string]any{}
		for _, e := range n.Entries() {
			m[e.Name()] = e.Value.Value()
		}
		return m
	case "list":
		items := make([]any, 0, len(n.y.Content))
		for _, i := range n.Items() {
			items = append(items, i.Value())
		}
		return items
	case "scalar":
		return n.scalar()
	}
	return nil
}

var leadingZeros = regexp.MustCompile(`^[-+]?0\d+$`)

func (n Node) scalar() any {
	text, _ := n.Text()
	if n.y.Tag != "!!str" && leadingZeros.MatchString(text) {
		n.Report(Problem{Len: len(text), Message: text + " is a number to YAML, which loses its leading zeros", Hint: "put it in quotes"})
		return text
	}
	switch n.y.Tag {
	case "!!bool":
		return text == "true" || text == "True" || text == "TRUE"
	case "!!int":
		if i, err := strconv.ParseInt(text, 0, 64); err == nil {
			return i
		}
	case "!!float":
		if f, err := strconv.ParseFloat(text, 64); err == nil {
			return f
		}
	}
	return text
}
