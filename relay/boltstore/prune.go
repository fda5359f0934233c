package boltstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// How much one transaction forgets: little enough that those who wait for its
// commit hardly notice.
const (
	pruneChunk = 32
	pruneBytes = 1 << 20
)

// Prune implements relay.Store. A callback goes only when its key is in a run:
// after a restart, keys in memory are read from the log.
func (s *Store) Prune(ctx context.Context, p relay.Prune) (done relay.Pruned, err error) {
	callbacks, keys := relay.FloorID(p.Callbacks), relay.FloorID(p.Keys)
	if done.Callbacks, err = s.pruneLog(ctx, callbacks); err != nil {
		return done, fmt.Errorf("prune callbacks: %w", err)
	}
	if done.Keys, err = s.pruneKeys(ctx, keys); err != nil {
		return done, fmt.Errorf("prune keys: %w", err)
	}
	return done, nil
}

func (s *Store) pruneLog(ctx context.Context, bound relay.ID) (gone int, err error) {
	if s.remembers(bound) {
		if err := s.flush(ctx); err != nil {
			return 0, err
		}
	}
	for from, more := (relay.ID{}), true; more; {
		w := &pruning{before: bound, from: from}
		begun := time.Now()
		if err := s.do(ctx, w); err != nil {
			return gone, err
		}
		gone += w.gone
		from, more = w.next, w.more
		time.Sleep(2 * time.Since(begun)) // two thirds of the time are for others
	}
	return gone, nil
}

// remembers reports whether a key of a callback before bound is in memory only.
func (s *Store) remembers(bound relay.ID) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.ContainsFunc([][]entry{s.frozen.entries, s.published}, func(table []entry) bool {
		return len(table) > 0 && before(table[0].id, bound)
	})
}

// pruning is the work of one chunk: callbacks from one ID to before another.
type pruning struct {
	from, before relay.ID

	gone int
	next relay.ID // where the next chunk starts
	more bool     // if there is one
}

func (w *pruning) size() int { return pruneBytes }

// commits keeps each commit small: what a second of pruning touches would hold up
// callbacks for long.
func (*pruning) commits() {}

func (w *pruning) apply(b *batch) error {
	var old []relay.ID
	size := 0
	c := b.log.Cursor()
	for k, v := c.Seek(w.from[:]); k != nil && before(relay.ID(k), w.before) && !before(b.s.flushed, relay.ID(k)); k, v = c.Next() {
		if len(old) == pruneChunk || size > pruneBytes {
			w.next, w.more = relay.ID(k), true
			break
		}
		size += len(v)
		old = append(old, relay.ID(k))
	}
	r := newReader(b.tx)
	for _, id := range old {
		ok, err := b.prune(r, id)
		if err != nil {
			return err
		}
		if ok {
			w.gone++
		}
	}
	return nil
}

// prune forgets a callback, unless it owes something.
func (b *batch) prune(r *reader, id relay.ID) (bool, error) {
	e, cut := outline(id, r.log.Get(id[:]))
	r.follow(&e, false)
	if e.Callback.Damaged && b.mayOwe(id) {
		return false, nil
	}
	for i := range e.Deliveries {
		if e.Deliveries[i].State == relay.Pending {
			return false, nil
		}
	}
	b.counts.Callbacks--
	b.counts.Unmatched -= int64(bit(e.Callback.Unmatched, 1))
	b.counts.Conflicts -= int64(cut.flags & flagConflict / flagConflict)
	for i := range e.Deliveries {
		if d := &e.Deliveries[i]; d.Sink != "" {
			if err := b.leave(b.sink(d.Sink), d.State, d.ID); err != nil {
				return false, err
			}
		}
	}
	if err := b.delPrefix(b.after, id[:]); err != nil {
		return false, err
	}
	return true, b.del(b.log, id[:])
}

// mayOwe asks the index whether a callback whose record can't be read has a
// pending delivery.
func (b *batch) mayOwe(id relay.ID) bool {
	c := b.open.Cursor()
	for _, sink := range b.byName {
		prefix := append(openPrefix(relay.Pending, sink.number), id[:]...)
		if k, _ := c.Seek(prefix); hasPrefix(k, prefix) {
			return true
		}
	}
	return false
}

func (b *batch) delPrefix(in bucket, prefix []byte) error {
	var keys [][]byte
	c := in.Cursor()
	for k, _ := c.Seek(prefix); hasPrefix(k, prefix); k, _ = c.Next() {
		keys = append(keys, k)
	}
	for _, k := range keys {
		if err := b.del(in, k); err != nil {
			return err
		}
	}
	return nil
}

// pruneKeys forgets keys by moving the bound from which on they are known. Runs
// that are forgotten as a whole are dropped, once the log has nothing that old.
func (s *Store) pruneKeys(ctx context.Context, bound relay.ID) (gone int, err error) {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	w := &forgetting{}
	if err := s.view(ctx, func(tx *bbolt.Tx) error { s.countForgotten(tx, bound, w); return nil }); err != nil {
		return 0, err
	}
	if err := s.do(ctx, w); err != nil {
		return 0, err
	}
	drop := &publishing{}
	if err := s.view(ctx, func(tx *bbolt.Tx) error { drop.gone = s.forgotten(tx); return nil }); err != nil {
		return w.gone, err
	}
	if len(drop.gone) == 0 {
		return w.gone, nil
	}
	if err := s.do(ctx, drop); err != nil {
		return w.gone, err
	}
	return w.gone, (&flusher{s: s, ctx: ctx}).sweep()
}

// countForgotten prepares to move the bound, but not beyond the newest callback:
// the key of the next one must be known.
func (s *Store) countForgotten(tx *bbolt.Tx, bound relay.ID, w *forgetting) {
	s.mu.Lock()
	tables, runs, from, newest := [][]entry{s.published, s.frozen.entries}, s.runs, s.keysFrom, s.flushed
	s.mu.Unlock()
	if last, _ := tx.Bucket([]byte("log")).Cursor().Last(); last != nil && before(newest, relay.ID(last)) {
		newest = relay.ID(last)
	}
	if before(newest, bound) {
		bound = following(newest)
	}
	if w.bound = from; before(from, bound) {
		w.bound = bound
	}
	count := func(id relay.ID) {
		if !before(id, from) && before(id, w.bound) {
			w.gone++
		}
	}
	for _, table := range tables {
		for i := range table {
			count(table[i].id)
		}
	}
	for _, r := range runs {
		switch {
		case before(r.newest, from) || !before(r.oldest, w.bound):
		case !before(r.oldest, from) && before(r.newest, w.bound):
			w.gone += r.keys
		default:
			eachEntry(tx.Bucket([]byte("index")), r.number, keyKind, keySize, func(b []byte) { count(getKey(b).id) })
		}
	}
}

// following is the id after one.
func following(id relay.ID) relay.ID {
	for i := len(id) - 1; i >= 0; i-- {
		if id[i]++; id[i] != 0 {
			break
		}
	}
	return id
}

// forgetting is the work of moving that bound.
type forgetting struct {
	bound relay.ID
	gone  int
}

func (w *forgetting) size() int { return 64 }

func (w *forgetting) apply(b *batch) error {
	b.counts.Keys -= int64(w.gone)
	b.then = append(b.then, func() { b.s.keysFrom = w.bound })
	return b.put(b.meta, keysFromKey, w.bound[:])
}

var keysFromKey = []byte("keysFrom")

// forgotten lists the runs that nobody needs any more.
func (s *Store) forgotten(tx *bbolt.Tx) (gone []run) {
	s.mu.Lock()
	runs, from := s.runs, s.keysFrom
	s.mu.Unlock()
	oldest, _ := tx.Bucket([]byte("log")).Cursor().First()
	for _, r := range runs {
		if before(r.newest, from) && (oldest == nil || before(r.newest, relay.ID(oldest))) {
			gone = append(gone, r)
		}
	}
	return gone
}
