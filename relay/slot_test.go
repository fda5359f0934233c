package relay_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
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
	return h.receiveManyAs("T-", n, sink)
}

func (h *house) receiveManyAs(prefix string, n int, sink string) (ids []relay.ID) {
	h.Helper()
	for i := range n {
		ids = append(ids, h.receive(fmt.Sprint(prefix, i), sink))
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
			pass(500 * time.Millisecond)
			ids := h.receiveMany(10, "legacy")
			pass(9700 * time.Millisecond) // the slots are free before the dispatcher looks again
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
		legacy := &far{behave: slowly(fine)}
		ops := &far{behave: func(context.Context, []relay.Parcel) error { time.Sleep(12 * time.Second); return nil }}
		wide, later := to(legacy), to(ops)
		wide.Concurrency, later.Concurrency = 16, 16
		h := newHouse(t, sinks{"legacy": wide, "ops": later})
		var disk atomic.Bool
		h.wrap = func(s relay.Store) relay.Store { return full{s, &disk} }
		h.open()
		defer h.close()
		ids := append(h.receiveMany(50, "legacy"), h.receiveManyAs("O-", 50, "ops")...)
		pass(5 * time.Second)
		disk.Store(true) // 16 are on their way to each, and 16 in hand
		pass(time.Hour)
		if a, b := len(legacy.messages()), len(ops.messages()); a > 32 || b != 16 {
			t.Errorf("%d were sent to legacy, while it was seen that the disk is full, and %d to ops, want 32 at most and 16", a, b)
		}
		disk.Store(false)
		pass(5 * time.Minute)
		h.deliveredOnce(ids)
		if a, b := len(legacy.messages()), len(ops.messages()); a != 50 || b != 50 {
			t.Errorf("%d messages to legacy and %d to ops", a, b)
		}
	})
}

// lateAnswer is a store whose Settle has committed a while before its caller goes
// on, as when that gets no CPU.
type lateAnswer struct {
	relay.Store
	late *atomic.Int64
}

func (s lateAnswer) Settle(ctx context.Context, out []relay.Outcome) ([]error, error) {
	errs, err := s.Store.Settle(ctx, out)
	time.Sleep(time.Duration(s.late.Load()))
	return errs, err
}

// lateClaim is a store whose Claim has leased a while before its caller goes on.
type lateClaim struct {
	relay.Store
	late *atomic.Int64
}

func (s lateClaim) Claim(ctx context.Context, w string, d time.Duration, g []relay.Gate) ([]relay.Lease, error) {
	leases, err := s.Store.Claim(ctx, w, d, g)
	if len(leases) > 0 {
		time.Sleep(time.Duration(s.late.Load()))
	}
	return leases, err
}

// What an outcome leaves due at once may be leased again before the dispatcher has
// seen to the outcome: that is another message.
func TestALeaseOfWhatWasJustRecordedIsAMessage(t *testing.T) {
	inLateHouse := func(t *testing.T, f *far, test func(h *house, late *atomic.Int64)) {
		synctest.Test(t, func(t *testing.T) {
			var late atomic.Int64
			one := to(f, time.Second, time.Second)
			one.Concurrency = 1
			h := newHouse(t, sinks{"legacy": one})
			h.opts.Poll = 10 * time.Millisecond
			h.wrap = func(s relay.Store) relay.Store { return lateAnswer{s, &late} }
			h.open()
			defer h.close()
			test(h, &late)
		})
	}
	t.Run("a retry", func(t *testing.T) {
		f := &far{behave: down}
		inLateHouse(t, f, func(h *house, late *atomic.Int64) {
			late.Store(int64(1500 * time.Millisecond))
			ids := []relay.ID{h.receive("T-0", "legacy")}
			pass(500 * time.Millisecond)
			f.become(nil)
			pass(1500 * time.Millisecond)
			late.Store(0)
			ids = append(ids, h.receiveMany(10, "legacy")[1:]...)
			pass(5 * time.Second)
			for i, id := range ids {
				if d := h.delivery(id, 1); d.State != relay.Delivered {
					h.Errorf("delivery %d is %s, seconds after it could go", i, d.State)
				}
			}
		})
	})
	t.Run("a replay", func(t *testing.T) {
		f := &far{}
		inLateHouse(t, f, func(h *house, late *atomic.Int64) {
			late.Store(int64(100 * time.Millisecond))
			id := h.receive("T-1", "legacy")
			synctest.Wait()
			if n := must(h.store.Reopen(h.Context(), []relay.DeliveryID{{Callback: id, N: 1}}, time.Now())); n != 1 {
				h.Fatal(n)
			}
			pass(5 * time.Second)
			if d := h.delivery(id, 1); d.State != relay.Delivered || len(f.messages()) != 2 {
				h.Errorf("5 s after a replay: %s, %d messages", d.State, len(f.messages()))
			}
		})
	})
}

func TestARateIsKeptToByWhatWasInHandOnAFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paced := relay.Rate{N: 8, Per: time.Minute}
		legacy, ops := &far{behave: slowly(fine)}, &far{}
		wide, limited := to(legacy), to(ops)
		wide.Concurrency = 32
		limited.Rate = paced
		h := newHouse(t, sinks{"legacy": wide, "ops": limited})
		var disk atomic.Bool
		var late atomic.Int64
		h.wrap = func(s relay.Store) relay.Store { return lateClaim{full{s, &disk}, &late} }
		h.open()
		defer h.close()
		h.receiveMany(100, "legacy")
		pass(9500 * time.Millisecond) // 32 on their way
		disk.Store(true)
		late.Store(int64(600 * time.Millisecond)) // a claim during which the disk proves to be full
		for i := range 24 {
			h.receive(fmt.Sprint("O-", i), "ops")
		}
		pass(time.Minute)
		late.Store(0)
		pass(time.Hour)
		begun := time.Now()
		disk.Store(false)
		pass(time.Hour)
		var times []time.Duration
		for _, at := range ops.times(begun) {
			if at >= 0 {
				times = append(times, at)
			}
		}
		h.keeps(paced, times)
	})
}

// The concurrency is lowered while a claim is under way, here of 1 ms.
func TestARateIsKeptToByWhatAReloadLeavesInHand(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paced := relay.Rate{N: 8, Per: time.Minute}
		ops := &far{behave: func(context.Context, []relay.Parcel) error { time.Sleep(8 * time.Second); return nil }}
		limited := to(ops)
		limited.Rate = paced
		h := newHouse(t, sinks{})
		var late atomic.Int64
		h.wrap = func(s relay.Store) relay.Store { return lateClaim{s, &late} }
		h.open()
		defer h.close()
		for i := range 24 {
			h.receive(fmt.Sprint("O-", i), "ops")
		}
		pass(500 * time.Millisecond)
		begun := time.Now()
		late.Store(int64(time.Millisecond))
		h.rules.set("ops", &limited)
		pass(500*time.Millisecond + 500*time.Microsecond) // in the midst of the claim
		narrow := limited
		narrow.Concurrency = 1
		h.rules.set("ops", &narrow)
		pass(40 * time.Second)
		late.Store(0)
		h.rules.set("ops", &limited) // it was too slow
		pass(time.Hour)
		most := 0
		times := ops.times(begun)
		for _, from := range times {
			n := 0
			for _, at := range times {
				if at >= from && at < from+paced.Per-time.Second { // a claim's own delay is not meant
					n++
				}
			}
			most = max(most, n)
		}
		if most > paced.N {
			t.Errorf("%d messages within 59 s at a rate of 8 a minute: %v", most, times)
		}
	})
}

func TestOnAFullDiskWhatWasGivenBackTakesNoRoomFromOtherSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		legacy, ops := &far{behave: slowly(func(relay.Parcel) error {
			return &relay.RetryAfterError{Wait: time.Hour, Everyone: true, Err: errors.New("429")}
		})}, &far{}
		one := to(legacy)
		one.Concurrency = 16
		h := newHouse(t, sinks{"legacy": one, "ops": to(ops)})
		var disk atomic.Bool
		h.wrap = func(s relay.Store) relay.Store { return full{s, &disk} }
		h.open()
		defer h.close()
		h.receiveMany(80, "legacy")
		pass(5 * time.Second) // 16 on their way, 16 in hand
		disk.Store(true)
		pass(10 * time.Second)
		for i := range 20 {
			h.receive(fmt.Sprint("O-", i), "ops")
		}
		pass(time.Minute)
		if n, of := len(legacy.messages()), len(ops.messages()); n+of < 32 {
			t.Errorf("%d were sent to legacy and %d to ops, want 32 in all; legacy %+v", n, of, h.dispatcher.Sinks()["legacy"])
		}
	})
}

// One of the first of a burst that goes back from hand does not wait for the digest.
func TestOneOfTheFirstThatGoesBackFromHandKeepsItsPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var late atomic.Int64
		f := &far{behave: func(_ context.Context, ps []relay.Parcel) error {
			time.Sleep(time.Second)
			if ps[0].Callback.RefID == "T-1" && ps[0].Attempt == 1 {
				return relay.Permanent(&relay.RetryAfterError{Wait: 2 * time.Second, Everyone: true, Err: errors.New("429")})
			}
			return nil
		}}
		d := relay.Destination{Sink: f, Concurrency: 2, Retry: []time.Duration{time.Second}, Digest: relay.Digest{After: 2, Every: time.Hour}}
		h := newHouse(t, sinks{"ops": d})
		h.wrap = func(s relay.Store) relay.Store { return lateClaim{s, &late} }
		h.open()
		defer h.close()
		h.receive("T-1", "ops")
		pass(900 * time.Millisecond)
		late.Store(int64(200 * time.Millisecond)) // the pause is asked for while T-2 is claimed
		id := h.receive("T-2", "ops")
		pass(time.Second)
		late.Store(0)
		pass(time.Minute)
		if got := h.delivery(id, 1); got.State != relay.Delivered {
			t.Errorf("a minute later the second of a sink that lets 2 through before it digests: %s, messages of %v", got.State, f.sizes())
		}
	})
}

func TestGivingBackIsNoHotLoop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var claims, writes atomic.Int32
		f := &far{behave: func(context.Context, []relay.Parcel) error {
			time.Sleep(10 * time.Millisecond)
			return &relay.RetryAfterError{Wait: time.Second, Everyone: true, Err: errors.New("429")}
		}}
		wide := to(f, make([]time.Duration, 10000)...)
		h := newHouse(t, sinks{"legacy": wide})
		h.wrap = func(s relay.Store) relay.Store { return counting{s, &claims, &writes} }
		h.open()
		defer h.close()
		h.receiveMany(100, "legacy")
		pass(time.Minute)
		if n := len(f.messages()); n < 50 || claims.Load() > 1000 || writes.Load() > 1000 {
			t.Errorf("%d messages, %d claims, %d writes in a minute", n, claims.Load(), writes.Load())
		}
	})
}

func TestAMessageUnderWayKeepsNoBodiesOfOthers(t *testing.T) {
	const size = 1 << 20
	synctest.Test(t, func(t *testing.T) {
		f := &discarding{}
		d := relay.Destination{Sink: f, Timeout: time.Hour, Concurrency: 32}
		h := newHouse(t, sinks{"legacy": d})
		h.rules.set("legacy", nil)
		h.open()
		defer h.close()
		for i := range 40 {
			c := relay.Callback{Source: "shop", Event: "e", RefID: fmt.Sprint("T-", i), Body: bytes.Repeat([]byte("x"), size)}
			targets := route{{Rule: "r", Sink: "legacy", Lane: c.RefID}}
			must(h.receiver.Receive(h.Context(), c, relay.Key{c.RefID}, targets, false))
		}
		pass(2 * time.Second)
		before := heap()
		h.rules.set("legacy", &d)
		pass(10 * time.Second)
		if n := h.stats("legacy").Pending; n != 1 {
			t.Fatalf("%d pending, want the one that hangs", n)
		}
		kept := float64(heap()-before) / size
		if kept > 4 {
			t.Errorf("one message of 1 MiB is under way, and %.0f MiB are kept", kept)
		}
	})
}

func heap() int64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// discarding keeps nothing, and hangs at T-0.
type discarding struct{}

func (*discarding) Send(ctx context.Context, ps []relay.Parcel) (relay.Answer, error) {
	if strings.HasSuffix(ps[0].Callback.RefID, "T-0") {
		<-ctx.Done()
		return relay.Answer{}, ctx.Err()
	}
	return relay.Answer{}, nil
}
