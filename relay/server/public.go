package server

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/sinks"
)

func init() { gin.SetMode(gin.ReleaseMode) }

// A Public is what the public listener is made of. All fields are needed.
type Public struct {
	Rules      func() *rules.Set // those in force; a request sees one Set
	Receiver   *relay.Receiver
	Ready      func() error // why nothing is accepted now, if so
	Rejections *Rejections
	Metrics    *Metrics
	Log        *slog.Logger
}

const (
	retryAfter  = "10" // seconds that a provider is asked to wait when the store takes nothing
	webhookPath = "/webhook/"
)

// Handler answers POST /webhook/<source>, with other methods too for sources
// that have them, /-/healthy and /-/ready.
func (p *Public) Handler() http.Handler {
	g := newEngine()
	for _, method := range []string{http.MethodPost, http.MethodGet, http.MethodPut, http.MethodPatch} {
		g.Handle(method, webhookPath+":source", p.webhook)
	}
	addHealth(g, p.Ready)
	g.NoMethod(p.noMethod)
	return g
}

// newEngine makes a gin engine that takes a path as it is, or not at all.
func newEngine() *gin.Engine {
	g := gin.New()
	g.RedirectTrailingSlash = false
	g.HandleMethodNotAllowed = true
	g.UseEscapedPath = true
	g.UnescapePathValues = false
	g.SetTrustedProxies(nil)
	g.NoRoute(func(c *gin.Context) { answer(c.Writer, http.StatusNotFound, `{"error":"Not found"}`) })
	return g
}

// addHealth adds the two health checks: whether the process lives, and whether
// it accepts.
func addHealth(g *gin.Engine, ready func() error) {
	methods := []string{http.MethodGet, http.MethodHead} // some monitors ask by HEAD
	g.Match(methods, "/-/healthy", func(c *gin.Context) { answer(c.Writer, http.StatusOK, `{"status":"healthy"}`) })
	g.Match(methods, "/-/ready", func(c *gin.Context) {
		if err := ready(); err != nil {
			writeError(c.Writer, http.StatusServiceUnavailable, err)
			return
		}
		answer(c.Writer, http.StatusOK, `{"status":"ready"}`)
	})
}

// A visit is one request to a webhook.
type visit struct {
	*Public
	w      http.ResponseWriter
	r      *http.Request
	name   string // of the source, as the path says
	source *source.Source
	from   string
}

// webhook takes a callback: verified and routed by one Set, and stored, before
// it is answered.
func (p *Public) webhook(c *gin.Context) {
	v := &visit{Public: p, w: c.Writer, r: c.Request, name: c.Param("source")}
	defer v.recover()
	set := p.Rules()
	var known bool
	if v.source, known = set.Source(v.name); !known {
		v.from, _, _ = net.SplitHostPort(c.Request.RemoteAddr)
		v.refuse(&refusal{http.StatusNotFound, `{"error":"Unknown source"}`, "unknown source", "unknown_source"})
		return
	}
	if !v.source.Allows(v.r.Method) {
		methodNotAllowed(v.w, v.source.Methods())
		return
	}
	if sinks.RefuseLoop(v.w, v.r) {
		p.Metrics.rejected(v.name, "loop")
		return
	}
	v.accept(set)
}

// noMethod answers a method that no source could have.
func (p *Public) noMethod(c *gin.Context) {
	name, isWebhook := strings.CutPrefix(c.Request.URL.EscapedPath(), webhookPath)
	if !isWebhook {
		methodNotAllowed(c.Writer, []string{http.MethodGet, http.MethodHead})
		return
	}
	if src, ok := p.Rules().Source(name); ok {
		methodNotAllowed(c.Writer, src.Methods())
		return
	}
	c.Writer.Header().Del("Allow")
	answer(c.Writer, http.StatusNotFound, `{"error":"Unknown source"}`)
}

func methodNotAllowed(w http.ResponseWriter, methods []string) {
	w.Header().Set("Allow", strings.Join(methods, ", "))
	answer(w, http.StatusMethodNotAllowed, `{"error":"Method not allowed"}`)
}

// accept reads, verifies and stores.
func (v *visit) accept(set *rules.Set) {
	begun := time.Now()
	remote, scheme := origin(v.r, v.source.TrustedProxies())
	if v.from = v.r.RemoteAddr; remote.IsValid() {
		v.from = remote.String()
	}
	b, no := readBody(v.r, v.source.MaxBody())
	if no != nil {
		hangUp(v.w)
		v.refuse(no)
		return
	}
	v.r.Header["Host"] = []string{v.r.Host}
	seen, err := v.source.Verify(source.Request{Method: v.r.Method, URI: v.r.RequestURI, Host: v.r.Host, Scheme: scheme,
		Header: v.r.Header, Body: b.bytes, Remote: remote}, begun)
	switch {
	case err != nil:
		v.deny(err)
		b.drop()
	case seen.Challenge != nil:
		v.reply(*seen.Challenge)
	default:
		v.store(set, seen)
	}
	v.Metrics.answered(time.Since(begun))
}

// deny answers a request that did not verify.
func (v *visit) deny(err error) {
	denied, ok := errors.AsType[*source.Denied](err)
	if ok && denied.Status == http.StatusForbidden {
		v.refuse(notAllowed)
		return
	}
	v.note(err.Error(), "signature")
	v.reply(v.source.Reply(source.Refused))
}

// store makes the callback durable, and answers then. A client that has gone
// meanwhile changes nothing.
func (v *visit) store(set *rules.Set, seen source.Verified) {
	receipt, err := v.Receiver.Receive(context.WithoutCancel(v.r.Context()), seen.Callback, seen.Key, set, seen.RouteConflict)
	switch {
	case err != nil:
		v.note(err.Error(), "unavailable")
		v.w.Header().Set("Retry-After", retryAfter)
		answer(v.w, http.StatusServiceUnavailable, `{"error":"Not stored, send it again"}`)
	case receipt.Duplicate:
		v.reply(v.source.Reply(source.Duplicate))
	default:
		v.reply(v.source.Reply(source.Accepted))
	}
}

func (v *visit) reply(reply source.Reply) {
	v.w.Header()["Content-Type"] = []string{reply.ContentType}
	v.w.WriteHeader(reply.Status)
	v.w.Write(reply.Body)
}

// refuse answers a request that goes no further, and notes it.
func (v *visit) refuse(no *refusal) {
	v.note(no.reason, no.kind)
	answer(v.w, no.status, no.body)
}

func (v *visit) note(reason, kind string) {
	name := v.name
	if v.source == nil {
		name = "" // anybody may ask for any name: it must not become a metric
	}
	v.Metrics.rejected(name, kind)
	v.Rejections.add(Rejection{Time: time.Now(), Source: v.name, Address: v.from, Reason: reason})
}

// recover answers 500 if something panicked: the provider sends again.
func (v *visit) recover() {
	if p := recover(); p != nil {
		v.Metrics.Panicked()
		v.Log.Error("a request panicked", "source", v.name, "error", fmt.Sprint(p), "stack", string(debug.Stack()))
		answer(v.w, http.StatusInternalServerError, `{"error":"Internal error"}`)
	}
}
