package server

import (
	"errors"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/source"
)

// An ExplainRequest says what is to be explained: a callback of the log by its
// ID, or a request to a source.
type ExplainRequest struct {
	ID relay.ID `json:"id,omitzero"`

	Source  string            `json:"source,omitempty"`
	Method  string            `json:"method,omitempty"` // POST if absent
	URI     string            `json:"uri,omitempty"`    // /webhook/<source> if absent
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"` // its text, as it would come
}

// explain gives a rules.Explanation by the rules in force. It sends nothing.
func (a *Admin) explain(c *gin.Context) (any, error) {
	var req ExplainRequest
	if err := readJSON(c, &req); err != nil {
		return nil, err
	}
	set := a.Rules.Set()
	switch {
	case !req.ID.IsZero():
		e, err := a.Store.Get(c.Request.Context(), req.ID)
		if err != nil {
			return nil, err
		}
		if e.Callback.Damaged {
			return nil, errors.New("the stored bytes are damaged")
		}
		return explainStored(set, e.Callback), nil
	case req.Source == "":
		return nil, badRequest(errors.New(`say what to explain: {"id":"..."} or {"source":"name","body":"...","headers":{...}}`))
	}
	return req.explain(set)
}

// explainStored explains a callback of the log, as it came: whether its source in
// the rules in force would take it, had it come at its time.
func explainStored(set *rules.Set, c relay.Callback) rules.Explanation {
	out := set.Explain(c)
	src, ok := set.Source(c.Source)
	if !ok {
		return out
	}
	r := source.Request{Method: c.Method, URI: c.URI, Host: c.Header.Get("Host"), Scheme: "http", Header: c.Header, Body: c.Body}
	r.Remote, _ = netip.ParseAddr(c.Remote)
	if len(src.TrustedProxies()) > 0 && strings.EqualFold(c.Header.Get("X-Forwarded-Proto"), "https") {
		r.Scheme = "https"
	}
	if again, err := set.ExplainRequest(c.Source, r, c.ReceivedAt); err == nil {
		out.Verify, out.Fields.Key = again.Verify, again.Fields.Key
	}
	return out
}

func (req *ExplainRequest) explain(set *rules.Set) (any, error) {
	r := source.Request{Method: req.Method, URI: req.URI, Scheme: "https", Header: http.Header{}, Body: []byte(req.Body)}
	if r.Method == "" {
		r.Method = http.MethodPost
	}
	if r.URI == "" {
		r.URI = webhookPath + req.Source
	}
	for name, value := range req.Headers {
		r.Header.Set(name, value)
	}
	out, err := set.ExplainRequest(req.Source, r, time.Now())
	if err != nil {
		return nil, badRequest(err)
	}
	return out, nil
}
