package boltstore

import (
	"context"
	"encoding/binary"
	"io/fs"
	"os"
	"runtime"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
)

// Break makes the next write fail as a broken disk would: of the journal, or of
// the database if there is none.
func Break(s *Store) {
	if s.journal == nil {
		s.db.Close()
		return
	}
	s.journal.f.Close()
}

// CountSyncs counts the syncs of the journal from now on. Nobody may write
// meanwhile.
func CountSyncs(s *Store) *int {
	n, sync := new(int), s.journal.sync
	s.journal.sync = func(f *os.File) error { *n++; return sync(f) }
	return n
}

// Stall keeps the writer busy until release is called.
func Stall(s *Store) (release func()) {
	w := stalling{make(chan struct{}), make(chan struct{})}
	s.offer(w)
	<-w.begun
	return func() { close(w.end) }
}

type stalling struct{ begun, end chan struct{} }

func (w stalling) size() int { return maxGroupBytes }

func (w stalling) apply(*batch) error {
	close(w.begun)
	<-w.end
	return nil
}

// FullWith has the disk seem full for the group that holds the work of do.
func FullWith(s *Store, do func()) {
	release := Stall(s)
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
	}()
	for len(s.queue) == 0 {
		runtime.Gosched()
	}
	s.offer(noSpace{})
	release()
	<-done
}

type noSpace struct{}

func (noSpace) size() int { return 0 }

func (noSpace) apply(*batch) error {
	return &fs.PathError{Op: "write", Path: "kurir.db", Err: syscall.ENOSPC}
}

// SetBack has what waits seem decided later than now, as if the clock had been
// set back since.
func SetBack(s *Store, by time.Duration) error {
	if err := s.do(context.Background(), redating{by}); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.wall = s.wall.Add(by)
	return nil
}

type redating struct{ by time.Duration }

func (redating) size() int { return 0 }

func (w redating) apply(b *batch) error {
	entries := map[string][]byte{}
	for c, k, v := cursor(b.due.Bucket); k != nil; k, v = c.Next() {
		if len(k) == timedSize {
			lane := laneHash(v)
			entries[string(k)] = binary.BigEndian.AppendUint64(lane[:], uint64(decidedAt(v).Add(w.by).UnixNano()))
		}
	}
	for k, v := range entries {
		if err := b.put(b.due, []byte(k), v); err != nil {
			return err
		}
	}
	return nil
}

func cursor(in *bbolt.Bucket) (c *bbolt.Cursor, k, v []byte) {
	c = in.Cursor()
	k, v = c.First()
	return c, k, v
}

// CatchUp has the database take over what the journal has.
func CatchUp(s *Store) error { return s.do(context.Background(), committing{}) }

// Leave leaves behind a part of a run that never came to be.
func Leave(s *Store) error {
	key := blockKey(1<<30, keyKind, 0)
	return s.do(context.Background(), &indexing{index: []pair{{key, seal(key, newRecord(0))}}})
}

// Sweep deletes what is left of such runs.
func Sweep(s *Store) error { return (&flusher{s: s, ctx: context.Background()}).sweep() }
