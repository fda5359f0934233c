package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync"
	"time"
)

// clients send orders as a provider does: each event of an order is sent until
// it is acknowledged, sometimes again afterwards, and the next one then.
type clients struct {
	ledger *ledger
	http   *http.Client
	run    string // makes the refs of this start of the clients their own

	mu  sync.Mutex
	url string // where the daemon listens now

	stop context.CancelFunc
	wg   sync.WaitGroup
}

var orders int // started so far in this process; only main's goroutine starts clients

func startClients(ctx context.Context, l *ledger, url string, n int) *clients {
	orders++
	ctx, cancel := context.WithCancel(ctx)
	c := &clients{ledger: l, url: url, run: fmt.Sprint("R", orders), stop: cancel,
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: n}}}
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

// moved tells where the daemon listens after a restart.
func (c *clients) moved(url string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.url = url
}

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
	c.mu.Lock()
	url := c.url
	c.mu.Unlock()
	c.ledger.sending(k, body)
	req, err := http.NewRequest(http.MethodPost, url+"/webhook/rig", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Signature", sign(body))
	resp, err := c.http.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		return false
	}
	c.ledger.acked(k, string(answer))
	return true
}
