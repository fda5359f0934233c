package server_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
)

const secret = "house-secret-0123456789abcdef"

// A house has both listeners on a real file, as the daemon has.
type house struct {
	*testing.T
	file  string
	live  *rules.Live
	store *boltstore.Store
	feed  *server.Feed

	rejections *server.Rejections
	metrics    *server.Metrics
	dispatcher *relay.Dispatcher

	public, admin string // addresses
	log           *lockedBuffer
}

const yaml = `
sources:
  shop:
    preset: isikuota
    secret: ` + secret + `
sinks:
  log: {log: {}}
rules:
  - {name: all, to: [log]}
`

// open starts a house on the rules; it ends with the test.
func open(t *testing.T, yaml string, limits server.Limits) *house {
	h := &house{T: t, file: filepath.Join(t.TempDir(), "rules.yaml"), log: &lockedBuffer{}, feed: server.NewFeed(), metrics: server.NewMetrics("test")}
	log := slog.New(slog.NewTextHandler(h.log, nil))
	h.write(yaml)
	var problems error
	live, found := rules.NewLive(h.file, rules.Options{Log: log, Console: io.Discard}, rules.Hooks{})
	if problems = found; live == nil {
		t.Fatal(problems)
	}
	store, err := boltstore.Open(t.TempDir(), boltstore.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	h.live, h.store, h.rejections = live, store, server.NewRejections(log)
	h.metrics.Watch(store, live.Set)
	receiver := relay.NewReceiver(store, relay.ReceiverOptions{Log: log, Accepted: func(c relay.Callback, r relay.Receipt, n int) {
		h.metrics.Accepted(c, r, n)
		h.feed.Accepted(c, r, n)
	}})
	h.dispatcher = relay.NewDispatcher(store, func() relay.Destinations { return live.Set() },
		relay.DispatcherOptions{Log: log, Poll: 10 * time.Millisecond, Attempted: h.feed.Attempted})

	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() { h.dispatcher.Run(ctx) })
	public := &server.Public{Rules: live.Set, Receiver: receiver, Ready: func() error { return nil }, Rejections: h.rejections, Metrics: h.metrics, Log: log}
	h.public = serve(ctx, t, &running, public.Handler(), limits, log)
	admin := h.newAdmin(log)
	h.admin = serve(ctx, t, &running, admin.Handler(), server.Limits{Answer: -1}, log)
	t.Cleanup(func() {
		stop()
		running.Wait()
		receiver.Close()
		store.Close()
		live.Close()
	})
	return h
}

const token = "house-token-0123456789"

func (h *house) newAdmin(log *slog.Logger) *server.Admin {
	return &server.Admin{Store: h.store, Rules: h.live, Sinks: h.dispatcher.Sinks, Ready: func() error { return nil },
		Prune: func(r *http.Request) (relay.Pruned, error) {
			return relay.PruneNow(r.Context(), h.store, relay.Keep{Callbacks: time.Nanosecond}, time.Now().Add(time.Second), log)
		},
		Rejections: h.rejections, Feed: h.feed, Metrics: h.metrics, Log: log, Token: token, Password: "house-password",
		Hosts: []string{"127.0.0.1", "localhost", "relay.example.com"}, Open: true, Version: "test", Started: time.Now(), Path: h.file}
}

func serve(ctx context.Context, t *testing.T, running *sync.WaitGroup, handler http.Handler, limits server.Limits, log *slog.Logger) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	limits.Grace = time.Second
	running.Go(func() {
		if err := server.Serve(ctx, l, handler, limits, log); err != nil {
			t.Error(err)
		}
	})
	return l.Addr().String()
}

func (h *house) write(yaml string) {
	h.Helper()
	if err := os.WriteFile(h.file, []byte(yaml), 0o600); err != nil {
		h.Fatal(err)
	}
}

func (h *house) reload(yaml string) {
	h.Helper()
	h.write(yaml)
	if _, problems := h.live.Reload(); len(problems.Errors()) > 0 {
		h.Fatal(problems)
	}
}

// raw sends bytes over a connection of its own and reads one answer.
func (h *house) raw(request string) (a answer) {
	h.Helper()
	conn, err := net.Dial("tcp", h.public)
	if err != nil {
		h.Fatal(err)
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	go io.WriteString(conn, request)
	return h.read(bufio.NewReader(conn))
}

// An answer is what came back, and whether the connection was closed after it.
type answer struct {
	status int
	header http.Header
	body   string
	closed bool
}

func (h *house) read(r *bufio.Reader) (a answer) {
	h.Helper()
	resp, err := http.ReadResponse(r, nil)
	if err != nil {
		h.Fatalf("no answer: %v", err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatalf("the answer is cut off: %v", err)
	}
	a = answer{status: resp.StatusCode, header: resp.Header, body: string(body), closed: resp.Close}
	if resp.Close {
		if n, err := io.Copy(io.Discard, r); n > 0 || err != nil && !strings.Contains(err.Error(), "reset") {
			h.Errorf("after the answer came %d bytes, and %v", n, err)
		}
	}
	return a
}

func sign(body string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	return hex.EncodeToString(mac.Sum(nil))
}

// post is a raw request with a body and further header lines.
func post(path, body string, lines ...string) string {
	return "POST " + path + " HTTP/1.1\r\nHost: relay\r\n" + headers(lines) + fmt.Sprintf("Content-Length: %d\r\n\r\n%s", len(body), body)
}

func headers(lines []string) (s string) {
	for _, l := range lines {
		s += l + "\r\n"
	}
	return s
}

// signed is a raw request to shop that verifies.
func signed(body string, lines ...string) string {
	return post("/webhook/shop", body, append(lines, "Content-Type: application/json", "X-Signature: "+sign(body))...)
}

func order(ref string) string {
	return `{"event":"order.failed","data":{"ref_id":"` + ref + `","price":11500}}`
}

// good checks that a good callback is accepted, and seen.
func (h *house) good(ref string) {
	h.Helper()
	if a := h.raw(signed(order(ref))); a.status != 200 || a.body != `{"status":"ok"}` {
		h.Errorf("a good callback is answered %d %s", a.status, a.body)
	}
}

// entries are all callbacks in the log, newest first.
func (h *house) entries() []relay.Entry {
	h.Helper()
	page, err := h.store.List(h.Context(), relay.Query{Limit: 1000})
	if err != nil {
		h.Fatal(err)
	}
	return page.Entries
}

// api asks the admin listener, with the token, and reads the JSON into out.
func (h *house) api(method, path, body string, out any) int {
	h.Helper()
	status, text := h.ask(method, path, body, "Authorization", "Bearer "+token)
	if out != nil {
		if err := json.Unmarshal(text, out); err != nil {
			h.Fatalf("%s %s: %v in %s", method, path, err, text)
		}
	}
	return status
}

// ask asks the admin listener, with headers given as names and values.
func (h *house) ask(method, path, body string, header ...string) (int, []byte) {
	h.Helper()
	resp := h.do(method, path, body, header...)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		h.Fatal(err)
	}
	return resp.StatusCode, text
}

func (h *house) do(method, path, body string, header ...string) *http.Response {
	h.Helper()
	req, err := http.NewRequestWithContext(h.Context(), method, "http://"+h.admin+path, strings.NewReader(body))
	if err != nil {
		h.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		if header[i] == "Host" {
			req.Host = header[i+1]
		}
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(req)
	if err != nil {
		h.Fatal(err)
	}
	return resp
}

type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }
