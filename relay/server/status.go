package server

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
)

func (a *Admin) stats(c *gin.Context) (any, error) {
	st, err := a.Store.Stats(c.Request.Context())
	if err != nil {
		return nil, err
	}
	out := Stats{Callbacks: st.Callbacks, Duplicates: st.Duplicates, Conflicts: st.Conflicts, Unmatched: st.Unmatched, Keys: st.Keys,
		StoreBytes: st.Bytes, Version: a.Version, StartedAt: a.Started.UTC(), Webhook: a.Webhook, Rules: a.Path, RulesHash: a.Rules.Set().Hash()}
	last := a.Rules.Last()
	out.RulesReadAt, out.RulesRefused, out.RulesProblems = last.At.UTC(), last.Refused(), last.Problems
	if !last.Change.Empty() {
		out.RulesChanges = last.Change.String()
	}
	for _, s := range st.Sinks {
		out.Pending += s.Pending
		out.Delivered += s.Delivered
		out.Dead += s.Dead
		if !s.Oldest.IsZero() && (out.OldestPendingAt.IsZero() || s.Oldest.Before(out.OldestPendingAt)) {
			out.OldestPendingAt = s.Oldest.UTC()
		}
	}
	return out, nil
}

// sinks lists those of the rules, and then those that only have deliveries left.
func (a *Admin) sinks(c *gin.Context) (any, error) {
	all, err := a.sinkStatus(c.Request.Context())
	return map[string]any{"sinks": all}, err
}

func (a *Admin) sinkStatus(ctx context.Context) ([]SinkStatus, error) {
	st, err := a.Store.Stats(ctx)
	if err != nil {
		return nil, err
	}
	set, states := a.Rules.Set(), a.Sinks()
	names := slices.Clone(set.SinkNames())
	for _, name := range slices.Sorted(maps.Keys(st.Sinks)) {
		if left := st.Sinks[name]; set.Kind(name) == "" && left.Pending+left.Dead > 0 {
			names = append(names, name)
		}
	}
	out := make([]SinkStatus, 0, len(names))
	for _, name := range names {
		out = append(out, newSinkStatus(name, set.Kind(name), st.Sinks[name], states[name]))
	}
	return out, nil
}

func newSinkStatus(name, kind string, st relay.SinkStats, at relay.SinkState) SinkStatus {
	return SinkStatus{Name: name, Kind: kind, Pending: st.Pending, Delivered: st.Delivered, Dead: st.Dead,
		OldestPendingAt: utc(st.Oldest), Sending: at.Sending, Failures: at.Failures, RestsUntil: utc(at.Rests),
		PausedUntil: utc(at.Paused), CollectsUntil: utc(at.Collects), LastSuccessAt: utc(at.LastSuccess), LastFailureAt: utc(at.LastFailure), LastError: at.LastError}
}

// utc keeps the zero time zero.
func utc(t time.Time) time.Time {
	if t.IsZero() {
		return t
	}
	return t.UTC()
}

func (a *Admin) sources(*gin.Context) (any, error) {
	out := []SourceStatus{}
	for _, s := range a.Rules.Set().Sources() {
		out = append(out, SourceStatus{Name: s.Name(), Preset: s.Preset(), Methods: s.Methods(), Checks: s.Checks(), SecretsUsed: s.SecretsUsed()})
	}
	return map[string]any{"sources": out}, nil
}

func (a *Admin) rejections(*gin.Context) (any, error) {
	return map[string]any{"rejections": a.Rejections.Newest()}, nil
}
