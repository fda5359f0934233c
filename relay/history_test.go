package relay_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/kurir-relay/kurir/relay"
)

// TestARandomHistoryKeepsEveryPromise receives, repeats, delivers, fails, replays,
// prunes, reloads and crashes in random order, over a real file, and compares
// what the log and the far sides show with a list of what was promised.
func TestARandomHistoryKeepsEveryPromise(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		var failed any
		synctest.Test(t, func(t *testing.T) {
			defer func() { failed = recover() }() // rapid's way to end a history that fails
			play(t, rt)
		})
		if failed != nil {
			panic(failed)
		}
	})
}

func play(t *testing.T, rt *rapid.T) {
	h := &history{house: newHouse(t, sinks{}), t: rt, moods: map[string]error{}, known: map[string]*promised{}, taken: map[relay.DeliveryID]int{}, busy: map[string]int{}}
	h.reload(rt)
	h.open()
	defer func() { h.close() }()
	rt.Repeat(map[string]func(*rapid.T){
		"receive":  h.receives,
		"receive ": h.receives, // twice as often
		"deliver":  func(rt *rapid.T) { pass(time.Duration(rapid.IntRange(1, 100).Draw(rt, "seconds")) * time.Second) },
		"mood":     h.changesMood,
		"replay":   h.replays,
		"prune":    h.prunes,
		"reload":   h.reload,
		"crash":    h.crashes,
		"":         h.check,
	})
	h.endsWell()
}

// A history is a house with what was promised in it.
type history struct {
	*house
	t *rapid.T

	to      route // where callbacks go by the rules in force
	known   map[string]*promised
	order   []*promised // as they were accepted
	crashed int

	mu    sync.Mutex // guards what the far sides see
	moods map[string]error
	takes time.Duration  // for a message
	busy  map[string]int // messages under way
	taken map[relay.DeliveryID]int
	wrong []string
}

const mostSlots = 3

// A promised is a callback that was acknowledged.
type promised struct {
	id    relay.ID
	at    time.Time
	ref   string
	body  string
	sinks []string
	gone  bool // it may be pruned
}

func (h *history) say(format string, args ...any) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.wrong = append(h.wrong, fmt.Sprintf(format, args...))
}

func (h *history) receives(rt *rapid.T) {
	ref := rapid.SampledFrom([]string{"A", "B", "C", "D", "E", "F"}).Draw(rt, "ref_id")
	event := fmt.Sprint("e", rapid.IntRange(1, 9).Draw(rt, "event"))
	c := relay.Callback{Source: "shop", Event: event, RefID: ref, Body: []byte(ref + event)}
	var targets route
	for _, t := range h.to {
		t.Lane = ref
		targets = append(targets, t)
	}
	r, err := h.receiver.Receive(context.Background(), c, relay.Key{ref, event}, targets, false)
	before := h.known[ref+event]
	switch {
	case err != nil:
		rt.Fatal(err)
	case before == nil && r.Duplicate, before != nil && (!r.Duplicate || r.ID != before.id):
		rt.Fatalf("%s %s was %+v before, and gets %+v", ref, event, before, r)
	case before == nil:
		p := &promised{id: r.ID, at: time.Now(), ref: ref, body: ref + event}
		for _, t := range targets {
			p.sinks = append(p.sinks, t.Sink)
		}
		h.known[ref+event] = p
		h.order = append(h.order, p)
	}
	synctest.Wait()
}

// changesMood lets a far side take everything from now on, or nothing, and both
// take their time.
func (h *history) changesMood(rt *rapid.T) {
	sink := rapid.SampledFrom([]string{"a", "b"}).Draw(rt, "sink")
	mood := rapid.SampledFrom([]error{nil, nil, errDown, relay.Permanent(errDown), errPanics, errPatience}).Draw(rt, "mood")
	takes := rapid.SampledFrom([]time.Duration{0, 2 * time.Second, 50 * time.Second}).Draw(rt, "takes")
	h.mu.Lock()
	defer h.mu.Unlock()
	h.moods[sink], h.takes = mood, takes
}

var (
	errPanics   = errors.New("it panics")
	errPatience = &relay.RetryAfterError{Wait: 7 * time.Second, Everyone: true, Err: errDown}
)

// Send is the far side of both sinks. It checks that nothing overtakes what is
// older in its lane, unless that was sent again on request.
func (h *history) Send(ctx context.Context, parcels []relay.Parcel) (relay.Answer, error) {
	p := parcels[0]
	page, err := h.store.List(ctx, relay.Query{RefID: p.Callback.RefID, State: relay.Pending, Sink: p.Delivery.Sink, Limit: 1000})
	if err != nil {
		return relay.Answer{}, err
	}
	for _, e := range page.Entries {
		for _, d := range e.Deliveries {
			older := slices.Compare(e.Callback.ID[:], p.Callback.ID[:]) < 0
			if older && d.Sink == p.Delivery.Sink && d.State == relay.Pending && d.Replays == 0 {
				h.say("%s overtakes %s", p.Delivery.ID, d.ID)
			}
		}
	}
	if string(p.Callback.Body) != p.Callback.RefID+p.Callback.Event {
		h.say("%s brings %q", p.Delivery.ID, p.Callback.Body)
	}
	h.mu.Lock()
	takes := h.takes
	h.busy[p.Delivery.Sink]++
	if n := h.busy[p.Delivery.Sink]; n > mostSlots {
		h.wrong = append(h.wrong, fmt.Sprintf("%d at once at %s", n, p.Delivery.Sink))
	}
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.busy[p.Delivery.Sink]--
	}()
	select {
	case <-time.After(takes):
	case <-ctx.Done():
		return relay.Answer{}, ctx.Err()
	}
	h.mu.Lock()
	mood := h.moods[p.Delivery.Sink]
	if mood == nil {
		h.taken[p.Delivery.ID]++
	}
	h.mu.Unlock()
	if errors.Is(mood, errPanics) {
		panic(mood)
	}
	return relay.Answer{}, mood
}

// replays sends again what was settled, all of one order.
func (h *history) replays(rt *rapid.T) {
	h.replay(relay.Query{RefID: rapid.SampledFrom([]string{"A", "B", "C"}).Draw(rt, "ref_id"),
		State: rapid.SampledFrom([]relay.State{relay.Delivered, relay.Dead}).Draw(rt, "state")})
}

func (h *history) replay(q relay.Query) {
	if _, err := (relay.Replay{Query: q}).Run(context.Background(), h.store, time.Now(), false); err != nil {
		h.t.Fatal(err)
	}
	synctest.Wait()
}

// reload puts one of several rules in force; some have not all sinks.
func (h *history) reload(rt *rapid.T) {
	have := rapid.SampledFrom([]string{"ab", "ab", "a", "b"}).Draw(rt, "sinks")
	slots := rapid.IntRange(1, mostSlots).Draw(rt, "concurrency")
	rate := rapid.SampledFrom([]relay.Rate{{}, {}, {N: 3, Per: 5 * time.Second}}).Draw(rt, "rate")
	h.to = nil
	for _, sink := range []string{"a", "b"} {
		if !slices.Contains([]string{"ab", sink}, have) {
			h.rules.set(sink, nil)
			continue
		}
		h.rules.set(sink, &relay.Destination{Sink: h, Concurrency: slots, Rate: rate, Timeout: time.Minute, Retry: []time.Duration{time.Second, 10 * time.Second, time.Minute}})
		h.to = append(h.to, relay.Target{Rule: have, Sink: sink})
	}
}

// crashes goes on with the file as it is at this moment: what the process had
// only in memory is gone.
func (h *history) crashes(*rapid.T) {
	next := filepath.Join(h.TempDir(), "data")
	if err := os.CopyFS(next, os.DirFS(h.dir)); err != nil {
		h.t.Fatal(err)
	}
	os.Remove(filepath.Join(next, "kurir.lock"))
	h.mu.Lock()
	before := h.moods
	h.moods = map[string]error{"a": errDown, "b": errDown} // for the process that is gone
	h.mu.Unlock()
	h.close()
	h.mu.Lock()
	h.moods = before
	h.mu.Unlock()
	h.dir = next
	h.crashed++
	h.open()
}

func (h *history) prunes(rt *rapid.T) {
	keep := time.Duration(rapid.IntRange(1, 600).Draw(rt, "keep")) * time.Second
	now := time.Now()
	for _, p := range h.order {
		if p.at.Before(now.Add(-keep)) && !h.owes(p.id) {
			p.gone = true
		}
	}
	if _, err := relay.PruneNow(context.Background(), h.store, relay.Keep{Callbacks: keep}, now, h.opts.Log); err != nil {
		rt.Fatal(err)
	}
}

func (h *history) owes(id relay.ID) bool {
	e, err := h.store.Get(context.Background(), id)
	return err == nil && slices.ContainsFunc(e.Deliveries, func(d relay.Delivery) bool { return d.State == relay.Pending })
}

// check compares the log with what was promised.
func (h *history) check(rt *rapid.T) {
	for _, p := range h.order {
		e, err := h.store.Get(context.Background(), p.id)
		if p.gone && errors.Is(err, relay.ErrNotFound) {
			continue
		}
		if err != nil {
			rt.Fatalf("%s was acknowledged: %v", p.body, err)
		}
		h.compare(rt, p, e)
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.wrong) > 0 {
		rt.Fatal(h.wrong)
	}
}

func (h *history) compare(rt *rapid.T, p *promised, e relay.Entry) {
	var to []string
	for _, d := range e.Deliveries {
		to = append(to, d.Sink)
		h.mu.Lock()
		taken := h.taken[d.ID]
		h.mu.Unlock()
		if d.State == relay.Delivered && taken == 0 {
			rt.Fatalf("%s counts as delivered, and never was", d.ID)
		}
		if most := 1 + d.Replays + h.crashed; taken > most {
			rt.Fatalf("%s was taken %d times, after %d replays and %d crashes", d.ID, taken, d.Replays, h.crashed)
		}
	}
	if string(e.Callback.Body) != p.body || !slices.Equal(to, p.sinks) {
		rt.Fatalf("%s went to %v, and not to %v", e.Callback.Body, to, p.sinks)
	}
}

// endsWell brings everything back, and expects that nothing is owed after that
// and that what died is delivered on request.
func (h *history) endsWell() {
	h.mu.Lock()
	clear(h.moods)
	h.takes = 0
	h.mu.Unlock()
	for _, sink := range []string{"a", "b"} {
		h.rules.set(sink, &relay.Destination{Sink: h, Concurrency: mostSlots})
	}
	pass(15 * time.Minute)
	h.replay(relay.Query{State: relay.Dead})
	pass(15 * time.Minute)
	h.check(h.t)
	for _, p := range h.order {
		e, err := h.store.Get(context.Background(), p.id)
		for _, d := range e.Deliveries {
			if err == nil && d.State != relay.Delivered {
				h.t.Fatalf("in the end %s is %s: %s", d.ID, d.State, d.Error)
			}
		}
	}
}
