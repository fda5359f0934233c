package conf

import (
	"cmp"
	"fmt"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// A Node is a value with its place. The zero Node is an absent value without a
// file: what is reported on it is lost.
type Node struct {
	f    *File
	y    *yaml.Node // nil: the value is absent
	near *yaml.Node // of an absent value: the mapping it is absent from
}

// Present reports whether the value is in the file; an explicit null is not.
func (n Node) Present() bool { return n.y != nil && n.y.Tag != "!!null" }

// Given reports whether there is a value, even an explicit null.
func (n Node) Given() bool { return n.y != nil }

// Place is where the value begins; of an absent one, where its mapping does.
func (n Node) Place() Place {
	y := cmp.Or(n.y, n.near)
	if y == nil {
		return Place{1, 1}
	}
	return Place{y.Line, y.Column}
}

// Problem records something wrong with the value.
func (n Node) Problem(format string, args ...any) {
	n.report(Problem{Message: fmt.Sprintf(format, args...)})
}

// Warn records something that works, but hardly as meant.
func (n Node) Warn(format string, args ...any) {
	n.report(Problem{Message: fmt.Sprintf(format, args...), Warning: true})
}

// Report records p at the value's place.
func (n Node) Report(p Problem) { n.report(p) }

// ReportAt records p at the byte offset of the text that Text gives: inside
// quoted and block scalars too. Here p.Len counts bytes of that text.
func (n Node) ReportAt(offset int, p Problem) {
	r := n.resolve()
	if r.y == nil || r.y.Kind != yaml.ScalarNode {
		n.report(p)
		return
	}
	x := r.expansion()
	offset = min(max(offset, 0), len(x.text))
	p.Len = utf8.RuneCountInString(x.text[offset:min(offset+p.Len, len(x.text))])
	r.reportRaw(x.within(offset), p)
}

// reportRaw records p at the byte offset of a scalar's value before ${NAME} was
// replaced in it.
func (n Node) reportRaw(offset int, p Problem) {
	p.Place, p.value = n.placeIn(offset), n.Place()
	n.f.add(p)
}

// unusable records that the value cannot be read.
func (n Node) unusable(format string, args ...any) {
	n.report(Problem{Message: fmt.Sprintf(format, args...), unusable: true})
}

func (n Node) report(p Problem) {
	p.Place = n.Place()
	n.f.add(p)
}

// Kind says what the value is: "mapping", "list", "scalar" or "nothing".
func (n Node) Kind() string {
	if !n.Present() {
		return "nothing"
	}
	switch n.resolve().y.Kind {
	case yaml.MappingNode:
		return "mapping"
	case yaml.SequenceNode:
		return "list"
	}
	return "scalar"
}

// Entries are the keys and values of a mapping, in the order of the file. Those
// of a mapping merged with << come last, as far as it has no such key itself.
func (n Node) Entries() []Entry {
	n = n.resolve()
	if n.y == nil || n.y.Kind != yaml.MappingNode {
		return nil
	}
	es := make([]Entry, 0, len(n.y.Content)/2)
	var merged []Entry
	for i := 0; i+1 < len(n.y.Content); i += 2 {
		e := Entry{Key: Node{f: n.f, y: n.y.Content[i]}, Value: Node{f: n.f, y: n.y.Content[i+1]}}
		if e.Key.y.Tag != "!!merge" {
			es = append(es, e)
			continue
		}
		for _, from := range e.Value.Items() {
			merged = append(merged, from.Entries()...)
		}
	}
	return addMerged(es, merged)
}

func addMerged(es, merged []Entry) []Entry {
	if len(merged) == 0 {
		return es
	}
	has := map[string]bool{}
	for _, e := range es {
		has[e.Name()] = true
	}
	for _, m := range merged {
		if !has[m.Name()] {
			has[m.Name()] = true
			es = append(es, m)
		}
	}
	return es
}

// An Entry is a key of a mapping with its value.
type Entry struct{ Key, Value Node }

// Name is the key's text.
func (e Entry) Name() string { return e.Key.y.Value }

// Get is the value of a key of a mapping; absent if there is none.
func (n Node) Get(key string) Node {
	for _, e := range n.Entries() {
		if e.Name() == key {
			return e.Value
		}
	}
	return Node{f: n.f, near: n.y}
}

// Items are the values of a list; of a single value, that value.
func (n Node) Items() []Node {
	n = n.resolve()
	if !n.Present() {
		return nil
	}
	if n.y.Kind != yaml.SequenceNode {
		return []Node{n}
	}
	items := make([]Node, len(n.y.Content))
	for i, y := range n.y.Content {
		items[i] = Node{f: n.f, y: y}
	}
	return items
}

func (n Node) resolve() Node {
	if n.y != nil && n.y.Kind == yaml.AliasNode {
		return Node{f: n.f, y: n.y.Alias}
	}
	return n
}
