package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
)

const secret = "rig-secret-0123456789abcdef"

// A key is what makes two callbacks the same one.
type key struct{ ref, event string }

func (k key) String() string { return k.ref + " " + k.event }

// A fact is all the ledger knows about one callback.
type fact struct {
	body     string
	signed   map[string]struct{} // the signatures it was sent with
	acks     int                 // 200s of any kind
	oks      int                 // 200s that say it is new
	ids      map[string]struct{} // delivery ids under which it reached the sink
	arrivals int
	taken    int64 // the order in which the sink first said 200; 0 if it never did
}

// A ledger is the outside view: what was acknowledged, and what arrived. It is
// the sink as well. It is safe for concurrent use.
type ledger struct {
	url string

	mu      sync.Mutex
	rand    *rand.Rand
	facts   map[key]*fact
	clock   int64
	broken  violations
	steady  bool               // the sink takes everything at once
	down    bool               // the sink takes nothing
	takes   time.Duration      // the sink takes so long for each
	pruned  bool               // the log may have forgotten what was delivered
	fits    func(entry) string // says what is wrong with the deliveries of an entry
	acks    int                // callbacks that were acknowledged
	resends int
}

// violations are broken promises.
type violations []string

func (v violations) Error() string {
	const shown = 10
	text := fmt.Sprintf("%d promises broken", len(v))
	for _, s := range v[:min(shown, len(v))] {
		text += "\n  " + s
	}
	return text
}

func newLedger(seed uint64) (*ledger, error) {
	l := &ledger{facts: map[key]*fact{}, fits: oneDelivered, rand: rand.New(rand.NewPCG(seed, 1))}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l.url = "http://" + ln.Addr().String() + "/sink"
	go http.Serve(ln, l)
	return l, nil
}

func (l *ledger) breach(format string, args ...any) {
	l.broken = append(l.broken, fmt.Sprintf(format, args...))
}

// sending notes a callback before it is sent.
func (l *ledger) sending(k key, body, signature string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.facts[k] == nil {
		l.facts[k] = &fact{body: body, signed: map[string]struct{}{}, ids: map[string]struct{}{}}
	} else {
		l.resends++
	}
	l.facts[k].signed[signature] = struct{}{}
}

// acked notes a 200 and what it said.
func (l *ledger) acked(k key, answer string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	f := l.facts[k]
	if f.acks++; f.acks == 1 {
		l.acks++
	}
	switch {
	case strings.Contains(answer, `"already_processed"`):
	case strings.Contains(answer, `"ok"`):
		if f.oks++; f.oks > 1 {
			l.breach("%v was answered ok twice", k)
		}
	default:
		l.breach("%v was answered 200 with %q", k, answer)
	}
}

// ServeHTTP is the sink: it notes what arrives, checks it byte for byte, and
// now and then fails or dawdles as real sinks do.
func (l *ledger) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return // the daemon died while it was sending
	}
	status, wait := l.arrived(r.Header, string(body))
	time.Sleep(wait)
	w.WriteHeader(status)
}

func (l *ledger) arrived(h http.Header, body string) (status int, wait time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	k := keyOf(body)
	f := l.facts[k]
	if f == nil || f.body != body {
		l.breach("the sink got bytes nobody sent: %.80q", body)
		return http.StatusOK, 0
	}
	if _, ok := f.signed[h.Get("X-Signature")]; !ok {
		l.breach("%v reached the sink without its signature", k)
	}
	f.arrivals++
	f.ids[h.Get("Kurir-Delivery-Id")] = struct{}{}
	if len(f.ids) > 1 {
		l.breach("%v was routed twice: it reached the sink as %d deliveries", k, len(f.ids))
	}
	if l.down || !l.steady && l.rand.IntN(10) == 0 {
		return http.StatusServiceUnavailable, 0
	}
	if f.taken == 0 {
		l.clock++
		f.taken = l.clock
		l.checkOrder(k)
	}
	wait = l.takes
	if !l.steady && l.rand.IntN(20) == 0 {
		wait = time.Duration(l.rand.IntN(50)) * time.Millisecond
	}
	return http.StatusOK, wait
}

// checkOrder is called when k is taken: the client sends order.sn_received only
// after order.success of the same order was acknowledged.
func (l *ledger) checkOrder(k key) {
	if k.event != "order.sn_received" {
		return
	}
	if first := l.facts[key{k.ref, "order.success"}]; first != nil && first.taken == 0 {
		l.breach("%v reached the sink before its order.success", k)
	}
}

// set changes how the sink behaves.
func (l *ledger) set(change func(*ledger)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(l)
}

// missing lists what was acknowledged and has not been taken by the sink.
func (l *ledger) missing() (n int, example string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for k, f := range l.facts {
		if f.acks > 0 && f.taken == 0 {
			n++
			example = k.String()
		}
	}
	return n, example
}

// acknowledged is how many callbacks were, so far.
func (l *ledger) acknowledged() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.acks
}

// String sums the ledger up.
func (l *ledger) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	arrivals := 0
	for _, f := range l.facts {
		arrivals += f.arrivals
	}
	return fmt.Sprintf("%d callbacks acknowledged, %d sent again, %d arrivals at the sink, %d promises broken",
		l.acks, l.resends, arrivals, len(l.broken))
}

func payload(k key, note string) string {
	return fmt.Sprintf(`{"event":"%s","timestamp":"2025-01-15T14:30:00+07:00","data":{"ref_id":"%s","price":11500,"message":"%s \/ \u2013"}}`,
		k.event, k.ref, note)
}

// keyOf reads the key back out of what payload made.
func keyOf(body string) key {
	event, _, _ := strings.Cut(strings.TrimPrefix(body, `{"event":"`), `"`)
	_, rest, _ := strings.Cut(body, `"ref_id":"`)
	ref, _, _ := strings.Cut(rest, `"`)
	return key{ref, event}
}

func sign(body, secret string) string {
	mac := hmac.New(sha256.New, []byte(secret))
	io.WriteString(mac, body)
	return hex.EncodeToString(mac.Sum(nil))
}
