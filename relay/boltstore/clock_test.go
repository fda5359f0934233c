package boltstore_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
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
