package boltstore

import (
	"bytes"
	"context"
	"fmt"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// Settle implements relay.Store. A lease that came to its end is lost only when
// another claim takes the delivery: until then its outcome is still welcome.
func (s *Store) Settle(ctx context.Context, out []relay.Outcome) ([]error, error) {
	w := &settling{items: make([]outcome, len(out)), errs: make([]error, len(out))}
	for i := range out {
		if err := w.items[i].prepare(out[i]); err != nil {
			return nil, fmt.Errorf("settle: %w", err)
		}
	}
	if err := s.do(ctx, w); err != nil {
		return nil, fmt.Errorf("settle: %w", err)
	}
	return w.errs, nil
}

// An outcome is one to be written.
type outcome struct {
	relay.Outcome
	attempt []byte // not yet sealed
}

func (o *outcome) prepare(out relay.Outcome) error {
	if out.Deferred {
		out.State = relay.Pending
	}
	if _, ok := stateCodes[out.State]; !ok {
		return fmt.Errorf("delivery %s: no such state: %q", out.ID, out.State)
	}
	for i := range out.Next {
		if err := validTarget(&out.Next[i]); err != nil {
			return fmt.Errorf("delivery %s: %w", out.ID, err)
		}
	}
	o.Outcome = out
	if !out.Deferred {
		o.attempt = encodeAttempt(&out.Attempt)
	}
	return nil
}

// settling is the work of one Settle.
type settling struct {
	items []outcome
	errs  []error
}

func (w *settling) size() (n int) {
	for i := range w.items {
		n += 256 + len(w.items[i].attempt)
	}
	return n
}

func (w *settling) apply(b *batch) error {
	for i := range w.items {
		o := &w.items[i]
		l := b.lease(o.ID, o.Token)
		if l == nil {
			w.errs[i] = relay.ErrLease
			continue
		}
		if err := b.settle(l, o); err != nil {
			return err
		}
	}
	return nil
}

// lease finds the lease an outcome is about, unless it is lost or was settled
// earlier in this batch. From now on, and if the batch commits for ever, no
// claim takes the delivery.
func (b *batch) lease(id relay.DeliveryID, token uint64) *lease {
	b.s.mu.Lock()
	defer b.s.mu.Unlock()
	l := b.s.claims.leases[id]
	if l == nil || l.token != token || l.settling {
		return nil
	}
	l.settling = true
	b.ended = append(b.ended, l)
	return l
}

// settle moves one delivery on.
func (b *batch) settle(l *lease, o *outcome) error {
	st := b.stateOf(l.id)
	if !o.Deferred {
		st.Tries++
		st.Attempts++
		key := afterKey(l.id, st.Attempts)
		if err := b.put(b.after, key, seal(key, o.attempt)); err != nil {
			return err
		}
		st.Error, st.Console = o.Attempt.Error, o.Console
	}
	st.State, st.Due = o.State, o.Due
	if err := b.saveState(l.id, &st); err != nil {
		return err
	}
	if err := b.undue(l); err != nil {
		return err
	}
	if err := b.move(l, o.State, o.Due); err != nil {
		return err
	}
	return b.follow(l.id.Callback, o.Next)
}

// undue takes a delivery out of the due bucket. While its lease was over and nobody
// took it, its lane may have put it among the fresh ones.
func (b *batch) undue(l *lease) error {
	if err := b.del(b.due, l.dueKey); err != nil {
		return err
	}
	fresh := freshKey(l.number, l.id)
	if bytes.Equal(fresh, l.dueKey) {
		return nil
	}
	return b.del(b.due, fresh)
}

// move lists a delivery by its new state.
func (b *batch) move(l *lease, state relay.State, due time.Time) error {
	if state == relay.Pending {
		return b.schedule(l.number, l.lane, l.id, due)
	}
	sink := b.sink(l.sink)
	if err := b.leave(sink, relay.Pending, l.id); err != nil {
		return err
	}
	if err := b.enter(sink, state, l.id); err != nil {
		return err
	}
	return b.leaveLane(l.sink, l.number, l.lane, l.id)
}

// follow adds deliveries to a callback that is in the log.
func (b *batch) follow(id relay.ID, targets []relay.Target) error {
	if len(targets) == 0 {
		return nil
	}
	n := newReader(b.tx).deliveries(id)
	for i := range targets {
		d := relay.DeliveryID{Callback: id, N: uint16(n + i + 1)}
		st := state{State: relay.Pending, Due: b.now, Target: &targets[i]}
		p := plan(st.Target)
		if p.dead {
			st.State, st.Error = relay.Dead, st.Target.Error
		}
		if p.notBefore.IsZero() {
			p.notBefore = b.now // not in append order: it takes part in its lane by name
		}
		st.Due = p.notBefore
		if err := b.saveState(d, &st); err != nil {
			return err
		}
		if err := b.owe(d, p); err != nil {
			return err
		}
	}
	return nil
}

// stateOf gives the state of a delivery as it is stored. Without a record, or
// with a damaged one, it starts at the beginning.
func (b *batch) stateOf(d relay.DeliveryID) (st state) {
	key := afterKey(d, 0)
	if rec := b.after.Get(key); rec != nil {
		st, _ = decodeState(key, rec)
	}
	return st
}

func (b *batch) saveState(d relay.DeliveryID, st *state) error {
	key := afterKey(d, 0)
	return b.put(b.after, key, seal(key, encodeState(st)))
}

// Reopen implements relay.Store.
func (s *Store) Reopen(ctx context.Context, ids []relay.DeliveryID, due time.Time) (int, error) {
	w := &reopening{ids: append([]relay.DeliveryID{}, ids...), due: due}
	if err := s.do(ctx, w); err != nil {
		return 0, fmt.Errorf("reopen: %w", err)
	}
	return w.n, nil
}

// reopening is the work of one Reopen.
type reopening struct {
	ids []relay.DeliveryID
	due time.Time
	n   int
}

func (w *reopening) size() int { return 128 * len(w.ids) }

func (w *reopening) apply(b *batch) error {
	r := newReader(b.tx)
	for _, id := range w.ids {
		d, ok := r.delivery(id)
		if !ok || d.State == relay.Pending {
			continue
		}
		if err := b.reopen(&d, w.due); err != nil {
			return err
		}
		w.n++
	}
	return nil
}

func (b *batch) reopen(d *relay.Delivery, due time.Time) error {
	st, was := b.stateOf(d.ID), d.State
	st.State, st.Due, st.Tries, st.Error, st.Console = relay.Pending, due, 0, d.Error, false
	st.Replays++
	if err := b.saveState(d.ID, &st); err != nil {
		return err
	}
	sink := b.sink(d.Sink)
	if err := b.leave(sink, was, d.ID); err != nil {
		return err
	}
	if err := b.enter(sink, relay.Pending, d.ID); err != nil {
		return err
	}
	b.hint(d.Sink)
	return b.schedule(sink.number, hashLane(d.Lane), d.ID, due)
}
