package boltstore_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// open opens a store that is closed with the test.
// small is a journal that a test makes in no time, and that is soon full.
const small = 256 << 10

func open(t *testing.T, dir string) *boltstore.Store {
	t.Helper()
	s, err := boltstore.Open(dir, boltstore.Options{NoSync: true, Journal: small})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// callback is the n-th of a test.
func callback(n int, targets ...relay.Target) relay.Inbound {
	ref := fmt.Sprint("T-", n)
	return relay.Inbound{Key: relay.Key{ref}, Targets: targets,
		Callback: relay.Callback{Source: "shop", RefID: ref, Body: fmt.Appendf(nil, `{"ref_id":%q}`, ref)}}
}

func accept(t *testing.T, s relay.Store, in ...relay.Inbound) (ids []relay.ID) {
	t.Helper()
	receipts, err := s.Append(t.Context(), in)
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range receipts {
		ids = append(ids, r.ID)
	}
	return ids
}

// filled makes a closed store with n callbacks in it.
func filled(t *testing.T, dir string, n int) (ids []relay.ID) {
	t.Helper()
	s := open(t, dir)
	for i := range n {
		ids = append(ids, accept(t, s, callback(i, relay.Target{Sink: "ops", Lane: "l"}))...)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	return ids
}

func TestOpenRefusesWhatIsNotItsDatabase(t *testing.T) {
	db := func(dir string) string { return filepath.Join(dir, "kurir.db") }
	for _, tt := range []struct {
		what   string
		damage func(t *testing.T, dir string)
		err    error
		says   string
	}{
		{"the database is missing", func(t *testing.T, dir string) { remove(t, db(dir)) }, boltstore.ErrDamaged, "missing"},
		{"the database is empty", func(t *testing.T, dir string) { truncate(t, db(dir), 0) }, boltstore.ErrDamaged, "too short"},
		{"the database is cut", func(t *testing.T, dir string) { truncate(t, db(dir), 3*8192) }, boltstore.ErrDamaged, "truncated"},
		{"the database is cut to a header", func(t *testing.T, dir string) { truncate(t, db(dir), 8192) }, boltstore.ErrDamaged, "second header"},
		{"the database is a text", func(t *testing.T, dir string) { write(t, db(dir), bytes.Repeat([]byte("text\n"), 9999)) }, boltstore.ErrDamaged, "header"},
		{"the database is another program's", foreign, boltstore.ErrDamaged, "not a database of this program"},
		{"the database is another store's", func(t *testing.T, dir string) {
			other := t.TempDir()
			filled(t, other, 1)
			write(t, db(dir), read(t, db(other)))
		}, boltstore.ErrDamaged, "another store"},
		{"the identity is missing", func(t *testing.T, dir string) { remove(t, filepath.Join(dir, "kurir.id")) }, boltstore.ErrDamaged, "kurir.id"},
		{"the identity is empty", func(t *testing.T, dir string) { truncate(t, filepath.Join(dir, "kurir.id"), 0) }, boltstore.ErrDamaged, "kurir.id"},
		{"the first header has a flipped bit", func(t *testing.T, dir string) { flip(t, db(dir), 16+50) }, boltstore.ErrDamaged, "first header"},
		{"the second header has a flipped bit", func(t *testing.T, dir string) { flip(t, db(dir), 8192+16+50) }, boltstore.ErrDamaged, "second header"},
		{"the schema is newer", newer, boltstore.ErrNewer, "schema 1000"},
	} {
		t.Run(tt.what, func(t *testing.T) {
			dir := t.TempDir()
			filled(t, dir, 20)
			tt.damage(t, dir)
			before := contents(t, dir)
			for range 2 {
				s, err := boltstore.Open(dir, boltstore.Options{})
				if err == nil {
					s.Close()
				}
				if !errors.Is(err, tt.err) || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, wanted %v that says %q", err, tt.err, tt.says)
				}
				if tt.err == boltstore.ErrDamaged && !strings.Contains(err.Error(), "kurir restore") {
					t.Errorf("%v: names no way to recover", err)
				}
			}
			if after := contents(t, dir); after != before {
				t.Errorf("the directory was changed:\n%s\n%s", before, after)
			}
		})
	}
}

// foreign puts a bbolt file of another program in the place of the database.
func foreign(t *testing.T, dir string) {
	path := filepath.Join(dir, "kurir.db")
	remove(t, path)
	db, err := bbolt.Open(path, 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Close(); err != nil {
		t.Fatal(err)
	}
}

func newer(t *testing.T, dir string) {
	db, err := bbolt.Open(filepath.Join(dir, "kurir.db"), 0o600, nil)
	if err != nil {
		t.Fatal(err)
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		return tx.Bucket([]byte("meta")).Put([]byte("schema"), []byte{0, 0, 3, 232})
	})
	if err := errors.Join(err, db.Close()); err != nil {
		t.Fatal(err)
	}
}

func TestACrashWhileTheStoreIsMadeIsCarriedOnFrom(t *testing.T) {
	for what, crash := range map[string]func(t *testing.T, dir string){
		"before the identity": func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "kurir.id"))
			rename(t, filepath.Join(dir, "kurir.db"), filepath.Join(dir, "kurir.db.new"))
		},
		"with half a database": func(t *testing.T, dir string) {
			remove(t, filepath.Join(dir, "kurir.id"))
			rename(t, filepath.Join(dir, "kurir.db"), filepath.Join(dir, "kurir.db.new"))
			truncate(t, filepath.Join(dir, "kurir.db.new"), 5000)
		},
		"after the identity": func(t *testing.T, dir string) {
			rename(t, filepath.Join(dir, "kurir.db"), filepath.Join(dir, "kurir.db.new"))
		},
	} {
		t.Run(what, func(t *testing.T) {
			dir := t.TempDir()
			filled(t, dir, 0)
			crash(t, dir)
			accept(t, open(t, dir), callback(1))
		})
	}
}

func TestASecondProcessIsToldWhoHoldsTheStore(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	_, err := boltstore.Open(dir, boltstore.Options{})
	if !errors.Is(err, boltstore.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint("process ", os.Getpid(), " on ")) {
		t.Errorf("got %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, dir)
}

func TestNobodyElseMayReadTheFiles(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new", "data")
	check := func(names ...string) {
		t.Helper()
		for _, name := range names {
			info, err := os.Stat(filepath.Join(dir, name))
			must(t, err)
			if info.Mode().Perm()&0o077 != 0 {
				t.Errorf("%s has mode %s", info.Name(), info.Mode())
			}
		}
	}
	must(t, open(t, dir).Close())
	files := []string{"kurir.db", "kurir.id", "kurir.lock"}
	check(append(files, "")...)
	for _, name := range files { // as a copy has them
		must(t, os.Chmod(filepath.Join(dir, name), 0o666))
	}
	open(t, dir)
	check(files...)

	dir = crashed(t, 20)
	files = append(files, "kurir.journal")
	for _, name := range files {
		must(t, os.Chmod(filepath.Join(dir, name), 0o666))
	}
	open(t, dir)
	check(files...)
}

// contents names what is in a directory, the lock aside.
func contents(t *testing.T, dir string) string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		if e.Name() != "kurir.lock" {
			b := read(t, filepath.Join(dir, e.Name()))
			all = append(all, fmt.Sprintf("%s %d bytes %x", e.Name(), len(b), sum(b)))
		}
	}
	return strings.Join(all, "\n")
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func remove(t *testing.T, path string)          { t.Helper(); must(t, os.Remove(path)) }
func rename(t *testing.T, from, to string)      { t.Helper(); must(t, os.Rename(from, to)) }
func truncate(t *testing.T, p string, n int64)  { t.Helper(); must(t, os.Truncate(p, n)) }
func write(t *testing.T, path string, b []byte) { t.Helper(); must(t, os.WriteFile(path, b, 0o600)) }

func read(t *testing.T, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	must(t, err)
	return b
}

func flip(t *testing.T, path string, at int) {
	t.Helper()
	b := read(t, path)
	b[at] ^= 1
	write(t, path, b)
}
