package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

func TestAnAcceptedCallbackIsDurableWithWhatItCauses(t *testing.T) {
	dir := t.TempDir()
	store := must(boltstore.Open(dir, boltstore.Options{}))
	receiver := relay.NewReceiver(store, relay.ReceiverOptions{Log: slog.New(slog.DiscardHandler)})
	c := relay.Callback{Source: "shop", Event: "order.failed", RefID: "T-1", Body: []byte(`{"a": 1}`), ReceivedAt: someDay}
	r, err := receiver.Receive(t.Context(), c, relay.Key{"T-1"}, route{{Sink: "ops"}, {Sink: "legacy"}}, false)
	if err != nil || r.Duplicate || r.ID.IsZero() {
		t.Fatalf("%+v, %v", r, err)
	}
	receiver.Close()
	store.Close()
	store = must(boltstore.Open(dir, boltstore.Options{}))
	defer store.Close()
	e := must(store.Get(t.Context(), r.ID))
	if string(e.Callback.Body) != `{"a": 1}` || e.Callback.Unmatched || len(e.Deliveries) != 2 || e.Deliveries[1].Sink != "legacy" {
		t.Errorf("stored %+v", e)
	}
}

func TestACallbackThatComesOftenIsAcceptedOnce(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"legacy": to(f)}, func(h *house) {
		var fresh atomic.Int32
		var wg sync.WaitGroup
		c := relay.Callback{Source: "shop", RefID: "T-1", Body: []byte("same")}
		for range 1000 {
			wg.Go(func() {
				r, err := h.receiver.Receive(h.Context(), c, relay.Key{"T-1"}, route{{Sink: "legacy"}}, false)
				if err != nil {
					t.Error(err)
				}
				if !r.Duplicate {
					fresh.Add(1)
				}
			})
		}
		wg.Wait()
		pass(time.Minute)
		if fresh.Load() != 1 || len(f.messages()) != 1 {
			t.Errorf("%d receipts that are no duplicate, %d messages", fresh.Load(), len(f.messages()))
		}
	})
}

func TestAnotherBodyUnderAKnownKeyIsAConflict(t *testing.T) {
	for _, routed := range []bool{false, true} {
		f := &far{}
		inHouse(t, sinks{"legacy": to(f)}, func(h *house) {
			for _, body := range []string{"one", "two"} {
				c := relay.Callback{Source: "shop", Body: []byte(body)}
				r, err := h.receiver.Receive(h.Context(), c, relay.Key{"k"}, route{{Sink: "legacy"}}, routed)
				if err != nil || r.Conflict != (body == "two") || r.Duplicate != (body == "two") {
					t.Errorf("%s: %+v, %v", body, r, err)
				}
			}
			pass(time.Minute)
			if want := map[bool]int{false: 1, true: 2}[routed]; len(f.messages()) != want {
				t.Errorf("%d messages, want %d if conflicts are routed: %v", len(f.messages()), want, routed)
			}
			if page := must(h.store.List(h.Context(), relay.Query{Conflict: true})); len(page.Entries) == 0 {
				t.Error("no conflict in the log")
			}
		})
	}
}

// broken is a Router that panics.
type broken struct{}

func (broken) Route(relay.Callback) ([]relay.Target, bool) { panic("a bug in a rule") }

func TestACallbackWhoseRoutingPanicsIsStoredWithADeadDelivery(t *testing.T) {
	inHouse(t, nil, func(h *house) {
		panics := 0
		receiver := relay.NewReceiver(h.store, relay.ReceiverOptions{Log: h.opts.Log, Panicked: func() { panics++ }})
		defer receiver.Close()
		r, err := receiver.Receive(h.Context(), relay.Callback{Source: "shop"}, relay.Key{"k"}, broken{}, false)
		if err != nil {
			t.Fatal(err)
		}
		if panics != 1 {
			t.Errorf("%d panics were counted", panics)
		}
		if d := h.delivery(r.ID, 1); d.State != relay.Dead || !strings.Contains(d.Error, "a bug in a rule") {
			t.Errorf("recorded %+v", d)
		}
	})
}

func TestACallbackThatNoRuleTakesIsKeptAndMarked(t *testing.T) {
	inHouse(t, nil, func(h *house) {
		id := h.receive("T-1")
		if e := must(h.store.Get(h.Context(), id)); !e.Callback.Unmatched || len(e.Deliveries) != 0 {
			t.Errorf("stored %+v", e)
		}
	})
}

// unwilling is a store that refuses, or never ends, what is appended.
type unwilling struct {
	relay.Store
	err error
}

func (u unwilling) Append(ctx context.Context, _ []relay.Inbound) ([]relay.Receipt, error) {
	if u.err != nil {
		return nil, u.err
	}
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-time.After(time.Hour):
		return nil, nil
	}
}

func TestWhatCanNotBeStoredIsAnError(t *testing.T) {
	for _, tt := range []struct {
		name  string
		store relay.Store
		want  error
		after time.Duration
	}{
		{"a full disk", unwilling{err: fmt.Errorf("append: %w", relay.ErrFull)}, relay.ErrFull, 0},
		{"a disk that hangs", unwilling{}, relay.ErrBusy, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := relay.NewReceiver(tt.store, relay.ReceiverOptions{Log: slog.New(slog.DiscardHandler)})
				defer r.Close()
				begun := time.Now()
				_, err := r.Receive(t.Context(), relay.Callback{}, relay.Key{"k"}, route{}, false)
				if !errors.Is(err, tt.want) || time.Since(begun) != tt.after {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(begun), tt.want, tt.after)
				}
			})
		})
	}
}

// moody is a store that refuses, with an error of its own, while it has one.
type moody struct {
	relay.Store
	err   error
	asked int // about nothing
}

func (m *moody) Append(_ context.Context, in []relay.Inbound) ([]relay.Receipt, error) {
	if len(in) == 0 {
		m.asked++
	}
	return make([]relay.Receipt, len(in)), m.err
}

func TestAReceiverIsNotReadyForAsLongAsTheStoreRefuses(t *testing.T) {
	m := &moody{}
	r := relay.NewReceiver(m, relay.ReceiverOptions{Log: slog.New(slog.DiscardHandler)})
	defer r.Close()
	receive := func() error {
		_, err := r.Receive(t.Context(), relay.Callback{}, relay.Key{"k"}, route{}, false)
		return err
	}
	full := fmt.Errorf("append: %w: write /data/kurir.db", relay.ErrFull)
	for i, step := range []struct {
		store    error
		callback bool // comes, before it is asked whether it is ready
		want     error
		asked    int
	}{
		{nil, true, nil, 0},
		{full, false, nil, 0}, // nobody knows yet
		{full, true, relay.ErrFull, 1},
		{full, false, relay.ErrFull, 2},
		{nil, false, nil, 3}, // no callback is needed
		{nil, false, nil, 3},
		{full, true, relay.ErrFull, 4},
		{nil, true, nil, 4},
	} {
		m.err = step.store
		if step.callback && !errors.Is(receive(), step.store) {
			t.Errorf("step %d: a callback is not answered %v", i, step.store)
		}
		if err := r.Ready(); err != step.want || m.asked != step.asked {
			t.Errorf("step %d: %v after %d questions, want %v after %d", i, err, m.asked, step.want, step.asked)
		}
	}
	m.err = errors.New("a secret path")
	if err := receive(); err == nil || r.Ready() == nil || strings.Contains(r.Ready().Error(), "secret") {
		t.Errorf("%v, then %v", err, r.Ready())
	}
}

func TestAReceiverIsNotReadyWhileTheStoreHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := relay.NewReceiver(unwilling{}, relay.ReceiverOptions{Log: slog.New(slog.DiscardHandler)})
		defer r.Close()
		r.Receive(t.Context(), relay.Callback{}, relay.Key{"k"}, route{}, false)
		first := make(chan error)
		go func() { first <- r.Ready() }()
		synctest.Wait()
		begun := time.Now()
		if err := r.Ready(); err != relay.ErrBusy || time.Since(begun) != 0 {
			t.Errorf("who asks meanwhile gets %v after %v", err, time.Since(begun))
		}
		if err := <-first; err != relay.ErrBusy {
			t.Errorf("got %v", err)
		}
	})
}

// sluggish is a store whose first append takes ten seconds.
type sluggish struct {
	relay.Store
	first *atomic.Bool
}

func (s sluggish) Append(ctx context.Context, in []relay.Inbound) ([]relay.Receipt, error) {
	if s.first.Swap(false) {
		time.Sleep(10 * time.Second)
	}
	return s.Store.Append(ctx, in)
}

func TestWhatWasRefusedAndIsStoredAllTheSameIsADuplicateWhenItComesAgain(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"legacy": to(f)}, func(h *house) {
		var first atomic.Bool
		first.Store(true)
		r := relay.NewReceiver(sluggish{h.store, &first}, relay.ReceiverOptions{Log: h.opts.Log})
		defer r.Close()
		receive := func() (relay.Receipt, error) {
			return r.Receive(h.Context(), relay.Callback{Source: "shop"}, relay.Key{"k"}, route{{Sink: "legacy"}}, false)
		}
		if _, err := receive(); !errors.Is(err, relay.ErrBusy) {
			t.Fatal(err)
		}
		pass(time.Minute)
		if again, err := receive(); err != nil || !again.Duplicate || len(f.messages()) != 1 {
			t.Errorf("%+v, %v, %d messages", again, err, len(f.messages()))
		}
	})
}

func TestEachAcceptedCallbackIsOneLogLineAndCounted(t *testing.T) {
	store := must(boltstore.Open(t.TempDir(), boltstore.Options{NoSync: true}))
	defer store.Close()
	var log bytes.Buffer
	var counted []string
	r := relay.NewReceiver(store, relay.ReceiverOptions{Log: slog.New(slog.NewTextHandler(&log, nil)),
		Accepted: func(c relay.Callback, r relay.Receipt, n int) {
			counted = append(counted, fmt.Sprint(c.Unmatched, r.Duplicate, r.Conflict, n))
		}})
	defer r.Close()
	c := relay.Callback{Source: "shop", Event: "order.failed", RefID: "T-1", Body: []byte("secret-body")}
	other := c
	other.Body = []byte("another secret-body")
	lone := c
	for _, in := range []struct {
		c      relay.Callback
		key    string
		routes route
	}{{c, "a", route{{Sink: "x"}, {Sink: "y"}}}, {c, "a", route{{Sink: "x"}}}, {other, "a", route{{Sink: "x"}}}, {lone, "b", nil}} {
		must(r.Receive(t.Context(), in.c, relay.Key{in.key}, in.routes, false))
	}
	want := []string{"duplicate=false conflict=false unmatched=false deliveries=2", "duplicate=true conflict=false unmatched=false deliveries=0",
		"duplicate=true conflict=true unmatched=false deliveries=0", "duplicate=false conflict=false unmatched=true deliveries=0"}
	lines := strings.Split(strings.TrimSpace(log.String()), "\n")
	if len(lines) != len(want) || strings.Contains(log.String(), "secret-body") {
		t.Fatalf("log:\n%s", &log)
	}
	for i, line := range lines {
		if !strings.Contains(line, `msg="callback accepted" callback=`) || !strings.Contains(line, "source=shop event=order.failed ref_id=T-1 "+want[i]) {
			t.Errorf("line %s, want %s", line, want[i])
		}
	}
	if got := fmt.Sprint(counted); got != "[false false false 2 false true false 0 false true true 0 true false false 0]" {
		t.Errorf("counted %s", got)
	}
}
