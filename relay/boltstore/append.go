package boltstore

import (
	"context"
	"fmt"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// Append implements relay.Store. An ID is of the callback's ReceivedAt, or
// follows the newest one if that is later: the order of IDs is the order of
// appending, whatever the clock does.
func (s *Store) Append(ctx context.Context, in []relay.Inbound) ([]relay.Receipt, error) {
	w := &appending{items: make([]inbound, len(in)), receipts: make([]relay.Receipt, len(in))}
	now := time.Now()
	for i := range in {
		if err := valid(&in[i]); err != nil {
			return nil, fmt.Errorf("append: %w", err)
		}
		w.items[i] = prepare(in[i], now)
	}
	if err := s.do(ctx, w); err != nil {
		return nil, fmt.Errorf("append: %w", err)
	}
	return w.receipts, nil
}

// An inbound is a callback ready to be written: nothing of it is shared with
// the caller any more.
type inbound struct {
	hashes
	record        []byte
	received      time.Time
	ref           refHash
	unmatched     bool
	routeConflict bool
	targets       []planned
}

// planned is what the index needs to know of a target.
type planned struct {
	sink      string
	lane      laneHash
	notBefore time.Time
	dead      bool
}

// Bounds of what is stored, far from what the formats could bear.
const (
	maxBody    = 1 << 28
	maxTargets = 1 << 12
)

func valid(in *relay.Inbound) error {
	if len(in.Callback.Body) > maxBody || len(in.Targets) > maxTargets {
		return fmt.Errorf("too large: a body of %d bytes, %d targets", len(in.Callback.Body), len(in.Targets))
	}
	for i := range in.Targets {
		if err := validTarget(&in.Targets[i]); err != nil {
			return err
		}
	}
	return nil
}

func validTarget(t *relay.Target) error {
	if t.Sink == "" || len(t.Sink) > 1024 {
		return fmt.Errorf("rule %q: not a sink: %q", t.Rule, t.Sink)
	}
	return nil
}

func prepare(in relay.Inbound, now time.Time) inbound {
	if in.Callback.ReceivedAt.IsZero() {
		in.Callback.ReceivedAt = now
	}
	h := hashOf(&in)
	p := inbound{
		hashes: h, record: encodeCallback(&in, h), received: in.Callback.ReceivedAt, ref: hashRef(in.Callback.RefID),
		unmatched: in.Callback.Unmatched, routeConflict: in.RouteConflict, targets: make([]planned, len(in.Targets)),
	}
	for i := range in.Targets {
		p.targets[i] = plan(&in.Targets[i])
	}
	return p
}

func plan(t *relay.Target) planned {
	return planned{sink: t.Sink, lane: hashLane(t.Lane), notBefore: t.NotBefore, dead: t.Error != ""}
}

// appending is the work of one Append.
type appending struct {
	items    []inbound
	receipts []relay.Receipt
}

// common is the size of a callback that hardly any passes, in bytes. Who appends
// none asks for so much room.
const common = 16 << 10

func (w *appending) size() (n int) {
	if len(w.items) == 0 {
		return common
	}
	for i := range w.items {
		n += len(w.items[i].record)
	}
	return n
}

func (w *appending) apply(b *batch) (err error) {
	for i := range w.items {
		if w.receipts[i], err = b.append(&w.items[i]); err != nil {
			return err
		}
	}
	return nil
}

// append stores one callback, or finds that it is known.
func (b *batch) append(in *inbound) (relay.Receipt, error) {
	original, known := b.lookup(in.key)
	if !known {
		id, err := b.insert(in, in.key, 0)
		return relay.Receipt{ID: id}, err
	}
	if original.body == in.body {
		return relay.Receipt{ID: original.id, Duplicate: true}, b.countDuplicate(original.id)
	}
	key := in.conflictKey()
	if kept, ok := b.lookup(key); ok {
		return relay.Receipt{ID: kept.id, Duplicate: true, Conflict: true}, b.countDuplicate(kept.id)
	}
	return b.appendConflict(in, key, original.id)
}

// appendConflict stores a callback whose key another body has, and flags both.
func (b *batch) appendConflict(in *inbound, key keyHash, original relay.ID) (relay.Receipt, error) {
	flags := byte(flagConflict)
	if !in.routeConflict {
		flags |= flagUnrouted
	}
	id, err := b.insert(in, key, flags)
	if err != nil {
		return relay.Receipt{}, err
	}
	b.counts.Conflicts++
	b.counts.Duplicates++
	err = b.changeMark(original, func(m *mark) { m.Conflict = true })
	return relay.Receipt{ID: id, Duplicate: true, Conflict: true}, err
}

// insert writes a callback that is new to the log, and what is owed for it.
func (b *batch) insert(in *inbound, key keyHash, flags byte) (relay.ID, error) {
	id := b.s.ids.Next(in.received)
	finishCallback(id, in.record, flags)
	if err := b.put(b.log, id[:], in.record); err != nil {
		return id, err
	}
	b.addKey(entry{key: key, id: id, body: in.body, ref: in.ref})
	b.counts.Callbacks++
	if in.unmatched {
		b.counts.Unmatched++
	}
	if flags&flagUnrouted != 0 {
		return id, nil
	}
	for i, t := range in.targets {
		if err := b.owe(relay.DeliveryID{Callback: id, N: uint16(i + 1)}, t); err != nil {
			return id, err
		}
	}
	return id, nil
}

// owe lists a new delivery as pending, or as dead if its rule failed.
func (b *batch) owe(d relay.DeliveryID, t planned) error {
	sink := b.sink(t.sink)
	if t.dead {
		return b.enter(sink, relay.Dead, d)
	}
	if err := b.enter(sink, relay.Pending, d); err != nil {
		return err
	}
	b.hint(t.sink)
	if t.notBefore.IsZero() {
		return b.put(b.due, freshKey(sink.number, d), t.lane[:])
	}
	return b.schedule(sink.number, t.lane, d, t.notBefore)
}

// countDuplicate counts on the callback that came again, if it is still there.
func (b *batch) countDuplicate(id relay.ID) error {
	b.counts.Duplicates++
	return b.changeMark(id, func(m *mark) { m.Duplicates++ })
}

// changeMark rewrites the mark of a callback that is in the log.
func (b *batch) changeMark(id relay.ID, change func(*mark)) error {
	if b.log.Get(id[:]) == nil {
		return nil
	}
	key := afterKey(relay.DeliveryID{Callback: id}, 0)
	var m mark
	if rec := b.after.Get(key); rec != nil {
		m, _ = decodeMark(key, rec) // a damaged mark starts again
	}
	change(&m)
	return b.put(b.after, key, seal(key, encodeMark(m)))
}
