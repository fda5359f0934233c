package relay

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"
)

// Keep says for how long things are kept; 0 is for ever.
type Keep struct {
	Callbacks time.Duration // and their settled deliveries
	Keys      time.Duration // dedupe keys; never less than Callbacks
}

// before gives what is old at now.
func (k Keep) before(now time.Time) (p Prune) {
	if k.Callbacks > 0 {
		p.Callbacks = now.Add(-k.Callbacks)
	}
	if k.Keys > 0 && k.Callbacks > 0 {
		p.Keys = now.Add(-max(k.Keys, k.Callbacks))
	}
	return p
}

// PruneNow forgets what is old at now, whatever the clock did before: it is what
// an operator asks for. What still owes a delivery stays. It ends early with
// ctx; what it forgot until then is forgotten.
func PruneNow(ctx context.Context, store Store, keep Keep, now time.Time, log *slog.Logger) (Pruned, error) {
	begun, p := time.Now(), keep.before(now)
	n, err := store.Prune(ctx, p)
	if err != nil {
		err = fmt.Errorf("prune: %w", err)
	}
	log.Info("pruned", "callbacks", n.Callbacks, "keys", n.Keys, "callbacks_before", p.Callbacks,
		"keys_before", p.Keys, "duration", time.Since(begun))
	return n, err
}

// When a Pruner doubts the wall clock.
const (
	clockSlack  = time.Hour          // a clock that is set by less is believed at once
	silence     = 7 * 24 * time.Hour // no callback for longer is odd
	believeFrom = 60 * time.Hour     // a reading that held for so long is believed
)

// A Pruner prunes on a schedule, and not because the clock leapt: a clock that is
// wrongly a year ahead would make everything old at once. It doubts the clock
// if that was set forward while the process runs, or if the log is silent for
// more than a week just before the process began, or just before what would be
// forgotten. While in doubt it prunes nothing, and says so. A reading that holds
// for two and a half days is believed: an operator has seen the warnings of two
// daily runs by then, and a log must not grow for ever because a machine began
// with a wrong clock, slept for a month, or had nothing to do.
type Pruner struct {
	store Store
	log   *slog.Logger

	mu     sync.Mutex
	wall   time.Time     // a reading of the wall clock
	up     time.Duration // and when it was made
	doubts bool          // about all readings up to believed
	since  time.Duration // when the doubt arose
}

// NewPruner makes a Pruner for a process that begins at now.
func NewPruner(ctx context.Context, store Store, now time.Time, log *slog.Logger) (*Pruner, error) {
	newest, err := newestBefore(ctx, store, time.Time{})
	if err != nil {
		return nil, err
	}
	p := &Pruner{store: store, log: log, wall: now.Round(0)}
	p.doubts = !newest.IsZero() && now.Sub(newest) > silence
	return p, nil
}

// Prune forgets what is old at now, unless it doubts that it is now. Up is how long
// the process has run, by a clock that nobody sets: time.Since of its start.
func (p *Pruner) Prune(ctx context.Context, keep Keep, now time.Time, up time.Duration) (Pruned, error) {
	why, err := p.doubt(ctx, keep, now.Round(0), up)
	if err != nil {
		return Pruned{}, err
	}
	if why != "" {
		p.log.Warn("not pruned: the clock may be wrong", "reason", why, "now", now)
		return Pruned{}, nil
	}
	return PruneNow(ctx, p.store, keep, now, p.log)
}

// doubt says why now may be wrong; "" if it is believed.
func (p *Pruner) doubt(ctx context.Context, keep Keep, now time.Time, up time.Duration) (why string, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if leap := now.Sub(p.wall) - (up - p.up); leap.Abs() > clockSlack {
		p.doubts, p.since = true, up
	}
	p.wall, p.up = now, up
	if up-p.since >= believeFrom {
		p.doubts = false
		return "", nil
	}
	if p.doubts {
		return "it was set, or the log was silent before the start", nil
	}
	old := keep.before(now).Callbacks
	newest, err := newestBefore(ctx, p.store, old)
	if err == nil && !newest.IsZero() && old.Sub(newest) > silence {
		why = "all that would be forgotten is much older than it need be"
	}
	return why, err
}

// newestBefore is when the newest callback received before t came; zero if there
// is none. A zero t is no bound.
func newestBefore(ctx context.Context, store Store, t time.Time) (time.Time, error) {
	for q := (Query{Until: t, Limit: 1}); ; {
		page, err := store.List(ctx, q)
		if err != nil {
			return time.Time{}, fmt.Errorf("look for the newest callback: %w", err)
		}
		if len(page.Entries) > 0 {
			return page.Entries[0].Callback.ReceivedAt, nil
		}
		if q.Cursor = page.Next; q.Cursor.IsZero() {
			return time.Time{}, nil
		}
	}
}
