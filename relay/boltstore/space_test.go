package boltstore_test

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// After a large prune the list of free pages is not written with each commit.
// The space is used again all the same, also after a crash and after a good end.
func TestPrunedSpaceIsUsedAgain(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	const size = 20_000
	received := time.Unix(1_700_000_000, 0)
	fill := func(s relay.Store) {
		t.Helper()
		for range size / 500 {
			var in []relay.Inbound
			for range 500 {
				received = received.Add(time.Second)
				c := callback(int(received.Unix()))
				c.Callback.ReceivedAt, c.Callback.Body = received, append(c.Callback.Body, make([]byte, 1000)...)
				in = append(in, c)
			}
			accept(t, s, in...)
		}
	}
	prune := func(s relay.Store) {
		t.Helper()
		n, err := s.Prune(t.Context(), relay.Prune{Callbacks: received.Add(-9 * time.Second)})
		if err != nil || n.Callbacks < size-10 {
			t.Fatalf("%d pruned, %v", n.Callbacks, err)
		}
	}
	fill(s)
	prune(s)
	full := len(read(t, filepath.Join(dir, "kurir.db")))

	crashed := copyOf(t, dir)
	must(t, boltstore.Check(filepath.Join(crashed, "kurir.db")))
	s = open(t, crashed)
	if n := len(list(t, s)); n != 10 {
		t.Fatalf("%d callbacks are left", n)
	}
	for range 2 {
		fill(s)
		prune(s)
		must(t, s.Close())
		must(t, boltstore.Check(filepath.Join(crashed, "kurir.db")))
		if now := len(read(t, filepath.Join(crashed, "kurir.db"))); now > full*3/2 {
			t.Errorf("%d bytes became %d for as many callbacks", full, now)
		}
		s = open(t, crashed)
	}
}
