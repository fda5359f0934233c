package rules

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/sinks"
)

// An Explanation is what would become of a callback, step by step. Making one
// sends nothing.
type Explanation struct {
	Source     string          `json:"source"`
	Verify     *Verification   `json:"verify,omitempty"` // nil: it was verified before
	Fields     Fields          `json:"fields"`
	Rules      []RuleStep      `json:"rules"`
	Unmatched  bool            `json:"unmatched"`
	Deliveries []PlannedOutput `json:"deliveries"`
}

// A Verification says whether the request is from its source, and how that was
// judged.
type Verification struct {
	OK bool `json:"ok"`
	source.Inspection
}

// Fields are what the source reads in the callback.
type Fields struct {
	Event      string    `json:"event"`
	RefID      string    `json:"ref_id"`
	ReceivedAt time.Time `json:"received_at"`
	Unparsed   bool      `json:"unparsed"`
	Key        []string  `json:"dedupe_key,omitempty"`
	Data       any       `json:"data"`
}

// A RuleStep is a rule with what it made of the callback.
type RuleStep struct {
	Name    string   `json:"name"`
	When    string   `json:"when,omitempty"` // "": every callback
	Matched bool     `json:"matched"`
	Skipped bool     `json:"skipped,omitempty"` // a rule above said stop
	Stopped bool     `json:"stopped,omitempty"` // this one did
	Error   string   `json:"error,omitempty"`
	Parts   []Part   `json:"parts,omitempty"`
	To      []string `json:"to,omitempty"`
}

// PlannedOutput is a delivery as it would be made.
type PlannedOutput struct {
	Rule      string        `json:"rule"`
	Sink      string        `json:"sink"`
	Kind      string        `json:"kind"`
	Error     string        `json:"error,omitempty"` // a dead letter from the start
	NotBefore *time.Time    `json:"not_before,omitempty"`
	Fallback  string        `json:"fallback_of,omitempty"`
	Preview   sinks.Preview `json:"preview"`
}

// Explain shows the way of a callback that its source has accepted. A callback
// without event and ref_id has them read from its body.
func (s *Set) Explain(c relay.Callback) Explanation {
	c = s.read(c)
	r := s.routing(c)
	e := Explanation{Source: c.Source, Fields: fieldsOf(c, r)}
	e.Rules = r.steps()
	targets, unmatched := s.Route(c)
	e.Unmatched = unmatched
	e.Deliveries = []PlannedOutput{}
	for i, t := range targets {
		e.Deliveries = append(e.Deliveries, s.planned(c, i+1, t))
	}
	return e
}

// ExplainRequest shows the way of a request to a source, from its signature on.
// One that does not verify is explained all the same, as if it did.
func (s *Set) ExplainRequest(name string, r source.Request, now time.Time) (Explanation, error) {
	src, ok := s.Source(name)
	if !ok {
		return Explanation{}, fmt.Errorf("there is no source %q", name)
	}
	v, err := src.Verify(r, now)
	if err != nil {
		v.Callback = src.Read(relay.Callback{Source: name, ReceivedAt: now, Method: r.Method, URI: r.URI,
			Header: r.Header, Body: r.Body})
	}
	e := s.Explain(v.Callback)
	e.Verify = &Verification{OK: err == nil, Inspection: src.Inspect(r, now)}
	e.Fields.Key = v.Key
	return e, nil
}

func fieldsOf(c relay.Callback, r *routing) Fields {
	return Fields{Event: c.Event, RefID: c.RefID, ReceivedAt: r.callback.ReceivedAt,
		Unparsed: c.Unparsed, Data: r.vars.Data}
}

// steps says of each rule whether it matches, and why.
func (r *routing) steps() []RuleStep {
	steps, stopped := []RuleStep{}, false
	for _, rule := range r.set.rules {
		step := RuleStep{Name: rule.name, Skipped: stopped}
		for _, w := range rule.ways {
			step.To = append(step.To, w.sink.name)
		}
		if rule.when != nil {
			step.When = rule.when.Source()
			step.Parts = parts(rule.when, &r.vars)
		}
		if !stopped {
			hit, err := rule.matches(&r.vars)
			step.Matched = hit
			if err != nil {
				step.Error = err.Error()
			}
			stopped = hit && rule.stop
			step.Stopped = stopped
		}
		steps = append(steps, step)
	}
	return steps
}

// planned is the n-th target of c, from 1, as its sink shows it.
func (s *Set) planned(c relay.Callback, n int, t relay.Target) PlannedOutput {
	out := PlannedOutput{Rule: t.Rule, Sink: t.Sink, Kind: s.Kind(t.Sink), Error: t.Error, Fallback: t.Fallback}
	if !t.NotBefore.IsZero() {
		out.NotBefore = new(t.NotBefore.In(s.location))
	}
	out.Preview, _ = s.Preview(t.Sink, relay.Parcel{Callback: c, Attempt: 1,
		Delivery: relay.Delivery{ID: relay.DeliveryID{Callback: c.ID, N: uint16(n)}, Target: t}})
	return out
}

// Sinks lists the sinks that would get something, each once.
func (e Explanation) Sinks() (names []string) {
	for _, d := range e.Deliveries {
		if d.Error == "" {
			names = appendNew(names, d.Sink)
		}
	}
	return names
}

// Fired lists the rules that matched.
func (e Explanation) Fired() (names []string) {
	for _, r := range e.Rules {
		if r.Matched {
			names = append(names, r.Name)
		}
	}
	return names
}

func appendNew(names []string, name string) []string {
	for _, n := range names {
		if n == name {
			return names
		}
	}
	return append(names, name)
}

// Text writes the explanation for people.
func (e Explanation) Text(w io.Writer, color bool) {
	p := painter{w: w, color: color}
	p.verify(e.Verify)
	p.fields(e)
	p.head("rules")
	for _, r := range e.Rules {
		p.rule(r)
	}
	p.head("deliveries")
	for _, d := range e.Deliveries {
		p.delivery(d)
	}
	if len(e.Deliveries) == 0 {
		p.line("  none")
	}
	if e.Unmatched {
		p.line("  no rule takes it")
	}
}

// A painter writes an Explanation or a Report.
type painter struct {
	w     io.Writer
	color bool
}

// The styles of a painter.
const (
	good = "\x1b[32m"
	bad  = "\x1b[31m"
	dim  = "\x1b[2m"
	bold = "\x1b[1m"
)

func (p painter) paint(style, s string) string {
	if !p.color || s == "" {
		return s
	}
	return style + s + "\x1b[0m"
}

func (p painter) line(format string, args ...any) { fmt.Fprintf(p.w, format+"\n", args...) }

func (p painter) head(s string) { p.line("%s", p.paint(bold, s)) }

func (p painter) verify(v *Verification) {
	if v == nil {
		return
	}
	p.head("verify")
	if v.OK {
		for _, c := range v.Checks {
			if c.OK {
				p.line("  %s", p.paint(good, "✓ "+clean(c.Check)))
			}
		}
		return
	}
	p.line("  %s", p.paint(bad, "✗ refused: "+clean(v.Reason)))
	for _, c := range v.Checks {
		p.check(c)
	}
}

// check shows what a check compared, for those who look for the difference.
func (p painter) check(c source.CheckInspection) {
	p.line("  %s: %s", clean(c.Check), clean(c.Reason))
	if c.Signed != "" {
		p.line("      signed is %s", clean(c.Signed))
		for _, part := range c.Parts {
			p.line("          %s  %s", clean(part.Expr), p.paint(dim, show(part.Value)))
		}
		p.line("      which is %d bytes: %s", c.ContentBytes, p.paint(dim, show(c.Content)))
	}
	if c.Expected != "" {
		p.line("      wants %s", clean(c.Expected))
	}
	for _, candidate := range c.Candidates {
		p.line("      got %s  %s", show(candidate.Text), p.paint(dim, clean(candidate.Reason)))
	}
	for _, hint := range c.Hints {
		p.line("      %s", p.paint(good, clean(hint)))
	}
}

func (p painter) fields(e Explanation) {
	p.head("fields")
	p.line("  %-12s %s", "source", e.Source)
	p.line("  %-12s %s", "event", show(e.Fields.Event))
	p.line("  %-12s %s", "ref_id", show(e.Fields.RefID))
	p.line("  %-12s %s", "received_at", e.Fields.ReceivedAt.Format("2006-01-02 15:04:05 -07:00"))
	if e.Fields.Unparsed {
		p.line("  %-12s true: no object with a ref_id could be read in the body", "unparsed")
	}
	p.line("  %-12s %s", "data", show(e.Fields.Data))
}

func (p painter) rule(r RuleStep) {
	mark := p.paint(dim, "·")
	switch {
	case r.Error != "":
		mark = p.paint(bad, "!")
	case r.Matched:
		mark = p.paint(good, "✓")
	}
	p.line("  %s %s%s", mark, p.paint(bold, r.Name), p.paint(dim, arrow(r.To)))
	switch {
	case r.Skipped:
		p.line("      not tried: a rule above stopped")
	case r.When == "":
		p.line("      takes every callback")
	}
	for _, part := range r.Parts {
		p.part(part, "      ")
	}
	if r.Error != "" {
		p.line("      %s", p.paint(bad, r.Error))
	}
	if r.Stopped {
		p.line("      stop: no rule below is tried")
	}
}

func arrow(to []string) string {
	if len(to) == 0 {
		return ""
	}
	return " → " + strings.Join(to, ", ")
}

func (p painter) part(part Part, indent string) {
	style := dim
	if part.Value == true {
		style = good
	}
	value := show(part.Value)
	if part.Error != "" {
		style, value = bad, part.Error
	}
	p.line("%s%s  %s", indent, part.Expr, p.paint(style, value))
	for _, of := range part.Of {
		p.part(of, indent+"    ")
	}
}

func (p painter) delivery(d PlannedOutput) {
	notes := []string{d.Kind, "rule " + d.Rule}
	if d.Fallback != "" {
		notes = append(notes, "in place of "+d.Fallback)
	}
	if d.NotBefore != nil {
		notes = append(notes, "not before "+d.NotBefore.Format("2006-01-02 15:04"))
	}
	if d.Preview.Console {
		notes = append(notes, "on the console")
	}
	p.line("  %s %s", p.paint(bold, d.Sink), p.paint(dim, "("+strings.Join(notes, ", ")+")"))
	if d.Error != "" {
		p.line("      %s", p.paint(bad, "dead letter: "+d.Error))
	}
	p.preview(d.Preview)
}

func (p painter) preview(v sinks.Preview) {
	if v.To != "" {
		p.line("      to %s", v.To)
	}
	if v.Method != "" {
		p.line("      %s %s", v.Method, cmp.Or(v.URL, "(no address)"))
	}
	for _, k := range slices.Sorted(maps.Keys(v.Headers)) {
		p.line("      %s: %s", k, v.Headers[k])
	}
	if v.Subject != "" {
		p.line("      subject: %s", v.Subject)
	}
	for _, text := range []string{v.Text, v.Body} {
		for line := range strings.Lines(text) {
			p.line("      %s %s", p.paint(dim, "|"), clean(strings.TrimRight(line, "\r\n")))
		}
	}
}

// clean has nothing in it that a terminal would obey.
func clean(text string) string {
	return strings.Map(func(r rune) rune {
		if r != ' ' && !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r) && r != '\u200d' {
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(text, "\ufffd"))
}

// oneLine writes a text on one line of at most max characters.
func oneLine(text string, max int) string {
	runes := []rune(clean(strings.Join(strings.Fields(text), " ")))
	if len(runes) > max {
		return string(runes[:max-1]) + "…"
	}
	return string(runes)
}

// count writes "1 test", "2 tests".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// show writes a value as an expression would.
func show(v any) string {
	if v == nil {
		return "nil"
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return oneLine(lang.Print(v), 300)
	}
	text := []rune(clean(strings.TrimSpace(b.String())))
	if len(text) > 300 {
		return string(text[:299]) + "…"
	}
	return string(text)
}
