package relay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// twoSlots is a sink with a concurrency of 2: it has two messages on their way and
// two more in hand, as long as enough is due.
func twoSlots(f *far, retry ...time.Duration) relay.Destination {
	d := to(f, retry...)
	d.Concurrency = 2
	return d
}

// slowly takes 10 seconds for a message, and then what err says of it.
func slowly(err func(relay.Parcel) error) func(context.Context, []relay.Parcel) error {
	return func(_ context.Context, ps []relay.Parcel) error {
		time.Sleep(10 * time.Second)
		return err(ps[0])
	}
}

func fine(relay.Parcel) error { return nil }

// forOthers is how many deliveries of a sink another worker could have now. It gives
// them back.
func (h *house) forOthers(sink string) int {
	h.Helper()
	leases := must(h.store.Claim(h.Context(), "other", time.Hour, []relay.Gate{{Sink: sink, Room: 1000}}))
	var outs []relay.Outcome
	for _, l := range leases {
		outs = append(outs, relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: relay.Pending, Deferred: true, Due: l.Callback.ReceivedAt})
	}
	if errs, err := h.store.Settle(h.Context(), outs); err != nil || slices.ContainsFunc(errs, func(err error) bool { return err != nil }) {
		h.Fatal(errs, err)
	}
	return len(leases)
}

// deliveredOnce checks that each of the callbacks was delivered at its first attempt.
func (h *house) deliveredOnce(ids []relay.ID) {
	h.Helper()
	for i, id := range ids {
		if d := h.delivery(id, 1); d.State != relay.Delivered || len(d.Attempts) != 1 || d.Tries != 1 {
			h.Errorf("delivery %d: %+v", i, d)
		}
	}
}

func (h *house) receiveMany(n int, sink string) (ids []relay.ID) {
	h.Helper()
	for i := range n {
		ids = append(ids, h.receive(fmt.Sprint("T-", i), sink))
	}
	return ids
}

func TestASlotGoesOnAtOnceWithWhatIsInHand(t *testing.T) {
	f := &far{behave: slowly(fine)}
	inHouse(t, sinks{"legacy": twoSlots(f)}, func(h *house) {
		begun := time.Now()
		ids := h.receiveMany(10, "legacy")
		pass(time.Second)
		if now, _ := f.busy(); now != 2 || h.forOthers("legacy") != 6 {
			t.Errorf("%d of 10 on their way and %d left for others, want 2 and 6", now, h.forOthers("legacy"))
		}
		pass(time.Minute)
		h.deliveredOnce(ids)
		if _, most := f.busy(); most != 2 {
			t.Errorf("%d at once", most)
		}
		times := f.times(begun)
		slices.Sort(times)
		for i, at := range times {
			if at != time.Duration(i/2)*10*time.Second {
				t.Errorf("message %d began at %v", i, at)
			}
		}
	})
}

// A sink that asks everyone for patience, or that fails until it gets a rest, has
// nothing kept from others meanwhile, and what was in hand burns no attempt.
func TestWhatIsInHandGoesBackWhenItsSinkRests(t *testing.T) {
	for _, tt := range []struct {
		name string
		err  error
		sent int // at most, until it rests
	}{
		{"asked to", &relay.RetryAfterError{Wait: 20 * time.Second, Everyone: true, Err: errors.New("429")}, 2},
		{"for its failures", errDown, relay.BreakerAfter + 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &far{behave: slowly(func(relay.Parcel) error { return tt.err })}
			retry := slices.Repeat([]time.Duration{time.Second}, 100)
			inHouse(t, sinks{"legacy": twoSlots(f, retry...)}, func(h *house) {
				ids := h.receiveMany(40, "legacy")
				for range 1000 {
					pass(time.Second)
					if now, _ := f.busy(); now == 0 {
						break
					}
				}
				sent := len(f.messages())
				if n := h.forOthers("legacy"); n < 40-sent || sent > tt.sent {
					t.Fatalf("%d are left for others of 40, and %d were sent, want %d", n, sent, tt.sent)
				}
				f.become(nil)
				pass(5 * time.Minute)
				total := 0
				for _, id := range ids {
					d := h.delivery(id, 1)
					if total += len(d.Attempts); d.State != relay.Delivered {
						t.Errorf("%+v", d)
					}
				}
				if n := len(f.messages()); n != total {
					t.Errorf("%d attempts are recorded, %d were made", total, n)
				}
			})
		})
	}
}

func TestOrdersKeepTheirOrderThoughMessagesGoBackFromHand(t *testing.T) {
	var n atomic.Int32
	f := &far{behave: func(context.Context, []relay.Parcel) error {
		time.Sleep(time.Second)
		switch n.Add(1) % 7 {
		case 0:
			return &relay.RetryAfterError{Wait: 3 * time.Second, Everyone: true, Err: errors.New("429")}
		case 3:
			return errDown
		}
		return nil
	}}
	inHouse(t, sinks{"legacy": twoSlots(f, slices.Repeat([]time.Duration{2 * time.Second}, 50)...)}, func(h *house) {
		for event := range 8 {
			for order := range 20 {
				h.receiveEvent(fmt.Sprint("T-", order), fmt.Sprint(event), "legacy")
			}
		}
		pass(time.Hour)
		events := map[string][]string{}
		for _, m := range f.messages() {
			if p := m.parcels[0]; m.err == nil {
				events[p.Callback.RefID] = append(events[p.Callback.RefID], p.Callback.Event)
			}
		}
		for order := range 20 {
			if got := events[fmt.Sprint("T-", order)]; fmt.Sprint(got) != "[0 1 2 3 4 5 6 7]" {
				t.Errorf("order %d had its events as %v", order, got)
			}
		}
	})
}

func TestAStopGivesBackWhatIsInHand(t *testing.T) {
	f := &far{behave: slowly(fine)}
	inHouse(t, sinks{"legacy": twoSlots(f)}, func(h *house) {
		ids := h.receiveMany(10, "legacy")
		pass(5 * time.Second)
		begun := time.Now()
		h.close()
		if took := time.Since(begun); took != 5*time.Second || len(f.messages()) != 2 {
			t.Errorf("the stop took %v, and %d were sent", took, len(f.messages()))
		}
		h.open()
		pass(time.Minute)
		h.deliveredOnce(ids)
		if n := len(f.messages()); n != 10 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestWhatIsInHandGoesByTheRulesInForce(t *testing.T) {
	inTest := func(t *testing.T, change func(h *house, f *far)) {
		f := &far{behave: slowly(fine)}
		inHouse(t, sinks{"legacy": twoSlots(f)}, func(h *house) {
			ids := h.receiveMany(10, "legacy")
			pass(5 * time.Second)
			change(h, f)
			pass(time.Hour)
			h.deliveredOnce(ids)
		})
	}
	t.Run("without the sink", func(t *testing.T) {
		inTest(t, func(h *house, f *far) {
			h.rules.set("legacy", nil)
			pass(time.Minute)
			if n := len(f.messages()); n != 2 || h.forOthers("legacy") != 8 {
				t.Errorf("%d sent and %d left, want 2 and 8", n, h.forOthers("legacy"))
			}
			again := twoSlots(f)
			h.rules.set("legacy", &again)
		})
	})
	t.Run("with another address", func(t *testing.T) {
		other := &far{}
		inTest(t, func(h *house, f *far) {
			now := twoSlots(other)
			h.rules.set("legacy", &now)
			pass(time.Minute)
			if a, b := len(f.messages()), len(other.messages()); a != 2 || b != 8 {
				t.Errorf("%d to the old address and %d to the new one, want 2 and 8", a, b)
			}
		})
	})
	t.Run("with a rate", func(t *testing.T) {
		paced := relay.Rate{N: 1, Per: time.Minute}
		inTest(t, func(h *house, f *far) {
			now := twoSlots(f)
			now.Rate = paced
			begun := time.Now()
			h.rules.set("legacy", &now)
			pass(59 * time.Minute)
			var times []time.Duration
			for _, at := range f.times(begun) {
				if at >= 0 {
					times = append(times, at)
				}
			}
			if h.keeps(paced, times); len(times) != 8 {
				t.Errorf("%d sent at the new rate", len(times))
			}
		})
	})
}

func TestWhatIsInHandStaysThereOnAFullDiskBeyondWhatMayBeSentTwice(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		f := &far{behave: slowly(fine)}
		wide := to(f)
		wide.Concurrency = 30
		h := newHouse(t, sinks{"legacy": wide})
		var disk atomic.Bool
		h.wrap = func(s relay.Store) relay.Store { return full{s, &disk} }
		h.open()
		defer h.close()
		ids := h.receiveMany(100, "legacy")
		pass(5 * time.Second)
		disk.Store(true) // 30 are on their way, and 30 in hand
		pass(time.Hour)
		if n := len(f.messages()); n < 32 || n > 60 {
			t.Errorf("%d were sent by the time the disk was seen to be full, and after it", n)
		}
		disk.Store(false)
		pass(5 * time.Minute)
		h.deliveredOnce(ids)
		if n := len(f.messages()); n != 100 {
			t.Errorf("%d messages", n)
		}
	})
}
