package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/server"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/sinks/sinktest"
)

const townSecret = "town-secret-0123456789abcdef"

// A town is what surrounds a daemon: a provider, a shop's own system, a bot and
// a mail server. It outlives the daemons that a test starts in it.
type town struct {
	*testing.T
	file, data string

	shop *shop
	bot  *sinktest.Telegram
	mail *sinktest.SMTP

	webhook, admin string
}

const townRules = `
sources:
  isikuota: {preset: isikuota, secret: %s}
sinks:
  shop:
    http: {url: %q}
    retry: [50ms, 50ms, 100ms, 200ms, 200ms, 200ms, 200ms, 500ms, 500ms, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s]
  ops:
    telegram: {token: "1:town", chat: "7", api: %q}
    fallback: owner
    retry: [50ms]
  owner:
    email: {server: "smtp+insecure://%s", from: kurir@example.com, to: [owner@example.com]}
rules:
  - name: failed-order
    when: event == "order.failed" and data.price >= 10000
    to: [ops]
    subject: "Gagal: {{ ref_id }}"
    text: "❌ <b>{{ ref_id }}</b> {{ data.message ?? \"-\" }} ({{ rupiah(data.price) }})"
  - name: forward-all
    to: [shop]
`

func newTown(t *testing.T) *town {
	w := &town{T: t, shop: &shop{}, bot: sinktest.NewTelegram("1:town"), mail: &sinktest.SMTP{}, data: filepath.Join(t.TempDir(), "data")}
	w.bot.AddChat(7, "Budi")
	shop, bot := httptest.NewServer(w.shop), httptest.NewServer(w.bot)
	post, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go w.mail.Serve(post)
	t.Cleanup(func() { shop.Close(); bot.Close(); w.mail.Close() })
	w.file = filepath.Join(t.TempDir(), "rules.yaml")
	text := fmt.Sprintf(townRules, townSecret, shop.URL+"/isikuota", bot.URL, post.Addr())
	if err := os.WriteFile(w.file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return w
}

func (w *town) args() []string {
	return []string{"run", "-c", w.file, "--data", w.data, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--log-level", "warn"}
}

// begin runs a daemon in this process, by the very function that main calls. What
// it gives ends it, as a signal would, and must find exit code 0.
func (w *town) begin() (end func()) {
	w.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	p, stderr := &process{}, &output{}
	out, in := io.Pipe()
	ready, code := make(chan bool, 1), make(chan int, 1)
	go p.read(out, ready)
	go func() {
		code <- run(ctx, w.args(), in, stderr)
		in.Close()
	}()
	select {
	case ok := <-ready:
		if !ok {
			w.Fatalf("the daemon does not start: %s", stderr)
		}
	case <-time.After(30 * time.Second):
		w.Fatal("the daemon is not ready")
	}
	w.webhook, w.admin = p.webhook, p.admin
	return func() {
		w.Helper()
		cancel()
		if c := <-code; c != 0 {
			w.Errorf("the daemon ends with %d: %s", c, stderr)
		}
		if strings.Contains(stderr.String()+p.out.String(), townSecret) {
			w.Error("the secret was printed")
		}
	}
}

func order(event, ref string, price int) string {
	return fmt.Sprintf(`{"event":%q,"timestamp":"2025-01-15T14:30:00+07:00","data":{"ref_id":%q,"price":%d,"sn":"1234\/56","message":"Nomor <salah> \u2013 cek"}}`, event, ref, price)
}

// signatures come from the source's own code for `kurir send`.
var signer = func() *source.Source {
	file := conf.Parse("signer", []byte("{preset: isikuota, secret: "+townSecret+"}"), os.LookupEnv)
	return source.New("isikuota", file.Root())
}()

// post sends a callback as the provider does; status 0 is no answer.
func (w *town) post(body string) (status int, answer string) {
	r, err := signer.Sign(source.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(body)}, time.Now())
	if err != nil {
		w.Fatal(err)
	}
	return w.postWith(body, r.Header)
}

func (w *town) postWith(body string, h http.Header) (status int, answer string) {
	req, err := http.NewRequest(http.MethodPost, w.webhook+"isikuota", strings.NewReader(body))
	if err != nil {
		w.Fatal(err)
	}
	req.Header = h
	resp, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 20 * time.Second}).Do(req)
	if err != nil {
		return 0, ""
	}
	defer resp.Body.Close()
	text, _ := io.ReadAll(resp.Body)
	return resp.StatusCode, string(text)
}

const (
	accepted  = `{"status":"ok"}`
	processed = `{"status":"already_processed"}`
)

func (w *town) mustPost(body, want string) {
	w.Helper()
	if status, answer := w.post(body); status != 200 || answer != want {
		w.Errorf("%d %s, want %s", status, answer, want)
	}
}

// get asks the admin API.
func (w *town) get(path string, out any) {
	w.Helper()
	c := &cli{admin: w.admin, data: w.data}
	cl := c.client()
	defer cl.http.CloseIdleConnections()
	text, err := cl.call(w.Context(), http.MethodGet, path, nil)
	if err == nil {
		err = json.Unmarshal(text, out)
	}
	if err != nil {
		w.Fatalf("%s: %v", path, err)
	}
}

func (w *town) await(what string, is func() bool) {
	w.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			w.Fatalf("in vain waited for: %s", what)
		}
	}
}

func (w *town) settled() {
	w.Helper()
	w.await("nothing pending", func() bool {
		var s server.Stats
		w.get("/api/stats", &s)
		return s.Pending == 0
	})
}

// A shop is the far side of the http sink. While it is down it answers 503.
type shop struct {
	down atomic.Bool
	hang <-chan struct{} // if set, it answers when this is closed

	mu    sync.Mutex
	took  []visit
	tries map[string]int // requests by delivery id
}

type visit struct {
	body   string
	header http.Header
}

func (s *shop) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.tries == nil {
		s.tries = map[string]int{}
	}
	s.tries[r.Header.Get("Kurir-Delivery-Id")]++
	if s.hang != nil {
		s.mu.Unlock()
		<-s.hang
		s.mu.Lock()
	}
	if s.down.Load() {
		rw.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	s.took = append(s.took, visit{string(body), r.Header})
}

func (s *shop) visits() []visit {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.took)
}

func (s *shop) attempts() (n int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, t := range s.tries {
		n += t
	}
	return n
}

// The main job: one order's callbacks come in, again and forged too, and arrive
// once, in order, byte for byte, though the shop is down at first and the daemon
// is stopped meanwhile.
func TestCallbacksArriveThroughFailureAndRestart(t *testing.T) {
	before := goleak.IgnoreCurrent()
	t.Cleanup(func() { goleak.VerifyNone(t, before) })
	w := newTown(t)
	w.shop.down.Store(true)
	end := w.begin()
	bodies := []string{order("order.success", "O-1", 11500), order("order.sn_received", "O-1", 11500), order("order.failed", "O-2", 11500), order("order.failed", "O-3", 500)}
	for _, body := range bodies {
		w.mustPost(body, accepted)
	}
	w.forge(bodies[0])
	w.inParallel(order("order.success", "O-4", 1))
	w.await("attempts that fail", func() bool { return w.shop.attempts() > 4 })
	end()

	end = w.begin()
	for _, body := range bodies {
		w.mustPost(body, processed)
	}
	w.mustPost(strings.Replace(bodies[0], "11500", "99", 1), processed)
	w.shop.down.Store(false)
	w.settled()
	w.compareVisits(append(bodies, order("order.success", "O-4", 1)))
	w.compareAlerts()
	w.compareLog()
	end()
}

// forge sends what must be refused.
func (w *town) forge(body string) {
	w.Helper()
	for _, signature := range []string{"", "00", strings.Repeat("ab", 32), townSecret} {
		if status, answer := w.postWith(body, http.Header{"X-Signature": {signature}}); status != 401 || answer != `{"error":"Invalid signature"}` {
			w.Errorf("forged with %q: %d %s", signature, status, answer)
		}
	}
}

// inParallel sends one callback fifty times at once: one is accepted.
func (w *town) inParallel(body string) {
	var ok, known atomic.Int32
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			switch status, answer := w.post(body); {
			case status == 200 && answer == accepted:
				ok.Add(1)
			case status == 200 && answer == processed:
				known.Add(1)
			}
		})
	}
	all.Wait()
	if ok.Load() != 1 || known.Load() != 49 {
		w.Errorf("%d are accepted and %d known", ok.Load(), known.Load())
	}
}

// compareVisits checks that the shop took each body once, those of one order in
// order, with the signature that the provider gave.
func (w *town) compareVisits(want []string) {
	w.Helper()
	var got []string
	for _, v := range w.shop.visits() {
		got = append(got, v.body)
		id := v.header.Get("Kurir-Delivery-Id")
		if id == "" || v.header.Get("Idempotency-Key") != id || v.header.Get("Kurir-Callback-Id") == "" {
			w.Errorf("the headers are %v", v.header)
		}
		r := source.Request{Method: http.MethodPost, Header: v.header, Body: []byte(v.body)}
		if _, err := signer.Verify(r, time.Now()); err != nil {
			w.Errorf("the shop's own check fails: %v", err)
		}
	}
	if slices.Index(got, want[0]) > slices.Index(got, want[1]) {
		w.Error("the serial number came before the success")
	}
	slices.Sort(got)
	if sorted := slices.Sorted(slices.Values(want)); !slices.Equal(got, sorted) {
		w.Errorf("the shop took\n%s\nnot\n%s", strings.Join(got, "\n"), strings.Join(sorted, "\n"))
	}
}

func (w *town) compareAlerts() {
	w.Helper()
	messages := w.bot.Messages()
	if len(messages) != 1 || messages[0].Text != "❌ O-2 Nomor <salah> – cek (Rp11.500)" {
		w.Errorf("the bot said %+v", messages)
	}
	if mails := w.mail.Mails(); len(mails) != 0 {
		w.Errorf("mails: %+v", mails)
	}
}

func (w *town) compareLog() {
	w.Helper()
	var page server.Page
	w.get("/api/callbacks", &page)
	conflicts, duplicates := 0, 0
	for _, c := range page.Callbacks {
		if c.Conflict {
			conflicts++
		}
		duplicates += c.Duplicates
		for _, d := range c.Deliveries {
			if d.State != relay.Delivered {
				w.Errorf("%s: %+v", c.RefID, d)
			}
		}
	}
	if len(page.Callbacks) != 6 || conflicts != 2 || duplicates != 49+4 {
		w.Errorf("the log has %d callbacks, %d conflicts and %d duplicates", len(page.Callbacks), conflicts, duplicates)
	}
	var d server.Detail
	w.get("/api/callbacks/"+page.Callbacks[len(page.Callbacks)-1].ID.String(), &d)
	each := d.Deliveries[0].Attempts.Each
	if len(each) < 2 || each[0].OK || each[0].Status != 503 || !each[len(each)-1].OK {
		w.Errorf("the attempts are %+v", each)
	}
}

// A chat that lets the bot in no more costs no alert: it goes by mail.
func TestADeadLetterGoesByMail(t *testing.T) {
	w := newTown(t)
	w.bot.Bar(7, "Forbidden: bot was blocked by the user")
	end := w.begin()
	w.mustPost(order("order.failed", "M-1", 20000), accepted)
	w.settled()
	mails := w.mail.Mails()
	if len(mails) != 1 {
		t.Fatalf("there are %d mails", len(mails))
	}
	if text := string(mails[0].Raw); !strings.Contains(text, "M-1") || !strings.Contains(text, "Subject: ") || !strings.Contains(text, "owner@example.com") {
		t.Errorf("the mail is %s", text)
	}
	var page server.Page
	w.get("/api/callbacks?state=dead", &page)
	if len(page.Callbacks) != 1 {
		t.Errorf("%d callbacks have a dead letter", len(page.Callbacks))
	}
	end()
}

// What was answered with 200 is kept and delivered, whenever the process is
// killed; what was not is taken when it comes again.
func TestAKilledDaemonLosesNothing(t *testing.T) {
	w := newTown(t)
	var acked sync.Map
	var sent atomic.Int64
	for cycle := range 3 {
		p := &process{}
		if err := p.start(exec.Command("kurir", w.args()...)); err != nil {
			t.Fatal(err)
		}
		w.webhook, w.admin = p.webhook, p.admin
		stop, before := make(chan struct{}), sent.Load()
		var clients sync.WaitGroup
		for range 8 {
			clients.Go(func() { w.insist(&acked, &sent, stop) })
		}
		w.await("callbacks under way", func() bool { return sent.Load() > before+int64(50*(cycle+1)) })
		p.kill()
		close(stop)
		clients.Wait()
	}
	end := w.begin()
	w.settled()
	took := map[string]bool{}
	for _, v := range w.shop.visits() {
		took[v.body] = true
	}
	n := 0
	acked.Range(func(body, _ any) bool {
		n++
		if !took[body.(string)] {
			t.Errorf("acknowledged and not delivered: %s", body)
		}
		w.mustPost(body.(string), processed)
		return true
	})
	if n < 100 {
		t.Errorf("only %d callbacks were acknowledged", n)
	}
	for id, tries := range w.shop.tries {
		if tries > 4 {
			t.Errorf("%s was tried %d times", id, tries)
		}
	}
	end()
}

// insist sends new callbacks and notes those that were acknowledged.
func (w *town) insist(acked *sync.Map, sent *atomic.Int64, stop <-chan struct{}) {
	for {
		select {
		case <-stop:
			return
		default:
		}
		body := order("order.success", fmt.Sprint("K-", sent.Add(1)), 1)
		if status, _ := w.post(body); status == 200 {
			acked.Store(body, true)
		}
	}
}

// SIGTERM under load: every 200 is kept, and the process ends well.
func TestATerminatedDaemonEndsWell(t *testing.T) {
	w := newTown(t)
	p := &process{}
	if err := p.start(exec.Command("kurir", w.args()...)); err != nil {
		t.Fatal(err)
	}
	w.webhook, w.admin = p.webhook, p.admin
	var acked sync.Map
	var sent atomic.Int64
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 8 {
		clients.Go(func() { w.insist(&acked, &sent, stop) })
	}
	w.await("callbacks under way", func() bool { return sent.Load() > 100 })
	if err := p.stop(); err != nil {
		t.Errorf("it ends with %v: %s", err, p.err.String())
	}
	close(stop)
	clients.Wait()
	end := w.begin()
	acked.Range(func(body, _ any) bool {
		w.mustPost(body.(string), processed)
		return true
	})
	end()
}

// The log's lines are JSON where nobody reads them at a terminal, and hold neither
// bodies nor secrets.
func TestLogLinesAreJSONWithoutContents(t *testing.T) {
	w := newTown(t)
	p := &process{}
	args := append(w.args(), "--log-level", "debug")
	if err := p.start(exec.Command("kurir", args...)); err != nil {
		t.Fatal(err)
	}
	w.webhook, w.admin = p.webhook, p.admin
	w.mustPost(order("order.failed", "L-1", 20000), accepted)
	w.settled()
	if err := p.stop(); err != nil {
		t.Error(err)
	}
	seen := map[string]bool{}
	for line := range strings.Lines(p.err.String()) {
		var fields map[string]any
		if err := json.Unmarshal([]byte(line), &fields); err != nil {
			t.Errorf("no JSON: %s", line)
		}
		msg, _ := fields["msg"].(string)
		seen[msg] = true
		if msg == "callback accepted" || msg == "attempt" {
			names := []string{"callback", "ref_id", "source"}
			if msg == "attempt" {
				names = append(names, "duration_ms")
			}
			for _, name := range names {
				if fields[name] == nil {
					t.Errorf("%s lacks %s", msg, name)
				}
			}
		}
	}
	if !seen["callback accepted"] || !seen["attempt"] {
		t.Errorf("the lines are about %v", seen)
	}
	if all := []byte(p.err.String()); bytes.Contains(all, []byte("salah")) || bytes.Contains(all, []byte(townSecret)) || bytes.Contains(all, []byte("1:town")) {
		t.Errorf("the log says too much: %s", all)
	}
}

func TestTailShowsCallbacksAndAttempts(t *testing.T) {
	w := newTown(t)
	end := w.begin()
	ctx, leave := context.WithCancel(t.Context())
	out, code := &output{}, make(chan int)
	go func() {
		code <- run(ctx, []string{"tail", "--admin", w.admin, "--data", w.data, "--sink", "shop"}, out, out)
	}()
	n := 0
	w.await("the tail to show an attempt", func() bool {
		n++
		w.mustPost(order("order.success", fmt.Sprint("T-", n), 1), accepted)
		return strings.Contains(out.String(), "attempt 1")
	})
	for _, want := range []string{"isikuota  order.success  T-", "shop  delivered  attempt 1"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in %s", want, out)
		}
	}
	leave()
	<-code
	end()
}

// A process that hangs on a far side ends at once when it is told twice.
func TestASecondSignalEndsAtOnce(t *testing.T) {
	w := newTown(t)
	hang := make(chan struct{})
	w.shop.hang = hang
	defer close(hang)
	p := &process{}
	if err := p.start(exec.Command("kurir", w.args()...)); err != nil {
		t.Fatal(err)
	}
	w.webhook, w.admin = p.webhook, p.admin
	w.mustPost(order("order.success", "S-1", 1), accepted)
	w.await("the shop to be asked", func() bool { return w.shop.attempts() == 1 })
	p.cmd.Process.Signal(syscall.SIGTERM)
	w.await("the daemon to stop listening", func() bool { status, _ := w.post("{}"); return status == 0 })
	p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.done
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() {
		t.Errorf("it ended with %v", p.cmd.ProcessState)
	}
}

func TestSIGHUPReadsTheRulesAgain(t *testing.T) {
	w := newTown(t)
	p := &process{}
	if err := p.start(exec.Command("kurir", w.args()...)); err != nil {
		t.Fatal(err)
	}
	w.webhook, w.admin = p.webhook, p.admin
	text, _ := os.ReadFile(w.file)
	if err := os.WriteFile(w.file, bytes.ReplaceAll(text, []byte("forward-all"), []byte("forward")), 0o600); err != nil {
		t.Fatal(err)
	}
	p.cmd.Process.Signal(syscall.SIGHUP)
	n := 0
	w.await("a callback that the new rule takes", func() bool {
		n++
		w.mustPost(order("order.success", fmt.Sprint("H-", n), 1), accepted)
		var page server.Page
		w.get("/api/callbacks?limit=1", &page)
		return page.Callbacks[0].Deliveries[0].Rule == "forward"
	})
	if err := p.stop(); err != nil {
		t.Error(err)
	}
}
