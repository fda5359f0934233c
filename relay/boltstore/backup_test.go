package boltstore_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"iter"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

var noContext = context.Background()

// entries follows a query to its end.
func entries(t *testing.T, s relay.Store, q relay.Query) iter.Seq[relay.Entry] {
	return func(yield func(relay.Entry) bool) {
		for more := true; more; more = !q.Cursor.IsZero() {
			p, err := s.List(noContext, q)
			must(t, err)
			for _, e := range p.Entries {
				if !yield(e) {
					return
				}
			}
			q.Cursor = p.Next
		}
	}
}

func list(t *testing.T, s relay.Store) (ids []relay.ID) {
	t.Helper()
	for e := range entries(t, s, relay.Query{}) {
		ids = append(ids, e.Callback.ID)
	}
	slices.Reverse(ids)
	return ids
}

func TestABackupRestoresWhatWasThere(t *testing.T) {
	s := open(t, t.TempDir())
	ids := accept(t, s, callback(1, relay.Target{Sink: "ops"}), callback(2))
	backup := filepath.Join(t.TempDir(), "backup")
	f, err := os.Create(backup)
	must(t, err)
	n, err := s.Backup(t.Context(), f)
	must(t, errors.Join(err, f.Close()))
	if info, err := os.Stat(backup); err != nil || info.Size() != n || n == 0 {
		t.Errorf("%d bytes said, %v, %v", n, info, err)
	}
	accept(t, s, callback(3))

	dir := filepath.Join(t.TempDir(), "restored")
	must(t, boltstore.Restore(dir, backup))
	restored := open(t, dir)
	if got := list(t, restored); !slices.Equal(got, ids) {
		t.Errorf("restored %v, wanted %v", got, ids)
	}
	accept(t, restored, callback(4))
	if err := boltstore.Restore(dir, backup); err == nil || errors.Is(err, boltstore.ErrDamaged) {
		t.Errorf("a restore over a store in use: %v", err)
	}
	must(t, restored.Close())
	if err := boltstore.Restore(dir, backup); err == nil || !strings.Contains(err.Error(), "never overwrites") {
		t.Errorf("a restore over a store: %v", err)
	}
}

func TestADamagedBackupIsNotRestored(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 50)
	b := read(t, filepath.Join(dir, "kurir.db"))
	for what, damaged := range map[string][]byte{
		"empty": {}, "cut": b[:8192*6], "a text": bytes.Repeat([]byte("no"), 10000),
		"a page of zeros": slices.Concat(b[:8192*5], make([]byte, 8192), b[8192*6:]),
	} {
		path, to := filepath.Join(t.TempDir(), "backup"), t.TempDir()
		write(t, path, damaged)
		if err := boltstore.Restore(to, path); !errors.Is(err, boltstore.ErrDamaged) {
			t.Errorf("%s: %v", what, err)
		}
		for _, name := range []string{"kurir.db", "kurir.id"} {
			if _, err := os.Stat(filepath.Join(to, name)); err == nil {
				t.Errorf("%s: %s was left behind", what, name)
			}
		}
	}
}

// A reader of a backup that never reads holds up neither writers nor growth.
func TestASlowBackupHoldsUpNobody(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	accept(t, s, callback(0))
	r, w := io.Pipe()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	go func() {
		_, err := s.Backup(ctx, w)
		done <- err
	}()
	_, err := io.ReadFull(r, make([]byte, 10)) // from here on it waits for its reader
	must(t, err)
	for n := range 200 {
		in := callback(n + 1)
		in.Callback.Body = make([]byte, 100<<10)
		accept(t, s, in)
	}
	cancel()
	r.CloseWithError(io.ErrClosedPipe)
	if err := <-done; err == nil {
		t.Error("a backup that nobody read ended well")
	}
	left, err := filepath.Glob(filepath.Join(dir, "kurir.backup-*"))
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

func TestCompactKeepsEverythingInLess(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	var in []relay.Inbound
	for n := range 2000 {
		in = append(in, callback(n))
		in[n].Callback.ReceivedAt = time.Unix(int64(n+1), 0)
	}
	ids := accept(t, s, in...)
	_, err := s.Prune(t.Context(), relay.Prune{Callbacks: time.Unix(1901, 0)})
	must(t, err)
	path := filepath.Join(dir, "kurir.db")
	if err := boltstore.Compact(path, filepath.Join(t.TempDir(), "c")); !errors.Is(err, boltstore.ErrLocked) {
		t.Errorf("compacting a store in use: %v", err)
	}
	must(t, s.Close())
	compact := filepath.Join(t.TempDir(), "compact")
	must(t, boltstore.Compact(path, compact))
	if a, b := len(read(t, path)), len(read(t, compact)); b > a/2 {
		t.Errorf("%d bytes became %d", a, b)
	}
	to := t.TempDir()
	must(t, boltstore.Restore(to, compact))
	s = open(t, to)
	if got := list(t, s); !slices.Equal(got, ids[1900:]) {
		t.Errorf("%d callbacks, wanted 100", len(got))
	}
	if r, err := s.Append(t.Context(), in[:1]); err != nil || !r[0].Duplicate {
		t.Errorf("an old key got %+v, %v", r, err)
	}
}
