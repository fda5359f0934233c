package main

import (
	"bufio"
	"context"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"net/http"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

// flood sends forged requests over a few connections, as fast as they are
// refused, while clients go on with good ones. None gets in, the memory stays
// flat, and afterwards a good callback is accepted within a second.
func (r *rig) flood(ctx context.Context) error {
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
	if err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	r.load(ctx, 500)
	var before int64
	for cycle := 0; cycle < r.cycles && ctx.Err() == nil; cycle++ {
		if err := r.wave(ctx, d.addr, 10_000); err != nil {
			return err
		}
		if cycle == 0 {
			before = d.memory()
		}
		r.progress(cycle)
	}
	if err := d.flat(before); err != nil {
		return err
	}
	if err := r.await(ctx, time.Second, "answer after the flood", r.probe(d)); err != nil {
		return err
	}
	c.end()
	fmt.Printf("  the slowest good callback took %v\n", c.slowest().Round(time.Millisecond))
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	return d.terminate()
}

// probe is whether a good callback is accepted.
func (r *rig) probe(d *daemon) func() bool {
	return func() bool {
		k := key{fmt.Sprintf("probe-%d", r.rand.Uint64()), "order.failed"}
		c := clients{ledger: r.ledger, http: newClient(1), url: d.url()}
		return c.post(k, payload(k, "probe"))
	}
}

// wave sends n forged requests over four connections.
func (r *rig) wave(ctx context.Context, addr string, n int) error {
	var wg sync.WaitGroup
	var broken atomic.Pointer[error]
	for i := range 4 {
		random := r.noise(32 * n / 4)
		wg.Go(func() {
			if err := forge(ctx, addr, random, i); err != nil {
				broken.Store(&err)
			}
		})
	}
	wg.Wait()
	if err := broken.Load(); err != nil {
		return *err
	}
	return ctx.Err()
}

// forge sends a request for each 32 bytes of random, as its signature, 50 at a
// time on one connection, and expects to be refused each time.
func forge(ctx context.Context, addr string, random []byte, worker int) error {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		return err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	in := bufio.NewReader(conn)
	body := payload(key{fmt.Sprint("forged-", worker), "order.failed"}, "let me in")
	for len(random) > 0 {
		var out strings.Builder
		some := random[:min(len(random), 50*32)]
		for i := 0; i < len(some); i += 32 {
			fmt.Fprintf(&out, "POST /webhook/rig HTTP/1.1\r\nHost: rig\r\nX-Signature: %s\r\nContent-Length: %d\r\n\r\n%s",
				hex.EncodeToString(some[i:i+32]), len(body), body)
		}
		if _, err := io.WriteString(conn, out.String()); err != nil {
			return err
		}
		for range len(some) / 32 {
			if err := isRefused(in); err != nil {
				return err
			}
		}
		random = random[len(some):]
	}
	return nil
}

func isRefused(in *bufio.Reader) error {
	resp, err := http.ReadResponse(in, nil)
	if err != nil {
		return fmt.Errorf("no answer to a forged request: %w", err)
	}
	io.Copy(io.Discard, resp.Body)
	if resp.StatusCode != http.StatusUnauthorized {
		return violations{"a forged request got " + resp.Status}
	}
	return nil
}
