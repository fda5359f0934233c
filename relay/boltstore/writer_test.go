package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

func TestAnIdlePollWritesNothing(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	late := relay.Target{Sink: "ops", NotBefore: time.Now().Add(time.Hour)}
	accept(t, s, callback(1, relay.Target{Sink: "ops", Lane: "l"}), callback(2, relay.Target{Sink: "ops", Lane: "l"}), callback(3, late))
	gates := []relay.Gate{{Sink: "ops", Room: 10}, {Sink: "other", Room: 10}}
	for range 2 { // the second finds what waits for its lane, and has it parked
		_, err := s.Claim(t.Context(), "w", time.Hour, gates)
		must(t, err)
	}
	_, err := s.Stats(t.Context()) // waits for that, and has the database catch up
	must(t, err)
	files := func() []byte {
		return append(read(t, filepath.Join(dir, "kurir.db")), read(t, filepath.Join(dir, "kurir.journal"))...)
	}
	before := files()
	for range 100 {
		leases, err := s.Claim(t.Context(), "w", time.Hour, gates)
		if err != nil || len(leases) > 0 {
			t.Fatalf("%d leased, %v", len(leases), err)
		}
	}
	_, err = s.Reopen(t.Context(), nil, time.Time{})
	must(t, err)
	if !bytes.Equal(before, files()) {
		t.Error("a file was written to")
	}
}

func TestARestartVoidsLeases(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	accept(t, s, callback(1, relay.Target{Sink: "ops"}))
	gates := []relay.Gate{{Sink: "ops", Room: 1}}
	old, err := s.Claim(t.Context(), "w", time.Hour, gates)
	must(t, err)
	must(t, s.Close())
	s = open(t, dir)
	if leases, err := s.Claim(t.Context(), "w", time.Hour, gates); err != nil || len(leases) != 1 {
		t.Fatalf("%d leased, %v", len(leases), err)
	}
	errs, err := s.Settle(t.Context(), []relay.Outcome{{ID: old[0].Delivery.ID, Token: old[0].Token, State: relay.Delivered}})
	if err != nil || !errors.Is(errs[0], relay.ErrLease) {
		t.Errorf("got %v, %v", errs, err)
	}
}

func TestACommitThatCantBeTrustedEndsAllWriting(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	id := accept(t, s, callback(1))[0]
	boltstore.Break(s)
	if _, err := s.Append(t.Context(), []relay.Inbound{callback(2)}); err == nil {
		t.Fatal("the append succeeded")
	}
	if err := <-s.Failed(); err == nil {
		t.Error("no reason was given")
	}
	for range 3 {
		if _, err := s.Append(t.Context(), []relay.Inbound{callback(3)}); !errors.Is(err, relay.ErrClosed) || errors.Is(err, relay.ErrFull) {
			t.Errorf("got %v", err)
		}
	}
	s.Close()
	s = open(t, dir)
	if got := list(t, s); len(got) != 1 || got[0] != id {
		t.Errorf("a restart finds %v", got)
	}
}

func TestWhatAFullDiskRefusedIsNewWhenItComesAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	accept(t, s, callback(1, relay.Target{Sink: "ops"}))
	leases, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "ops", Room: 1}})
	must(t, err)
	out := []relay.Outcome{{ID: leases[0].Delivery.ID, Token: leases[0].Token, State: relay.Delivered}}
	in := []relay.Inbound{callback(2, relay.Target{Sink: "new"})}
	boltstore.FullWith(s, func() {
		if _, err := s.Append(t.Context(), in); !errors.Is(err, relay.ErrFull) {
			t.Errorf("append: %v", err)
		}
	})
	boltstore.FullWith(s, func() {
		if _, err := s.Settle(t.Context(), out); !errors.Is(err, relay.ErrFull) {
			t.Errorf("settle: %v", err)
		}
	})
	if st, err := s.Stats(t.Context()); err != nil || st.Callbacks != 1 || st.Sinks["ops"].Pending != 1 || len(st.Sinks) != 1 {
		t.Errorf("stats %+v, %v", st, err)
	}
	if r, err := s.Append(t.Context(), in); err != nil || r[0].Duplicate {
		t.Errorf("again: %+v, %v", r, err)
	}
	if errs, err := s.Settle(t.Context(), out); err != nil || errs[0] != nil {
		t.Errorf("again: %v, %v", errs, err)
	}
	must(t, s.Close())
	must(t, boltstore.Check(filepath.Join(dir, "kurir.db")))
}

// Prune with a bound ahead of all while callbacks come in, and then the end: the
// next start knows every key all the same.
func TestNoKeyIsLostToAPruneThatOvertakesTheIndex(t *testing.T) {
	dir := t.TempDir()
	acked := 0
	for range 10 {
		s, err := boltstore.Open(dir, boltstore.Options{NoSync: true, Journal: small, Recent: 20})
		must(t, err)
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				if _, err := s.Append(noContext, []relay.Inbound{callback(acked)}); err != nil {
					return
				}
				acked++
			}
		}()
		for range 3 {
			_, err := s.Prune(t.Context(), relay.Prune{Callbacks: time.Now().Add(time.Hour)})
			must(t, err)
		}
		must(t, s.Close())
		<-done
	}
	s := open(t, dir)
	for n := range acked {
		if r, err := s.Append(t.Context(), []relay.Inbound{callback(n)}); err != nil || !r[0].Duplicate {
			t.Fatalf("callback %d of %d: %+v, %v", n, acked, r, err)
		}
	}
}

// A writer that waits for its turn stops waiting with its context.
func TestAContextEndsTheWait(t *testing.T) {
	s, err := boltstore.Open(t.TempDir(), boltstore.Options{NoSync: true, Queue: 1})
	must(t, err)
	defer s.Close()
	release := boltstore.Stall(s)
	errs := make(chan error)
	ctx, cancel := context.WithCancel(t.Context())
	for n := range 5 {
		go func() {
			_, err := s.Append(ctx, []relay.Inbound{callback(n)})
			errs <- err
		}()
	}
	cancel()
	for range 5 {
		if err := <-errs; !errors.Is(err, context.Canceled) {
			t.Errorf("got %v", err)
		}
	}
	release()
	accept(t, s, callback(9))
}

func TestAClosedStoreLeavesNothingRunning(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	s := open(t, t.TempDir())
	accept(t, s, callback(1))
	must(t, s.Close())
}
