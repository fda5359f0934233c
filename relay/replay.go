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
//
// What is selected and pending is left alone: it is delivered anyway. With Now
// it does not wait for its time any longer.
type Replay struct {
	IDs   []ID
	Query Query
	Now   bool
}

// Replayed is what a Replay came to, in deliveries. On a dry run it is what it
// would come to.
type Replayed struct {
	Opened   int // settled ones that are made again
	Hastened int // pending ones that are due now
	Pending  int // pending ones that were left alone: due already, with a worker, or without Now
}

// Run opens what the replay selects, due at now; with dryRun it only counts.
// Older callbacks are opened first, so that a lane keeps its order. If it fails
// in the middle, the numbers are of what was done; what was opened is skipped by
// a second run while it is pending.
func (r Replay) Run(ctx context.Context, store Store, now time.Time, dryRun bool) (out Replayed, err error) {
	found, err := r.find(ctx, store)
	if err != nil {
		return out, err
	}
	out.Pending = len(found.pending)
	if dryRun {
		out.Opened = len(found.settled)
		return out, nil
	}
	if out.Opened, err = inChunks(ctx, found.settled, now, store.Reopen); err != nil || !r.Now {
		return out, err
	}
	out.Hastened, err = inChunks(ctx, found.pending, now, store.Hasten)
	out.Pending -= out.Hastened
	return out, err
}

// inChunks changes deliveries in commits of a bounded size.
func inChunks(ctx context.Context, ids []DeliveryID, now time.Time, change func(context.Context, []DeliveryID, time.Time) (int, error)) (changed int, err error) {
	for chunk := range slices.Chunk(ids, replayChunk) {
		n, err := change(ctx, chunk, now)
		if changed += n; err != nil {
			return changed, fmt.Errorf("replay: %w", err)
		}
	}
	return changed, nil
}

// A finding is what a replay selects. It holds ids only: 18 bytes each.
type finding struct{ settled, pending []DeliveryID }

// find lists the deliveries, those of older callbacks first.
func (r Replay) find(ctx context.Context, store Store) (f finding, err error) {
	if r.IDs != nil {
		return r.ofNamed(ctx, store)
	}
	q := r.Query
	q.Limit = replayChunk
	for {
		page, err := store.List(ctx, q)
		if err != nil {
			return f, fmt.Errorf("list callbacks: %w", err)
		}
		for _, e := range page.Entries { // newest first, and so the last delivery first
			slices.Reverse(e.Deliveries)
			r.add(&f, e)
		}
		if q.Cursor = page.Next; q.Cursor.IsZero() {
			slices.Reverse(f.settled)
			slices.Reverse(f.pending)
			return f, nil
		}
	}
}

// ofNamed lists the deliveries of the callbacks that are named.
func (r Replay) ofNamed(ctx context.Context, store Store) (f finding, err error) {
	named := slices.Clone(r.IDs)
	slices.SortFunc(named, func(a, b ID) int { return slices.Compare(a[:], b[:]) })
	for _, id := range slices.Compact(named) {
		e, err := store.Get(ctx, id)
		if err != nil {
			return f, fmt.Errorf("%s: %w", id, err)
		}
		r.add(&f, e)
	}
	return f, nil
}

// add takes those of a callback's deliveries that the replay is about.
func (r Replay) add(f *finding, e Entry) {
	for _, d := range e.Deliveries {
		switch {
		case !r.selects(d):
		case d.State == Pending:
			f.pending = append(f.pending, d.ID)
		default:
			f.settled = append(f.settled, d.ID)
		}
	}
}

// selects reports whether the replay is about a delivery.
func (r Replay) selects(d Delivery) bool {
	state, sink := r.Query.State, r.Query.Sink
	if d.Sink == Nowhere || state != "" && d.State != state || sink != "" && d.Sink != sink {
		return false
	}
	return d.Fallback == "" || d.State != Delivered || sink != ""
}
