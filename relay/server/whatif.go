package server

import (
	"cmp"
	"context"
	"errors"
	"iter"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
)

// A WhatIf asks what other rules would change.
type WhatIf struct {
	Rules string `json:"rules"`           // the text of the file
	Name  string `json:"name,omitempty"`  // and its name, for its mistakes
	Since string `json:"since,omitempty"` // which callbacks to look at, as in a Filter; 24h if absent
}

// maxCompared is how many callbacks are looked at, the newest first.
const maxCompared = 20_000

// whatIf routes callbacks of the log by the rules in force and by others, and
// gives a rules.Comparison. It changes and sends nothing.
func (a *Admin) whatIf(c *gin.Context) (any, error) {
	var req WhatIf
	if err := readJSON(c, &req); err != nil {
		return nil, err
	}
	before := a.Rules.Set()
	q, err := Filter{Since: cmp.Or(req.Since, "24h")}.query(time.Now(), before.Location())
	if err != nil {
		return nil, badRequest(err)
	}
	after, problems := a.Rules.Parse(req.Name, []byte(req.Rules))
	if after == nil {
		return nil, &failure{http.StatusUnprocessableEntity, problems.Errors(), map[string]any{"problems": problems}}
	}
	defer after.Close()
	q.Limit = 500
	out := rules.Compare(before, after, a.callbacks(c.Request.Context(), q, &err))
	return out, err
}

// callbacks are those that a query selects, up to maxCompared; err says why they
// end early.
func (a *Admin) callbacks(ctx context.Context, q relay.Query, err *error) iter.Seq[relay.Callback] {
	return func(yield func(relay.Callback) bool) {
		for seen := 0; seen < maxCompared; {
			var page relay.Page
			if page, *err = a.Store.List(ctx, q); *err != nil {
				return
			}
			for _, e := range page.Entries {
				if !e.Callback.Damaged && !yield(e.Callback) {
					return
				}
			}
			seen += len(page.Entries)
			if q.Cursor = page.Next; q.Cursor.IsZero() || ctx.Err() != nil {
				*err = errors.Join(*err, ctx.Err())
				return
			}
		}
	}
}
