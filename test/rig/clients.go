package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// clients send orders as a provider does: each event of an order is sent until
// it is acknowledged, sometimes again afterwards, and the next one then.
type clients struct {
	ledger *ledger
	http   *http.Client
	run    string // makes the refs of this start of the clients their own

	url string

	// version, if there is one, is of the secret to sign with; the daemon takes
	// those of the three versions before it as well.
	version *atomic.Int64

	slow atomic.Int64 // how long the slowest good request took

	stop context.CancelFunc
	wg   sync.WaitGroup
}

var orders int // started so far in this process; only main's goroutine starts clients

func newClient(conns int) *http.Client {
	return &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: conns}}
}

func startClients(ctx context.Context, l *ledger, url string, n int, options ...func(*clients)) *clients {
	orders++
	ctx, cancel := context.WithCancel(ctx)
	c := &clients{ledger: l, url: url, run: fmt.Sprint("R", orders), stop: cancel, http: newClient(n)}
	for _, set := range options {
		set(c)
	}
	for i := range n {
		c.wg.Go(func() { c.work(ctx, i) })
	}
	return c
}

// end lets the clients finish what they are sending, and waits for them.
func (c *clients) end() {
	c.stop()
	c.wg.Wait()
	c.http.CloseIdleConnections()
}

// slowest is how long the slowest request that was acknowledged took.
func (c *clients) slowest() time.Duration { return time.Duration(c.slow.Load()) }

func (c *clients) work(ctx context.Context, worker int) {
	for i := 0; ctx.Err() == nil; i++ {
		ref := fmt.Sprintf("%s-%d-%d", c.run, worker, i)
		events := []string{"order.success", "order.sn_received"}
		if i%5 == 0 {
			events = []string{"order.failed"}
		}
		for _, event := range events {
			k := key{ref, event}
			if !c.insist(ctx, k, payload(k, "note")) {
				return
			}
		}
		if i%7 == 0 {
			c.twins(ctx, key{ref + "-twin", "order.success"})
		}
	}
}

// insist sends until there is a 200, and then half of the time once more.
func (c *clients) insist(ctx context.Context, k key, body string) bool {
	for !c.post(k, body) {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(20 * time.Millisecond):
		}
	}
	if len(k.ref)%2 == 0 {
		c.post(k, body)
	}
	return true
}

// twins sends one callback from three connections at once.
func (c *clients) twins(ctx context.Context, k key) {
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() { c.insist(ctx, k, payload(k, "twin")) })
	}
	wg.Wait()
}

// post sends once; it gives true for a 200.
func (c *clients) post(k key, body string) bool {
	if c.version == nil {
		return c.signed(k, body, secret) == http.StatusOK
	}
	before := c.version.Load()
	status := c.signed(k, body, secretOf(before))
	if status == http.StatusUnauthorized && c.version.Load() < before+3 {
		c.ledger.set(func(l *ledger) { l.breach("%v got a 401 though its secret was in force", k) })
	}
	return status == http.StatusOK
}

// signed sends once, and gives the status; 0 if there was no answer.
func (c *clients) signed(k key, body, secret string) int {
	signature := sign(body, secret)
	c.ledger.sending(k, body, signature)
	req, err := http.NewRequest(http.MethodPost, c.url+"/webhook/rig", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Signature", signature)
	began := time.Now()
	resp, err := c.http.Do(req)
	if err != nil {
		return 0
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0
	}
	if resp.StatusCode == http.StatusOK {
		c.ledger.acked(k, string(answer))
		if took := int64(time.Since(began)); took > c.slow.Load() {
			c.slow.Store(took)
		}
	}
	return resp.StatusCode
}
