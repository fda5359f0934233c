package relay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// replay runs a Replay now, and gives how many deliveries it opened.
func (h *house) replay(r relay.Replay, dryRun bool) int {
	h.Helper()
	return h.replayed(r, dryRun).Opened
}

func (h *house) replayed(r relay.Replay, dryRun bool) relay.Replayed {
	h.Helper()
	n, err := r.Run(h.Context(), h.store, time.Now(), dryRun)
	if err != nil {
		h.Fatal(err)
	}
	return n
}

func TestAReplayDeliversAgainMarkedAndWithANewSchedule(t *testing.T) {
	f := &far{behave: down}
	inHouse(t, sinks{"legacy": to(f, time.Second, time.Second)}, func(h *house) {
		id := h.receive("T-1", "legacy")
		pass(time.Minute)
		if d := h.delivery(id, 1); d.State != relay.Dead || d.Tries != 3 {
			t.Fatalf("before %+v", d)
		}
		if n := h.replay(relay.Replay{IDs: []relay.ID{id, id}}, false); n != 1 {
			t.Errorf("%d opened", n)
		}
		pass(time.Minute)
		d := h.delivery(id, 1)
		if d.State != relay.Dead || d.Tries != 3 || d.Replays != 1 || len(d.Attempts) != 6 || d.Attempts[2].Replay || !d.Attempts[3].Replay || d.Attempts[5].N != 6 {
			t.Errorf("after %+v", d)
		}
		if p := f.messages()[3].parcels[0]; !p.Replay || p.Attempt != 4 || p.Delivery.ID != d.ID {
			t.Errorf("sent again as %+v", p)
		}
		f.become(nil)
		h.replay(relay.Replay{IDs: []relay.ID{id}}, false)
		synctest.Wait() // at once
		if d := h.delivery(id, 1); d.State != relay.Delivered {
			t.Errorf("in the end %+v", d)
		}
	})
}

func TestAReplaySelectsDeliveries(t *testing.T) {
	legacy, ops, owner := &far{}, &far{behave: func(context.Context, []relay.Parcel) error { return relay.Permanent(errDown) }}, &far{}
	inHouse(t, sinks{"legacy": to(legacy), "ops": to(ops), "owner": to(owner)}, func(h *house) {
		h.rules.fallbacks = map[string]string{"ops": "owner"}
		var ids []relay.ID
		for i := range 3 {
			ids = append(ids, h.receive(fmt.Sprint("T-", i), "legacy", "ops"))
		}
		h.receive("T-waits", "elsewhere")
		pass(time.Minute)
		for _, tt := range []struct {
			name string
			r    relay.Replay
			want int
		}{
			{"all that is settled, without what went to a fallback", relay.Replay{}, 6},
			{"the dead", relay.Replay{Query: relay.Query{State: relay.Dead}}, 3},
			{"the delivered", relay.Replay{Query: relay.Query{State: relay.Delivered}}, 3},
			{"one sink's", relay.Replay{Query: relay.Query{Sink: "legacy"}}, 3},
			{"one sink's dead", relay.Replay{Query: relay.Query{Sink: "legacy", State: relay.Dead}}, 0},
			{"a fallback's, asked for", relay.Replay{Query: relay.Query{Sink: "owner"}}, 3},
			{"one order's", relay.Replay{Query: relay.Query{RefID: "T-1"}}, 2},
			{"what is pending", relay.Replay{Query: relay.Query{State: relay.Pending}}, 0},
			{"named callbacks'", relay.Replay{IDs: ids[:2]}, 4},
			{"of no callback at all", relay.Replay{IDs: []relay.ID{}}, 0},
			{"named callbacks' to one sink", relay.Replay{IDs: ids[:2], Query: relay.Query{Sink: "ops"}}, 2},
		} {
			if n := h.replay(tt.r, true); n != tt.want {
				t.Errorf("%s: %d, want %d", tt.name, n, tt.want)
			}
		}
		sent := len(legacy.messages())
		pass(time.Minute)
		if len(legacy.messages()) != sent {
			t.Error("a dry run opened deliveries")
		}
	})
}

func TestAReplayTellsWhatIsPendingAndHastensItIfAsked(t *testing.T) {
	f := &far{behave: down}
	inHouse(t, sinks{"legacy": to(f, time.Hour)}, func(h *house) {
		id := h.receive("T-1", "legacy", "elsewhere")
		pass(time.Minute)
		one := relay.Replay{IDs: []relay.ID{id}}
		if got, want := h.replayed(one, false), (relay.Replayed{Pending: 2}); got != want {
			t.Errorf("left alone: %+v, want %+v", got, want)
		}
		one.Now = true
		if got, want := h.replayed(one, true), (relay.Replayed{Pending: 2}); got != want {
			t.Errorf("only counted: %+v, want %+v", got, want)
		}
		pass(time.Minute)
		if n := len(f.messages()); n != 1 {
			t.Fatalf("%d attempts before it is asked for", n)
		}
		f.become(nil)
		if got, want := h.replayed(one, false), (relay.Replayed{Hastened: 1, Pending: 1}); got != want {
			t.Errorf("hastened: %+v, want %+v", got, want)
		}
		synctest.Wait() // at once
		if d := h.delivery(id, 1); d.State != relay.Delivered || d.Tries != 2 || d.Replays != 0 || f.messages()[1].parcels[0].Replay {
			t.Errorf("in the end %+v", d)
		}
	})
}

func TestAReplayOfManyKeepsTheOrderOfALane(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"legacy": to(f)}, func(h *house) {
		var want []relay.ID
		for i := range 1200 { // more than a page, and more than a commit
			want = append(want, h.receiveEvent("T-1", fmt.Sprint(i), "legacy"))
		}
		pass(time.Minute)
		if n := h.replay(relay.Replay{Query: relay.Query{RefID: "T-1"}}, false); n != 1200 {
			t.Errorf("%d opened", n)
		}
		pass(time.Minute)
		var got []relay.ID
		for _, m := range f.messages()[1200:] {
			got = append(got, m.parcels[0].Callback.ID)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%d of %d arrived again, or out of order", len(got), len(want))
		}
	})
}

func TestAReplayOfAnUnknownCallbackIsAnErrorAndOpensNothing(t *testing.T) {
	f := &far{}
	inHouse(t, sinks{"legacy": to(f)}, func(h *house) {
		id := h.receive("T-1", "legacy")
		pass(time.Second)
		_, err := relay.Replay{IDs: []relay.ID{id, relay.FloorID(someDay)}}.Run(h.Context(), h.store, time.Now(), false)
		pass(time.Second)
		if !errors.Is(err, relay.ErrNotFound) || len(f.messages()) != 1 {
			t.Errorf("%v, %d messages", err, len(f.messages()))
		}
	})
}
