package boltstore

import (
	"context"
	"encoding/binary"
	"hash/fnv"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// The due bucket holds what a claim may lease, by sink. Deliveries that are due
// from the start come in append order, whatever the clock did since; those with
// a time of their own come in the order of these times.
//
//	sink 4 | 0 | delivery 18         -> lane 8
//	sink 4 | 1 | due 8 | delivery 18 -> lane 8, when that was decided 8
const (
	fresh = 0
	timed = 1
)

func duePrefix(sink uint32, class byte) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, 32), sink), class)
}

func freshKey(sink uint32, d relay.DeliveryID) []byte {
	return putDelivery(duePrefix(sink, fresh), d)
}

// The parts of a timed entry.
const (
	timedHead = 4 + 1
	timedSize = timedHead + 8 + deliverySize
)

func dueAt(timedKey []byte) time.Time {
	return time.Unix(0, int64(binary.BigEndian.Uint64(timedKey[timedHead:])))
}

func decidedAt(value []byte) time.Time {
	if len(value) < len(laneHash{})+8 {
		return time.Time{}
	}
	return time.Unix(0, int64(binary.BigEndian.Uint64(value[len(laneHash{}):])))
}

func timedKey(sink uint32, due time.Time, d relay.DeliveryID) []byte {
	k := binary.BigEndian.AppendUint64(duePrefix(sink, timed), uint64(max(due.UnixNano(), 0)))
	return putDelivery(k, d)
}

// A dueWalk goes through what a sink has due at a time, earliest first.
type dueWalk struct{ fresh, timed dueCursor }

func walkDue(tx *bbolt.Tx, sink uint32, now time.Time) *dueWalk {
	due := tx.Bucket([]byte("due"))
	w := &dueWalk{
		fresh: dueCursor{c: due.Cursor(), prefix: duePrefix(sink, fresh), size: timedHead + deliverySize},
		timed: dueCursor{c: due.Cursor(), prefix: duePrefix(sink, timed), size: timedSize, until: now},
	}
	w.fresh.take(w.fresh.c.Seek(w.fresh.prefix))
	w.timed.take(w.timed.c.Seek(w.timed.prefix))
	return w
}

// next gives a key and the delivery and the lane it stands for; a nil key at
// the end. The key is good until the transaction ends.
func (w *dueWalk) next() (key []byte, d relay.DeliveryID, lane laneHash) {
	c := &w.fresh
	if c.key == nil || w.timed.key != nil && w.timed.at.Before(c.at) {
		c = &w.timed
	}
	key, d, lane = c.key, c.id, c.lane
	if key != nil {
		c.take(c.c.Next())
	}
	return key, d, lane
}

// A dueCursor stands on one entry of one class.
type dueCursor struct {
	c      *bbolt.Cursor
	prefix []byte
	size   int       // of a key
	until  time.Time // of the timed ones: what is due later isn't seen

	key  []byte // nil at the end
	id   relay.DeliveryID
	lane laneHash
	at   time.Time
}

func (c *dueCursor) take(k, v []byte) {
	if c.key = nil; !hasPrefix(k, c.prefix) || len(k) < c.size {
		return
	}
	c.id = getDelivery(k[len(k)-deliverySize:])
	c.at = c.id.Callback.Time()
	if !c.until.IsZero() {
		c.at = dueAt(k)
		if c.at.After(c.until) {
			return
		}
	}
	copy(c.lane[:], v)
	c.key = k
}

// followClock looks whether the wall clock was set back since the store saw it
// last. Then deliveries wait from now on for as long as they were meant to wait.
func (s *Store) followClock(ctx context.Context) error {
	s.mu.Lock()
	now := time.Now().Round(0) // without the monotonic reading, which no setting moves
	back := now.Before(s.wall.Add(-clockSlack))
	if back || now.After(s.wall) {
		s.wall = now
	}
	s.mu.Unlock()
	for from := []byte{}; back && from != nil; {
		w := &retiming{from: from}
		if err := s.do(ctx, w); err != nil {
			return err
		}
		from = w.next
	}
	return nil
}

// clockSlack is how much later a delivery may be because the clock was set back.
const clockSlack = time.Second

// retiming is the work of giving a chunk of deliveries a new time, if theirs was
// decided when the clock was ahead: from now on they wait as long as was decided.
type retiming struct{ from, next []byte }

// dueChunk is how many entries one transaction looks at.
const dueChunk = 1000

func (w *retiming) size() int { return 0 }

func (w *retiming) apply(b *batch) error {
	type timing struct{ key, value []byte }
	var ahead []timing
	c, n := b.due.Cursor(), 0
	for k, v := c.Seek(w.from); k != nil; k, v = c.Next() {
		if n++; n > dueChunk {
			w.next = slices.Clone(k)
			break
		}
		if len(k) == timedSize && decidedAt(v).After(b.now) {
			ahead = append(ahead, timing{slices.Clone(k), slices.Clone(v)})
		}
	}
	for _, e := range ahead {
		if _, err := b.retime(e.key, e.value, b.now.Add(dueAt(e.key).Sub(decidedAt(e.value)))); err != nil {
			return err
		}
	}
	return nil
}

// retime makes a delivery due at another time than its entry says, unless a
// worker has it: its outcome will say when it is due.
func (b *batch) retime(key, value []byte, due time.Time) (bool, error) {
	d := getDelivery(key[timedSize-deliverySize:])
	if !b.hold(d) {
		return false, nil
	}
	st := b.stateOf(d)
	st.State, st.Due = relay.Pending, due
	if err := b.saveState(d, &st); err != nil {
		return false, err
	}
	if err := b.del(b.due, key); err != nil {
		return false, err
	}
	return true, b.schedule(binary.BigEndian.Uint32(key), laneHash(value), d, due)
}

// hold keeps claims off a delivery until this batch has ended. It reports false
// if a worker has it.
func (b *batch) hold(d relay.DeliveryID) bool {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	if l := b.s.claims.leases[d]; l != nil && l.held(b.now) {
		return false
	}
	l := &lease{id: d, settling: true, group: &group{n: 1}}
	b.s.claims.leases[d] = l
	b.ended = append(b.ended, l)
	return true
}

// The lanes bucket makes a lane wait for its first open member. Only members
// that are known to be special are in it: those that have a time of their own,
// those that were passed over, and those they wait for. The first of a lane is
// always in the due bucket; others that a claim comes upon are parked here.
//
//	sink 4 | lane 8 | delivery 18 -> inDue or parked
//
// A fresh member that nobody asked about needs no entry: it lies in the due
// bucket behind the fresh ones before it.
type laneHash [8]byte

const laneSize = 4 + len(laneHash{})

var (
	inDue  = []byte{1}
	parked = []byte{2}
)

// hashLane is zero for no lane. Two lanes of one hash would only wait for each
// other.
func hashLane(lane string) (h laneHash) {
	if lane == "" {
		return h
	}
	sum := fnv.New64a()
	sum.Write([]byte(lane))
	binary.BigEndian.PutUint64(h[:], sum.Sum64()|1)
	return h
}

func lanePrefix(sink uint32, lane laneHash) []byte {
	return append(binary.BigEndian.AppendUint32(make([]byte, 0, laneSize+deliverySize), sink), lane[:]...)
}

// firstOf gives the first known member of a lane.
func firstOf(lanes *bbolt.Cursor, sink uint32, lane laneHash) (d relay.DeliveryID, isParked, ok bool) {
	prefix := lanePrefix(sink, lane)
	k, v := lanes.Seek(prefix)
	if !hasPrefix(k, prefix) {
		return d, false, false
	}
	return getDelivery(k[laneSize:]), string(v) == string(parked), true
}

// schedule makes a delivery due at a time of its own.
func (b *batch) schedule(sink uint32, lane laneHash, d relay.DeliveryID, due time.Time) error {
	value := binary.BigEndian.AppendUint64(lane[:], uint64(b.now.UnixNano()))
	if err := b.put(b.due, timedKey(sink, due, d), value); err != nil {
		return err
	}
	if lane == (laneHash{}) {
		return nil
	}
	return b.put(b.lanes, putDelivery(lanePrefix(sink, lane), d), inDue)
}

// advance makes the first known member of a lane claimable, if it was parked.
func (b *batch) advance(name string, sink uint32, lane laneHash) error {
	first, isParked, ok := firstOf(b.lanes.Cursor(), sink, lane)
	if !ok || !isParked {
		return nil
	}
	b.hint(name)
	if err := b.put(b.due, freshKey(sink, first), lane[:]); err != nil {
		return err
	}
	return b.put(b.lanes, putDelivery(lanePrefix(sink, lane), first), inDue)
}

// leaveLane takes a settled delivery out of its lane and lets the next one go.
func (b *batch) leaveLane(name string, sink uint32, lane laneHash, d relay.DeliveryID) error {
	if lane == (laneHash{}) {
		return nil
	}
	key := putDelivery(lanePrefix(sink, lane), d)
	if b.lanes.Get(key) == nil {
		return nil
	}
	if err := b.del(b.lanes, key); err != nil {
		return err
	}
	return b.advance(name, sink, lane)
}

// parking is the work of taking deliveries that wait for another one of their
// lane out of the due bucket, where every claim would come upon them again.
type parking struct{ blocked []blocked }

// A blocked delivery was due, but its lane is taken.
type blocked struct {
	sink   uint32
	lane   laneHash
	id     relay.DeliveryID
	dueKey []byte
	by     *lease // a leased member before it; nil if a known one blocks it
}

func (w *parking) size() int { return 64 * len(w.blocked) }

func (w *parking) apply(b *batch) error {
	for _, d := range w.blocked {
		if err := b.park(d); err != nil {
			return err
		}
	}
	return nil
}

// park looks again: what was seen by the claim may have changed since.
func (b *batch) park(d blocked) error {
	if b.due.Get(d.dueKey) == nil {
		return nil
	}
	if d.by != nil && b.due.Get(d.by.dueKey) != nil {
		if err := b.put(b.lanes, putDelivery(lanePrefix(d.sink, d.lane), d.by.id), inDue); err != nil {
			return err
		}
	}
	first, _, ok := firstOf(b.lanes.Cursor(), d.sink, d.lane)
	if !ok || !less(first, d.id) {
		return nil
	}
	if err := b.del(b.due, d.dueKey); err != nil {
		return err
	}
	return b.put(b.lanes, putDelivery(lanePrefix(d.sink, d.lane), d.id), parked)
}

// less is the order of appending.
func less(a, b relay.DeliveryID) bool {
	if a.Callback != b.Callback {
		return before(a.Callback, b.Callback)
	}
	return a.N < b.N
}

// The open bucket lists the deliveries that are pending or dead.
//
//	state 1 | sink 4 | delivery 18
func openPrefix(state relay.State, sink uint32) []byte {
	return binary.BigEndian.AppendUint32(append(make([]byte, 0, 24), stateCodes[state]), sink)
}

// enter lists a delivery under its state and counts it.
func (b *batch) enter(sink *sinkCounts, state relay.State, d relay.DeliveryID) error {
	*sink.of(state)++
	if state == relay.Delivered {
		return nil
	}
	return b.put(b.open, putDelivery(openPrefix(state, sink.number), d), present)
}

// leave undoes enter.
func (b *batch) leave(sink *sinkCounts, state relay.State, d relay.DeliveryID) error {
	*sink.of(state)--
	if state == relay.Delivered {
		return nil
	}
	return b.del(b.open, putDelivery(openPrefix(state, sink.number), d))
}
