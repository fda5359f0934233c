// Package load drives an HTTP server over raw keep-alive connections with
// requests that were built before the clock starts, so that the client costs
// as little as it can of the machine it shares with the server.
package load

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"sync"
	"time"
)

// A Plan is what to send. Each connection sends one request at a time and
// waits for its answer.
type Plan struct {
	Addr     string        // host:port
	Conns    int           // connections at once
	For      time.Duration // how long to send; 0: until the requests are used up
	PerSec   float64       // requests a second over all connections; 0: as fast as they are answered
	Requests [][]byte      // whole HTTP/1.1 requests, shared out among the connections
	Repeat   bool          // begin again when they are used up
}

// A Result is what came of a Plan.
type Result struct {
	Sent    int
	Status  map[int]int // answers by status
	Errors  map[string]int
	Elapsed time.Duration
	Latency Latency
}

// PerSecond is the rate of answers with the given status.
func (r Result) PerSecond(status int) float64 {
	return float64(r.Status[status]) / r.Elapsed.Seconds()
}

// Run carries the plan out. It ends early with ctx.
func Run(ctx context.Context, p Plan) Result {
	if p.For > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, p.For)
		defer cancel()
	}
	workers := make([]worker, p.Conns)
	start := time.Now()
	var wg sync.WaitGroup
	for i := range workers {
		workers[i] = worker{plan: p, n: i, result: Result{Status: map[int]int{}, Errors: map[string]int{}}}
		wg.Go(func() { workers[i].run(ctx, start) })
	}
	wg.Wait()
	total := Result{Status: map[int]int{}, Errors: map[string]int{}, Elapsed: time.Since(start)}
	for i := range workers {
		total.add(&workers[i].result)
	}
	return total
}

func (r *Result) add(o *Result) {
	r.Sent += o.Sent
	for k, v := range o.Status {
		r.Status[k] += v
	}
	for k, v := range o.Errors {
		r.Errors[k] += v
	}
	r.Latency.merge(&o.Latency)
}

// A worker is one connection: it takes every Conns-th request of the plan.
type worker struct {
	plan   Plan
	n      int
	conn   net.Conn
	in     *bufio.Reader
	result Result
}

func (w *worker) run(ctx context.Context, start time.Time) {
	defer func() {
		if w.conn != nil {
			w.conn.Close()
		}
	}()
	for i := w.n; ctx.Err() == nil; i += w.plan.Conns {
		if i >= len(w.plan.Requests) && !w.plan.Repeat {
			return
		}
		if !w.pace(ctx, start, i) {
			return
		}
		w.once(w.plan.Requests[i%len(w.plan.Requests)])
	}
}

// pace waits until the i-th request of the plan is due.
func (w *worker) pace(ctx context.Context, start time.Time, i int) bool {
	if w.plan.PerSec <= 0 {
		return true
	}
	wait := time.Until(start.Add(time.Duration(float64(i) / w.plan.PerSec * float64(time.Second))))
	if wait <= 0 {
		return true
	}
	select {
	case <-ctx.Done():
		return false
	case <-time.After(wait):
		return true
	}
}

func (w *worker) once(request []byte) {
	began := time.Now()
	status, err := w.exchange(request)
	w.result.Sent++
	if err != nil {
		w.result.Errors[cause(err)]++
		if w.conn != nil {
			w.conn.Close()
			w.conn = nil
		}
		return
	}
	w.result.Status[status]++
	w.result.Latency.Add(time.Since(began))
}

// cause is the innermost error's text, without addresses.
func cause(err error) string {
	for next := errors.Unwrap(err); next != nil; next = errors.Unwrap(err) {
		err = next
	}
	return err.Error()
}

func (w *worker) exchange(request []byte) (status int, err error) {
	if w.conn == nil {
		if w.conn, err = net.DialTimeout("tcp", w.plan.Addr, 5*time.Second); err != nil {
			return 0, err
		}
		w.in = bufio.NewReaderSize(w.conn, 4096)
	}
	if _, err := w.conn.Write(request); err != nil {
		return 0, err
	}
	status, closes, err := readAnswer(w.in)
	if closes || err != nil {
		w.conn.Close()
		w.conn = nil
	}
	return status, err
}

var colon, contentLength, connection, toClose = []byte(":"), []byte("Content-Length"), []byte("Connection"), []byte("close")

// readAnswer reads one HTTP/1.1 answer with a Content-Length and skips its body.
func readAnswer(in *bufio.Reader) (status int, closes bool, err error) {
	line, err := in.ReadSlice('\n')
	if err != nil {
		return 0, true, err
	}
	if len(line) < 12 {
		return 0, true, fmt.Errorf("not an HTTP answer")
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, true, fmt.Errorf("not an HTTP answer")
	}
	length := 0
	for {
		line, err = in.ReadSlice('\n')
		if err != nil {
			return status, true, err
		}
		line = bytes.TrimRight(line, "\r\n")
		if len(line) == 0 {
			break
		}
		name, value, _ := bytes.Cut(line, colon)
		switch value = bytes.TrimSpace(value); {
		case bytes.EqualFold(name, contentLength):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return status, true, err
			}
		case bytes.EqualFold(name, connection):
			closes = bytes.EqualFold(value, toClose)
		}
	}
	_, err = in.Discard(length)
	return status, closes, err
}

// Post builds a POST request as a provider sends it.
func Post(host, path string, header map[string]string, body []byte) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\n", path, host)
	for k, v := range header {
		fmt.Fprintf(&b, "%s: %s\r\n", k, v)
	}
	fmt.Fprintf(&b, "Content-Length: %d\r\n\r\n", len(body))
	b.Write(body)
	return b.Bytes()
}
