package server

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits bound what one connection may cost. A zero field is its default.
type Limits struct {
	Header time.Duration // to send a request's headers; 10 s
	Body   time.Duration // to send its body after that; 30 s
	Idle   time.Duration // between two requests; 60 s
	Answer time.Duration // to take the answer; 60 s, negative is no limit
	Grace  time.Duration // for what is under way when the server stops; 8 s
}

// What a request's head may be at most, in bytes.
const (
	maxHead = 16 << 10 // request line and headers: 431
	maxURI  = 8 << 10  // 414
)

func (l Limits) complete() Limits {
	l.Header = cmp.Or(l.Header, 10*time.Second)
	l.Body = cmp.Or(l.Body, 30*time.Second)
	l.Idle = cmp.Or(l.Idle, 60*time.Second)
	l.Answer = max(cmp.Or(l.Answer, 60*time.Second), 0)
	l.Grace = cmp.Or(l.Grace, 8*time.Second)
	return l
}

// Serve answers on l until ctx ends. It then takes no more requests, gives those
// under way the grace, and returns. The error is of a listener that broke.
func Serve(ctx context.Context, l net.Listener, h http.Handler, limits Limits, log *slog.Logger) error {
	limits = limits.complete()
	srv := &http.Server{
		Handler:           &door{inner: h, body: limits.Body},
		ReadHeaderTimeout: limits.Header,
		ReadTimeout:       limits.Header + limits.Body,
		IdleTimeout:       limits.Idle,
		MaxHeaderBytes:    maxHead - 4096, // net/http adds as much
		BaseContext:       func(net.Listener) context.Context { return ctx },
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelWarn),

		DisableGeneralOptionsHandler: true,
	}
	if limits.Answer > 0 {
		srv.WriteTimeout = limits.Body + limits.Answer
	}
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(guardedListener{l}) }()
	select {
	case err := <-ended:
		return err
	case <-ctx.Done():
	}
	stop, cancel := context.WithTimeout(context.WithoutCancel(ctx), limits.Grace)
	defer cancel()
	if err := srv.Shutdown(stop); errors.Is(err, context.DeadlineExceeded) {
		log.Warn("requests are cut off", "after", limits.Grace)
		srv.Close()
	}
	<-ended
	return nil
}

// A door is what every request goes through first.
type door struct {
	inner http.Handler
	body  time.Duration
}

func (d *door) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if len(r.RequestURI) > maxURI {
		hangUp(w)
		answer(w, http.StatusRequestURITooLong, `{"error":"URI too long"}`)
		return
	}
	if r.ContentLength < 0 {
		hangUp(w) // the guard lost sight of where the next request begins
	}
	if r.ContentLength != 0 {
		http.NewResponseController(w).SetReadDeadline(time.Now().Add(d.body))
	}
	d.inner.ServeHTTP(w, r)
}

// hangUp makes the connection close after the answer.
func hangUp(w http.ResponseWriter) { w.Header().Set("Connection", "close") }

var jsonType = []string{"application/json; charset=utf-8"}

// answer writes a JSON text that is given whole.
func answer(w http.ResponseWriter, status int, body string) {
	w.Header()["Content-Type"] = jsonType
	w.WriteHeader(status)
	w.Write([]byte(body))
}
