package boltstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// The clock of a synctest bubble starts in 2000: for a store that was written
// to outside, it was set back by decades.
func TestAClockThatWasSetBackMakesRetriesWaitTheirOwnStep(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	late := relay.Target{Sink: "late", NotBefore: time.Now().Add(time.Hour)}
	accept(t, s, callback(1, relay.Target{Sink: "ops", Lane: "l"}, late), callback(2, relay.Target{Sink: "ops", Lane: "l"}))
	claim := func(s relay.Store, sink string) []relay.Lease {
		t.Helper()
		leases, err := s.Claim(noContext, "w", 24*time.Hour, []relay.Gate{{Sink: sink, Room: 10}})
		must(t, err)
		return leases
	}
	first := claim(s, "ops")[0]
	_, err := s.Settle(t.Context(), []relay.Outcome{{ID: first.Delivery.ID, Token: first.Token, State: relay.Pending, Due: time.Now().Add(time.Minute)}})
	must(t, err)
	must(t, s.Close())

	synctest.Test(t, func(t *testing.T) {
		s := open(t, dir)
		for _, step := range []struct {
			pass      time.Duration
			ops, late int
		}{{0, 0, 0}, {50 * time.Second, 0, 0}, {11 * time.Second, 1, 0}, {58 * time.Minute, 0, 0}, {2 * time.Minute, 0, 1}} {
			time.Sleep(step.pass)
			if ops, late := claim(s, "ops"), claim(s, "late"); len(ops) != step.ops || len(late) != step.late {
				t.Errorf("at %s: %d and %d leased, wanted %d and %d", time.Now().Format(time.TimeOnly), len(ops), len(late), step.ops, step.late)
			}
		}
		in := callback(3, relay.Target{Sink: "new"})
		accept(t, s, in)
		if n := len(claim(s, "new")); n != 1 {
			t.Errorf("what is due from the start waits for the clock: %d leased", n)
		}
	})
}

// Its outcome is on its way, and settles it for good.
func TestAClockThatWasSetBackDoesNotSendAgainWhatIsOnItsWay(t *testing.T) {
	s := open(t, t.TempDir())
	defer s.Close()
	accept(t, s, callback(1, relay.Target{Sink: "ops"}))
	gate := []relay.Gate{{Sink: "ops", Room: 10}}
	claim := func() []relay.Lease {
		t.Helper()
		leases, err := s.Claim(noContext, "w", time.Hour, gate)
		must(t, err)
		return leases
	}
	settle := func(l relay.Lease, state relay.State) {
		t.Helper()
		errs, err := s.Settle(t.Context(), []relay.Outcome{{ID: l.Delivery.ID, Token: l.Token, State: state, Due: time.Now().Add(-time.Second)}})
		if err != nil || errs[0] != nil {
			t.Fatal(err, errs)
		}
	}
	settle(claim()[0], relay.Pending)
	again := claim()[0]
	must(t, boltstore.SetBack(s, time.Hour))
	claim()
	settle(again, relay.Delivered)
	accept(t, s, callback(2, relay.Target{Sink: "ops"}))
	if leases := claim(); len(leases) != 1 || leases[0].Callback.ID == again.Callback.ID {
		t.Errorf("leased: %v", leases)
	}
}
