package boltstore

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"fmt"
	"math/bits"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// Blocks that one transaction writes or deletes.
const blockChunk = 32

// flush writes the entries that are in memory into a run. It takes turns with
// itself; appends go on meanwhile.
func (s *Store) flush(ctx context.Context) error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	f := &flusher{s: s, ctx: ctx}
	if err := f.run(); err != nil {
		return fmt.Errorf("write the index: %w", err)
	}
	return nil
}

// flushLater flushes without anyone waiting; a failure is tried again with the
// next commit.
func (s *Store) flushLater() {
	if s.flushQueued.Swap(true) {
		return
	}
	s.background.Go(func() {
		defer s.flushQueued.Store(false)
		s.flush(context.Background())
	})
}

// A flusher makes one run.
type flusher struct {
	s   *Store
	ctx context.Context

	made    run
	replace []run // runs that the new one takes in
	keys    []entry
	refs    []entry
}

func (f *flusher) run() error {
	if err := f.s.do(f.ctx, freezing{}); err != nil {
		return err
	}
	f.s.mu.Lock()
	frozen, runs := f.s.frozen.entries, f.s.runs
	f.s.mu.Unlock()
	if err := f.sweep(); err != nil || len(frozen) == 0 {
		return err
	}
	if err := f.gather(frozen, runs); err != nil {
		return err
	}
	if err := f.write(); err != nil {
		return err
	}
	if err := f.s.do(f.ctx, &publishing{made: &f.made, gone: f.replace}); err != nil {
		return err
	}
	return f.sweep()
}

// gather collects what goes into the run: what is frozen, and the newest run if
// both are small.
func (f *flusher) gather(frozen []entry, runs []run) error {
	f.made = run{number: 1, oldest: frozen[0].id, newest: frozen[len(frozen)-1].id}
	f.keys = slices.Clone(frozen)
	for _, e := range frozen {
		if e.ref != (refHash{}) {
			f.refs = append(f.refs, e)
		}
	}
	if len(runs) > 0 {
		f.made.number = runs[0].number + 1
		if runs[0].keys+len(frozen) <= f.s.opts.Recent {
			if err := f.takeIn(runs[0]); err != nil {
				return err
			}
		}
	}
	slices.SortFunc(f.keys, func(a, b entry) int { // the newest of a key first: an older one is forgotten
		return cmp.Or(bytes.Compare(a.key[:], b.key[:]), bytes.Compare(b.id[:], a.id[:]))
	})
	slices.SortFunc(f.refs, func(a, b entry) int { return bytes.Compare(a.ref[:], b.ref[:]) })
	f.made.keys, f.made.refs = len(f.keys), len(f.refs)
	f.made.bits = bits.Len(uint(max(len(f.keys), len(f.refs)) / blockFill))
	return nil
}

// takeIn reads a run, without what is forgotten by now.
func (f *flusher) takeIn(r run) error {
	f.replace = append(f.replace, r)
	f.made.oldest = r.oldest
	f.s.mu.Lock()
	keysFrom := f.s.keysFrom
	f.s.mu.Unlock()
	return f.s.view(f.ctx, func(tx *bbolt.Tx) error {
		index := tx.Bucket([]byte("index"))
		eachEntry(index, r.number, keyKind, keySize, func(b []byte) {
			if e := getKey(b); !before(e.id, keysFrom) {
				f.keys = append(f.keys, e)
			}
		})
		var logFrom relay.ID
		if k, _ := tx.Bucket([]byte("log")).Cursor().First(); k != nil {
			logFrom = relay.ID(k)
		}
		eachEntry(index, r.number, refKind, refSize, func(b []byte) {
			if id := relay.ID(b[8:]); !before(id, logFrom) {
				f.refs = append(f.refs, entry{ref: refHash(b), id: id})
			}
		})
		return nil
	})
}

// eachEntry goes through one kind of a run's entries. Damaged blocks are left out.
func eachEntry(index *bbolt.Bucket, number uint32, kind byte, size int, do func(b []byte)) {
	prefix := append(runKey(number), kind)
	c := index.Cursor()
	for k, v := c.Seek(prefix); hasPrefix(k, prefix); k, v = c.Next() {
		block, _ := unseal(k, v)
		for ; len(block) >= size; block = block[size:] {
			do(block)
		}
	}
}

// write writes the blocks and the filter of the run, chunk by chunk.
func (f *flusher) write() error {
	filter := newFilter(len(f.keys))
	for i := range f.keys {
		filter.add(f.keys[i].key)
	}
	at := runKey(f.made.number)
	if err := f.s.do(f.ctx, &indexing{filters: []pair{{at, seal(at, append(newRecord(len(filter)), filter...))}}}); err != nil {
		return err
	}
	if err := f.writeKind(keyKind, f.keys, func(e *entry) []byte { return e.key[:] }, putKey); err != nil {
		return err
	}
	return f.writeKind(refKind, f.refs, func(e *entry) []byte { return e.ref[:] }, putRef)
}

func putRef(b []byte, e *entry) []byte { return append(append(b, e.ref[:]...), e.id[:]...) }

// writeKind writes entries that are sorted by their hash.
func (f *flusher) writeKind(kind byte, entries []entry, hash func(*entry) []byte, put func([]byte, *entry) []byte) error {
	w := &indexing{}
	for len(entries) > 0 {
		block := f.made.blockOf(hash(&entries[0]))
		key, rec := blockKey(f.made.number, kind, block), newRecord(blockFill*keySize)
		for len(entries) > 0 && f.made.blockOf(hash(&entries[0])) == block {
			rec = put(rec, &entries[0])
			entries = entries[1:]
		}
		w.index = append(w.index, pair{key, seal(key, rec)})
		if len(w.index) < blockChunk && len(entries) > 0 {
			continue
		}
		if err := f.s.do(f.ctx, w); err != nil {
			return err
		}
		w = &indexing{}
	}
	return nil
}

// sweep deletes what is left of runs that are no more, or never came to be.
func (f *flusher) sweep() error {
	for {
		w := &sweeping{}
		if err := f.s.do(f.ctx, w); err != nil || len(w.keys) == 0 {
			return err
		}
	}
}

// freezing sets the entries in memory aside, to be written.
type freezing struct{}

func (freezing) size() int { return 0 }

func (freezing) apply(b *batch) error {
	b.then = append(b.then, func() {
		if s := b.s; len(s.frozen.entries) == 0 {
			s.frozen, s.recent = s.recent, &keyTable{}
		}
	})
	return nil
}

// indexing writes a part of a run.
type indexing struct{ index, filters []pair }

type pair struct{ key, value []byte }

func (w *indexing) size() (n int) {
	for _, p := range append(w.index, w.filters...) {
		n += len(p.value)
	}
	return n
}

func (w *indexing) apply(b *batch) error {
	b.index.FillPercent = 1
	for _, p := range w.index {
		if err := b.put(b.index, p.key, p.value); err != nil {
			return err
		}
	}
	for _, p := range w.filters {
		if err := b.put(b.filters, p.key, p.value); err != nil {
			return err
		}
	}
	return nil
}

// publishing puts a run in force, in place of others and of what was frozen.
// Without a run it takes others out of force.
type publishing struct {
	made *run
	gone []run
}

func (*publishing) size() int { return 256 }

func (*publishing) commits() {}

func (w *publishing) apply(b *batch) error {
	for _, r := range w.gone {
		if err := b.del(b.runs, runKey(r.number)); err != nil {
			return err
		}
	}
	if w.made != nil {
		key := runKey(w.made.number)
		if err := b.put(b.runs, key, seal(key, encodeRun(w.made))); err != nil {
			return err
		}
	}
	b.then = append(b.then, func() { b.s.publish(w) })
	return nil
}

// publish makes it so in memory. Readers may hold the list that was.
func (s *Store) publish(w *publishing) {
	kept := slices.DeleteFunc(slices.Clone(s.runs), func(r run) bool {
		return slices.ContainsFunc(w.gone, func(g run) bool { return g.number == r.number })
	})
	s.runs = kept
	if w.made != nil {
		s.runs = append([]run{*w.made}, kept...)
		s.flushed = w.made.newest
		s.frozen = &keyTable{}
	}
}

// sweeping deletes blocks and filters of runs that are not in force.
type sweeping struct{ keys, filters [][]byte }

// find finds a chunk of what to delete.
func (w *sweeping) find(b *batch) error {
	runs, c := b.runs, b.index.Cursor()
	for k, _ := c.First(); k != nil && len(w.keys) < 4*blockChunk; {
		number := binary.BigEndian.Uint32(k)
		if runs.Get(k[:4]) != nil {
			k, _ = c.Seek(runKey(number + 1))
			continue
		}
		w.keys = append(w.keys, slices.Clone(k))
		k, _ = c.Next()
	}
	return b.filters.ForEach(func(k, _ []byte) error {
		if runs.Get(k) == nil {
			w.filters = append(w.filters, slices.Clone(k))
		}
		return nil
	})
}

func (w *sweeping) size() int { return 1 << 16 }

func (w *sweeping) apply(b *batch) error {
	if err := w.find(b); err != nil {
		return err
	}
	for _, k := range w.keys {
		if err := b.del(b.index, k); err != nil {
			return err
		}
	}
	for _, k := range w.filters {
		if err := b.del(b.filters, k); err != nil {
			return err
		}
	}
	return nil
}

// loadIndex reads the list of runs, and what is newer than they are from the log.
func (s *Store) loadIndex(tx *bbolt.Tx) error {
	filters := tx.Bucket([]byte("filters"))
	err := tx.Bucket([]byte("runs")).ForEach(func(k, v []byte) error {
		r, err := decodeRun(k, v)
		if err != nil {
			return fmt.Errorf("%w: %s: the list of runs", ErrDamaged, dbFile)
		}
		r.blind = !isSealed(k, filters.Get(k))
		if before(s.flushed, r.newest) {
			s.flushed = r.newest
		}
		s.runs = append([]run{r}, s.runs...)
		return nil
	})
	if err != nil {
		return err
	}
	log := tx.Bucket([]byte("log")).Cursor()
	for k, v := log.Seek(s.flushed[:]); k != nil; k, v = log.Next() {
		if id := relay.ID(k); id != s.flushed {
			s.remember(id, v)
		}
	}
	return nil
}

// remember puts a callback of the log into the index. One whose record is
// damaged has lost its key.
func (s *Store) remember(id relay.ID, rec []byte) {
	r, err := cutCallback(id, rec)
	if err != nil {
		return
	}
	h := r.hashes()
	e := entry{key: h.key, id: id, body: h.body, ref: hashRef(r.refID())}
	if r.flags&flagConflict != 0 {
		e.key = h.conflictKey()
	}
	s.recent.add(e)
}
