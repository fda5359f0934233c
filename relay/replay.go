package relay

import (
	"context"
	"fmt"
	"slices"
	"time"
)

// replayChunk is how many deliveries are opened in one commit.
const replayChunk = 500

// A Replay selects settled deliveries to be made again: all those of the
// callbacks in IDs, or if IDs is nil, of those that Query selects. Query's State
// and Sink narrow the deliveries down in both cases. What went to a fallback is left
// out, unless it died itself or Query.Sink asks for it: if the delivery it
// stood in for dies again, it causes a new one.
type Replay struct {
	IDs   []ID
	Query Query
}

// Run opens what the replay selects, due at now, and says how many deliveries
// that were; with dryRun it only counts. Older callbacks are opened first, so
// that a lane keeps its order. If it fails in the middle, the number is of
// those that were opened; what was opened is skipped by a second run while it
// is pending.
func (r Replay) Run(ctx context.Context, store Store, now time.Time, dryRun bool) (int, error) {
	ids, err := r.find(ctx, store)
	if err != nil || dryRun {
		return len(ids), err
	}
	opened := 0
	for chunk := range slices.Chunk(ids, replayChunk) {
		n, err := store.Reopen(ctx, chunk, now)
		if opened += n; err != nil {
			return opened, fmt.Errorf("reopen deliveries: %w", err)
		}
	}
	return opened, nil
}

// find lists the deliveries, those of older callbacks first. It holds their ids
// only: 18 bytes each.
func (r Replay) find(ctx context.Context, store Store) (ids []DeliveryID, err error) {
	if r.IDs != nil {
		return r.ofNamed(ctx, store)
	}
	q := r.Query
	q.Limit = replayChunk
	for {
		page, err := store.List(ctx, q)
		if err != nil {
			return nil, fmt.Errorf("list callbacks: %w", err)
		}
		for _, e := range page.Entries { // newest first, and so the last delivery first
			found := r.of(e)
			slices.Reverse(found)
			ids = append(ids, found...)
		}
		if q.Cursor = page.Next; q.Cursor.IsZero() {
			slices.Reverse(ids)
			return ids, nil
		}
	}
}

// ofNamed lists the deliveries of the callbacks that are named.
func (r Replay) ofNamed(ctx context.Context, store Store) (ids []DeliveryID, err error) {
	named := slices.Clone(r.IDs)
	slices.SortFunc(named, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range slices.Compact(named) {
		e, err := store.Get(ctx, id)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", id, err)
		}
		ids = append(ids, r.of(e)...)
	}
	return ids, nil
}

// of lists the deliveries of one callback.
func (r Replay) of(e Entry) (ids []DeliveryID) {
	for _, d := range e.Deliveries {
		if r.selects(d) {
			ids = append(ids, d.ID)
		}
	}
	return ids
}

// selects reports whether a delivery is to be made again.
func (r Replay) selects(d Delivery) bool {
	state, sink := r.Query.State, r.Query.Sink
	if d.State == Pending || d.Sink == Nowhere || state != "" && d.State != state || sink != "" && d.Sink != sink {
		return false
	}
	return d.Fallback == "" || d.State == Dead || sink != ""
}
