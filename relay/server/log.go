package server

import (
	"bytes"
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

// contains reports whether the text is in the callback's ref_id or body.
func contains(c relay.Callback, text string) bool {
	return text == "" || strings.Contains(c.RefID, text) || bytes.Contains(c.Body, []byte(text))
}
