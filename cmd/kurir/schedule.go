package main

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/robfig/cron/v3"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
)

// lookAtClock is how often the schedule is looked at: a clock that is set, and
// rules that are reloaded, are noticed then.
const lookAtClock = 20 * time.Second

// pruneOnSchedule forgets what is old, at the times that log.prune of the rules
// in force says, in their time zone. One that was missed while the daemon was
// down is left out.
func (d *daemon) pruneOnSchedule(ctx context.Context) error {
	pruner, err := relay.NewPruner(ctx, d.store, time.Now(), d.log)
	switch {
	case ctx.Err() != nil:
		return nil // it is stopped as soon as it is ready
	case err != nil:
		return err
	}
	tick := time.NewTicker(lookAtClock)
	defer tick.Stop()
	for last := time.Now().Round(0); ; {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		now, set := time.Now(), d.live.Set()
		if last.After(now) {
			last = now.Round(0) // the clock was set back
		}
		if !isDue(set, last, now) {
			continue
		}
		last = now.Round(0)
		if _, err := pruner.Prune(ctx, keep(set), now, time.Since(d.started)); err != nil && ctx.Err() == nil {
			d.log.Error("pruning failed", "error", err)
		}
	}
}

// isDue reports whether the schedule has a time after last, up to now.
func isDue(set *rules.Set, last, now time.Time) bool {
	schedule, err := cron.ParseStandard(set.Log().Prune)
	if err != nil {
		return false
	}
	next := schedule.Next(last.In(set.Location()))
	return !next.IsZero() && !next.After(now) // the 29th of February does not come within five years of 2097
}

func keep(set *rules.Set) relay.Keep {
	return relay.Keep{Callbacks: set.Log().Keep, Keys: set.Log().KeepKeys}
}

// prune forgets what is old now, on request.
func (d *daemon) prune(r *http.Request) (relay.Pruned, error) {
	n, err := relay.PruneNow(r.Context(), d.store, keep(d.live.Set()), time.Now(), d.log)
	if errors.Is(err, context.Canceled) {
		return n, errors.New("cut off: ask again for the rest")
	}
	return n, err
}
