package server

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
)

// A ReplayRequest says what is to be delivered again: the callbacks that are
// named, or those that a filter selects; of their deliveries, if Sink is set,
// only that sink's. What is pending is left alone or, with Now, due now.
type ReplayRequest struct {
	IDs    []relay.ID `json:"ids,omitempty"`
	Filter *Filter    `json:"filter,omitempty"`
	Sink   string     `json:"sink,omitempty"`
	Now    bool       `json:"now,omitempty"`
	DryRun bool       `json:"dry_run,omitempty"` // only count
}

// Replayed is how many deliveries were opened again or, on a dry run, would be.
type Replayed struct {
	Replayed int    `json:"replayed"`
	Hastened int    `json:"hastened,omitempty"` // pending ones that are due now
	Pending  int    `json:"pending,omitempty"`  // pending ones that were left alone
	Hint     string `json:"hint,omitempty"`     // why it may be nothing at all
	DryRun   bool   `json:"dry_run,omitempty"`
}

func (a *Admin) replay(c *gin.Context) (any, error) {
	var req ReplayRequest
	if err := readJSON(c, &req); err != nil {
		return nil, err
	}
	ctx, set := context.WithoutCancel(c.Request.Context()), a.Rules.Set()
	r, err := req.read(time.Now(), set.Location())
	if err != nil {
		return nil, badRequest(err)
	}
	if err := a.knowsSink(ctx, set, r.Query.Sink); err != nil {
		return nil, err
	}
	n, err := r.Run(ctx, a.Store, time.Now(), req.DryRun)
	if err != nil {
		if n.Opened+n.Hastened > 0 {
			return nil, &failure{http.StatusInternalServerError, err, map[string]any{"replayed": n.Opened, "hastened": n.Hastened}}
		}
		return nil, err
	}
	out := Replayed{Replayed: n.Opened, Hastened: n.Hastened, Pending: n.Pending, DryRun: req.DryRun}
	a.Log.Info("replay", "deliveries", n.Opened, "hastened", n.Hastened, "pending", n.Pending, "dry_run", req.DryRun)
	if n == (relay.Replayed{}) {
		out.Hint, err = a.whyNothing(ctx, set, r.Query)
	}
	return out, err
}

func (req *ReplayRequest) read(now time.Time, loc *time.Location) (r relay.Replay, err error) {
	switch {
	case len(req.IDs) == 0 && req.Filter == nil && req.Sink == "":
		return r, errors.New(`say what to replay: {"ids":[...]} or {"filter":{"state":"dead"},"sink":"name"}`)
	case len(req.IDs) > 0 && req.Filter != nil:
		return r, errors.New("give ids or a filter, not both")
	}
	r.IDs, r.Now = req.IDs, req.Now
	if req.Filter != nil {
		if r.Query, err = req.Filter.query(now, loc); err != nil {
			return r, fmt.Errorf("filter: %w", err)
		}
	}
	if r.Query.Sink != "" && req.Sink != "" && r.Query.Sink != req.Sink {
		return r, errors.New("sink and filter.sink differ")
	}
	r.Query.Sink = cmp.Or(req.Sink, r.Query.Sink)
	return r, nil
}

// knowsSink refuses a sink that neither the rules nor the deliveries in the log
// have.
func (a *Admin) knowsSink(ctx context.Context, set *rules.Set, name string) error {
	if name == "" || set.Kind(name) != "" {
		return nil
	}
	st, err := a.Store.Stats(ctx)
	if err != nil {
		return err
	}
	if _, ok := st.Sinks[name]; ok {
		return nil
	}
	return badRequest(notKnown(fmt.Sprintf("there is no sink %q, and no delivery to one", name), name, set.SinkNames()))
}

// notKnown is a mistake with what was probably meant.
func notKnown(text, name string, known []string) error {
	if hint := conf.DidYouMean(name, known); hint != "" {
		text += ": " + hint
	}
	return errors.New(text)
}

// whyNothing looks for a misspelt name in a query that selects no delivery. A
// source that the rules don't have is a mistake; an event may be yet to come.
func (a *Admin) whyNothing(ctx context.Context, set *rules.Set, q relay.Query) (hint string, err error) {
	if _, ok := set.Source(q.Source); q.Source != "" && !ok {
		var names []string
		for _, s := range set.Sources() {
			names = append(names, s.Name())
		}
		return "", badRequest(notKnown(fmt.Sprintf("there is no source %q, and no delivery because of one", q.Source), q.Source, names))
	}
	if q.Event == "" {
		return "", nil
	}
	page, err := a.Store.List(ctx, relay.Query{Limit: maxLimit})
	var events []string
	for _, e := range page.Entries {
		if e.Callback.Event == q.Event {
			return "", err
		}
		if !slices.Contains(events, e.Callback.Event) {
			events = append(events, e.Callback.Event)
		}
	}
	return notKnown(fmt.Sprintf("no callback of late has the event %q", q.Event), q.Event, events).Error(), err
}
