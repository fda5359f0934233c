package boltstore

import (
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// counts are the figures of the log, kept with every commit.
type counts struct {
	Callbacks, Duplicates, Conflicts, Unmatched, Keys int64
}

func (c *counts) fields() []*int64 {
	return []*int64{&c.Callbacks, &c.Duplicates, &c.Conflicts, &c.Unmatched, &c.Keys}
}

// sinkCounts are the figures of one sink, and the number that stands for its
// name in keys.
type sinkCounts struct {
	number                   uint32
	pending, delivered, dead int64
}

// of is the figure of one state.
func (c *sinkCounts) of(state relay.State) *int64 {
	switch state {
	case relay.Pending:
		return &c.pending
	case relay.Dead:
		return &c.dead
	}
	return &c.delivered
}

// Stats implements relay.Store.
func (s *Store) Stats(ctx context.Context) (relay.Stats, error) {
	info, err := os.Stat(filepath.Join(s.dir, dbFile))
	if err != nil {
		return relay.Stats{}, fmt.Errorf("stats: %w", err)
	}
	s.mu.Lock()
	c, byName := s.counts, s.byName
	s.mu.Unlock()
	st := relay.Stats{
		Callbacks: c.Callbacks, Duplicates: c.Duplicates, Conflicts: c.Conflicts, Unmatched: c.Unmatched,
		Keys: c.Keys, Bytes: info.Size(), Sinks: make(map[string]relay.SinkStats, len(byName)),
	}
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		open := tx.Bucket([]byte("open")).Cursor()
		for name, n := range byName {
			st.Sinks[name] = relay.SinkStats{
				Pending: n.pending, Delivered: n.delivered, Dead: n.dead, Oldest: oldest(open, n.number),
			}
		}
		return nil
	})
	return st, err
}

// oldest is when the oldest pending callback of a sink was received.
func oldest(open *bbolt.Cursor, sink uint32) time.Time {
	prefix := openPrefix(relay.Pending, sink)
	if k, _ := open.Seek(prefix); hasPrefix(k, prefix) {
		return getDelivery(k[len(prefix):]).Callback.Time()
	}
	return time.Time{}
}

// sink gives the counts of a sink to be changed. Those of the store stay as
// they are until the batch commits.
func (b *batch) sink(name string) *sinkCounts {
	if n := b.touched[name]; n != nil {
		return n
	}
	n := &sinkCounts{number: uint32(len(b.byName) + 1)}
	if known := b.byName[name]; known != nil {
		*n = *known
	}
	if b.touched == nil {
		b.touched = map[string]*sinkCounts{}
	}
	b.touched[name], b.byName[name] = n, n
	return n
}

// saveCounts writes what the batch changed in the figures.
func (b *batch) saveCounts() error {
	for name, n := range b.touched {
		key := []byte(name)
		rec := binary.BigEndian.AppendUint32(newRecord(28), n.number)
		for _, v := range []int64{n.pending, n.delivered, n.dead} {
			rec = binary.AppendVarint(rec, v)
		}
		if err := b.put(b.sinks, key, seal(key, rec)); err != nil {
			return err
		}
	}
	if b.counts == b.s.counts {
		return nil
	}
	rec := newRecord(32)
	for _, v := range b.counts.fields() {
		rec = binary.AppendVarint(rec, *v)
	}
	return b.put(b.meta, countsKey, seal(countsKey, rec))
}

var countsKey = []byte("counts")

func (s *Store) loadCounts(tx *bbolt.Tx) error {
	if rec := tx.Bucket([]byte("meta")).Get(countsKey); rec != nil {
		payload, err := unseal(countsKey, rec)
		if err != nil {
			return fmt.Errorf("%w: %s: the counts", ErrDamaged, dbFile)
		}
		d := decoder{b: payload}
		for _, v := range s.counts.fields() {
			*v = d.varint()
		}
	}
	return tx.Bucket([]byte("sinks")).ForEach(func(name, rec []byte) error {
		payload, err := unseal(name, rec)
		if err != nil {
			return fmt.Errorf("%w: %s: the counts of sink %q", ErrDamaged, dbFile, name)
		}
		d, n := decoder{b: payload}, &sinkCounts{}
		n.number = binary.BigEndian.Uint32(d.take(4))
		for _, v := range []*int64{&n.pending, &n.delivered, &n.dead} {
			*v = d.varint()
		}
		s.byName[string(name)] = n
		return d.err
	})
}
