package server

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
)

// A TailAttempt is the data of an `attempt` event: one try at a delivery.
type TailAttempt struct {
	Callback relay.ID    `json:"callback"`
	Source   string      `json:"source"`
	RefID    string      `json:"ref_id"`
	Event    string      `json:"event"`
	Sink     string      `json:"sink"`
	Rule     string      `json:"rule"`
	State    relay.State `json:"state"` // what the delivery came to
	Attempt  Attempt     `json:"attempt"`
}

// stillThere is how often a line goes to a watcher when nothing else does, so
// that proxies in between keep the connection.
const stillThere = 15 * time.Second

// tail gives what happens as server-sent events: `callback` and `duplicate` with
// the callback as in lists, `attempt` with a TailAttempt, and `missed` with a
// number if the client did not keep up. The filters are those of the list.
func (a *Admin) tail(c *gin.Context) (any, error) {
	q, err := filterOf(c.Request.URL.Query()).query(time.Now(), a.Rules.Set().Location())
	if err != nil {
		return nil, badRequest(err)
	}
	watcher, leave := a.Feed.watch()
	defer leave()
	s := stream{a, c.Writer, http.NewResponseController(c.Writer), q}
	c.Writer.Header().Set("Content-Type", "text/event-stream")
	c.Writer.WriteHeader(http.StatusOK)
	s.send(": watching\n\n")
	s.follow(c.Request.Context(), watcher)
	return nil, errAnswered
}

// A stream is the way to one client.
type stream struct {
	*Admin
	w     http.ResponseWriter
	conn  *http.ResponseController
	query relay.Query
}

// follow hands news on until the client goes or the server stops.
func (s *stream) follow(ctx context.Context, w *watcher) {
	tick := time.NewTicker(stillThere)
	defer tick.Stop()
	for ctx.Err() == nil {
		var err error
		select {
		case <-ctx.Done():
		case <-tick.C:
			err = s.send(": still watching\n\n")
		case n := <-w.news:
			err = s.tell(ctx, n)
		}
		if missed := w.missed.Swap(0); missed > 0 && err == nil {
			err = s.event("missed", missed)
		}
		if err != nil {
			return
		}
	}
}

// tell sends one piece of news, if the filter selects it.
func (s *stream) tell(ctx context.Context, n news) error {
	e, err := s.Store.Get(ctx, n.callback)
	if errors.Is(err, relay.ErrNotFound) {
		return nil // forgotten meanwhile
	}
	if err != nil {
		return err
	}
	if n.kind != attempted {
		if !matches(s.query, e) {
			return nil
		}
		return s.event(n.kind, newCallback(e))
	}
	d := deliveryOf(e, n.delivery)
	d.State = n.state
	if e.Deliveries = []relay.Delivery{d}; !matches(s.query, e) {
		return nil
	}
	c := e.Callback
	return s.event(n.kind, TailAttempt{Callback: c.ID, Source: c.Source, RefID: c.RefID, Event: c.Event,
		Sink: d.Sink, Rule: d.Rule, State: n.state, Attempt: newAttempt(n.attempt)})
}

func deliveryOf(e relay.Entry, id relay.DeliveryID) relay.Delivery {
	for _, d := range e.Deliveries {
		if d.ID == id {
			return d
		}
	}
	return relay.Delivery{ID: id}
}

func (s *stream) event(name string, data any) error {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(data); err != nil {
		return err
	}
	return s.send(fmt.Sprintf("event: %s\ndata: %s\n", name, b.Bytes()))
}

// send writes at once; a client that takes nothing for a while is gone.
func (s *stream) send(text string) error {
	s.conn.SetWriteDeadline(time.Now().Add(stillThere))
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.conn.Flush()
}
