package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"
)

// What a connection of the slow rig says before it falls silent.
var silences = []string{
	"",
	"POST /webhook/rig HTTP/1.1\r\nHost: r",
	"POST /webhook/rig HTTP/1.1\r\nHost: rig\r\nContent-Length: 100\r\n\r\n{\"event\"",
	"POST /webhook/rig HTTP/1.1\r\nHost: rig\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab",
	"GET /-/healthy HTTP/1.1\r\nHost: rig\r\n\r\n",
}

// slow opens connections by the thousand that fall silent: before a request, in
// its headers, in its body, after its answer. Each is closed at its deadline,
// and good callbacks go on meanwhile.
func (r *rig) slow(ctx context.Context) error {
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
	if err != nil {
		return err
	}
	d.flags = []string{"--header-timeout", "5s", "--body-timeout", "5s", "--idle-timeout", "5s"}
	if err := d.start(ctx); err != nil {
		return err
	}
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	var silent sync.WaitGroup
	var open atomic.Int64
	for i := range 1000 * r.cycles {
		conn, err := net.Dial("tcp", d.addr)
		if err != nil {
			return fmt.Errorf("%w: connection %d: %v", errSkip, i, err)
		}
		defer conn.Close()
		io.WriteString(conn, silences[i%len(silences)])
		conn.SetReadDeadline(time.Now().Add(40 * time.Second))
		silent.Go(func() {
			if _, err := io.Copy(io.Discard, conn); isTimeout(err) {
				open.Add(1)
			}
		})
	}
	if err := r.await(ctx, time.Second, "answer among silent connections", r.probe(d)); err != nil {
		return err
	}
	silent.Wait()
	if n := open.Load(); n > 0 {
		return violations{fmt.Sprintf("%d connections are still open after 40 s", n)}
	}
	c.end()
	fmt.Printf("  the slowest good callback took %v\n", c.slowest().Round(time.Millisecond))
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	return d.terminate()
}

func isTimeout(err error) bool {
	var net net.Error
	return errors.As(err, &net) && net.Timeout()
}
