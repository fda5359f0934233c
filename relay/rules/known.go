package rules

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/relay/near"
)

// known are callbacks of each source, as the rules see them: samples, and what
// came before. They tell which events, fields and kinds of values there are.
type known map[string][]relay.Callback

// known reads the callbacks that are known. What could not be read tells nothing.
func (l *loader) known() known {
	all := known{}
	for _, src := range l.set.sources {
		if l.Samples == nil {
			continue
		}
		for _, c := range l.Samples(src) {
			if c = src.Read(c); !c.Unparsed {
				all[src.Name()] = append(all[src.Name()], c)
			}
		}
	}
	return all
}

// of are the callbacks that a rule may be about. None are known if nothing is of
// one of its sources.
func (k known) of(r *rule, sources []string) (all []relay.Callback) {
	if r.source != nil {
		sources = []string{*r.source}
	}
	for _, name := range sources {
		if len(k[name]) == 0 {
			return nil
		}
		all = append(all, k[name]...)
	}
	return all
}

// warnKnown finds what no known callback fits. It wants sources without errors;
// of the rules it looks at those that could be read.
func (l *loader) warnKnown() {
	sources, all := l.sourceNames(), l.known()
	for _, r := range l.set.rules {
		about := all.of(r, sources)
		warnSource(r, sources)
		warnEvent(r, about)
		if len(about) > 0 && !warnFields(r, about) {
			l.warnFailing(r, about)
		}
	}
	samples := asSamples(all.of(&rule{}, sources))
	for _, text := range textsIn(l.file.Root().Get("sinks")) {
		if t, err := lang.Message.Template(text.Text, lang.Plain); err == nil && len(samples) > 0 {
			warnMissing(text, t.Fields(), samples)
		}
	}
}

// textsIn are the texts with {{ }} in a value.
func textsIn(n conf.Node) (all []conf.String) {
	switch n.Kind() {
	case "mapping":
		for _, e := range n.Entries() {
			all = append(all, textsIn(e.Value)...)
		}
	case "list":
		for _, item := range n.Items() {
			all = append(all, textsIn(item)...)
		}
	case "scalar":
		if text, _ := n.Text(); strings.Contains(text, "{{") {
			all = append(all, conf.String{Text: text, Node: n})
		}
	}
	return all
}

// warnSource finds a source in a condition that the file does not have.
func warnSource(r *rule, sources []string) {
	for _, name := range r.compares("source") {
		if !slices.Contains(sources, name) {
			warnLiteral(r, name, fmt.Sprintf("there is no source %q", name), conf.DidYouMean(name, sources))
		}
	}
}

// compares are the texts that the rule's condition compares a name with.
func (r *rule) compares(name string) []string {
	if r.when == nil {
		return nil
	}
	return r.when.Compares(name)
}

// warnEvent finds an event in a condition that is like one that is known, and not
// it.
func warnEvent(r *rule, about []relay.Callback) {
	var events []string
	for _, c := range about {
		events = appendNew(events, c.Event)
	}
	for _, name := range r.compares("event") {
		prefix, _, star := strings.Cut(name, "*")
		switch {
		case slices.Contains(events, name):
		case star:
			warnLiteral(r, name, "* stands for nothing but itself in a text", fmt.Sprintf("write event startsWith %q", prefix))
		case near.Nearest(name, events) != "":
			warnLiteral(r, name, fmt.Sprintf("no known event is called %q", name), conf.DidYouMean(name, events))
		}
	}
}

// warnLiteral reports a text in a rule's condition.
func warnLiteral(r *rule, literal, message, hint string) {
	when := r.keys.When
	at := max(0, strings.Index(when.Text, literal))
	when.Node.ReportAt(at, conf.Problem{Len: len(literal), Message: message, Hint: hint, Warning: true})
}

func (l *loader) sourceNames() (names []string) {
	for _, s := range l.set.sources {
		names = append(names, s.Name())
	}
	return names
}

// warnFields reports payload fields of a rule that no known callback has, and
// whether there are any.
func warnFields(r *rule, about []relay.Callback) (found bool) {
	samples := asSamples(about)
	if r.when != nil {
		found = warnMissing(r.keys.When, r.when.Fields(), samples)
	}
	for _, t := range r.templates() {
		found = warnMissing(t.String, t.Fields(), samples) || found
	}
	return found
}

// asSamples gives what rules may name of callbacks.
func asSamples(cs []relay.Callback) (samples []map[string]any) {
	for _, c := range cs {
		samples = append(samples, map[string]any{"data": c.Parsed.Data, "body": c.Parsed.Body})
	}
	return samples
}

// A ruleText is a text of a rule, compiled.
type ruleText struct {
	conf.String
	*lang.Template
}

// templates are the texts of a rule, without those that have mistakes.
func (r *rule) templates() (all []ruleText) {
	for _, text := range []conf.String{r.keys.Text, r.keys.Subject} {
		if t, err := lang.Message.Template(text.Text, lang.Plain); err == nil {
			all = append(all, ruleText{text, t})
		}
	}
	return all
}

func warnMissing(s conf.String, fields []string, samples []map[string]any) bool {
	fields = slices.DeleteFunc(fields, func(f string) bool { return !strings.HasPrefix(f, "data.") && !strings.HasPrefix(f, "body.") })
	missing := lang.Missing(fields, samples...)
	for _, m := range missing[:min(len(missing), maxTold)] {
		p := conf.Problem{Len: len(m.Field), Message: fmt.Sprintf("no known callback has the field %s", m.Field), Warning: true}
		if m.Near != "" {
			p.Hint = "did you mean " + m.Near + "?"
		}
		s.Node.ReportAt(max(0, strings.Index(s.Text, m.Field)), p)
	}
	return len(missing) > 0
}

// warnFailing finds a condition or text that cannot be computed for a callback
// that is known: of each the first.
func (l *loader) warnFailing(r *rule, about []relay.Callback) {
	if r.when == nil && r.keys.When.Text != "" {
		return // it has a mistake: nobody knows what it is for
	}
	failing := map[string]bool{}
	tell := func(s conf.String, c relay.Callback, err error) {
		if e, ok := err.(*lang.Error); ok && !failing[s.Text] {
			failing[s.Text] = true
			s.Node.ReportAt(e.Offset, conf.Problem{Len: e.Len, Message: fmt.Sprintf("this fails for %s: %s", cmp.Or(c.Event, "a known callback"), e.Message), Hint: e.Hint, Warning: true})
		}
	}
	templates := r.templates()
	for _, c := range about {
		vars := &l.set.routing(c).vars
		if r.when != nil {
			hit, err := r.when.Bool(vars)
			tell(r.keys.When, c, err)
			if !hit {
				continue
			}
		}
		for _, t := range templates {
			_, err := t.Render(vars)
			tell(t.String, c, err)
		}
	}
}
