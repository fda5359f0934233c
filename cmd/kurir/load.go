package main

import (
	"context"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/load"
	"github.com/kurir-relay/kurir/relay/source"
)

// maxLoad is how many callbacks one load may be: they are signed beforehand, and
// kept in memory.
const maxLoad = 1_000_000

// A loading is what `kurir send --load` is asked for.
type loading struct {
	rate  string        // such as 500/s; "" is no load
	span  time.Duration // how long
	conns int           // connections at once
}

// sendLoad sends a callback again and again, each time as another order, at a
// steady rate, and prints how it was answered.
func (c *cli) sendLoad(ctx context.Context, l loading, address *url.URL, src *source.Source, r source.Request) error {
	perSecond, err := strconv.ParseFloat(strings.TrimSuffix(l.rate, "/s"), 64)
	if err != nil || perSecond <= 0 || l.span <= 0 || l.conns <= 0 {
		return misused("--load %s: write a rate such as 500/s, with --for 30s", l.rate)
	}
	n := int(perSecond * l.span.Seconds())
	switch {
	case n > maxLoad:
		return misused("--load %s --for %v: that is %d callbacks, more than %d", l.rate, l.span, n, maxLoad)
	case r.Method != http.MethodPost:
		return misused("--load sends by POST, which %s does not take", src.Name())
	case address.Scheme != "http" || !loopback(address.Hostname()):
		return misused("--load is for a daemon on this machine: %s is not", address)
	}
	fmt.Fprintf(c.err, "signing %d callbacks\n", n)
	requests, err := signAll(src, r, address, n)
	if err != nil {
		return err
	}
	fmt.Fprintf(c.err, "sending %s for %v over %d connections\n", l.rate, l.span, l.conns)
	return c.printLoad(load.Run(ctx, load.Plan{Addr: address.Host, Conns: l.conns, PerSec: perSecond, Requests: requests}))
}

func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.IsLoopback()
}

// signAll makes n orders of one sample.
func signAll(src *source.Source, r source.Request, address *url.URL, n int) (requests [][]byte, err error) {
	body, run := r.Body, time.Now().Format("-150405.000-")
	for i := range n {
		r.Header = r.Header.Clone()
		if r.Body, err = renamed(src, r.Header, body, run+strconv.Itoa(i)); err != nil {
			return nil, err
		}
		if r, err = src.Sign(r, time.Now()); err != nil {
			return nil, err
		}
		header := map[string]string{}
		for name := range r.Header {
			header[name] = r.Header.Get(name)
		}
		requests = append(requests, load.Post(address.Host, address.RequestURI(), header, r.Body))
	}
	return requests, nil
}

func (c *cli) printLoad(r load.Result) error {
	p50, p99 := r.Latency.Quantile(.5), r.Latency.Quantile(.99)
	if c.json() {
		if err := c.printJSON(map[string]any{"sent": r.Sent, "status": r.Status, "errors": r.Errors, "per_second": r.PerSecond(200),
			"p50_ms": ms(p50), "p99_ms": ms(p99), "max_ms": ms(r.Latency.Max())}); err != nil {
			return err
		}
	} else {
		fmt.Fprintf(c.out, "%d sent, %d answered 200, %.0f a second; half within %v, 99%% within %v, the slowest %v\n",
			r.Sent, r.Status[200], r.PerSecond(200), p50, p99, r.Latency.Max())
		for status, n := range r.Status {
			if status != 200 {
				fmt.Fprintf(c.out, "%d answered %d\n", n, status)
			}
		}
		for why, n := range r.Errors {
			fmt.Fprintf(c.out, "%d failed: %s\n", n, why)
		}
	}
	if r.Status[200] != r.Sent {
		return errReported
	}
	return nil
}

func ms(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
