package rules

import (
	"fmt"
	"slices"
	"strings"
)

// A Change says what differs between two Sets, in names.
type Change struct {
	Sources  Diff     `json:"sources"`
	Sinks    Diff     `json:"sinks"`
	Rules    Diff     `json:"rules"`
	Settings []string `json:"settings,omitempty"` // other keys of the file, such as "log"; "order of rules"
}

// A Diff lists names of one sort.
type Diff struct {
	Added   []string `json:"added,omitempty"`
	Removed []string `json:"removed,omitempty"`
	Changed []string `json:"changed,omitempty"`
}

// Empty reports whether nothing differs.
func (c Change) Empty() bool { return c.String() == "nothing changed" }

// String is one line, such as "rules +a -b ~c, sinks ~ops".
func (c Change) String() string {
	var parts []string
	for _, p := range []struct {
		what string
		d    Diff
	}{{"rules", c.Rules}, {"sinks", c.Sinks}, {"sources", c.Sources}} {
		if s := p.d.String(); s != "" {
			parts = append(parts, p.what+" "+s)
		}
	}
	parts = append(parts, c.Settings...)
	if len(parts) == 0 {
		return "nothing changed"
	}
	return strings.Join(parts, ", ")
}

// String is "+added -removed ~changed".
func (d Diff) String() string {
	var parts []string
	for _, p := range []struct {
		sign  string
		names []string
	}{{"+", d.Added}, {"-", d.Removed}, {"~", d.Changed}} {
		for _, n := range p.names {
			parts = append(parts, p.sign+n)
		}
	}
	return strings.Join(parts, " ")
}

// Changes says what is different in to.
func (s *Set) Changes(to *Set) (c Change) {
	c.Sources = s.prints.sources.diff(to.prints.sources)
	c.Sinks = s.prints.sinks.diff(to.prints.sinks)
	c.Rules = s.prints.rules.diff(to.prints.rules)
	other := s.prints.settings.diff(to.prints.settings)
	c.Settings = slices.Concat(other.Added, other.Removed, other.Changed)
	if c.Rules.String() == "" && !slices.Equal(s.Rules(), to.Rules()) {
		c.Settings = append(c.Settings, "order of rules")
	}
	return c
}

// prints are the fingerprints of everything in a file, as it was read.
type prints struct{ sources, sinks, rules, settings namedPrints }

// namedPrints are names with fingerprints, in the order of the file.
type namedPrints []struct{ name, print string }

func (ps *namedPrints) add(name, print string) {
	*ps = append(*ps, struct{ name, print string }{name, print})
}

func (ps namedPrints) get(name string) (string, bool) {
	for _, p := range ps {
		if p.name == name {
			return p.print, true
		}
	}
	return "", false
}

func (ps namedPrints) diff(to namedPrints) (d Diff) {
	for _, p := range to {
		before, ok := ps.get(p.name)
		switch {
		case !ok:
			d.Added = append(d.Added, p.name)
		case before != p.print:
			d.Changed = append(d.Changed, p.name)
		}
	}
	for _, p := range ps {
		if _, ok := to.get(p.name); !ok {
			d.Removed = append(d.Removed, p.name)
		}
	}
	return d
}

func (l *loader) takePrints() {
	root, ps := l.file.Root(), &l.set.prints
	for _, p := range l.set.doc.Sources {
		ps.sources.add(p.Key.Text, p.Value.Fingerprint())
	}
	for _, e := range root.Get("sinks").Entries() {
		ps.sinks.add(e.Name(), e.Value.Fingerprint())
	}
	for i, item := range root.Get("rules").Items() {
		name := item.Get("name")
		text, _ := name.Text()
		if text == "" {
			text = fmt.Sprint(i)
		}
		ps.rules.add(text, item.Fingerprint())
	}
	for _, e := range root.Entries() {
		if !slices.Contains([]string{"sources", "sinks", "rules", "tests"}, e.Name()) {
			ps.settings.add(e.Name(), e.Value.Fingerprint())
		}
	}
}
