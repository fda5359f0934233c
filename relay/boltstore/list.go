package boltstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"slices"
	"strings"
	"sync"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// Get implements relay.Store.
func (s *Store) Get(ctx context.Context, id relay.ID) (e relay.Entry, err error) {
	err = s.view(ctx, func(tx *bbolt.Tx) error {
		var ok bool
		if e, ok = newReader(tx).entry(id, true); !ok {
			return relay.ErrNotFound
		}
		return nil
	})
	if err != nil {
		return relay.Entry{}, fmt.Errorf("callback %s: %w", id, err)
	}
	return e, nil
}

// A reader puts callbacks and deliveries together from their records. What it
// gives is copied: it outlives the transaction.
type reader struct {
	log   *bbolt.Bucket
	after *bbolt.Cursor
}

func newReader(tx *bbolt.Tx) *reader {
	return &reader{tx.Bucket([]byte("log")), tx.Bucket([]byte("after")).Cursor()}
}

// entry reads one callback with its deliveries, and their attempts if wanted.
// A damaged record gives what is left of it.
func (r *reader) entry(id relay.ID, attempts bool) (e relay.Entry, ok bool) {
	rec := r.log.Get(id[:])
	if rec == nil {
		return e, false
	}
	return r.compose(id, rec, attempts), true
}

// compose puts an entry together from the callback's record and what followed.
func (r *reader) compose(id relay.ID, rec []byte, attempts bool) relay.Entry {
	e, cut := outline(id, rec)
	r.follow(&e, attempts)
	fill(&e.Callback, cut)
	return e
}

// outline gives what the first part of a callback's record says.
func outline(id relay.ID, rec []byte) (e relay.Entry, cut record) {
	cut, err := cutCallback(id, rec)
	var targets []relay.Target
	if err == nil {
		e.Callback, targets, err = cut.decode(id)
	}
	if err != nil {
		e.Callback = relay.Callback{ID: id, ReceivedAt: id.Time(), Damaged: true}
		return e, cut
	}
	for i := range targets {
		e.Deliveries = append(e.Deliveries, newDelivery(relay.DeliveryID{Callback: id, N: uint16(i + 1)}, targets[i]))
	}
	return e, cut
}

// fill adds headers and body, unless they are damaged.
func fill(c *relay.Callback, cut record) {
	if cut.first == nil {
		return
	}
	var err error
	if c.Header, c.Body, err = cut.contents(); err != nil {
		c.Header, c.Body, c.Damaged = nil, nil, true
	}
}

// newDelivery is a delivery as it was routed, before anything happened to it.
func newDelivery(id relay.DeliveryID, t relay.Target) relay.Delivery {
	d := relay.Delivery{ID: id, Target: t, State: relay.Pending, Due: t.NotBefore}
	if d.Due.IsZero() {
		d.Due = id.Callback.Time()
	}
	if t.Error != "" {
		d.State, d.Error = relay.Dead, t.Error
	}
	return d
}

// follow applies to an entry what happened after it was stored.
func (r *reader) follow(e *relay.Entry, attempts bool) {
	prefix := e.Callback.ID[:]
	k, v := r.after.Seek(prefix)
	for hasPrefix(k, prefix) && len(k) == deliverySize+4 {
		d, seq := getDelivery(k), binary.BigEndian.Uint32(k[deliverySize:])
		switch {
		case d.N == 0:
			r.mark(&e.Callback, k, v)
		case seq == 0:
			r.state(e, d, k, v)
		case attempts:
			r.attempt(e, d, int(seq), k, v)
		default: // on to the next delivery
			d.N++
			k, v = r.after.Seek(afterKey(d, 0))
			continue
		}
		k, v = r.after.Next()
	}
}

func (r *reader) mark(c *relay.Callback, key, rec []byte) {
	m, err := decodeMark(key, rec)
	c.Duplicates = m.Duplicates
	c.Conflict = c.Conflict || m.Conflict
	c.Damaged = c.Damaged || err != nil
}

func (r *reader) state(e *relay.Entry, id relay.DeliveryID, key, rec []byte) {
	st, err := decodeState(key, rec)
	for len(e.Deliveries) < int(id.N) {
		n := uint16(len(e.Deliveries) + 1)
		e.Deliveries = append(e.Deliveries, relay.Delivery{ID: relay.DeliveryID{Callback: id.Callback, N: n}})
	}
	d := &e.Deliveries[id.N-1]
	if err != nil {
		e.Callback.Damaged = true
		d.Error = errDamaged.Error()
		return
	}
	st.applyTo(d)
}

func (st *state) applyTo(d *relay.Delivery) {
	if st.Target != nil {
		d.Target = *st.Target
	}
	d.State, d.Due, d.Tries, d.Replays = st.State, st.Due, st.Tries, st.Replays
	d.Error, d.Console = st.Error, st.Console
}

func (r *reader) attempt(e *relay.Entry, id relay.DeliveryID, n int, key, rec []byte) {
	a, err := decodeAttempt(key, rec)
	if err != nil {
		a, e.Callback.Damaged = relay.Attempt{Error: err.Error()}, true
	}
	a.N = n
	if int(id.N) <= len(e.Deliveries) {
		d := &e.Deliveries[id.N-1]
		d.Attempts = append(d.Attempts, a)
	}
}

// deliveries counts those of a callback.
func (r *reader) deliveries(id relay.ID) int {
	e, _ := r.entry(id, false)
	return len(e.Deliveries)
}

// delivery reads one delivery, without attempts.
func (r *reader) delivery(id relay.DeliveryID) (d relay.Delivery, ok bool) {
	e, ok := r.entry(id.Callback, false)
	if !ok || id.N == 0 || int(id.N) > len(e.Deliveries) {
		return d, false
	}
	return e.Deliveries[id.N-1], true
}

// lease reads what a lease is about.
func (r *reader) lease(l *lease) relay.Lease {
	out := relay.Lease{Attempt: 1, Token: l.token, Until: l.group.until}
	e, _ := r.entry(l.id.Callback, false)
	out.Callback = e.Callback
	if int(l.id.N) <= len(e.Deliveries) {
		out.Delivery = e.Deliveries[l.id.N-1]
	} else {
		out.Callback.ID, out.Callback.Damaged = l.id.Callback, true
		out.Delivery = relay.Delivery{ID: l.id, State: relay.Pending, Target: relay.Target{Sink: l.sink}}
	}
	if out.Delivery.Tries+out.Delivery.Replays == 0 { // of most: there was no attempt
		return out
	}
	key := afterKey(l.id, 0)
	if k, rec := r.after.Seek(key); bytes.Equal(k, key) {
		st, _ := decodeState(key, rec)
		out.Attempt = st.Attempts + 1
	}
	return out
}

// List implements relay.Store. Pending and dead deliveries and the callbacks of
// a ref_id are found in an index, everything else by reading the log backwards.
// Since and Until are by the time in the IDs.
func (s *Store) List(ctx context.Context, q relay.Query) (p relay.Page, err error) {
	if q.Limit <= 0 {
		q.Limit = 50
	}
	if q.Cursor.IsZero() { // who reads on has what came before the first page
		s.catchUp(ctx)
	}
	s.mu.Lock() // until the transaction has begun: what is read in memory belongs to it
	unlock := sync.OnceFunc(s.mu.Unlock)
	defer unlock()
	err = s.viewFile(ctx, func(tx *bbolt.Tx) error {
		walk := s.candidates(tx, &q)
		unlock()
		l := listing{q: &q, reader: newReader(tx), walk: walk, budget: s.opts.Scan, yield: s.yielding()}
		p = l.page(ctx)
		return ctx.Err()
	})
	if err != nil {
		return relay.Page{}, fmt.Errorf("list: %w", err)
	}
	return p, nil
}

// maxScanBytes bounds what one List reads of bodies when it looks for a text.
const maxScanBytes = 32 << 20

// A listing is one List.
type listing struct {
	q *relay.Query
	*reader
	walk   walk
	budget int    // records left to read
	yield  func() // is called between two stretches
	bytes  int    // looked through for a text
}

// yieldEvery is how many records a List reads at a stretch, in which callbacks
// may have to wait for the CPU: less than a millisecond.
const yieldEvery = 256

// page takes entries until the page is full, the candidates end or enough was
// read.
func (l *listing) page(ctx context.Context) (p relay.Page) {
	for {
		id, ok := l.walk.next()
		if !ok || !l.q.Since.IsZero() && before(id, relay.FloorID(l.q.Since)) {
			p.Next = relay.ID{}
			return p
		}
		if len(p.Entries) == l.q.Limit || l.budget == 0 || l.bytes > maxScanBytes || ctx.Err() != nil {
			return p
		}
		if e, ok := l.selected(id); ok {
			p.Entries = append(p.Entries, e)
		}
		if l.budget--; l.budget%yieldEvery == 0 {
			l.yield()
		}
		p.Next = id
	}
}

// selected reads a candidate as far as it takes to know whether q selects it.
func (l *listing) selected(id relay.ID) (e relay.Entry, ok bool) {
	rec := l.log.Get(id[:])
	if rec == nil {
		return e, false
	}
	e, cut := outline(id, rec)
	if !l.matches(&e.Callback) || l.q.Text != "" && !l.contains(&e.Callback, cut) {
		return e, false
	}
	l.follow(&e, false)
	if l.q.Conflict && !e.Callback.Conflict || !l.owes(&e) {
		return e, false
	}
	fill(&e.Callback, cut)
	return e, true
}

func (l *listing) matches(c *relay.Callback) bool {
	q := l.q
	return (q.Source == "" || q.Source == c.Source) &&
		(q.Event == "" || q.Event == c.Event) &&
		(q.RefID == "" || q.RefID == c.RefID) &&
		(!q.Unmatched || c.Unmatched)
}

func (l *listing) contains(c *relay.Callback, cut record) bool {
	l.bytes += len(cut.second)
	return strings.Contains(c.RefID, l.q.Text) || bytes.Contains(cut.body(), []byte(l.q.Text))
}

// owes reports whether a delivery meets both State and Sink.
func (l *listing) owes(e *relay.Entry) bool {
	if l.q.State == "" && l.q.Sink == "" {
		return true
	}
	return slices.ContainsFunc(e.Deliveries, func(d relay.Delivery) bool {
		return (l.q.State == "" || d.State == l.q.State) && (l.q.Sink == "" || d.Sink == l.q.Sink)
	})
}

// A walk gives ids, newest first, each once.
type walk interface{ next() (relay.ID, bool) }

// candidates finds the shortest way to all callbacks q may select.
func (s *Store) candidates(tx *bbolt.Tx, q *relay.Query) walk {
	bound := q.Cursor
	if until := relay.FloorID(q.Until); !q.Until.IsZero() && (bound.IsZero() || before(until, bound)) {
		bound = until
	}
	if bound.IsZero() {
		bound = relay.ID(bytes.Repeat([]byte{0xff}, len(bound)))
	}
	if q.RefID != "" {
		return &refWalk{ref: hashRef(q.RefID), bound: bound, tables: [][]entry{s.published, s.frozen.entries},
			runs: s.runs, index: tx.Bucket([]byte("index"))}
	}
	w := &backWalk{}
	switch q.State {
	case relay.Pending, relay.Dead:
		for name, n := range s.byName {
			if q.Sink == "" || q.Sink == name {
				w.add(tx.Bucket([]byte("open")), openPrefix(q.State, n.number), bound)
			}
		}
	default:
		w.add(tx.Bucket([]byte("log")), nil, bound)
	}
	return w
}

// A refWalk goes through the callbacks of a ref_id, from one part of the index
// to the next older one.
type refWalk struct {
	ref    refHash
	bound  relay.ID
	tables [][]entry
	runs   []run
	index  *bbolt.Bucket
	ids    []relay.ID // of the part it is in, newest first
}

func (w *refWalk) next() (relay.ID, bool) {
	for {
		for len(w.ids) > 0 {
			id := w.ids[0]
			w.ids = w.ids[1:]
			if before(id, w.bound) {
				w.bound = id
				return id, true
			}
		}
		switch {
		case len(w.tables) > 0:
			w.take(w.tables[0])
			w.tables = w.tables[1:]
		case len(w.runs) > 0:
			w.ids = w.runs[0].idsOf(w.index, w.ref)
			w.runs = w.runs[1:]
		default:
			return relay.ID{}, false
		}
	}
}

func (w *refWalk) take(table []entry) {
	for i := range table {
		if table[i].ref == w.ref {
			w.ids = append(w.ids, table[i].id)
		}
	}
	slices.Reverse(w.ids)
}

// A backWalk merges ids from several places, newest first, each once.
type backWalk struct {
	from []backCursor
	last relay.ID
}

// A backCursor stands on one of the keys that are a prefix and then an id.
type backCursor struct {
	c      *bbolt.Cursor
	prefix []byte
	id     relay.ID
	done   bool
}

// add starts below bound.
func (w *backWalk) add(in *bbolt.Bucket, prefix []byte, bound relay.ID) {
	c := backCursor{c: in.Cursor(), prefix: prefix}
	if k, _ := c.c.Seek(append(slices.Clone(prefix), bound[:]...)); k == nil {
		c.take(c.c.Last())
	} else {
		c.take(c.c.Prev())
	}
	w.from = append(w.from, c)
}

func (c *backCursor) take(k, _ []byte) {
	if c.done = !hasPrefix(k, c.prefix) || len(k) < len(c.prefix)+len(c.id); !c.done {
		copy(c.id[:], k[len(c.prefix):])
	}
}

func (w *backWalk) next() (relay.ID, bool) {
	for {
		var newest *backCursor
		for i := range w.from {
			if c := &w.from[i]; !c.done && (newest == nil || before(newest.id, c.id)) {
				newest = c
			}
		}
		if newest == nil {
			return relay.ID{}, false
		}
		id := newest.id
		newest.take(newest.c.Prev())
		if id != w.last {
			w.last = id
			return id, true
		}
	}
}
