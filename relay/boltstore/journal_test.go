package boltstore_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// crashed gives the files of a store that ended without notice after it accepted
// n callbacks, one by one, and delivered every third. The database has half of
// them, the journal the rest.
func crashed(t *testing.T, n int) string {
	t.Helper()
	dir := t.TempDir()
	s := open(t, dir)
	for i := range n {
		accept(t, s, callback(i, relay.Target{Sink: "ops"}))
		if i%3 == 0 {
			leases, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "ops", Room: 1}})
			must(t, err)
			_, err = s.Settle(t.Context(), []relay.Outcome{{ID: leases[0].Delivery.ID, Token: leases[0].Token, State: relay.Delivered}})
			must(t, err)
		}
		if i == n/2 {
			_, err := s.Stats(t.Context()) // has the database catch up
			must(t, err)
		}
	}
	release := boltstore.Stall(s)
	defer release()
	return copyOf(t, dir)
}

// hasAll checks that the store in dir has n callbacks, once each, and that what
// is delivered is not owed any more.
func hasAll(t *testing.T, dir string, n int) {
	t.Helper()
	s := open(t, dir)
	if got := len(list(t, s)); got != n {
		t.Fatalf("%d callbacks of %d", got, n)
	}
	leases, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "ops", Room: 2 * n}})
	must(t, err)
	if want := n - (n+2)/3; len(leases) != want {
		t.Errorf("%d are owed, not %d", len(leases), want)
	}
	for i := range n {
		if r, err := s.Append(t.Context(), []relay.Inbound{callback(i)}); err != nil || !r[0].Duplicate {
			t.Fatalf("callback %d: %+v, %v", i, r, err)
		}
	}
	must(t, s.Close())
	must(t, boltstore.Check(filepath.Join(dir, "kurir.db")))
}

func TestWhatOnlyTheJournalHasIsThereAfterACrash(t *testing.T) {
	const n = 60
	dir := crashed(t, n)
	again := copyOf(t, dir)
	hasAll(t, dir, n)

	// A crash right after the start, before the database has caught up.
	for range 3 {
		s := open(t, again)
		release := boltstore.Stall(s)
		next := copyOf(t, again)
		release()
		must(t, s.Close())
		again = next
	}
	hasAll(t, again, n)
}

func TestEveryFrameIsSynced(t *testing.T) {
	s, err := boltstore.Open(t.TempDir(), boltstore.Options{})
	must(t, err)
	defer s.Close()
	syncs := boltstore.CountSyncs(s)
	for i := range 10 {
		accept(t, s, callback(i))
		if *syncs != i+1 {
			t.Fatalf("%d syncs for %d callbacks, one after the other", *syncs, i+1)
		}
	}
}

func TestAGoodEndLeavesNoJournal(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 10)
	if _, err := os.Stat(filepath.Join(dir, "kurir.journal")); !errors.Is(err, os.ErrNotExist) {
		t.Error(err)
	}
	fresh := t.TempDir() // the database alone is all there is
	must(t, boltstore.Restore(fresh, filepath.Join(dir, "kurir.db")))
	if got := len(list(t, open(t, fresh))); got != 10 {
		t.Errorf("%d callbacks", got)
	}
}

// frames gives where the frames of a journal begin that count.
func frames(t *testing.T, dir string) (at []int) {
	t.Helper()
	b := read(t, filepath.Join(dir, "kurir.journal"))
	number := func(i int) uint64 {
		var n uint64
		for _, c := range b[i+8 : i+16] {
			n = n<<8 | uint64(c)
		}
		return n
	}
	for i, last := 4096, uint64(0); i+24 <= len(b) && number(i) > last; i += 4096 {
		last = number(i)
		at = append(at, i)
	}
	if len(at) < 5 {
		t.Fatalf("only %d frames", len(at))
	}
	return at
}

func TestADamagedJournalIsNoticed(t *testing.T) {
	const n = 60
	dir := crashed(t, n)
	path := func(dir string) string { return filepath.Join(dir, "kurir.journal") }
	at := frames(t, dir)
	middle := at[len(at)/2]
	for name, harm := range map[string]func(t *testing.T, dir string){
		"missing":                  func(t *testing.T, dir string) { remove(t, path(dir)) },
		"empty":                    func(t *testing.T, dir string) { truncate(t, path(dir), 0) },
		"of another store":         func(t *testing.T, dir string) { write(t, path(dir), read(t, path(crashed(t, 9)))) },
		"its beginning":            func(t *testing.T, dir string) { flip(t, path(dir), 12) },
		"a frame's number":         func(t *testing.T, dir string) { flip(t, path(dir), middle+15) },
		"a frame's length":         func(t *testing.T, dir string) { flip(t, path(dir), middle+6) },
		"a frame's changes":        func(t *testing.T, dir string) { flip(t, path(dir), middle+60) },
		"an older database":        olderDatabase,
		"another store's database": otherDatabase,
	} {
		t.Run(name, func(t *testing.T) {
			dir := copyOf(t, dir)
			harm(t, dir)
			_, err := boltstore.Open(dir, boltstore.Options{NoSync: true})
			if !errors.Is(err, boltstore.ErrDamaged) || !strings.Contains(fmt.Sprint(err), "kurir compact") {
				t.Errorf("got %v", err)
			}
		})
	}
}

// olderDatabase puts one in place that was copied before the journal began.
func olderDatabase(t *testing.T, dir string) {
	t.Helper()
	old := t.TempDir()
	filled(t, old, 3)
	must(t, boltstore.Restore(filepath.Join(old, "again"), filepath.Join(old, "kurir.db")))
	changeIdentity(t, filepath.Join(old, "again"), dir)
	write(t, filepath.Join(dir, "kurir.db"), read(t, filepath.Join(old, "again", "kurir.db")))
}

// changeIdentity gives dir the store's name of another directory, and leaves the
// rest.
func changeIdentity(t *testing.T, from, dir string) {
	t.Helper()
	var there, here map[string]any
	must(t, json.Unmarshal(read(t, filepath.Join(from, "kurir.id")), &there))
	must(t, json.Unmarshal(read(t, filepath.Join(dir, "kurir.id")), &here))
	here["store"] = there["store"]
	b, err := json.Marshal(here)
	must(t, err)
	write(t, filepath.Join(dir, "kurir.id"), b)
}

func otherDatabase(t *testing.T, dir string) {
	t.Helper()
	other := crashed(t, 9)
	changeIdentity(t, other, dir)
	write(t, filepath.Join(dir, "kurir.db"), read(t, filepath.Join(other, "kurir.db")))
}

// A frame that was cut off by the crash was acknowledged to nobody.
func TestAFrameThatWasCutOffIsForgotten(t *testing.T) {
	const n = 60
	dir := crashed(t, n)
	at := frames(t, dir)
	last := at[len(at)-1] // it has the last callback, or its outcome
	b := read(t, filepath.Join(dir, "kurir.journal"))
	clear(b[last+100 : last+4096])
	write(t, filepath.Join(dir, "kurir.journal"), b)
	s := open(t, dir)
	if got := len(list(t, s)); got != n-1 {
		t.Errorf("%d callbacks of %d", got, n)
	}
	if r, err := s.Append(t.Context(), []relay.Inbound{callback(n - 1)}); err != nil || r[0].Duplicate {
		t.Errorf("sent again: %+v, %v", r, err)
	}
}

// What is larger than the journal, or than what is left of it, is a commit of
// its own.
func TestAJournalTooSmallLosesNothing(t *testing.T) {
	dir := t.TempDir()
	s, err := boltstore.Open(dir, boltstore.Options{NoSync: true, Journal: 1})
	must(t, err)
	const n = 20
	for i := range n {
		in := callback(i)
		in.Callback.Header = map[string][]string{"Big": {string(make([]byte, i*1000))}}
		accept(t, s, in)
	}
	release := boltstore.Stall(s)
	after := copyOf(t, dir)
	release()
	must(t, s.Close())
	for _, dir := range []string{dir, after} {
		if got := len(list(t, open(t, dir))); got != n {
			t.Errorf("%d callbacks of %d", got, n)
		}
	}
}

func TestCompactAfterACrashHasWhatTheJournalHas(t *testing.T) {
	const n = 60
	dir := crashed(t, n)
	saved := filepath.Join(t.TempDir(), "saved.db")
	for _, dst := range []string{saved, ""} {
		_, _, err := boltstore.CompactIn(dir, dst)
		must(t, err)
	}
	hasAll(t, dir, n)
	fresh := t.TempDir()
	must(t, boltstore.Restore(fresh, saved))
	hasAll(t, fresh, n)
}

// Of a damaged database too, what its journal has is saved: that it is the newest
// makes it worth the most.
func TestCompactOfADamagedStoreHasWhatTheJournalHas(t *testing.T) {
	const n = 60
	dir := crashed(t, n)
	flipAll(t, filepath.Join(dir, "kurir.db"), []byte(`"T-7"}`))
	flip(t, filepath.Join(dir, "kurir.id"), 12) // nothing starts here any more
	changeIdentity(t, crashed(t, 9), dir)
	saved := filepath.Join(t.TempDir(), "saved.db")
	_, _, err := boltstore.CompactIn(dir, saved)
	must(t, err)
	fresh := t.TempDir()
	must(t, boltstore.Restore(fresh, saved))
	if got := len(list(t, open(t, fresh))); got != n {
		t.Errorf("%d callbacks of %d", got, n)
	}
}

// An identity from before names no journal: it is not passed over all the same.
func TestAJournalThatNothingNamesIsNotOverwritten(t *testing.T) {
	dir := crashed(t, 60)
	was := read(t, filepath.Join(dir, "kurir.journal"))
	var id struct{ Store string }
	must(t, json.Unmarshal(read(t, filepath.Join(dir, "kurir.id")), &id))
	write(t, filepath.Join(dir, "kurir.id"), fmt.Appendf(nil, `{"store":%q}`, id.Store))
	if _, err := boltstore.Open(dir, boltstore.Options{NoSync: true}); !errors.Is(err, boltstore.ErrDamaged) {
		t.Errorf("got %v", err)
	}
	if string(read(t, filepath.Join(dir, "kurir.journal"))) != string(was) {
		t.Error("it was overwritten")
	}
}

func TestADatabaseWithoutItsJournalIsNotRestored(t *testing.T) {
	for name, harm := range map[string]func(id string){
		"whole":                        func(string) {},
		"without its identity":         func(id string) { remove(t, id) },
		"with an identity damaged":     func(id string) { truncate(t, id, 0) },
		"with an identity from before": func(id string) { write(t, id, []byte(`{"store":"x"}`)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := crashed(t, 9)
			harm(filepath.Join(dir, "kurir.id"))
			err := boltstore.Restore(t.TempDir(), filepath.Join(dir, "kurir.db"))
			if !errors.Is(err, boltstore.ErrDamaged) || !strings.Contains(fmt.Sprint(err), "kurir.journal") {
				t.Errorf("got %v", err)
			}
			saved, fresh := filepath.Join(t.TempDir(), "saved.db"), t.TempDir()
			_, _, err = boltstore.CompactIn(dir, saved)
			must(t, err)
			must(t, boltstore.Restore(fresh, saved))
			hasAll(t, fresh, 9)
		})
	}
}
