package relay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

func TestADeliveryGoesOutAsSoonAsItsCallbackIsAccepted(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"legacy": to(f)}, func(h *house) {
		begun := time.Now()
		id := h.receive("T-1", "legacy")
		synctest.Wait()
		if got := f.times(begun); !slices.Equal(got, []time.Duration{0}) {
			t.Fatalf("sent at %v", got)
		}
		p := f.messages()[0].parcels[0]
		if p.Attempt != 1 || p.Replay || string(p.Delivery.Payload) != "payload of T-1" || p.Callback.ID != id || len(p.Callback.Body) == 0 {
			t.Errorf("parcel %+v", p)
		}
		d := h.delivery(id, 1)
		if a := d.Attempts; d.State != relay.Delivered || len(a) != 1 || !a[0].OK || a[0].Status != 200 || a[0].Response != "as the far side says" {
			t.Errorf("recorded %+v", d)
		}
	})
}

func TestRetriesFollowTheScheduleToTheSecondAndEndAsADeadLetter(t *testing.T) {
	f := &far{behave: down}
	rarely := func(h *house) { h.opts.Poll = 24 * time.Hour } // its own retries need no poll
	inHouseWith(t, sinks{"legacy": {Sink: f}}, rarely, func(h *house) {
		begun := time.Now()
		id := h.receive("T-1", "legacy")
		pass(60 * time.Hour)
		want := []time.Duration{0}
		for i, wait := range relay.DefaultRetry() {
			want = append(want, want[i]+relay.Jitter(wait, relay.DeliveryID{Callback: id, N: 1}, i+1))
		}
		if got := f.times(begun); !slices.Equal(got, want) {
			t.Errorf("attempts at\n%v, want\n%v", got, want)
		}
		d := h.delivery(id, 1)
		if d.State != relay.Dead || d.Error != errDown.Error() || len(d.Attempts) != 10 || d.Attempts[9].N != 10 || d.Attempts[0].Error != errDown.Error() {
			t.Errorf("recorded %+v", d)
		}
	})
}

func TestNoRetriesMeanOneAttempt(t *testing.T) {
	f := &far{behave: down}
	inHouse(t, sinks{"legacy": {Sink: f, Retry: []time.Duration{}}}, func(h *house) {
		id := h.receive("T-1", "legacy")
		pass(time.Hour)
		if d := h.delivery(id, 1); d.State != relay.Dead || len(d.Attempts) != 1 {
			t.Errorf("recorded %+v", d)
		}
	})
}

func TestTheFarSidesWaitWinsIfItIsLonger(t *testing.T) {
	for _, tt := range []struct {
		name       string
		asks       time.Duration
		least, max time.Duration
	}{
		{"longer", 10 * time.Minute, 10 * time.Minute, 10 * time.Minute},
		{"just within the jitter", 59 * time.Second, 59 * time.Second, 66 * time.Second},
		{"shorter", time.Second, 54 * time.Second, 66 * time.Second},
		{"none", 0, 54 * time.Second, 66 * time.Second},
		{"in the past", -time.Hour, 54 * time.Second, 66 * time.Second},
		{"in a century", 876_000 * time.Hour, time.Hour, time.Hour},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &far{behave: func(_ context.Context, ps []relay.Parcel) error {
				if ps[0].Attempt > 1 {
					return nil
				}
				return fmt.Errorf("send: %w", &relay.RetryAfterError{Wait: tt.asks, Err: errDown})
			}}
			inHouse(t, sinks{"legacy": to(f, time.Minute)}, func(h *house) {
				begun := time.Now()
				h.receive("T-1", "legacy")
				pass(2 * time.Hour)
				got := f.times(begun)
				if len(got) != 2 || got[1] < tt.least || got[1] > tt.max {
					t.Errorf("attempts at %v, want the second within %v and %v", got, tt.least, tt.max)
				}
			})
		})
	}
}

func TestAWaitAskedOfEveryonePausesThatSinkAndNoOther(t *testing.T) {
	var asked atomic.Bool
	ops := &far{behave: func(context.Context, []relay.Parcel) error {
		if asked.Swap(true) {
			return nil
		}
		return &relay.RetryAfterError{Wait: 30 * time.Second, Everyone: true, Err: errors.New("too many requests")}
	}}
	legacy := &far{}
	inHouse(t, sinks{"ops": to(ops, time.Second), "legacy": to(legacy)}, func(h *house) {
		begun := time.Now()
		h.receive("T-1", "ops", "legacy")
		synctest.Wait()
		h.receive("T-2", "ops", "legacy")
		synctest.Wait()
		if s := h.dispatcher.Sinks()["ops"]; !s.Paused.Equal(begun.Add(30 * time.Second)) {
			t.Errorf("state %+v", s)
		}
		pass(time.Minute)
		if got := ops.times(begun); !slices.Equal(got, []time.Duration{0, 30 * time.Second, 30 * time.Second}) {
			t.Errorf("the sink that asked got messages at %v", got)
		}
		if got := legacy.times(begun); !slices.Equal(got, []time.Duration{0, 0}) {
			t.Errorf("the other got messages at %v", got)
		}
	})
}

func TestWhatWasNotSentIsNoAttempt(t *testing.T) {
	var calls atomic.Int32
	ops := &far{behave: func(context.Context, []relay.Parcel) error {
		if calls.Add(1) <= 3 {
			return &relay.RetryAfterError{Wait: 40 * time.Second, Everyone: true, Unsent: true, Err: errors.New("the limits allow it later")}
		}
		return nil
	}}
	once := relay.Destination{Sink: ops, Retry: []time.Duration{}}
	inHouse(t, sinks{"ops": once}, func(h *house) {
		begun := time.Now()
		id := h.receive("T-1", "ops")
		synctest.Wait()
		if s := h.dispatcher.Sinks()["ops"]; s.Failures != 0 || s.LastError != "" || !s.Paused.Equal(begun.Add(40*time.Second)) {
			t.Errorf("state %+v", s)
		}
		pass(time.Hour)
		d := h.delivery(id, 1)
		if d.State != relay.Delivered || len(d.Attempts) != 1 || !d.Attempts[0].StartedAt.Equal(begun.Add(2*time.Minute)) {
			t.Errorf("recorded %+v", d)
		}
	})
}

func TestAPermanentFailureIsDeadAtOnceAndTakesTheFallbackMarked(t *testing.T) {
	ops := &far{behave: func(context.Context, []relay.Parcel) error { return relay.Permanent(errors.New("blocked by the user")) }}
	owner := &far{}
	inHouse(t, sinks{"ops": to(ops, time.Second), "owner": to(owner)}, func(h *house) {
		h.rules.fallbacks = map[string]string{"ops": "owner"}
		id := h.receive("T-1", "ops")
		pass(time.Minute)
		if d := h.delivery(id, 1); d.State != relay.Dead || len(d.Attempts) != 1 {
			t.Errorf("the dead letter: %+v", d)
		}
		d := h.delivery(id, 2)
		if d.State != relay.Delivered || d.Sink != "owner" || d.Fallback != "ops" {
			t.Errorf("the fallback: %+v", d)
		}
		if m := owner.messages(); len(m) != 1 || !strings.Contains(string(m[0].parcels[0].Delivery.Payload), "blocked by the user") {
			t.Errorf("the fallback got %+v", m)
		}
	})
}

func TestALaneKeepsItsOrderThoughEverySecondAttemptFails(t *testing.T) {
	var n atomic.Int32
	f := &far{behave: func(_ context.Context, ps []relay.Parcel) error {
		if ps[0].Callback.RefID != "T-1" {
			return nil
		}
		if n.Add(1)%2 == 1 {
			return errDown
		}
		return nil
	}}
	inHouse(t, sinks{"legacy": to(f, time.Second, time.Second)}, func(h *house) {
		var want []relay.ID
		for i := range 1000 {
			want = append(want, h.receiveEvent("T-1", fmt.Sprint("event ", i), "legacy"))
		}
		begun := time.Now()
		for i := range 100 {
			h.receive(fmt.Sprint("other ", i), "legacy")
		}
		synctest.Wait()
		others := 0
		for _, m := range f.messages() {
			if m.parcels[0].Callback.RefID != "T-1" && m.at.Equal(begun) {
				others++
			}
		}
		if others != 100 {
			t.Errorf("%d of 100 callbacks of other orders went on at once", others)
		}
		pass(time.Hour)
		var got []relay.ID
		for _, m := range f.messages() {
			if p := m.parcels[0]; p.Callback.RefID == "T-1" && m.err == nil {
				got = append(got, p.Callback.ID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d of %d callbacks of one order arrived, or out of order", len(got), len(want))
		}
	})
}

func TestASinkThatNeverAnswersFailsAtItsDeadlineAndDelaysNoOther(t *testing.T) {
	slow := &far{behave: func(ctx context.Context, _ []relay.Parcel) error { <-ctx.Done(); return ctx.Err() }}
	quick := &far{}
	slowly := to(slow)
	slowly.Timeout = 7 * time.Second
	inHouse(t, sinks{"slow": slowly, "quick": to(quick)}, func(h *house) {
		begun := time.Now()
		var last relay.ID
		for i := range 100 {
			last = h.receive(fmt.Sprint("T-", i), "slow", "quick")
		}
		synctest.Wait()
		if n := len(quick.messages()); n != 100 || time.Since(begun) != 0 {
			t.Errorf("the quick sink has %d messages after %v", n, time.Since(begun))
		}
		if now, _ := slow.busy(); now != 8 {
			t.Errorf("%d messages under way to the slow sink, want its concurrency", now)
		}
		pass(10 * time.Hour)
		d := h.delivery(last, 1)
		if _, most := slow.busy(); most != 8 || d.Attempts[0].Duration != 7*time.Second {
			t.Errorf("an attempt took %v, %d were made at once", d.Attempts[0].Duration, most)
		}
	})
}

func TestAPanickingSinkIsAFailedAttempt(t *testing.T) {
	f := &far{behave: func(_ context.Context, ps []relay.Parcel) error {
		if ps[0].Attempt == 1 {
			panic("oops")
		}
		return nil
	}}
	var panics atomic.Int64
	counting := func(h *house) { h.opts.Panicked = func() { panics.Add(1) } }
	inHouseWith(t, sinks{"legacy": to(f, time.Second)}, counting, func(h *house) {
		id := h.receive("T-1", "legacy")
		pass(time.Minute)
		d := h.delivery(id, 1)
		if panics.Load() != 1 {
			t.Errorf("%d panics were counted", panics.Load())
		}
		if d.State != relay.Delivered || len(d.Attempts) != 2 || !strings.Contains(d.Attempts[0].Error, "oops") {
			t.Errorf("recorded %+v", d)
		}
	})
}

func TestARestartGoesOnWhereTheProcessEnded(t *testing.T) {
	f := &far{behave: down}
	inHouse(t, sinks{"legacy": to(f, time.Minute, time.Minute)}, func(h *house) {
		begun := time.Now()
		id := h.receive("T-1", "legacy")
		pass(10 * time.Second)
		f.become(nil)
		h.close()
		h.open()
		late := h.receive("T-2", "legacy")
		pass(time.Hour)
		due := relay.Jitter(time.Minute, relay.DeliveryID{Callback: id, N: 1}, 1)
		got := f.times(begun)
		if len(got) != 3 || got[1] != 10*time.Second || got[2] < due || got[2] >= due+time.Second {
			t.Errorf("attempts at %v, want the retry at its time, %v, or a poll later", got, due)
		}
		if one, two := h.delivery(id, 1), h.delivery(late, 1); one.State != relay.Delivered || two.State != relay.Delivered {
			t.Errorf("%+v\n%+v", one, two)
		}
	})
}

func TestAStopLetsAttemptsEndAndRecordsThem(t *testing.T) {
	f := &far{behave: func(context.Context, []relay.Parcel) error { time.Sleep(9 * time.Second); return nil }}
	inHouse(t, sinks{"legacy": to(f)}, func(h *house) {
		begun := time.Now()
		id := h.receive("T-1", "legacy")
		synctest.Wait()
		h.leave()
		synctest.Wait()
		h.receive("T-2", "legacy") // not begun any more
		h.close()
		if took := time.Since(begun); took != 9*time.Second {
			t.Errorf("the stop took %v", took)
		}
		f.become(nil)
		h.open()
		pass(time.Minute)
		if d := h.delivery(id, 1); d.State != relay.Delivered || len(d.Attempts) != 1 {
			t.Errorf("recorded %+v", d)
		}
		if got := f.refs(); !slices.Equal(got, []string{"T-1", "T-2"}) {
			t.Errorf("sent %v", got)
		}
	})
}

func TestWhatCanNotEndWithinTheGraceStaysPendingAndIsNoAttempt(t *testing.T) {
	for _, tt := range []struct {
		name   string
		behave func(context.Context, []relay.Parcel) error
		within time.Duration
	}{
		{"a sink that heeds its context", func(ctx context.Context, _ []relay.Parcel) error { <-ctx.Done(); return ctx.Err() }, 10 * time.Second},
		{"one that does not", func(context.Context, []relay.Parcel) error { time.Sleep(time.Minute); return errDown }, 12 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &far{behave: tt.behave}
			slowly := to(f)
			slowly.Timeout = time.Hour
			inHouse(t, sinks{"legacy": slowly}, func(h *house) {
				id := h.receive("T-1", "legacy")
				synctest.Wait()
				begun := time.Now()
				h.close()
				if took := time.Since(begun); took != tt.within {
					t.Errorf("the stop took %v, want %v", took, tt.within)
				}
				pass(time.Hour) // for the sink that does not heed
				f.become(nil)
				h.open()
				synctest.Wait()
				if d := h.delivery(id, 1); d.State != relay.Delivered || len(d.Attempts) != 1 || d.Tries != 1 {
					t.Errorf("recorded %+v", d)
				}
			})
		})
	}
}

func TestALongAttemptKeepsItsDelivery(t *testing.T) {
	f := &far{behave: func(context.Context, []relay.Parcel) error { time.Sleep(10 * time.Minute); return nil }}
	slowly := to(f)
	slowly.Timeout = time.Hour
	inHouse(t, sinks{"legacy": slowly}, func(h *house) {
		id := h.receive("T-1", "legacy")
		pass(time.Hour)
		if d := h.delivery(id, 1); len(f.messages()) != 1 || d.State != relay.Delivered {
			t.Errorf("sent %d times: %+v", len(f.messages()), d)
		}
	})
}

// forgetful is a store that does not renew leases.
type forgetful struct{ relay.Store }

func (forgetful) Renew(context.Context, []relay.Lease, time.Duration) error { return nil }

func TestTheOutcomeOfALostLeaseIsLoggedAndDropped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{behave: func(context.Context, []relay.Parcel) error { time.Sleep(45 * time.Second); return errDown }}
		slowly := to(f)
		slowly.Timeout = time.Hour
		slowly.Concurrency, slowly.Rate = 1, relay.Rate{N: 100, Per: time.Second} // nothing is claimed before there is a slot
		h := newHouse(t, sinks{"legacy": slowly})
		h.wrap = func(s relay.Store) relay.Store { return forgetful{s} }
		h.open()
		defer h.close()
		id := h.receive("T-1", "legacy")
		pass(31 * time.Second)
		other := must(h.store.Claim(t.Context(), "other", time.Hour, []relay.Gate{{Sink: "legacy", Room: 1}}))
		if len(other) != 1 {
			t.Fatalf("%d leases for another worker once the lease was over", len(other))
		}
		pass(time.Minute)
		if !strings.Contains(h.log.String(), relay.ErrLease.Error()) {
			t.Errorf("nothing of the lost lease in the log:\n%s", h.log)
		}
		done := relay.Outcome{ID: other[0].Delivery.ID, Token: other[0].Token, State: relay.Delivered, Attempt: relay.Attempt{N: 1, OK: true}}
		if errs, err := h.store.Settle(t.Context(), []relay.Outcome{done}); err != nil || errs[0] != nil {
			t.Errorf("the other worker's outcome: %v, %v", errs, err)
		}
		if d := h.delivery(id, 1); d.State != relay.Delivered || len(d.Attempts) != 1 {
			t.Errorf("recorded %+v", d)
		}
	})
}

// asleep is a store whose leases nobody renews, as of a process that is stopped.
type asleep struct {
	relay.Store
	sleeps *atomic.Bool
}

func (s asleep) Renew(ctx context.Context, leases []relay.Lease, d time.Duration) error {
	if s.sleeps.Load() {
		return errDown
	}
	return s.Store.Renew(ctx, leases, d)
}

// A process that sleeps for longer than a lease, with its machine or by a signal,
// finds when it wakes up that all its leases are over.
func TestWhatIsOnItsWayWhenTheProcessSleepsIsNotSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{behave: func(context.Context, []relay.Parcel) error { time.Sleep(90 * time.Second); return nil }}
		slowly := to(f)
		slowly.Timeout = time.Hour
		h := newHouse(t, sinks{"legacy": slowly})
		var sleeps atomic.Bool
		h.wrap = func(s relay.Store) relay.Store { return asleep{s, &sleeps} }
		h.opts.Poll = 65 * time.Second // it looks as rarely as if it slept, and between two renewals
		h.open()
		defer h.close()
		id := h.receive("T-1", "legacy")
		sleeps.Store(true)
		pass(64 * time.Second)
		sleeps.Store(false)
		pass(2 * time.Minute)
		if d := h.delivery(id, 1); len(f.messages()) != 1 || d.State != relay.Delivered || len(d.Attempts) != 1 {
			t.Errorf("sent %d times: %+v", len(f.messages()), d)
		}
	})
}

// full is a store on a disk that may be full: it leases, and takes no outcomes.
type full struct {
	relay.Store
	disk *atomic.Bool
}

func (f full) Settle(ctx context.Context, out []relay.Outcome) ([]error, error) {
	if f.disk.Load() {
		return nil, relay.ErrFull
	}
	return f.Store.Settle(ctx, out)
}

func TestOnAFullDiskDeliveriesGoOnAsFarAsTheirOutcomesFit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		legacy, ops := &far{}, &far{}
		h := newHouse(t, sinks{"legacy": to(legacy), "ops": to(ops)})
		var disk atomic.Bool
		h.wrap = func(s relay.Store) relay.Store { return full{s, &disk} }
		h.open()
		defer h.close()
		disk.Store(true)
		h.receive("X-1", "ops")
		pass(time.Second) // it has noticed
		for i := range 100 {
			h.receive(fmt.Sprint("T-", i), "legacy")
		}
		pass(time.Hour) // many leases long
		if n := len(legacy.messages()) + len(ops.messages()); n != 32 {
			t.Errorf("%d were sent with a full disk, want 32", n)
		}
		if s := h.dispatcher.Sinks()["legacy"]; s.Unrecorded != 31 {
			t.Errorf("state %+v", s)
		}
		disk.Store(false)
		pass(2 * time.Second)
		refs := legacy.refs()
		slices.Sort(refs)
		if len(refs) != 100 || len(slices.Compact(refs)) != 100 || h.stats("legacy").Delivered != 100 {
			t.Errorf("%d messages, %+v, two seconds after there is space", len(refs), h.stats("legacy"))
		}
		if n := strings.Count(h.log.String(), relay.ErrFull.Error()); n != 1 {
			t.Errorf("the full disk is in the log %d times", n)
		}
	})
}

func TestAStopOnAFullDiskLeavesWhatIsNotRecordedPending(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{}
		h := newHouse(t, sinks{"legacy": to(f)})
		var disk atomic.Bool
		h.wrap = func(s relay.Store) relay.Store { return full{s, &disk} }
		h.open()
		disk.Store(true)
		h.receive("T-1", "legacy")
		pass(time.Minute)
		begun := time.Now()
		h.close()
		if took := time.Since(begun); took > 15*time.Second {
			t.Errorf("the stop took %v", took)
		}
		disk.Store(false)
		h.open()
		defer h.close()
		synctest.Wait()
		m := f.messages()
		if len(m) != 2 || m[0].parcels[0].Delivery.ID != m[1].parcels[0].Delivery.ID || m[1].parcels[0].Attempt != 1 {
			t.Errorf("sent %+v, want the same delivery twice", m)
		}
	})
}

func TestADayOfDowntimeIsMadeUpForInOrderAndWithinTheRate(t *testing.T) {
	const orders, each = 50, 20
	f := &far{behave: down}
	legacy := relay.Destination{Sink: f, Concurrency: 8, Rate: relay.Rate{N: 50, Per: time.Second}}
	rarely := func(h *house) { h.opts.Poll = 10 * time.Second }
	inHouseWith(t, sinks{"legacy": legacy}, rarely, func(h *house) {
		want := map[string][]relay.ID{}
		for i := range orders * each {
			ref := fmt.Sprint("T-", i%orders)
			want[ref] = append(want[ref], h.receiveEvent(ref, fmt.Sprint(i), "legacy"))
		}
		pass(24 * time.Hour)
		f.become(nil)
		begun := time.Now()
		pass(48 * time.Hour) // the longest wait of the schedule, twice
		got := map[string][]relay.ID{}
		for _, m := range f.messages() {
			if p := m.parcels[0]; m.err == nil {
				got[p.Callback.RefID] = append(got[p.Callback.RefID], p.Callback.ID)
			}
		}
		for ref := range want {
			if !slices.Equal(got[ref], want[ref]) {
				t.Errorf("%s: %d of %d arrived, or out of order", ref, len(got[ref]), each)
			}
		}
		h.keeps(legacy.Rate, f.times(begun))
	})
}

func TestDeliveriesOfARemovedSinkWaitAndGoOnWhenItReturns(t *testing.T) {
	f := &far{behave: down}
	inHouse(t, sinks{"legacy": to(f, time.Minute)}, func(h *house) {
		retried := h.receive("T-1", "legacy")
		synctest.Wait()
		h.rules.set("legacy", nil)
		fresh := h.receive("T-2", "legacy")
		pass(30 * time.Hour)
		for _, id := range []relay.ID{retried, fresh} {
			if d := h.delivery(id, 1); d.State != relay.Pending {
				t.Errorf("meanwhile %+v", d)
			}
		}
		if n := len(f.messages()); n != 1 || h.stats("legacy").Pending != 2 {
			t.Errorf("%d messages, %+v", n, h.stats("legacy"))
		}
		f.become(nil)
		back := to(f)
		h.rules.set("legacy", &back)
		pass(time.Second)
		if got := f.refs(); len(got) != 2 {
			t.Errorf("delivered %v a second after it returned", got)
		}
	})
}

func TestLimitsAreThoseOfTheRulesInForceAtTheAttempt(t *testing.T) {
	before, after := &far{behave: down}, &far{}
	inHouse(t, sinks{"legacy": to(before, time.Minute)}, func(h *house) {
		h.receive("T-1", "legacy")
		synctest.Wait()
		now := to(after)
		h.rules.set("legacy", &now)
		pass(2 * time.Minute)
		if len(before.messages()) != 1 || len(after.messages()) != 1 {
			t.Errorf("%d messages to the old address, %d to the new one", len(before.messages()), len(after.messages()))
		}
	})
}

// keeps checks that messages were sent within a rate.
func (h *house) keeps(r relay.Rate, times []time.Duration) {
	h.Helper()
	slices.Sort(times)
	for i := range max(len(times)-r.N, 0) {
		if in := times[i+r.N] - times[i]; in < r.Per {
			h.Fatalf("%d messages in %v", r.N+1, in)
		}
	}
}

func TestARateIsKeptToThoughManyWait(t *testing.T) {
	f := &far{}
	limited := to(f)
	limited.Rate = relay.Rate{N: 20, Per: time.Minute}
	inHouse(t, sinks{"ops": limited}, func(h *house) {
		begun := time.Now()
		for i := range 100 {
			h.receive(fmt.Sprint("T-", i), "ops")
		}
		pass(10 * time.Minute)
		times := f.times(begun)
		if len(times) != 100 || times[99] > 5*time.Minute {
			t.Fatalf("%d messages, the last at %v", len(times), times[len(times)-1])
		}
		h.keeps(limited.Rate, times)
	})
}

// tampered is a store whose bodies fail their checksums.
type tampered struct{ relay.Store }

func (s tampered) Claim(ctx context.Context, w string, d time.Duration, g []relay.Gate) ([]relay.Lease, error) {
	leases, err := s.Store.Claim(ctx, w, d, g)
	for i := range leases {
		leases[i].Callback.Damaged, leases[i].Callback.Body = true, nil
	}
	return leases, err
}

func TestDamagedBytesAreNotForwarded(t *testing.T) {
	f := &far{}
	tamper := func(h *house) { h.wrap = func(s relay.Store) relay.Store { return tampered{s} } }
	inHouseWith(t, sinks{"legacy": to(f), "ops": to(f)}, tamper, func(h *house) {
		targets := route{{Sink: "legacy"}, {Sink: "ops", Payload: []byte("rendered before")}}
		r := must(h.receiver.Receive(h.Context(), relay.Callback{Body: []byte("x")}, relay.Key{"k"}, targets, false))
		pass(time.Minute)
		if d := h.delivery(r.ID, 1); d.State != relay.Dead || !strings.Contains(d.Error, "damaged") {
			t.Errorf("a forward of damaged bytes: %+v", d)
		}
		if d := h.delivery(r.ID, 2); d.State != relay.Delivered {
			t.Errorf("a text that was rendered before: %+v", d)
		}
	})
}

func TestDamageInADigestIsTheFateOfThatDeliveryAlone(t *testing.T) {
	f := &far{}
	tamper := func(h *house) { h.wrap = func(s relay.Store) relay.Store { return tampered{s} } }
	d := relay.Destination{Sink: f, Digest: relay.Digest{Every: time.Minute}}
	inHouseWith(t, sinks{"ops": d}, tamper, func(h *house) {
		h.receive("T-0", "ops") // opens the burst
		pass(time.Second)
		h.receive("T-1", "ops")
		r := must(h.receiver.Receive(h.Context(), relay.Callback{Body: []byte("x")}, relay.Key{"k"}, route{{Sink: "ops"}}, false))
		h.receive("T-2", "ops")
		pass(time.Hour)
		if got := f.sizes(); !slices.Equal(got, []int{1, 2}) {
			t.Errorf("messages of %v", got)
		}
		if d := h.delivery(r.ID, 1); d.State != relay.Dead {
			t.Errorf("recorded %+v", d)
		}
	})
}

func TestEachAttemptIsOneLogLineWithoutContents(t *testing.T) {
	f := &far{behave: func(_ context.Context, ps []relay.Parcel) error {
		if ps[0].Attempt == 1 {
			return errDown
		}
		return nil
	}}
	inHouse(t, sinks{"legacy": to(f, time.Minute)}, func(h *house) {
		id := h.receive("T-1", "legacy")
		pass(time.Hour)
		var lines []string
		for line := range strings.Lines(h.log.String()) {
			if strings.Contains(line, "msg=attempt ") {
				lines = append(lines, line)
			}
		}
		if len(lines) != 2 {
			t.Fatalf("%d lines:\n%s", len(lines), h.log)
		}
		for i, want := range []string{"level=WARN", "level=INFO"} {
			for _, part := range []string{want, "callback=" + id.String(), "delivery=" + id.String() + ".1", "source=shop", "ref_id=T-1",
				"sink=legacy", fmt.Sprint("attempt=", i+1), "state=", "duration="} {
				if !strings.Contains(lines[i], part) {
					t.Errorf("no %s in %s", part, lines[i])
				}
			}
		}
		if !strings.Contains(lines[0], errDown.Error()) {
			t.Errorf("no error in %s", lines[0])
		}
		if log := h.log.String(); strings.Contains(log, "secret-body") || strings.Contains(log, "payload of") {
			t.Errorf("contents in the log:\n%s", log)
		}
	})
}

// counting is a store that counts what is asked of it.
type counting struct {
	relay.Store
	claims, writes *atomic.Int32
}

func (c counting) Claim(ctx context.Context, w string, d time.Duration, g []relay.Gate) ([]relay.Lease, error) {
	c.claims.Add(1)
	return c.Store.Claim(ctx, w, d, g)
}

func (c counting) Settle(ctx context.Context, out []relay.Outcome) ([]error, error) {
	c.writes.Add(1)
	return c.Store.Settle(ctx, out)
}

func (c counting) Renew(ctx context.Context, ls []relay.Lease, d time.Duration) error {
	c.writes.Add(1)
	return c.Store.Renew(ctx, ls, d)
}

func TestAnIdleDispatcherLooksOnceAPollAndWritesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var claims, writes atomic.Int32
		h := newHouse(t, sinks{"a": to(&far{}), "b": to(&far{})})
		h.wrap = func(s relay.Store) relay.Store { return counting{s, &claims, &writes} }
		h.open()
		defer h.close()
		h.receive("T-1", "a", "b")
		pass(time.Minute - time.Millisecond)
		claims.Store(0)
		writes.Store(0)
		pass(time.Hour)
		if claims.Load() != 3600 || writes.Load() != 0 {
			t.Errorf("%d looks and %d writes in an idle hour", claims.Load(), writes.Load())
		}
	})
}

func TestRunEndsWithTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHouse(t, sinks{"a": to(&far{behave: down}, time.Minute)})
		h.open()
		h.receive("T-1", "a")
		h.store.Close()
		if err := <-h.left; !errors.Is(err, relay.ErrClosed) {
			t.Errorf("Run gave %v", err)
		}
		h.receiver.Close()
		h.leave()
	})
}
