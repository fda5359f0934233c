package boltstore_test

import (
	"context"
	"io"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// How long appending takes at 1,000 a second while other work goes on, again and
// again for five seconds.
func BenchmarkAppendDisturbed(b *testing.B) {
	const old = 300_000
	begun := time.Now()
	dir := b.TempDir()
	fillTo(b, dir, old)
	third := time.Since(begun) / 3
	s := openBench(b, dir)
	ctx := context.Background()
	pruned := 0
	for _, work := range []struct {
		name string
		do   func() error
	}{
		{"nothing", func() error { return nil }},
		{"backup", func() error { _, err := s.Backup(ctx, io.Discard); return err }},
		{"search", func() error { _, err := s.List(ctx, relay.Query{Text: "not in any"}); return err }},
		{"prune", func() error {
			begun = begun.Add(third / 5)
			n, err := s.Prune(ctx, relay.Prune{Callbacks: begun, Keys: begun})
			pruned += n.Callbacks
			return err
		}},
		{"nothing, pruned", func() error { return nil }},
	} {
		b.Run(work.name, func(b *testing.B) { disturbed(b, s, work.do) })
	}
	b.Logf("%d pruned", pruned)
}

func disturbed(b *testing.B, s *boltstore.Store, do func() error) {
	var took latencies
	ctx, done := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	for g := range 16 {
		wg.Go(func() {
			tick := time.NewTicker(16 * time.Millisecond)
			defer tick.Stop()
			time.Sleep(time.Duration(g) * time.Millisecond)
			for ctx.Err() == nil {
				<-tick.C
				begun := time.Now()
				if _, err := s.Append(context.Background(), []relay.Inbound{typical(int(next.Add(1)))}); err != nil {
					b.Error(err)
				}
				took.add(time.Since(begun))
			}
		})
	}
	n := 0
	for begun := time.Now(); time.Since(begun) < 5*time.Second; n++ {
		if err := do(); err != nil {
			b.Error(err)
		}
		time.Sleep(time.Millisecond)
	}
	done()
	wg.Wait()
	b.Logf("%d times; p50 %.2f p99 %.2f max %.2f ms", n, took.at(0.5), took.at(0.99), took.at(1))
	b.ReportMetric(took.at(0.5), "p50-ms")
	b.ReportMetric(took.at(0.99), "p99-ms")
}
