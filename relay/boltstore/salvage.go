package boltstore

import (
	"bytes"
	"crypto/rand"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// salvage makes the database dst of what can be read in the damaged src: records
// are copied, and what the store keeps about them is made again. A delivery of
// which one can't tell any more whether it was made is a dead letter.
func salvage(src, dst string) error {
	from, _, err := openDB(src, bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer from.Close()
	if err := createDB(dst, identity{Store: identityIn(from)}); err != nil {
		return err
	}
	s := newStore("", Options{})
	if s.db, s.file, err = openDB(dst, bbolt.Options{NoSync: true}); err != nil {
		return err
	}
	err = s.takeFrom(from, filepath.Dir(src))
	return errors.Join(err, s.db.Sync(), s.closeDB())
}

// identityIn gives the identity in a database, or a new one.
func identityIn(db *bbolt.DB) (id string) {
	viewDB(db, func(tx *bbolt.Tx) error {
		id = string(tx.Bucket([]byte("meta")).Get([]byte("identity")))
		return nil
	})
	if id == "" {
		id = rand.Text()
	}
	return id
}

// What is copied, and which of its entries are sound. The log comes before what
// refers to it.
var salvaged = []struct {
	bucket string
	sound  func(to *bbolt.Tx, k, v []byte) bool
}{
	{"meta", func(_ *bbolt.Tx, k, v []byte) bool {
		return bytes.Equal(k, countsKey) && isSealed(k, v) || bytes.Equal(k, keysFromKey) && len(v) == len(relay.ID{})
	}},
	{"log", func(_ *bbolt.Tx, k, v []byte) bool { return len(k) == len(relay.ID{}) && isCallback(relay.ID(k), v) }},
	{"after", func(to *bbolt.Tx, k, v []byte) bool {
		return len(k) == deliverySize+4 && isSealed(k, v) && inLog(to, k)
	}},
	{"open", func(to *bbolt.Tx, k, v []byte) bool { return len(k) == 5+deliverySize && inLog(to, k[5:]) }},
	{"sinks", soundRecord},
	{"index", soundRecord},
	{"filters", soundRecord},
	{"runs", soundRecord},
}

func soundRecord(_ *bbolt.Tx, k, v []byte) bool { return isSealed(k, v) }

func isSealed(k, v []byte) bool {
	_, err := unseal(k, v)
	return err == nil
}

func isCallback(id relay.ID, rec []byte) bool {
	_, err := cutCallback(id, rec)
	return err == nil
}

// inLog reports whether the callback is there whose id a key begins with.
func inLog(tx *bbolt.Tx, key []byte) bool { return tx.Bucket([]byte("log")).Get(key[:16]) != nil }

// takeFrom fills an empty store from a damaged one in dir.
func (s *Store) takeFrom(from *bbolt.DB, dir string) error {
	callbacks := 0
	for _, part := range salvaged {
		n, err := salvageBucket(s.db, from, part.bucket, part.sound)
		if err != nil {
			return err
		}
		if part.bucket == "log" {
			callbacks = n
		}
	}
	if callbacks == 0 {
		return fmt.Errorf("%w: no callback can be read", ErrDamaged)
	}
	if err := s.takeJournal(from, dir); err != nil {
		return err
	}
	if err := viewDB(s.db, s.load); err != nil {
		return err
	}
	s.counts.Callbacks, s.counts.Unmatched, s.counts.Conflicts = 0, 0, 0
	for _, n := range s.byName {
		n.pending, n.delivered, n.dead = 0, 0, 0
	}
	return s.rebuild()
}

// takeJournal adds what the journal in dir has and the damaged database lacks, as
// far as it can be read. What is due is found out later.
func (s *Store) takeJournal(from *bbolt.DB, dir string) error {
	epoch, held, err := heldBy(from)
	if err != nil || epoch == 0 {
		return nil
	}
	j, err := findJournal(dir, epoch, held, nil)
	if err != nil {
		return nil
	}
	defer j.f.Close()
	return s.db.Update(func(tx *bbolt.Tx) error {
		j.replay(tx) // as far as it gets
		for _, name := range []string{"due", "lanes"} {
			if err := tx.DeleteBucket([]byte(name)); err != nil {
				return err
			}
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		return nil
	})
}

// salvageBucket copies the sound entries of a bucket, as far as its pages can be
// read, and says how many they are.
func salvageBucket(to, from *bbolt.DB, name string, sound func(to *bbolt.Tx, k, v []byte) bool) (n int, err error) {
	const chunk = 500
	for at := []byte{}; at != nil; {
		var got []pair
		damage := viewDB(from, func(tx *bbolt.Tx) error {
			c := tx.Bucket([]byte(name)).Cursor()
			for k, v := c.Seek(at); k != nil && len(got) < chunk; k, v = c.Next() {
				got = append(got, pair{k, v})
			}
			return nil
		})
		switch {
		case len(got) > 0:
			at = append(bytes.Clone(got[len(got)-1].key), 0)
		case damage != nil:
			at = stepOver(from, name, at)
		default:
			return n, nil
		}
		copied, err := writeSound(to, name, got, sound)
		if n += copied; err != nil {
			return n, err
		}
	}
	return n, nil
}

func writeSound(to *bbolt.DB, name string, got []pair, sound func(to *bbolt.Tx, k, v []byte) bool) (n int, err error) {
	err = to.Update(func(tx *bbolt.Tx) error {
		b := tx.Bucket([]byte(name))
		b.FillPercent = 1
		for _, p := range got {
			ok := false
			guarded(func() error { ok = sound(tx, p.key, p.value); return nil })
			if !ok {
				continue
			}
			n++
			if err := b.Put(p.key, p.value); err != nil {
				return err
			}
		}
		return nil
	})
	return n, err
}

// stepOver gives the key, or nearly, from which on a bucket can be read again
// that can't at a key: by steps that double, and then by halves. It gives nil if
// there is none.
func stepOver(db *bbolt.DB, name string, at []byte) []byte {
	const size = 16 // bytes of a key that count
	start := new(big.Int).SetBytes(append(bytes.Clone(at), make([]byte, size)...)[:size])
	behind := func(steps *big.Int) []byte {
		sum := new(big.Int).Add(start, steps)
		if sum.BitLen() > 8*size {
			return nil
		}
		return sum.FillBytes(make([]byte, size))
	}
	readable := func(steps *big.Int) bool {
		key := behind(steps)
		return key == nil || viewDB(db, func(tx *bbolt.Tx) error {
			tx.Bucket([]byte(name)).Cursor().Seek(key)
			return nil
		}) == nil
	}
	steps := big.NewInt(1)
	for !readable(steps) {
		steps.Lsh(steps, 1)
	}
	for bit := steps.BitLen() - 2; bit >= 0; bit-- {
		if less := new(big.Int).Sub(steps, new(big.Int).Lsh(big.NewInt(1), uint(bit))); less.Sign() > 0 && readable(less) {
			steps = less
		}
	}
	return behind(steps)
}

// rebuild makes the due bucket, the lanes and the counts again.
func (s *Store) rebuild() error {
	w := &rebuilding{}
	for {
		if err := s.commit([]*task{{work: w}}); err != nil {
			return err
		}
		if w.next.IsZero() {
			return nil
		}
		w = &rebuilding{from: w.next}
	}
}

// rebuilding is the work of one chunk of callbacks.
type rebuilding struct{ from, next relay.ID }

func (w *rebuilding) size() int { return 0 }

func (w *rebuilding) apply(b *batch) error {
	for name := range b.s.byName {
		b.sink(name) // is saved, whatever it counts
	}
	r, n := newReader(b.tx), 0
	c := b.log.Cursor()
	for k, v := c.Seek(w.from[:]); k != nil; k, v = c.Next() {
		if n++; n > dueChunk {
			w.next = relay.ID(k)
			return nil
		}
		e, cut := outline(relay.ID(k), v)
		r.follow(&e, false)
		b.counts.Callbacks++
		b.counts.Unmatched += int64(bit(e.Callback.Unmatched, 1))
		b.counts.Conflicts += int64(cut.flags & flagConflict / flagConflict)
		for i := range e.Deliveries {
			if err := b.readmit(&e.Deliveries[i]); err != nil {
				return err
			}
		}
	}
	return nil
}

// readmit lists a delivery again by its state. One that is not known to be
// pending, though nothing says that it was settled, has lost its record.
func (b *batch) readmit(d *relay.Delivery) error {
	if d.Sink == "" {
		return nil // its target is lost
	}
	sink := b.sink(d.Sink)
	pending := putDelivery(openPrefix(relay.Pending, sink.number), d.ID)
	switch {
	case d.State == relay.Pending && b.open.Get(pending) != nil:
		*sink.of(relay.Pending)++
		return b.schedule(sink.number, hashLane(d.Lane), d.ID, d.Due)
	case d.State == relay.Pending:
		st := b.stateOf(d.ID)
		st.State, st.Due, st.Error = relay.Dead, d.Due, "the database was damaged: whether this was delivered is not known"
		if err := b.saveState(d.ID, &st); err != nil {
			return err
		}
		return b.enter(sink, relay.Dead, d.ID)
	}
	if err := b.del(b.open, pending); err != nil {
		return err
	}
	return b.enter(sink, d.State, d.ID)
}
