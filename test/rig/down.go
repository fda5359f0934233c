package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"
)

// A counter is a second sink, which is always up.
type counter struct {
	mu  sync.Mutex
	ids map[string]struct{}
}

func (c *counter) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.ids[r.Header.Get("Kurir-Delivery-Id")] = struct{}{}
}

func (c *counter) count() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.ids)
}

const twoSinks = `sources:
  rig: {preset: isikuota, secret: ` + secret + `}
sinks:
  peer: {http: {url: %q}, retry: [` + retries + `], timeout: 5s}
  other: {http: {url: %q}, retry: [` + retries + `]}
rules:
  - {name: forward-all, to: [peer, other]}
`

// mayGrow is by how much the daemon's memory may grow while callbacks wait.
const mayGrow = 48 << 20

// down lets one sink be down while callbacks by the thousand come in. They wait
// on disk, not in memory, and the other sink does not notice; when the sink is
// back it gets all, each order in its order.
func (r *rig) down(ctx context.Context) error {
	other := &counter{ids: map[string]struct{}{}}
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go http.Serve(ln, other)
	r.atEnd(func() { ln.Close() })
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
	if err != nil {
		return err
	}
	if err := d.write(fmt.Sprintf(twoSinks, r.ledger.url, "http://"+ln.Addr().String())); err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	r.ledger.set(func(l *ledger) { l.down, l.fits = true, bothDelivered })
	before, err := r.pile(ctx, d, other)
	if err != nil {
		return err
	}
	r.ledger.set(func(l *ledger) { l.down = false })
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	if err := d.flat(before); err != nil {
		return err
	}
	return d.terminate()
}

// pile lets callbacks wait. It gives the daemon's memory after the first tenth
// of them.
func (r *rig) pile(ctx context.Context, d *daemon, other *counter) (before int64, err error) {
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	for cycle := 0; cycle < r.cycles && ctx.Err() == nil; time.Sleep(10 * time.Millisecond) {
		if r.ledger.acknowledged() >= 1000*(cycle+1) {
			r.progress(cycle)
			cycle++
		}
		if before == 0 && cycle*10 >= r.cycles {
			before = d.memory()
		}
	}
	c.end()
	if err := d.flat(before); err != nil {
		return before, err
	}
	return before, r.await(ctx, 10*time.Second, "arrival at the other sink", func() bool { return other.count() >= r.ledger.acknowledged() })
}

// flat checks that the daemon's memory has not grown with what waits.
func (d *daemon) flat(before int64) error {
	now := d.memory()
	fmt.Printf("  memory: %d MiB, was %d MiB\n", now>>20, before>>20)
	if now > before+mayGrow {
		return violations{fmt.Sprintf("its memory grew from %d to %d MiB", before>>20, now>>20)}
	}
	return nil
}

func bothDelivered(e entry) string {
	for _, d := range e.Deliveries {
		if d.State != "delivered" {
			return "it is not delivered"
		}
	}
	if len(e.Deliveries) != 2 {
		return "it has not gone to both sinks"
	}
	return ""
}
