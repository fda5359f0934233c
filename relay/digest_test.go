package relay_test

import (
	"context"
	"fmt"
	"slices"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// digesting is a destination such as a chat: one message at a time, collected in
// a burst.
func digesting(f *far) relay.Destination {
	return relay.Destination{Sink: f, Concurrency: 1, Retry: []time.Duration{5 * time.Second, time.Minute},
		Digest: relay.Digest{After: 5, Every: time.Minute}}
}

// sizes are the numbers of parcels of the messages.
func (f *far) sizes() (sizes []int) {
	for _, m := range f.messages() {
		sizes = append(sizes, len(m.parcels))
	}
	return sizes
}

// receiveEvery accepts n callbacks, one every wait.
func (h *house) receiveEvery(wait time.Duration, n int, sink string) {
	for i := range n {
		h.receive(fmt.Sprintf("%v-%d", time.Now().Unix(), i), sink)
		pass(wait)
	}
}

func TestABurstOf500InAMinuteIsAFewMessages(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"ops": digesting(f)}, func(h *house) {
		begun := time.Now()
		h.receiveEvery(120*time.Millisecond, 500, "ops")
		pass(time.Hour)
		if got := f.sizes(); !slices.Equal(got, []int{1, 1, 1, 1, 1, 495}) {
			t.Errorf("messages of %v", got)
		}
		if got := f.times(begun); got[5] != time.Minute || got[4] > time.Second {
			t.Errorf("messages at %v: the first at once, the digest after a minute", got)
		}
		if s := h.stats("ops"); s.Delivered != 500 || s.Pending != 0 {
			t.Errorf("%+v", s)
		}
		if b := f.bursts; len(b) != 1 || b[0] != (relay.Burst{Since: begun, Digests: 1, Parcels: 495}) {
			t.Errorf("told of the end of %+v", b)
		}
	})
}

func TestABurstGoesOnUntilAWindowIsQuietAndThenOneByOneAgain(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"ops": digesting(f)}, func(h *house) {
		h.receiveEvery(10*time.Second, 20, "ops") // 6 a minute, for 200 s
		if got := f.sizes(); !slices.Equal(got, []int{1, 1, 1, 1, 1, 2, 6, 6}) && !slices.Equal(got, []int{1, 1, 1, 1, 1, 1, 6, 6}) {
			t.Errorf("messages of %v", got)
		}
		pass(10 * time.Minute)
		if len(f.bursts) != 1 || h.stats("ops").Delivered != 20 {
			t.Errorf("%d bursts are over, %+v", len(f.bursts), h.stats("ops"))
		}
		n := len(f.messages())
		h.receiveEvery(time.Second, 3, "ops")
		if got := f.sizes()[n:]; !slices.Equal(got, []int{1, 1, 1}) {
			t.Errorf("after the burst messages of %v", got)
		}
	})
}

func TestASinkTellsUntilWhenItCollects(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"ops": digesting(f)}, func(h *house) {
		begun := time.Now()
		for n, want := range []time.Time{{}, {}, {}, {}, {}, begun.Add(time.Minute)} {
			if got := h.dispatcher.Sinks()["ops"].Collects; !got.Equal(want) {
				t.Errorf("after %d it collects until %v, want %v", n, got, want)
			}
			h.receive(fmt.Sprint("T-", n), "ops")
			synctest.Wait()
		}
		pass(time.Hour)
		if got := h.dispatcher.Sinks()["ops"].Collects; !got.IsZero() {
			t.Errorf("after the burst it collects until %v", got)
		}
	})
}

func TestATrickleIsNoBurst(t *testing.T) {
	for _, rate := range []relay.Rate{{}, {N: 4, Per: time.Minute}, {N: 1, Per: 15 * time.Second}} {
		f := &far{}
		d := digesting(f)
		d.Rate = rate
		inHouse(t, sinks{"ops": d}, func(h *house) {
			h.receiveEvery(15*time.Second, 100, "ops")
			pass(time.Hour)
			if got := f.sizes(); len(got) != 100 || slices.Max(got) != 1 || len(f.bursts) != 0 {
				t.Errorf("at %v: messages of %v, bursts %v", rate, got, f.bursts)
			}
		})
	}
}

func TestAFailedDigestIsTriedAgainWhole(t *testing.T) {
	var digests atomic.Int32
	f := &far{behave: func(_ context.Context, ps []relay.Parcel) error {
		if len(ps) > 1 && digests.Add(1) <= 2 {
			return errDown
		}
		return nil
	}}
	inHouse(t, sinks{"ops": digesting(f)}, func(h *house) {
		var last relay.ID
		for i := range 100 {
			last = h.receive(fmt.Sprint("T-", i), "ops")
		}
		pass(time.Hour)
		if got := f.sizes(); !slices.Equal(got, []int{1, 1, 1, 1, 1, 95, 95, 95}) {
			t.Errorf("messages of %v", got)
		}
		if d := h.delivery(last, 1); d.State != relay.Delivered || len(d.Attempts) != 3 {
			t.Errorf("recorded %+v", d)
		}
	})
}

func TestTheFirstOfABurstIsTriedAgainBeforeTheDigest(t *testing.T) {
	var calls atomic.Int32
	f := &far{behave: func(context.Context, []relay.Parcel) error {
		if calls.Add(1) <= 2 {
			return errDown
		}
		return nil
	}}
	d := relay.Destination{Sink: f, Concurrency: 1, Retry: []time.Duration{5 * time.Second, 5 * time.Second}, Digest: relay.Digest{After: 1, Every: time.Hour}}
	inHouse(t, sinks{"ops": d}, func(h *house) {
		begun := time.Now()
		h.receive("T-1", "ops")
		pass(time.Minute)
		h.receiveEvery(time.Second, 10, "ops")
		if got := f.sizes(); !slices.Equal(got, []int{1, 1, 1}) || h.stats("ops").Delivered != 1 {
			t.Errorf("messages of %v at %v, %+v", got, f.times(begun), h.stats("ops"))
		}
		pass(3 * time.Hour)
		if got := f.sizes(); !slices.Equal(got, []int{1, 1, 1, 10}) || f.times(begun)[3] != time.Hour {
			t.Errorf("messages of %v at %v", got, f.times(begun))
		}
	})
}

// A sink that is down gets no more by that than one probe at a time, and the
// digest is due when it was.
func TestFailuresInABurstDoNotPutTheDigestOff(t *testing.T) {
	down := true
	f := &far{behave: func(context.Context, []relay.Parcel) error {
		if down {
			return errDown
		}
		return nil
	}}
	inHouse(t, sinks{"ops": digesting(f)}, func(h *house) {
		begun := time.Now()
		for i := range 300 {
			h.receive(fmt.Sprint("T-", i), "ops")
		}
		pass(59 * time.Second)
		down = false
		n := len(f.messages())
		if n > 20 {
			t.Errorf("%d messages to a sink that is down", n)
		}
		pass(time.Hour)
		got, at := f.sizes()[n:], f.times(begun)[n:]
		if got[0] < 100 || at[0] > 95*time.Second || h.stats("ops").Delivered != 300 {
			t.Errorf("messages of %v at %v, %+v", got, at, h.stats("ops"))
		}
	})
}

// Where the far side is slow, or takes less than the first few in a window, the
// rest is a burst all the same.
func TestWhatCanNotGoOneByOneInTimeIsDigested(t *testing.T) {
	slow := func(context.Context, []relay.Parcel) error { time.Sleep(time.Second); return nil }
	for _, tt := range []struct {
		name   string
		behave func(context.Context, []relay.Parcel) error
		rate   relay.Rate
		digest relay.Digest
		sizes  []int
		last   time.Duration // when the last one goes
	}{
		{"a rate below the first few", nil, relay.Rate{N: 3, Per: time.Minute}, relay.Digest{After: 5, Every: time.Minute}, []int{1, 1, 1, 197}, time.Minute},
		{"a rate for the first few alone", nil, relay.Rate{N: 1, Per: 5 * time.Minute}, relay.Digest{After: 1, Every: time.Minute}, []int{1, 199}, 5 * time.Minute},
		{"a rate that the windows use up", nil, relay.Rate{N: 3, Per: time.Minute}, relay.Digest{After: 3, Every: 10 * time.Second}, []int{1, 1, 1, 197}, time.Minute},
		{"a slow far side", slow, relay.Rate{}, relay.Digest{After: 10, Every: 5 * time.Second}, []int{1, 1, 1, 1, 1, 195}, 5 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &far{behave: tt.behave}
			inHouse(t, sinks{"ops": {Sink: f, Concurrency: 1, Rate: tt.rate, Digest: tt.digest}}, func(h *house) {
				begun := time.Now()
				for i := range 200 {
					h.receive(fmt.Sprint("T-", i), "ops")
				}
				pass(time.Hour)
				if got, at := f.sizes(), f.times(begun); !slices.Equal(got, tt.sizes) || at[len(at)-1] < tt.last || at[len(at)-1] > tt.last+time.Second {
					t.Errorf("messages of %v at %v", got, at)
				}
				if len(f.bursts) != 1 || h.stats("ops").Delivered != 200 {
					t.Errorf("bursts %+v, %+v", f.bursts, h.stats("ops"))
				}
			})
		})
	}
}

func TestADigestIsBounded(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"ops": digesting(f)}, func(h *house) {
		for i := range 2205 {
			h.receive(fmt.Sprint("T-", i), "ops")
		}
		pass(time.Hour)
		if got := f.sizes(); !slices.Equal(got, []int{1, 1, 1, 1, 1, 1000, 1000, 200}) || h.stats("ops").Delivered != 2205 {
			t.Errorf("messages of %v", got)
		}
	})
}

func TestABurstLosesNothingByARestart(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"ops": digesting(f)}, func(h *house) {
		h.receiveEvery(120*time.Millisecond, 250, "ops")
		h.close()
		h.open()
		h.receiveEvery(120*time.Millisecond, 250, "ops")
		pass(time.Hour)
		refs := f.refs()
		slices.Sort(refs)
		if n := len(slices.Compact(refs)); n != 500 || len(f.refs()) != 500 {
			t.Errorf("%d of 500 arrived, %d in all", n, len(f.refs()))
		}
		if n := len(f.messages()); n >= 20 {
			t.Errorf("%d messages", n)
		}
	})
}

func TestADigestKeepsTheOrderOfALane(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"ops": digesting(f)}, func(h *house) {
		var want []relay.ID
		for i := range 60 {
			want = append(want, h.receiveEvent("T-1", fmt.Sprint(i), "ops"))
		}
		pass(24 * time.Hour)
		var got []relay.ID
		for _, m := range f.messages() {
			for _, p := range m.parcels {
				got = append(got, p.Callback.ID)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d of %d callbacks of one order arrived, or out of order", len(got), len(want))
		}
	})
}

func TestABurstThatASinkCanNotTellTheEndOfJustEnds(t *testing.T) {
	f := &far{}
	d := digesting(f)
	d.Sink = struct{ relay.Sink }{f} // without BurstOver
	inHouse(t, sinks{"ops": d}, func(h *house) {
		h.receiveEvery(0, 20, "ops")
		synctest.Wait()
		pass(time.Hour)
		if len(f.bursts) != 0 || h.stats("ops").Delivered != 20 {
			t.Errorf("%v, %+v", f.bursts, h.stats("ops"))
		}
	})
}
