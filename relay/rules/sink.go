package rules

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/sinks"
)

// A sink is a destination of the file.
type sink struct {
	name        string
	kind        sinks.Kind
	destination relay.Destination
	running     *running
	ordered     bool
	fallback    *sink // nil: none
	quiet       *quietHours
	plain       sinks.Writer // what it says on its own
	keys        sinkKeys
}

func (l *loader) readSinks() {
	l.set.byName.sinks = map[string]*sink{}
	for _, p := range l.set.doc.Sinks {
		checkName("sink", p.Key)
		k := l.sink(p.Key, p.Value)
		l.sinkNames = append(l.sinkNames, p.Key.Text)
		if k != nil {
			l.set.sinks = append(l.set.sinks, k)
			l.set.byName.sinks[k.name] = k
		}
	}
}

// knownSink gives the sink that a name stands for. A name that the file does not
// have is reported; of one whose settings are wrong, that was said.
func (l *loader) knownSink(name conf.String, more ...string) (*sink, bool) {
	k, ok := l.set.byName.sinks[name.Text]
	switch {
	case ok || slices.Contains(l.sinkNames, name.Text):
	case strings.Contains(name.Text, ","):
		name.Node.Report(conf.Problem{Len: len(name.Text), Message: fmt.Sprintf("unknown sink %q", name.Text), Hint: "a list has brackets: write [" + name.Text + "]"})
	default:
		name.Node.Unknown("sink", name.Text, append(slices.Clone(l.sinkNames), more...))
	}
	return k, ok
}

// sink makes a sink; nil if it has no kind.
func (l *loader) sink(name conf.String, keys sinkKeys) *sink {
	kind, node, ok := keys.kind(name)
	if !ok {
		return nil
	}
	keys.check(kind, l.file.Root().Get("sinks").Get(name.Text))
	k := &sink{name: name.Text, kind: kind, ordered: keys.Ordered, quiet: keys.Quiet, keys: keys}
	k.destination = relay.Destination{
		Timeout:     keys.Timeout,
		Concurrency: firstOf(keys.Concurrency, kind.Defaults.Concurrency, relay.DefaultConcurrency),
		Rate:        firstOf(relay.Rate(keys.Rate), kind.Defaults.Rate),
		Retry:       keys.Retry,
		Digest:      relay.Digest{After: keys.Digest.After, Every: keys.Digest.Every},
	}
	k.running = l.run(k, node)
	if limited, ok := k.running.Sink.(sinks.Limited); ok {
		k.destination.Rate = firstOf(k.destination.Rate, limited.Limit())
	}
	k.destination.Sink = k.running
	k.plain = k.writer(ruleKeys{})
	return k
}

// writer prepares what a rule says to the sink.
func (k *sink) writer(rule ruleKeys) sinks.Writer {
	return k.running.Writer(sinks.Message{Rule: rule.Name.Text, Text: rule.Text, Subject: rule.Subject, Line: k.keys.Digest.Line})
}

// firstOf is the first value that is not zero.
func firstOf[T comparable](values ...T) (zero T) {
	for _, v := range values {
		if v != zero {
			return v
		}
	}
	return zero
}

// kind finds the one key that is a kind.
func (keys sinkKeys) kind(name conf.String) (kind sinks.Kind, node conf.Node, ok bool) {
	for _, p := range keys.Kind {
		k, known := sinks.Lookup(p.Key.Text)
		switch {
		case !known && settingOf(p.Key.Text) != "":
			p.Key.Node.Report(conf.Problem{Len: len(p.Key.Text), Message: fmt.Sprintf("unknown key %q", p.Key.Text),
				Hint: fmt.Sprintf("it is a setting of %s: write %s: under the sink's name, and this under that", settingOf(p.Key.Text), settingOf(p.Key.Text))})
		case !known:
			p.Key.Node.Unknown("key", p.Key.Text, append(conf.Keys(conf.Fields(sinkType)), kindNames()...))
		case ok:
			p.Key.Node.Problem("sink %q has two kinds, %s and %s: make it two sinks", name.Text, kind.Name, k.Name)
		default:
			kind, node, ok = k, p.Value, true
		}
	}
	if !ok && len(keys.Kind) == 0 {
		name.Node.Report(conf.Problem{Len: len(name.Text), Message: fmt.Sprintf("sink %q has no kind", name.Text),
			Hint: "add one of " + list(kindNames())})
	}
	return kind, node, ok
}

// settingOf is the kind of sink that has a setting of the name; "" if none has.
func settingOf(name string) string {
	for _, k := range sinks.Kinds() {
		if slices.Contains(conf.Keys(conf.Fields(reflect.TypeOf(k.Settings))), name) {
			return k.Name
		}
	}
	return ""
}

func kindNames() []string {
	var names []string
	for _, k := range sinks.Kinds() {
		names = append(names, k.Name)
	}
	return names
}

// check finds values at n that are no settings of a sink of its kind.
func (keys sinkKeys) check(kind sinks.Kind, n conf.Node) {
	if keys.Timeout <= 0 {
		n.Get("timeout").Problem("timeout must be more than 0")
	}
	if keys.Concurrency < 0 {
		n.Get("concurrency").Problem("concurrency must be 1 or more")
	}
	switch at := n.Get("digest"); {
	case !at.Present():
	case !kind.Digests:
		at.Problem("a sink of kind %s sends one callback at a time: it has no digest", kind.Name)
	case keys.Digest.Every <= 0 || keys.Digest.After < 0:
		at.Problem("digest needs a number of messages and a time, such as {after: 5, every: 1m}")
	}
	if q := keys.Quiet; q != nil {
		at := n.Get("quiet")
		if q.Mode != "silent" && q.Mode != "hold" {
			at.Get("mode").Unknown("mode", q.Mode, []string{"silent", "hold"})
		}
		if q.From == q.To {
			at.Problem("quiet hours must end at another time than they begin")
		}
	}
}

// run gives the running sink for the settings: the one of the Set before, or a
// new one.
func (l *loader) run(k *sink, n conf.Node) *running {
	key := fmt.Sprint(k.kind.Name, n.Fingerprint(), k.destination.Timeout, k.destination.Concurrency, l.set.location)
	if l.before != nil {
		if old, ok := l.before.byName.sinks[k.name]; ok && old.running.key == key {
			return old.running
		}
	}
	r := &running{key: key, Sink: k.kind.New(n, sinks.Place{Name: k.name, Location: l.set.location,
		Version: l.Version, Timeout: k.destination.Timeout, Idle: k.destination.Concurrency,
		Console: l.Console, Log: l.Log, Dial: l.Dial})}
	l.made = append(l.made, r)
	return r
}

// readFallbacks links each sink to its fallback and refuses circles.
func (l *loader) readFallbacks() {
	for _, k := range l.set.sinks {
		to := k.keys.Fallback
		if to.Text == "" {
			continue
		}
		k.fallback, _ = l.knownSink(to)
	}
	for _, k := range l.set.sinks {
		if circle := k.circle(); circle != nil {
			k.keys.Fallback.Node.Problem("fallbacks go in a circle: %s", strings.Join(circle, " → "))
			k.fallback = nil
		}
	}
}

// circle names the sinks from k to k by way of fallbacks; nil if they end.
func (k *sink) circle() []string {
	names := []string{k.name}
	for f := k.fallback; f != nil; f = f.fallback {
		if f == k {
			return append(names, k.name)
		}
		if slices.Contains(names, f.name) {
			return nil
		}
		names = append(names, f.name)
	}
	return nil
}

// A running sink lives as long as its settings: one Set hands it to the next.
type running struct {
	sinks.Sink
	key string

	mu      sync.Mutex
	sending int
	retired bool
}

// Send implements relay.Sink.
func (r *running) Send(ctx context.Context, parcels []relay.Parcel) (relay.Answer, error) {
	r.count(1)
	defer r.count(-1)
	return r.Sink.Send(ctx, parcels)
}

// BurstOver implements relay.BurstEnder for sinks that do.
func (r *running) BurstOver(ctx context.Context, b relay.Burst) error {
	ender, ok := r.Sink.(relay.BurstEnder)
	if !ok {
		return nil
	}
	r.count(1)
	defer r.count(-1)
	return ender.BurstOver(ctx, b)
}

// count keeps the number of attempts under way. The last one of a retired sink
// closes it.
func (r *running) count(n int) {
	r.mu.Lock()
	r.sending += n
	over := r.retired && r.sending == 0
	r.mu.Unlock()
	if over {
		r.Close()
	}
}

// retire closes the sink, at once or when nothing is under way any more.
func (r *running) retire() {
	r.mu.Lock()
	r.retired = true
	r.mu.Unlock()
	r.count(0)
}

// lane is the line in which the sink takes what comes from one order, "" if it
// takes it in any order.
func (k *sink) lane(c relay.Callback) string {
	if !k.ordered || c.RefID == "" {
		return ""
	}
	return c.Source + "/" + short(c.RefID)
}

// quietAt reports whether t lies in the sink's quiet hours.
func (k *sink) quietAt(t time.Time) bool { return k.quiet != nil && k.quiet.covers(t) }
