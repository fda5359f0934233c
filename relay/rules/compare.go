package rules

import (
	"cmp"
	"io"
	"iter"
	"slices"

	"github.com/kurir-relay/kurir/relay"
)

// A Comparison says what each sink would gain and lose by another Set.
type Comparison struct {
	Callbacks int            `json:"callbacks"` // that were compared
	Changed   int            `json:"changed"`   // that would go another way, or say something else
	Sinks     []SinkCompared `json:"sinks"`     // those with a difference
}

// A SinkCompared is what one sink would gain and lose.
type SinkCompared struct {
	Sink     string            `json:"sink"`
	Gains    int               `json:"gains"`
	Loses    int               `json:"loses"`
	Rewords  int               `json:"rewords"`            // messages that would say something else
	Fails    int               `json:"fails,omitempty"`    // deliveries whose rule would fail, and did not before
	Examples []ExampleCompared `json:"examples,omitempty"` // a few of each
}

// An ExampleCompared is one callback that a sink would get otherwise.
type ExampleCompared struct {
	What     string   `json:"what"` // gains, loses, rewords or fails
	Callback relay.ID `json:"callback"`
	Event    string   `json:"event"`
	RefID    string   `json:"ref_id"`
	Before   string   `json:"before,omitempty"` // what it says, shortened
	After    string   `json:"after,omitempty"`
}

// maxExamples is how many examples a Comparison has of a sink and a kind of
// difference.
const maxExamples = 3

// Compare routes callbacks by both Sets and says what differs. It is pure.
func Compare(before, after *Set, callbacks iter.Seq[relay.Callback]) Comparison {
	c := comparison{before: before, after: after, sinks: map[string]*SinkCompared{}}
	for callback := range callbacks {
		c.add(callback)
	}
	c.Sinks = []SinkCompared{}
	for _, name := range slices.Concat(after.SinkNames(), before.SinkNames()) {
		if s, ok := c.sinks[name]; ok {
			c.Sinks = append(c.Sinks, *s)
			delete(c.sinks, name)
		}
	}
	return c.Comparison
}

// A comparison in the making.
type comparison struct {
	Comparison
	before, after *Set
	sinks         map[string]*SinkCompared
}

// add compares one callback, sink by sink: what is said to a sink before and
// after is paired in order.
func (c *comparison) add(callback relay.Callback) {
	callback.Parsed = nil
	was, is := c.before.outputs(callback), c.after.outputs(callback)
	c.Callbacks++
	changed := false
	for _, sink := range sinksOf(was, is) {
		a, b := was.of(sink), is.of(sink)
		for i := range max(len(a), len(b)) {
			changed = c.pair(callback, sink, at(a, i), at(b, i)) || changed
		}
	}
	if changed {
		c.Changed++
	}
}

// outputs is what a callback causes, as its sinks show it.
type outputs []PlannedOutput

func (s *Set) outputs(c relay.Callback) (out outputs) {
	targets, _ := s.Route(c)
	for i, t := range targets {
		out = append(out, s.planned(c, i+1, t))
	}
	return out
}

func (o outputs) of(sink string) (out outputs) {
	for _, p := range o {
		if p.Sink == sink {
			out = append(out, p)
		}
	}
	return out
}

func sinksOf(all ...outputs) (names []string) {
	for _, o := range all {
		for _, p := range o {
			names = appendNew(names, p.Sink)
		}
	}
	return names
}

func at(o outputs, i int) *PlannedOutput {
	if i < len(o) {
		return &o[i]
	}
	return nil
}

// pair notes the difference between what is said before and after; either may
// be nil. It reports whether there is one.
func (c *comparison) pair(callback relay.Callback, sink string, was, is *PlannedOutput) bool {
	e := ExampleCompared{Callback: callback.ID, Event: callback.Event, RefID: callback.RefID}
	if was != nil {
		e.Before = was.words()
	}
	if is != nil {
		e.After = is.words()
	}
	switch {
	case was == nil:
		e.What = "gains"
	case is == nil:
		e.What = "loses"
	case is.Error != "" && was.Error == "":
		e.What, e.After = "fails", is.Error
	case e.Before != e.After:
		e.What = "rewords"
	default:
		return false
	}
	c.note(sink, e)
	return true
}

func (c *comparison) note(sink string, e ExampleCompared) {
	s, ok := c.sinks[sink]
	if !ok {
		s = &SinkCompared{Sink: sink}
		c.sinks[sink] = s
	}
	count := map[string]*int{"gains": &s.Gains, "loses": &s.Loses, "rewords": &s.Rewords, "fails": &s.Fails}[e.What]
	if *count++; *count <= maxExamples {
		s.Examples = append(s.Examples, e)
	}
}

// words are what an output says, on one line.
func (p PlannedOutput) words() string {
	v := p.Preview
	text := v.Method + " " + v.URL + " " + v.Subject + " " + v.Text + " " + v.Body
	return oneLine(text, 200)
}

// Text writes the comparison for people.
func (c Comparison) Text(w io.Writer, color bool) {
	p := painter{w: w, color: color}
	for _, s := range c.Sinks {
		p.head(s.Sink)
		for _, n := range []struct {
			what  string
			count int
		}{{"gains", s.Gains}, {"loses", s.Loses}, {"rewords", s.Rewords}, {"fails", s.Fails}} {
			if n.count > 0 {
				p.line("  %-8s %d", n.what, n.count)
			}
			p.examples(s.Examples, n.what)
		}
	}
	p.line("%s, %d of them otherwise", count(c.Callbacks, "callback"), c.Changed)
}

func (p painter) examples(all []ExampleCompared, what string) {
	for _, e := range all {
		if e.What != what {
			continue
		}
		p.line("    %s %s", e.Event, e.RefID)
		if what != "gains" {
			p.line("      %s", p.paint(bad, "- "+cmp.Or(e.Before, "(an empty text)")))
		}
		if what != "loses" {
			p.line("      %s", p.paint(good, "+ "+cmp.Or(e.After, "(an empty text)")))
		}
	}
}
