package boltstore

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"fmt"
	"maps"
	"slices"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// What one claim looks at, at most, that it may not lease.
const maxBlocked = 256

// A lease is a delivery out with a worker.
type lease struct {
	id     relay.DeliveryID
	sink   string
	number uint32 // of the sink
	lane   laneHash
	dueKey []byte
	token  uint64
	since  time.Time
	group  *group

	settling bool // its outcome is in the batch being written: nobody may take it now
}

// A group is what goes out as one: a lease, or all leases of a batched claim.
// Its end is by the monotonic clock: a jump of the wall clock doesn't move it.
type group struct {
	n     int
	until time.Time
}

// held reports whether nobody else may have the delivery. A lease without a
// length holds for the pass that made it.
func (l *lease) held(now time.Time) bool {
	return l.settling || l.group.until.After(now) || l.since.Equal(now)
}

// claims are all leases, with what the gates count. The store's mutex guards
// them. A claim looks at what is due in the writer's own transaction, so it never
// sees a delivery as due whose settling freed it a moment ago.
type claims struct {
	leases map[relay.DeliveryID]*lease
	lanes  map[laneKey]*lease
	sinks  map[string]*sinkClaims
	token  uint64 // of the newest lease; it starts at random, so a restart voids all
}

type laneKey struct {
	sink uint32
	lane laneHash
}

type sinkClaims struct {
	out    map[*group]bool
	starts []time.Time // the newest ones, oldest first: as many as the rate's N
}

func newClaims() claims {
	var b [8]byte
	rand.Read(b[:])
	return claims{
		leases: map[relay.DeliveryID]*lease{},
		lanes:  map[laneKey]*lease{},
		sinks:  map[string]*sinkClaims{},
		token:  binary.BigEndian.Uint64(b[:]) >> 1,
	}
}

// Claim implements relay.Store. A gate's rate is a sliding window: in any time
// of Per there are at most N starts, over all claims since the store was opened.
func (s *Store) Claim(ctx context.Context, worker string, d time.Duration, gates []relay.Gate) ([]relay.Lease, error) {
	if err := s.followClock(ctx); err != nil {
		return nil, fmt.Errorf("claim for %s: %w", worker, err)
	}
	var out []relay.Lease
	for i := range gates {
		c := claim{s: s, length: d, gate: gates[i]}
		if err := c.run(ctx); err != nil && len(out)+len(c.out) == 0 {
			return nil, fmt.Errorf("claim for %s: %w", worker, err)
		}
		if out == nil { // with one gate, nothing is copied
			out = c.out
		} else {
			out = append(out, c.out...)
		}
	}
	return out, nil
}

// A claim leases what is due at one sink.
type claim struct {
	s      *Store
	length time.Duration
	gate   relay.Gate
	group  *group // of a batch, once it has a lease

	out []relay.Lease
}

// run passes over what is due until the gate is full or nothing is left. What
// it comes upon that has to wait for others is parked; only a pass that was
// stopped by it waits for that.
func (c *claim) run(ctx context.Context) error {
	for {
		p, err := c.pass(ctx)
		if err != nil || len(p.blocked) == 0 {
			return err
		}
		w := &parking{p.blocked}
		if len(p.blocked) < maxBlocked || p.room == 0 {
			c.s.offer(w)
			return nil
		}
		if err := c.s.do(ctx, w); err != nil {
			return err
		}
	}
}

// A pass is one look at the due bucket.
type pass struct {
	now     time.Time
	room    int // leases the gate still lets through
	leased  []*lease
	blocked []blocked
}

// pass looks in the writer's transaction, which has what the journal has. Who
// asked for it waits for it: nobody else would know of its leases.
func (c *claim) pass(ctx context.Context) (pass, error) {
	c.s.mu.Lock()
	counts := c.s.byName[c.gate.Sink]
	idle := counts == nil || counts.pending == 0 || c.room(time.Now()) == 0
	c.s.mu.Unlock()
	if idle {
		return pass{}, ctx.Err()
	}
	w := &passing{claim: c, sink: counts.number}
	err := c.s.do(context.WithoutCancel(ctx), w)
	return w.pass, err
}

// passing is the work of one pass.
type passing struct {
	*claim
	sink uint32
	pass pass
}

func (*passing) size() int          { return 0 }
func (*passing) apply(*batch) error { return nil }

// look leases under the store's mutex, and reads what the leases are about
// after it.
func (w *passing) look(tx *bbolt.Tx) {
	w.take(tx)
	r := newReader(tx)
	w.out = slices.Grow(w.out, len(w.pass.leased))
	for _, l := range w.pass.leased {
		w.out = append(w.out, r.lease(l))
	}
}

// take leases; damaged pages may make it panic.
func (w *passing) take(tx *bbolt.Tx) {
	w.s.mu.Lock()
	defer w.s.mu.Unlock()
	w.pass.now = time.Now()
	w.pass.room = w.room(w.pass.now)
	w.scan(tx, w.sink, &w.pass)
}

func (c *claim) scan(tx *bbolt.Tx, sink uint32, p *pass) {
	walk, lanes := walkDue(tx, sink, p.now), tx.Bucket([]byte("lanes")).Cursor()
	for p.room > 0 && len(p.blocked) < maxBlocked {
		key, d, lane := walk.next()
		if key == nil {
			return
		}
		if l := c.s.claims.leases[d]; l != nil && l.held(p.now) {
			continue
		}
		b := blocked{sink: sink, lane: lane, id: d}
		if wait, park := c.s.claims.blocks(&b, lanes, p.now); wait {
			if park {
				b.dueKey = slices.Clone(key)
				p.blocked = append(p.blocked, b)
			}
			continue
		}
		l := &lease{id: d, sink: c.gate.Sink, number: sink, lane: lane, dueKey: slices.Clone(key), since: p.now}
		c.start(l, p.now)
		p.leased = append(p.leased, l)
		p.room--
	}
}

// blocks reports whether a delivery has to wait for another of its lane, and
// whether it can be parked: it can't if the other one comes after it, and is
// only out at the moment.
func (cs *claims) blocks(b *blocked, lanes *bbolt.Cursor, now time.Time) (wait, park bool) {
	if b.lane == (laneHash{}) {
		return false, false
	}
	if first, _, ok := firstOf(lanes, b.sink, b.lane); ok && less(first, b.id) {
		return true, true
	}
	l := cs.lanes[laneKey{b.sink, b.lane}]
	if l == nil || l.id == b.id || !l.held(now) {
		return false, false
	}
	b.by = l
	return true, less(l.id, b.id)
}

// room is how many leases the gate lets through now.
func (c *claim) room(now time.Time) int {
	sink := c.s.claims.sink(c.gate.Sink)
	room := c.gate.Room - len(c.out)
	starts := room
	if c.gate.Concurrency > 0 {
		starts = min(starts, c.gate.Concurrency-sink.outAt(now))
	}
	if c.gate.Rate.N > 0 {
		starts = min(starts, c.gate.Rate.N-sink.startsSince(now.Add(-c.gate.Rate.Per)))
	}
	if c.gate.Batch && (c.group != nil || starts > 0) {
		return max(room, 0)
	}
	return max(starts, 0)
}

// start takes a lease out.
func (c *claim) start(l *lease, now time.Time) {
	cs := &c.s.claims
	l.group = c.group
	if l.group == nil {
		l.group = &group{until: now.Add(c.length)}
		cs.sink(l.sink).start(l.group, c.gate.Rate, now)
	}
	if c.gate.Batch {
		c.group = l.group
	}
	l.group.n++
	cs.token++
	l.token = cs.token
	cs.leases[l.id] = l
	if l.lane != (laneHash{}) {
		cs.lanes[laneKey{l.number, l.lane}] = l
	}
}

// end gives a lease back. Its place in the index may be another's by now.
func (cs *claims) end(l *lease) {
	if cs.leases[l.id] == l {
		delete(cs.leases, l.id)
	}
	if key := (laneKey{l.number, l.lane}); cs.lanes[key] == l {
		delete(cs.lanes, key)
	}
	if l.group.n--; l.group.n == 0 {
		delete(cs.sink(l.sink).out, l.group)
	}
}

func (cs *claims) sink(name string) *sinkClaims {
	c := cs.sinks[name]
	if c == nil {
		c = &sinkClaims{out: map[*group]bool{}}
		cs.sinks[name] = c
	}
	return c
}

func (c *sinkClaims) start(g *group, rate relay.Rate, now time.Time) {
	c.out[g] = true
	if rate.N > 0 {
		c.starts = append(c.starts, now)
	}
}

// outAt counts the groups that are out, and drops those that came to their end.
func (c *sinkClaims) outAt(now time.Time) int {
	maps.DeleteFunc(c.out, func(g *group, _ bool) bool { return !g.until.After(now) })
	return len(c.out)
}

// startsSince counts starts, and drops those before t.
func (c *sinkClaims) startsSince(t time.Time) int {
	old := 0
	for old < len(c.starts) && !c.starts[old].After(t) {
		old++
	}
	c.starts = slices.Delete(c.starts, 0, old)
	return len(c.starts)
}

// Renew implements relay.Store. The leases of a batch are renewed together.
func (s *Store) Renew(ctx context.Context, leases []relay.Lease, d time.Duration) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	for i := range leases {
		l := s.claims.leases[leases[i].Delivery.ID]
		if l != nil && l.token == leases[i].Token {
			l.group.until = now.Add(d)
			s.claims.sink(l.sink).out[l.group] = true // if it was over, it was forgotten
		}
	}
	return ctx.Err()
}
