package rules

import (
	"bytes"
	"crypto/sha256"
	"fmt"
	"reflect"
	"strings"
	"time"
	"unicode"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/sinks"
)

// A rule is a condition, and the ways it opens.
type rule struct {
	name   string
	when   *lang.Program // nil: every callback
	ways   []*way
	stop   bool
	urgent bool

	event, source *string // if not nil, those of every callback it matches

	keys ruleKeys
}

// A way leads from a rule to one of its sinks.
type way struct {
	sink   *sink
	urgent bool
	write  sinks.Writer   // what the rule says there
	after  []sinks.Writer // and on the sink's fallback, on the fallback of that, and so on
}

// maxTargets is how many deliveries one callback may cause.
const maxTargets = 10_000

func (l *loader) readRules() {
	l.set.byName.rules = map[string]*rule{}
	targets := 0
	for _, keys := range l.set.doc.Rules {
		r := l.rule(keys)
		if first := l.set.byName.rules[r.name]; first != nil && r.name != "" {
			keys.Name.Node.Report(conf.Problem{Len: len(r.name), Message: fmt.Sprintf("two rules are called %q", r.name),
				Hint: fmt.Sprintf("the other is in line %d", first.keys.Name.Node.Place().Line)})
			l.unnamed = true
		}
		l.unnamed = l.unnamed || r.name == ""
		l.set.rules = append(l.set.rules, r)
		l.set.byName.rules[r.name] = r
		if targets += len(r.ways); targets > maxTargets {
			keys.Name.Node.Problem("the rules up to here name more than %d sinks", maxTargets)
			break
		}
	}
}

func (l *loader) rule(keys ruleKeys) *rule {
	r := &rule{name: keys.Name.Text, stop: keys.Stop, urgent: keys.Urgent, keys: keys}
	if len(r.name) > 100 || strings.ContainsFunc(r.name, unicode.IsControl) {
		keys.Name.Node.Problem("a rule's name is one line of at most 100 bytes")
	}
	if keys.When.Text == "" && keys.When.Node.Given() {
		keys.When.Node.Report(conf.Problem{Message: "the condition is empty", Hint: "write one, or leave `when` out if the rule is to take every callback"})
	}
	if keys.When.Text != "" {
		p, err := lang.Message.Compile(keys.When.Text, lang.Bool)
		reportLang(keys.When, err)
		r.when = p
	}
	if r.when != nil {
		needs := r.when.Requires()
		r.event, r.source = only(needs, "event"), only(needs, "source")
	}
	if len(keys.To) == 0 && !keys.Stop {
		keys.Name.Node.Report(conf.Problem{Len: len(r.name), Message: fmt.Sprintf("rule %q goes nowhere", r.name),
			Hint: "name its sinks with `to`, or write `stop: true` if what it takes is to be left in the log"})
	}
	for _, to := range keys.To {
		if k, ok := l.knownSink(to); ok {
			r.ways = append(r.ways, l.way(k, keys))
		}
	}
	return r
}

// only is what a name must be equal to; nil if that is not known.
func only(needs map[string]string, name string) *string {
	if text, ok := needs[name]; ok {
		return &text
	}
	return nil
}

// way prepares what the rule says to a sink, and to those that come after it.
func (l *loader) way(k *sink, keys ruleKeys) *way {
	w := &way{sink: k, urgent: keys.Urgent, write: k.writer(keys)}
	for f := k.fallback; f != nil; f = f.fallback {
		w.after = append(w.after, f.writer(keys))
	}
	return w
}

// reportLang reports what is wrong with an expression, if anything, where it stands.
func reportLang(s conf.String, err error) {
	mistakes, _ := err.(lang.Mistakes)
	for _, e := range mistakes {
		s.Node.ReportAt(e.Offset, conf.Problem{Len: e.Len, Message: e.Message, Hint: e.Hint})
	}
}

// Route gives the deliveries that c causes, in the order of the rules. It is
// pure: equal callbacks have equal targets. Every rule that matches fires, until
// one says stop; a sink gets the same words once. A rule that fails, in its
// condition or in its text, yields a dead target that says why, and the other
// rules fire all the same. What no rule takes is unmatched, and goes to the
// file's `unmatched` if that is a sink.
func (s *Set) Route(c relay.Callback) (targets []relay.Target, unmatched bool) {
	r := s.routing(c)
	matched := false
	for _, rule := range s.rules {
		hit, err := rule.matches(&r.vars)
		if !hit && err == nil {
			continue
		}
		matched = true
		r.fire(rule, err)
		if hit && rule.stop {
			break
		}
	}
	if !matched && s.unmatched != nil {
		r.add("unmatched", s.unmatched, nil)
	}
	return r.targets, !matched
}

// matches evaluates the rule's condition. Where the event or the source decides
// alone, it need not be evaluated: with many rules, that is most of the time.
func (r *rule) matches(vars *lang.Vars) (bool, error) {
	switch {
	case r.when == nil:
		return true, nil
	case r.event != nil && *r.event != vars.Event, r.source != nil && *r.source != vars.Source:
		return false, nil
	}
	hit, err := r.when.Bool(vars)
	if err != nil {
		return false, fmt.Errorf("when: %w", err)
	}
	return hit, nil
}

// A routing is the work on one callback.
type routing struct {
	set      *Set
	callback relay.Callback
	now      time.Time // of quiet hours, in the Set's zone
	vars     lang.Vars
	targets  []relay.Target
}

func (s *Set) routing(c relay.Callback) *routing {
	c = s.read(c)
	c.ReceivedAt = c.ReceivedAt.In(s.location) // the zone in which texts show times
	return &routing{set: s, callback: c, now: c.ReceivedAt, vars: lang.NewVars(c)}
}

// read gives c with its payload parsed. What was read in it when it came stays.
func (s *Set) read(c relay.Callback) relay.Callback {
	src, ok := s.Source(c.Source)
	if !ok || c.Parsed != nil {
		return c
	}
	again := src.Read(c)
	if c.Event != "" || c.RefID != "" {
		again.Event, again.RefID, again.Unparsed = c.Event, c.RefID, c.Unparsed
	}
	return again
}

// fire adds the targets of a rule, dead ones if its condition failed.
func (r *routing) fire(rule *rule, failed error) {
	if failed != nil && len(rule.ways) == 0 {
		r.targets = append(r.targets, relay.Target{Rule: rule.name, Error: failed.Error()})
	}
	for _, w := range rule.ways {
		r.add(rule.name, w, failed)
	}
}

// add adds the target of a way, unless its sink gets the same words already. A
// dead one carries words all the same, for the day it is sent again, and takes
// the way out by the sink's fallback.
func (r *routing) add(rule string, w *way, failed error) {
	payload, err := w.write(r.occasion(w.sink, w.urgent))
	if err != nil {
		payload, _ = w.sink.plain(r.occasion(w.sink, w.urgent))
	}
	if failed == nil {
		failed = err
	}
	t := r.target(rule, w.sink, w.urgent, payload)
	if failed != nil {
		t.Error = failed.Error()
	} else if same := r.said(t); same != nil {
		if t.NotBefore.Before(same.NotBefore) { // one is urgent
			same.NotBefore, same.Lane = t.NotBefore, t.Lane
		}
		return
	}
	r.targets = append(r.targets, t)
	if failed == nil {
		return
	}
	if w.sink.fallback != nil {
		r.targets = append(r.targets, r.fallback(w.sink.fallback, w.after[0], w.urgent, t))
	}
}

// target is the delivery of a payload to a sink, in its quiet hours after them.
// What is urgent then has a lane of its own, and passes those that are held.
func (r *routing) target(rule string, k *sink, urgent bool, payload []byte) relay.Target {
	t := relay.Target{Rule: rule, Sink: k.name, Lane: k.lane(r.callback), Payload: payload}
	switch {
	case !k.quietAt(r.now) || k.quiet.Mode != "hold":
	case !urgent:
		t.NotBefore = k.quiet.end(r.now)
	case t.Lane != "":
		t.Lane = "!" + t.Lane
	}
	return t
}

func (r *routing) occasion(k *sink, urgent bool) sinks.Occasion {
	return sinks.Occasion{Vars: r.vars, Silent: !urgent && k.quietAt(r.now) && k.quiet.Mode != "hold"}
}

// said is the target by which t's sink gets t's words already; nil if there is
// none.
func (r *routing) said(t relay.Target) *relay.Target {
	for i := range r.targets {
		other := &r.targets[i]
		if other.Sink == t.Sink && other.Error == "" && other.Fallback == "" &&
			(other.Payload == nil) == (t.Payload == nil) && bytes.Equal(other.Payload, t.Payload) {
			return other
		}
	}
	return nil
}

// fallback is the way out of the dead target t, to a sink that says words.
func (r *routing) fallback(to *sink, words sinks.Writer, urgent bool, t relay.Target) relay.Target {
	o := r.occasion(to, urgent)
	o.Failed, o.Reason = t.Sink, t.Error
	payload, err := words(o)
	if err != nil {
		payload, _ = to.plain(o)
	}
	f := r.target(t.Rule, to, urgent, payload)
	f.Fallback = t.Sink
	return f
}

// Fallback plans the way out of a dead letter: what its rule says, marked as
// undelivered, by the sink's fallback, whose quiet hours are those of now. It is
// false if the sink has none.
func (s *Set) Fallback(c relay.Callback, d relay.Delivery) (relay.Target, bool) {
	k, ok := s.byName.sinks[d.Sink]
	if !ok || k.fallback == nil {
		return relay.Target{}, false
	}
	t := d.Target
	t.Error = d.Error
	r := s.routing(c)
	r.now = time.Now().In(s.location)
	words, urgent := s.wordsAfter(d.Rule, k)
	return r.fallback(k.fallback, words, urgent, t), true
}

// wordsAfter gives what a rule says on the fallback of k, which is one of its sinks
// or comes after one; of a rule that is gone, what the fallback says on its own.
func (s *Set) wordsAfter(rule string, k *sink) (words sinks.Writer, urgent bool) {
	if r, ok := s.byName.rules[rule]; ok {
		for _, w := range r.ways {
			for i, from := 0, w.sink; i < len(w.after); i, from = i+1, from.fallback {
				if from == k {
					return w.after[i], w.urgent
				}
			}
		}
	}
	return k.fallback.plain, false
}

var sinkType = reflect.TypeFor[sinkKeys]()

// short is a text as it is, or a hash of it if it is long.
func short(s string) string {
	if len(s) <= 128 {
		return s
	}
	return fmt.Sprintf("sha256:%x", sha256.Sum256([]byte(s)))
}

// list writes names as "a, b and c".
func list(names []string) string {
	if len(names) < 2 {
		return strings.Join(names, "")
	}
	return strings.Join(names[:len(names)-1], ", ") + " and " + names[len(names)-1]
}
