package boltstore

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// Hasten implements relay.Store.
func (s *Store) Hasten(ctx context.Context, ids []relay.DeliveryID, due time.Time) (int, error) {
	w := &hastening{ids: slices.Clone(ids), due: due}
	if err := s.do(ctx, w); err != nil {
		return 0, fmt.Errorf("hasten: %w", err)
	}
	return w.n, nil
}

// hastening is the work of one Hasten.
type hastening struct {
	ids []relay.DeliveryID
	due time.Time
	n   int
}

func (w *hastening) size() int { return 128 * len(w.ids) }

func (w *hastening) apply(b *batch) error {
	w.n = 0
	r := newReader(b.tx)
	for _, id := range w.ids {
		d, ok := r.delivery(id)
		if !ok || d.State != relay.Pending || !d.Due.After(w.due) || !d.Due.After(b.now) {
			continue
		}
		done, err := b.hasten(&d, w.due)
		if err != nil {
			return err
		}
		if done {
			w.n++
		}
	}
	return nil
}

// hasten moves the entry of a delivery that has a time of its own; others are
// due, or wait for one of their lane.
func (b *batch) hasten(d *relay.Delivery, due time.Time) (bool, error) {
	key := timedKey(b.sink(d.Sink).number, d.Due, d.ID)
	value := slices.Clone(b.due.Get(key))
	if len(value) < len(laneHash{}) {
		return false, nil
	}
	b.hint(d.Sink)
	return b.retime(key, value, due)
}
