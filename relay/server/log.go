package server

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
)

// listFor is how long a page is searched for beyond the store's own bound: a
// rare match lies deep in the log.
const listFor = time.Second

// list gives a page. It may be short, or empty, and still have a next.
func (a *Admin) list(c *gin.Context) (any, error) {
	now := time.Now()
	q, err := pageQuery(c.Request.URL.Query(), now, a.Rules.Set().Location())
	if err != nil {
		return nil, badRequest(err)
	}
	out := Page{Callbacks: []Callback{}}
	for limit := q.Limit; ; {
		page, err := a.Store.List(c.Request.Context(), q)
		if err != nil {
			return nil, err
		}
		for _, e := range page.Entries {
			out.Callbacks = append(out.Callbacks, newCallback(e))
		}
		q.Cursor, q.Limit = page.Next, limit-len(out.Callbacks)
		if page.Next.IsZero() {
			return out, nil
		}
		if q.Limit <= 0 || time.Since(now) > listFor {
			out.Next = page.Next.String()
			return out, nil
		}
	}
}

// entry is the callback that the path names.
func (a *Admin) entry(c *gin.Context) (relay.Entry, error) {
	id, err := relay.ParseID(c.Param("id"))
	if err != nil {
		return relay.Entry{}, badRequest(fmt.Errorf("%w: an id has 36 characters, such as 01890a5d-ac96-774b-bcce-b302099a8057; "+
			"to find a callback by its order, list with ref_id", err))
	}
	return a.Store.Get(c.Request.Context(), id)
}

func (a *Admin) show(c *gin.Context) (any, error) {
	e, err := a.entry(c)
	if err != nil {
		return nil, err
	}
	return newDetail(e, a.data(e.Callback)), nil
}

// data is what the callback's source reads in it now.
func (a *Admin) data(c relay.Callback) any {
	src, ok := a.Rules.Set().Source(c.Source)
	if !ok || c.Damaged {
		return nil
	}
	return src.Read(c).Parsed.Data
}

// raw gives the very bytes that came, as a download.
func (a *Admin) raw(c *gin.Context) (any, error) {
	e, err := a.entry(c)
	if err != nil {
		return nil, err
	}
	if e.Callback.Damaged {
		return nil, errors.New("the stored bytes are damaged; a backup may have them")
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="`+e.Callback.ID.String()+`.bin"`)
	h.Set("Content-Length", strconv.Itoa(len(e.Callback.Body)))
	c.Writer.WriteHeader(http.StatusOK)
	c.Writer.Write(e.Callback.Body)
	return nil, errAnswered
}

// A ReplayRequest says what is to be delivered again: the callbacks that are
// named, or those that a filter selects; of their settled deliveries, if Sink is
// set, only that sink's.
type ReplayRequest struct {
	IDs    []relay.ID `json:"ids,omitempty"`
	Filter *Filter    `json:"filter,omitempty"`
	Sink   string     `json:"sink,omitempty"`
	DryRun bool       `json:"dry_run,omitempty"` // only count
}

// Replayed is how many deliveries were opened again or, on a dry run, would be.
type Replayed struct {
	Replayed int  `json:"replayed"`
	DryRun   bool `json:"dry_run,omitempty"`
}

func (a *Admin) replay(c *gin.Context) (any, error) {
	var req ReplayRequest
	if err := readJSON(c, &req); err != nil {
		return nil, err
	}
	set := a.Rules.Set()
	r, err := req.read(time.Now(), set.Location())
	if err != nil {
		return nil, badRequest(err)
	}
	ctx := context.WithoutCancel(c.Request.Context())
	n, err := r.Run(ctx, a.Store, time.Now(), req.DryRun)
	if err != nil {
		if n > 0 {
			return nil, &failure{http.StatusInternalServerError, err, map[string]any{"replayed": n}}
		}
		return nil, err
	}
	a.Log.Info("replay", "deliveries", n, "dry_run", req.DryRun)
	return Replayed{n, req.DryRun}, nil
}

func (req *ReplayRequest) read(now time.Time, loc *time.Location) (r relay.Replay, err error) {
	switch {
	case len(req.IDs) == 0 && req.Filter == nil && req.Sink == "":
		return r, errors.New(`say what to replay: {"ids":[...]} or {"filter":{"state":"dead"},"sink":"name"}`)
	case len(req.IDs) > 0 && req.Filter != nil:
		return r, errors.New("give ids or a filter, not both")
	}
	r.IDs = req.IDs
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

// contains reports whether the text is in the callback's ref_id or body.
func contains(c relay.Callback, text string) bool {
	return text == "" || strings.Contains(c.RefID, text) || bytes.Contains(c.Body, []byte(text))
}
