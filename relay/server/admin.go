package server

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
)

// An Admin is what the admin listener is made of. All fields are needed, but for
// those that say otherwise.
type Admin struct {
	Store      relay.Store
	Rules      *rules.Live
	Prune      func(*http.Request) (relay.Pruned, error)
	Sinks      func() map[string]relay.SinkState
	Ready      func() error // why nothing is accepted now, if so
	Rejections *Rejections
	Feed       *Feed
	Metrics    *Metrics
	Log        *slog.Logger

	Token    string
	Password string   // is taken beside the token, if it is not empty
	Hosts    []string // names by which the listener may be called
	Open     bool     // metrics are given without a token

	Version string
	Started time.Time
	Webhook string // where the public listener is
	Path    string // of the rules
}

const welcome = `Kurir's admin listener.

GET  /api/callbacks          the log, newest first: ?source&event&ref_id&state&sink&since&until&q&limit&cursor
GET  /api/callbacks/ID       one callback with every attempt; /api/callbacks/ID/raw gives its bytes
GET  /api/tail               what happens, as it happens (server-sent events, filters as above)
GET  /api/stats  /api/sinks  /api/sources  /api/rejections
GET  /api/samples            a few callbacks of each event, with their bodies: ?since
POST /api/replay             {"ids":[...]} or {"filter":{...},"sink":"name"}, with "dry_run":true to count first,
                             and "now":true for what is pending
POST /api/explain  /api/what-if  /api/reload  /api/prune
GET  /api/backup             a consistent copy of the store
GET  /metrics  /-/healthy  /-/ready

The API wants the token in <data>/admin.token, as the header Authorization: Bearer <token>.
`

// Handler answers what welcome lists.
func (a *Admin) Handler() http.Handler {
	g := newEngine()
	addHealth(g, a.Ready)
	g.GET("/", func(c *gin.Context) { c.Data(http.StatusOK, "text/plain; charset=utf-8", []byte(welcome)) })
	g.GET("/metrics", gin.WrapH(a.Metrics.Handler()))
	g.NoMethod(func(c *gin.Context) { answer(c.Writer, http.StatusMethodNotAllowed, `{"error":"Method not allowed"}`) })
	for path, f := range map[string]endpoint{
		"/api/callbacks":         a.list,
		"/api/callbacks/:id":     a.show,
		"/api/callbacks/:id/raw": a.raw,
		"/api/tail":              a.tail,
		"/api/stats":             a.stats,
		"/api/sinks":             a.sinks,
		"/api/sources":           a.sources,
		"/api/rejections":        a.rejections,
		"/api/samples":           a.samples,
		"/api/backup":            a.backup,
	} {
		g.GET(path, a.serve(f))
	}
	for path, f := range map[string]endpoint{
		"/api/explain": a.explain,
		"/api/what-if": a.whatIf,
		"/api/replay":  a.replay,
		"/api/reload":  a.reload,
		"/api/prune":   a.prune,
	} {
		g.POST(path, a.serve(f))
	}
	hosts := make([]string, len(a.Hosts))
	for i, h := range a.Hosts {
		hosts[i] = strings.ToLower(strings.Trim(h, "[]"))
	}
	door := &access{token: a.Token, password: a.Password, hosts: hosts, open: a.Open,
		metrics: a.Metrics, log: a.Log, flood: newFlood(), guesses: newGuesses()}
	door.inner = http.NewCrossOriginProtection().Handler(g)
	return door
}

// An endpoint gives what is to be answered, or an error, which is a *failure if
// the caller is to blame. With none, it has answered itself.
type endpoint func(c *gin.Context) (any, error)

var errAnswered = errors.New("answered")

// A failure is an error with the status it is answered with.
type failure struct {
	status int
	err    error
	more   map[string]any // further fields of the answer
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// badRequest is a mistake of the caller's, who is told what to write instead.
func badRequest(err error) error { return &failure{status: http.StatusBadRequest, err: err} }

func (a *Admin) serve(f endpoint) gin.HandlerFunc {
	return func(c *gin.Context) {
		defer a.recover(c)
		out, err := f(c)
		switch {
		case errors.Is(err, errAnswered):
		case err != nil:
			a.fail(c, err)
		default:
			writeJSON(c.Writer, http.StatusOK, out)
		}
	}
}

// recover answers 500 if something panicked, unless it is meant to break the
// connection.
func (a *Admin) recover(c *gin.Context) {
	switch p := recover(); p {
	case nil:
	case http.ErrAbortHandler:
		panic(p)
	default:
		a.Metrics.Panicked()
		a.Log.Error("a request panicked", "path", c.FullPath(), "error", fmt.Sprint(p), "stack", string(debug.Stack()))
		answer(c.Writer, http.StatusInternalServerError, `{"error":"Internal error"}`)
	}
}

func (a *Admin) fail(c *gin.Context, err error) {
	f, ok := errors.AsType[*failure](err)
	switch {
	case errors.Is(err, relay.ErrNotFound):
		f = &failure{status: http.StatusNotFound, err: err}
	case errors.Is(err, relay.ErrFull), errors.Is(err, relay.ErrBusy), errors.Is(err, relay.ErrClosed):
		c.Writer.Header().Set("Retry-After", retryAfter)
		f = &failure{status: http.StatusServiceUnavailable, err: err}
	case !ok:
		f = &failure{status: http.StatusInternalServerError, err: err}
	}
	if f.status >= 500 {
		a.Log.Error("an admin request failed", "path", c.FullPath(), "error", err)
	}
	out := map[string]any{"error": f.err.Error()}
	for k, v := range f.more {
		out[k] = v
	}
	writeJSON(c.Writer, f.status, out)
}

func writeError(w http.ResponseWriter, status int, err error) {
	writeJSON(w, status, map[string]string{"error": err.Error()})
}

// writeJSON writes v as it is, without escapes that only HTML needs.
func writeJSON(w http.ResponseWriter, status int, v any) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		status = http.StatusInternalServerError
		b.Reset()
		fmt.Fprintf(&b, `{"error":%q}`, err.Error())
	}
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	w.Write(b.Bytes())
}

// maxRequest is the largest body of a request to the API, in bytes.
const maxRequest = 4 << 20

// readJSON reads a request's body into v; an empty one leaves v as it is.
func readJSON(c *gin.Context, v any) error {
	dec := json.NewDecoder(http.MaxBytesReader(c.Writer, c.Request.Body, maxRequest))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil && !errors.Is(err, io.EOF) {
		return badRequest(fmt.Errorf("the body is not the JSON that is expected: %w", err))
	}
	return nil
}
