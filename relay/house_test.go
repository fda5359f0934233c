package relay_test

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// A house is a relay on a real file, with the sinks of a test. It lives inside a
// synctest bubble, so its hours pass in no time.
type house struct {
	*testing.T
	dir   string
	opts  relay.DispatcherOptions
	wrap  func(relay.Store) relay.Store // puts a fault between the dispatcher and the store
	rules *rules
	log   *bytes.Buffer // guarded by the handler that writes to it

	store      *boltstore.Store
	receiver   *relay.Receiver
	dispatcher *relay.Dispatcher
	leave      context.CancelFunc
	left       chan error
}

// inHouse runs a test in a house with the given sinks, and opens it.
func inHouse(t *testing.T, sinks map[string]relay.Destination, test func(h *house)) {
	t.Helper()
	inHouseWith(t, sinks, func(*house) {}, test)
}

// inHouseWith is inHouse with something set up before it opens.
func inHouseWith(t *testing.T, sinks map[string]relay.Destination, setUp, test func(h *house)) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sinks)
		setUp(h)
		h.open()
		defer h.close()
		test(h)
	})
}

func newHouse(t *testing.T, sinks map[string]relay.Destination) *house {
	h := &house{T: t, dir: t.TempDir(), rules: &rules{sinks: sinks}, log: &bytes.Buffer{}}
	h.opts.Log = slog.New(slog.NewTextHandler(h.log, nil))
	h.wrap = func(s relay.Store) relay.Store { return s }
	return h
}

// open starts everything, as a process does.
func (h *house) open() {
	store, err := boltstore.Open(h.dir, boltstore.Options{NoSync: true, Journal: 256 << 10})
	if err != nil {
		h.Fatal(err)
	}
	h.store = store
	h.receiver = relay.NewReceiver(store, relay.ReceiverOptions{Log: h.opts.Log})
	h.dispatcher = relay.NewDispatcher(h.wrap(store), func() relay.Destinations { return h.rules }, h.opts)
	ctx, leave := context.WithCancel(context.Background())
	h.leave, h.left = leave, make(chan error, 1)
	go func() { h.left <- h.dispatcher.Run(ctx) }()
	synctest.Wait()
}

// close ends everything gracefully.
func (h *house) close() {
	h.leave()
	if err := <-h.left; err != nil {
		h.Errorf("Run: %v", err)
	}
	h.receiver.Close()
	if err := h.store.Close(); err != nil {
		h.Errorf("Close: %v", err)
	}
}

// receive accepts a callback with the given ref_id, which is unique to it unless
// an event is given, for one target each of sinks.
func (h *house) receive(ref string, sinks ...string) relay.ID {
	h.Helper()
	return h.receiveEvent(ref, "order.failed", sinks...)
}

func (h *house) receiveEvent(ref, event string, sinks ...string) relay.ID {
	h.Helper()
	c := relay.Callback{Source: "shop", Event: event, RefID: ref, Body: []byte(`{"secret-body":"` + ref + `"}`)}
	var targets route
	for _, sink := range sinks {
		targets = append(targets, relay.Target{Rule: "r", Sink: sink, Lane: ref, Payload: []byte("payload of " + ref)})
	}
	r, err := h.receiver.Receive(h.Context(), c, relay.Key{ref, event}, targets, false)
	if err != nil {
		h.Fatal(err)
	}
	return r.ID
}

// delivery gives the n-th delivery of a callback, from 1.
func (h *house) delivery(id relay.ID, n int) relay.Delivery {
	h.Helper()
	e, err := h.store.Get(h.Context(), id)
	if err != nil || len(e.Deliveries) < n {
		h.Fatalf("delivery %d of %s: %d found, %v", n, id, len(e.Deliveries), err)
	}
	return e.Deliveries[n-1]
}

// stats gives the figures of one sink.
func (h *house) stats(sink string) relay.SinkStats {
	h.Helper()
	return must(h.store.Stats(h.Context())).Sinks[sink]
}

// pass lets time go by.
func pass(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}

// route is a Router with one answer; none means that no rule matched.
type route []relay.Target

func (r route) Route(relay.Callback) ([]relay.Target, bool) { return r, len(r) == 0 }

// rules are the Destinations of a test.
type rules struct {
	mu        sync.Mutex
	sinks     map[string]relay.Destination
	fallbacks map[string]string
}

func (r *rules) Destination(name string) (relay.Destination, bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	d, ok := r.sinks[name]
	return d, ok
}

func (r *rules) SinkNames() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Keys(r.sinks))
}

func (r *rules) Fallback(c relay.Callback, d relay.Delivery) (relay.Target, bool) {
	to, ok := r.fallbacks[d.Sink]
	return relay.Target{Rule: d.Rule, Sink: to, Fallback: d.Sink, Payload: []byte(d.Sink + " failed: " + d.Error)}, ok
}

// set replaces one sink, or takes it out.
func (r *rules) set(name string, d *relay.Destination) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if d == nil {
		delete(r.sinks, name)
	} else {
		r.sinks[name] = *d
	}
}

// A far side is a Sink that keeps what it was sent. Behave, if set, decides what
// it answers.
type far struct {
	behave func(ctx context.Context, ps []relay.Parcel) error

	mu     sync.Mutex
	got    []message
	bursts []relay.Burst
	now    int // messages under way
	most   int // of them at once
}

// A message is one call of Send.
type message struct {
	at      time.Time
	parcels []relay.Parcel
	err     error
}

func (f *far) Send(ctx context.Context, ps []relay.Parcel) (relay.Answer, error) {
	at := time.Now()
	f.mu.Lock()
	f.now++
	f.most = max(f.most, f.now)
	behave := f.behave
	f.mu.Unlock()
	var err error
	defer func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.now--
		f.got = append(f.got, message{at, ps, err})
	}()
	if behave != nil {
		err = behave(ctx, ps)
	}
	return relay.Answer{Status: 200, Response: "as the far side says"}, err
}

func (f *far) BurstOver(_ context.Context, b relay.Burst) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.bursts = append(f.bursts, b)
	return nil
}

// become changes how the far side behaves; nil takes everything.
func (f *far) become(behave func(context.Context, []relay.Parcel) error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.behave = behave
}

// busy are the messages under way, and the most that were so at once.
func (f *far) busy() (now, most int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now, f.most
}

// messages are what was sent so far.
func (f *far) messages() []message {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.got)
}

// refs are the ref_ids of what was taken, in order.
func (f *far) refs() (refs []string) {
	for _, m := range f.messages() {
		for _, p := range m.parcels {
			if m.err == nil {
				refs = append(refs, p.Callback.RefID)
			}
		}
	}
	return refs
}

// times are when the messages came, counted from begun.
func (f *far) times(begun time.Time) (ds []time.Duration) {
	for _, m := range f.messages() {
		ds = append(ds, m.at.Sub(begun))
	}
	return ds
}

var errDown = fmt.Errorf("connection refused")

func down(context.Context, []relay.Parcel) error { return errDown }

// to is a destination with the given far side and waits between attempts.
func to(f *far, retry ...time.Duration) relay.Destination {
	return relay.Destination{Sink: f, Concurrency: 8, Retry: retry}
}

type sinks = map[string]relay.Destination
