package boltstore

import (
	"context"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// How much one transaction forgets: little enough that those who wait for the
// same commit hardly notice.
const (
	pruneChunk = 256
	pruneBytes = 1 << 20
)

// Prune implements relay.Store.
func (s *Store) Prune(ctx context.Context, p relay.Prune) (done relay.Pruned, err error) {
	for from, more := (relay.ID{}), true; more; {
		w := &pruning{before: relay.FloorID(p.Callbacks), from: from}
		if err := s.do(ctx, w); err != nil {
			return done, fmt.Errorf("prune callbacks: %w", err)
		}
		done.Callbacks += w.gone
		from, more = w.next, w.more
	}
	for from, more := []byte(nil), true; more; {
		w := &forgetting{before: relay.FloorID(p.Keys), from: from}
		if err := s.do(ctx, w); err != nil {
			return done, fmt.Errorf("prune keys: %w", err)
		}
		done.Keys += w.gone
		from, more = w.next, w.more
	}
	return done, nil
}

// pruning is the work of one chunk: callbacks from one ID to before another.
type pruning struct {
	from, before relay.ID

	gone int
	next relay.ID // where the next chunk starts
	more bool     // if there is one
}

func (w *pruning) size() int { return pruneBytes }

func (w *pruning) apply(b *batch) error {
	var old []relay.ID
	size := 0
	c := b.log.Cursor()
	for k, v := c.Seek(w.from[:]); k != nil && before(relay.ID(k), w.before); k, v = c.Next() {
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

func (b *batch) delPrefix(in *bbolt.Bucket, prefix []byte) error {
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

// forgetting is the work of one chunk of keys.
type forgetting struct {
	from   []byte
	before relay.ID

	gone int
	next []byte
	more bool
}

func (w *forgetting) size() int { return pruneBytes }

func (w *forgetting) apply(b *batch) error {
	var old [][]byte
	c := b.keys.Cursor()
	n := 0
	for k, v := c.Seek(w.from); k != nil; k, v = c.Next() {
		if n++; n > 16*pruneChunk || len(old) == pruneChunk {
			w.next, w.more = append([]byte(nil), k...), true
			break
		}
		if before(relay.ID(v[:16]), w.before) {
			old = append(old, k)
		}
	}
	for _, k := range old {
		w.gone++
		b.counts.Keys--
		if err := b.del(b.keys, k); err != nil {
			return err
		}
	}
	return nil
}
