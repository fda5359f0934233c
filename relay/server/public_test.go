package server_test

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
)

// full is a store that has no space left, while it is told so.
type full struct {
	relay.Store
	is atomic.Bool
}

func (f *full) Append(ctx context.Context, in []relay.Inbound) ([]relay.Receipt, error) {
	if f.is.Load() {
		return nil, relay.ErrFull
	}
	return f.Store.Append(ctx, in)
}

// handler is the public listener of a house, with another store or other rules.
func (h *house) handler(store relay.Store, set func() *rules.Set) http.Handler {
	log := slog.New(slog.NewTextHandler(h.log, nil))
	receiver := relay.NewReceiver(store, relay.ReceiverOptions{Log: log})
	h.Cleanup(receiver.Close)
	p := &server.Public{Rules: set, Receiver: receiver, Ready: func() error { return nil }, Rejections: h.rejections, Metrics: h.metrics, Log: log}
	return p.Handler()
}

// through hands a signed callback to a handler.
func through(handler http.Handler, body string) *http.Response {
	w := newRecorder()
	req, _ := http.NewRequest("POST", "/webhook/shop", strings.NewReader(body))
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Signature", sign(body))
	req.RemoteAddr, req.RequestURI = "192.0.2.1:1234", "/webhook/shop"
	handler.ServeHTTP(w, req)
	return w.Result()
}

func TestAFullStoreIsA503AndNoCallbackIsLost(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	store := &full{Store: h.store}
	handler := h.handler(store, h.live.Set)
	store.is.Store(true)
	resp := through(handler, order("A"))
	if resp.StatusCode != 503 || resp.Header.Get("Retry-After") == "" {
		t.Errorf("a full store is answered %d with %v", resp.StatusCode, resp.Header)
	}
	store.is.Store(false)
	if resp := through(handler, order("A")); resp.StatusCode != 200 {
		t.Errorf("once there is space again: %d", resp.StatusCode)
	}
	if n := len(h.entries()); n != 1 {
		t.Errorf("%d callbacks are stored", n)
	}
}

func TestAPanicIsA500AndTheProviderSendsAgain(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	if resp := through(h.handler(h.store, func() *rules.Set { panic("on purpose") }), order("A")); resp.StatusCode != 500 {
		t.Errorf("got %d", resp.StatusCode)
	}
	if !strings.Contains(h.log.String(), "on purpose") {
		t.Error("the log says nothing of it")
	}
}

func TestASourceMayAnswerInItsOwnWords(t *testing.T) {
	h := open(t, `
sources:
  shop:
    preset: isikuota
    secret: `+secret+`
    respond:
      ok: {body: '{"success":true}', content_type: application/json}
      duplicate: {status: 202, body: again}
      denied: {status: 418, body: "no"}
    challenge:
      - {when: 'body.type == "hello"', reply: body.word}
sinks: {log: {log: {}}}
rules: [{name: all, to: [log]}]
`, server.Limits{})
	for i, want := range []struct {
		raw    string
		status int
		body   string
		kind   string
	}{
		{signed(order("A")), 200, `{"success":true}`, "application/json"},
		{signed(order("A")), 202, "again", "text/plain; charset=utf-8"},
		{post("/webhook/shop", "{}", "X-Signature: 00"), 418, "no", "text/plain; charset=utf-8"},
		{post("/webhook/shop", `{"type":"hello","word":"salam"}`, "Content-Type: application/json"), 200, "salam", "text/plain; charset=utf-8"},
	} {
		if a := h.raw(want.raw); a.status != want.status || a.body != want.body || a.header.Get("Content-Type") != want.kind {
			t.Errorf("%d: got %d %q %s", i, a.status, a.body, a.header.Get("Content-Type"))
		}
	}
	if n := len(h.entries()); n != 1 {
		t.Errorf("%d callbacks are stored, want 1", n)
	}
}

func TestACallbackThatWentRoundIsRefused(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	hops := strings.TrimSuffix(strings.Repeat("0123456789abcdef, ", 9), ", ")
	if a := h.raw(signed(order("A"), "Kurir-Via: "+hops)); a.status != http.StatusLoopDetected {
		t.Errorf("got %d", a.status)
	}
	h.good("B")
}

// A sink whose address is this relay's own webhook.
func TestASinkThatIsThisRelayIsStopped(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.reload(strings.ReplaceAll(yaml, "log: {log: {}}", "log: {http: {url: 'http://"+h.public+"/webhook/shop'}, retry: [10ms]}"))
	h.good("A")
	h.await("the delivery to be dead", func() bool {
		return len(h.entries()[0].Deliveries) == 1 && h.entries()[0].Deliveries[0].State == relay.Dead
	})
	if n := len(h.entries()); n != 1 || h.entries()[0].Callback.Duplicates != 0 {
		t.Errorf("it came back: %+v", h.entries())
	}
}

// Two versions of the rules are swapped under load, each with two sinks of its
// own and the secrets in another order: no callback is refused, and none goes to
// sinks of both.
func TestACallbackIsTakenByExactlyOneVersionOfTheRules(t *testing.T) {
	version := func(name, secrets string) string {
		return fmt.Sprintf("sources: {shop: {preset: isikuota, secrets: [%s]}}\nsinks: {%s1: {log: {}}, %[2]s2: {log: {}}}\nrules: [{name: %[2]s, to: [%[2]s1, %[2]s2]}]\n", secrets, name)
	}
	a, b := version("a", secret+", other-secret"), version("b", "other-secret, "+secret)
	h := open(t, a, server.Limits{})
	stop := make(chan struct{})
	var senders, swaps sync.WaitGroup
	swaps.Go(func() {
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
				h.reload([]string{b, a}[i%2])
			}
		}
	})
	for i := range 4 {
		senders.Go(func() {
			for j := range 100 {
				if a := h.raw(signed(order(fmt.Sprint(i, "-", j)))); a.status != 200 {
					t.Errorf("refused with %d", a.status)
				}
			}
		})
	}
	senders.Wait()
	close(stop)
	swaps.Wait()
	seen := map[string]int{}
	for _, e := range h.entries() {
		var to string
		for _, d := range e.Deliveries {
			to += d.Sink
		}
		seen[to]++
	}
	if seen["a1a2"]+seen["b1b2"] != 400 || seen["a1a2"] == 0 || seen["b1b2"] == 0 {
		t.Errorf("the callbacks went to %v", seen)
	}
}

func TestAClientThatGoesAwayChangesNothing(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	ctx, gone := context.WithCancel(context.Background())
	gone()
	body := order("A")
	req, _ := http.NewRequestWithContext(ctx, "POST", "/webhook/shop", io.NopCloser(strings.NewReader(body)))
	req.ContentLength, req.RemoteAddr, req.RequestURI = int64(len(body)), "192.0.2.1:1", "/webhook/shop"
	req.Header.Set("X-Signature", sign(body))
	w := newRecorder()
	h.handler(h.store, h.live.Set).ServeHTTP(w, req)
	if w.Code != 200 || len(h.entries()) != 1 {
		t.Errorf("got %d, and %d callbacks", w.Code, len(h.entries()))
	}
}
