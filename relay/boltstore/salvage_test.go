package boltstore_test

import (
	"errors"
	"fmt"
	"path/filepath"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// eventful makes a store with a history: of each four callbacks one is
// delivered, one dead, one waits for its retry and one is fresh.
func eventful(t *testing.T, dir string, n int) {
	t.Helper()
	s, err := boltstore.Open(dir, boltstore.Options{NoSync: true, Journal: small, Recent: n / 3})
	must(t, err)
	var in []relay.Inbound
	for i := range n {
		in = append(in, callback(i, relay.Target{Sink: fmt.Sprint("sink", i%4), Lane: fmt.Sprint(i % 50)}))
	}
	accept(t, s, in...)
	states := map[string]relay.State{"sink0": relay.Delivered, "sink1": relay.Dead, "sink2": relay.Pending}
	for sink, state := range states {
		for {
			leases, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: sink, Room: n}})
			must(t, err)
			if len(leases) == 0 {
				break
			}
			var out []relay.Outcome
			for _, l := range leases {
				out = append(out, relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: state, Due: time.Now().Add(time.Hour)})
			}
			_, err = s.Settle(t.Context(), out)
			must(t, err)
		}
	}
	must(t, s.Close())
	must(t, boltstore.Check(filepath.Join(dir, "kurir.db")))
}

// Whatever page is lost, compacting saves nearly all callbacks, and the result
// is whole and goes on.
func TestCompactSavesWhatCanBeRead(t *testing.T) {
	const size, page = 800, 8192
	dir := t.TempDir()
	eventful(t, dir, size)
	path := filepath.Join(dir, "kurir.db")
	whole := read(t, path)
	damaged := 0
	for at := 0; at+page <= len(whole); at += page {
		b := append([]byte{}, whole...)
		clear(b[at : at+page])
		write(t, path, b)
		if err := boltstore.Check(path); err == nil {
			continue // a free page
		}
		damaged++
		saved := filepath.Join(t.TempDir(), "saved")
		if err := boltstore.Compact(path, saved); err != nil {
			if at > 2*page && !errors.Is(err, boltstore.ErrDamaged) {
				t.Errorf("page %d: %v", at/page, err)
			}
			t.Logf("page %d: nothing is saved: %v", at/page, err)
			continue
		}
		checkSaved(t, saved, at/page, size)
	}
	if damaged < 10 {
		t.Errorf("only %d pages were in use", damaged)
	}
}

func checkSaved(t *testing.T, saved string, page, size int) {
	t.Helper()
	if err := boltstore.Check(saved); err != nil {
		t.Errorf("page %d: what was saved is damaged: %v", page, err)
		return
	}
	dir := t.TempDir()
	must(t, boltstore.Restore(dir, saved))
	s := open(t, dir)
	st, err := s.Stats(t.Context())
	must(t, err)
	sinks := int64(0)
	for _, n := range st.Sinks {
		sinks += n.Pending + n.Delivered + n.Dead
	}
	if int(st.Callbacks) < size*9/10 || sinks < st.Callbacks*9/10 {
		t.Errorf("page %d: %d callbacks and %d deliveries of %d were saved", page, st.Callbacks, sinks, size)
	}
	accept(t, s, callback(size+1, relay.Target{Sink: "sink0"}))
	if leases, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "sink0", Room: 1}}); err != nil || len(leases) != 1 {
		t.Errorf("page %d: %d leased, %v", page, len(leases), err)
	}
	must(t, s.Close())
}
