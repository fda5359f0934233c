package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/kurir-relay/kurir/load"
	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// fill brings the log of a data directory from have to want callbacks, by the
// store itself, and gives the bytes of bodies and headers it put there.
func (b *bench) fill(ctx context.Context, dir string, have, want int) (bytes int64, err error) {
	s, err := boltstore.Open(dir, boltstore.Options{})
	if err != nil {
		return 0, err
	}
	defer s.Close()
	const chunk = 2000
	for have < want {
		in := make([]relay.Inbound, 0, chunk)
		for range min(chunk, want-have) {
			have++
			ref := fmt.Sprintf("OLD-%09d", have)
			body := body(ref)
			h := http.Header{}
			for k, v := range header(sign(body)) {
				h.Set(k, v)
				bytes += int64(len(k) + len(v))
			}
			bytes += int64(len(body))
			in = append(in, relay.Inbound{Key: relay.Key{"shop", ref, "order.success"}, Callback: relay.Callback{
				Source: "shop", Event: "order.success", RefID: ref, ReceivedAt: time.Now(), Method: "POST",
				URI: "/webhook/shop", Remote: "127.0.0.1", Header: h, Body: body}})
		}
		if _, err := s.Append(ctx, in); err != nil {
			return 0, err
		}
	}
	return bytes, nil
}

// size measures ingest, start, memory and disk at logs of growing size.
func (b *bench) size(ctx context.Context) error {
	dir := filepath.Join(b.work, "sized")
	t := b.report.table("Size of the log", "64 connections for the rates. Memory is resident and anonymous: mapped file pages are the kernel's to take back.")
	var empty []float64
	have, bytes := 0, int64(0)
	for _, want := range b.sizes {
		fmt.Fprintf(os.Stderr, "filling to %d\n", want)
		n, err := b.fill(ctx, dir, have, want)
		if err != nil {
			return err
		}
		have, bytes = want, bytes+n
		disk := diskBytes(dir)
		rates, err := b.sized(ctx, t, dir, want)
		if err != nil {
			return err
		}
		if empty == nil {
			empty = rates
		}
		t.add(fmt.Sprintf("ingest at %d", want), "req/s", rates, "the first", empty, "≥ 0.8")
		if want > 0 {
			t.add(fmt.Sprintf("disk at %d, a callback", want), "B", []float64{float64(disk) / float64(want)}, "bodies and headers", []float64{float64(bytes) / float64(want)}, "< 2.5")
		}
	}
	return os.RemoveAll(dir)
}

func (b *bench) sized(ctx context.Context, t *table, dir string, want int) ([]float64, error) {
	began := time.Now()
	s, err := b.kurir(ctx, "sized", dir, unmatched)
	if err != nil {
		return nil, err
	}
	defer stopAll([]*server{s})
	t.add(fmt.Sprintf("start at %d", want), "s", []float64{time.Since(began).Seconds()}, "", nil, "< 2 s at 1 million")
	if err := idle(ctx, 2*time.Second); err != nil {
		return nil, err
	}
	memory, err := s.anonymousMemory()
	if err != nil {
		return nil, err
	}
	t.add(fmt.Sprintf("memory after start at %d", want), "MB", []float64{float64(memory) / 1e6}, "", nil, "< 100 MB at 1 million")
	var rates []float64
	for range b.rounds {
		n, err := b.rate(ctx, s, 64)
		if err != nil {
			return nil, err
		}
		rates = append(rates, n)
	}
	return rates, nil
}

func idle(ctx context.Context, d time.Duration) error {
	select {
	case <-time.After(d):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// disturbed measures how long accepting takes at a steady rate while other work
// goes on: pruning, a backup, reading the log.
func (b *bench) disturbed(ctx context.Context) error {
	const old = 200_000
	dir := filepath.Join(b.work, "disturbed")
	if _, err := b.fill(ctx, dir, 0, old); err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	s, err := b.kurir(ctx, "disturbed", dir, unmatched+"log: {keep: 1s}\n")
	if err != nil {
		return err
	}
	defer stopAll([]*server{s})
	work := []struct {
		name string
		do   func(context.Context) error
	}{
		{"nothing else", func(ctx context.Context) error { return nil }},
		{"a backup runs", func(ctx context.Context) error { return s.discard(ctx, "GET", "/api/backup", "") }},
		{"the log is listed", func(ctx context.Context) error {
			return s.discard(ctx, "GET", "/api/callbacks?q=nothing-has-this&limit=50", "")
		}},
		{"100,000 old callbacks are pruned", func(ctx context.Context) error { return s.discard(ctx, "POST", "/api/prune", "{}") }},
	}
	t := b.report.table("Accepting while other work goes on", fmt.Sprintf("p99 of a callback's answer at 1,000 a second over 16 connections, %d callbacks in the log.", old))
	figures := map[string][]float64{}
	for round := range b.rounds {
		for i, w := range work {
			if i == len(work)-1 && round < b.rounds-1 {
				continue // pruning leaves nothing for another round
			}
			p99, took, err := b.during(ctx, s, w.do)
			if err != nil {
				return fmt.Errorf("%s: %w", w.name, err)
			}
			figures[w.name] = append(figures[w.name], p99)
			fmt.Fprintf(os.Stderr, "  (%s took %v)\n", w.name, took.Round(time.Millisecond))
		}
	}
	for _, w := range work {
		alone := figures[work[0].name]
		t.add(w.name, "ms", figures[w.name], "alone", alone[len(alone)-len(figures[w.name]):], "< 3")
	}
	return nil
}

// during sends at a steady rate while do runs again and again, for two spans.
func (b *bench) during(ctx context.Context, s *server, do func(context.Context) error) (p99 float64, took time.Duration, err error) {
	span := 2 * b.span
	requests := b.fresh(s.addr, int(1000*span.Seconds()))
	sending, done := context.WithTimeout(ctx, span)
	defer done()
	var wg sync.WaitGroup
	wg.Go(func() {
		began := time.Now()
		for err == nil && sending.Err() == nil {
			err = do(ctx)
			if took == 0 {
				took = time.Since(began)
			}
			idle(sending, 100*time.Millisecond)
		}
	})
	r := load.Run(ctx, load.Plan{Addr: s.addr, Conns: 16, PerSec: 1000, Requests: requests})
	wg.Wait()
	if r.Status[200] != r.Sent {
		return 0, 0, fmt.Errorf("answers %v, errors %v", r.Status, r.Errors)
	}
	return float64(r.Latency.Quantile(.99).Microseconds()) / 1000, took, err
}

// discard calls the admin API and reads the answer to its end.
func (s *server) discard(ctx context.Context, method, path, body string) error {
	resp, err := s.call(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}
