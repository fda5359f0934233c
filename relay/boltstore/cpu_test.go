package boltstore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// What a callback costs the processor, the disk aside, alone and in a group.
func BenchmarkAppendUnsynced(b *testing.B) {
	for _, targets := range []int{0, 1, 5} {
		for _, group := range []int{1, 32} {
			b.Run(fmt.Sprintf("targets=%d/group=%d", targets, group), func(b *testing.B) {
				s, err := boltstore.Open(b.TempDir(), boltstore.Options{NoSync: true})
				if err != nil {
					b.Fatal(err)
				}
				defer s.Close()
				benchUnsynced(b, s, targets, group)
			})
		}
	}
}

func benchUnsynced(b *testing.B, s relay.Store, targets, group int) {
	in := make([]relay.Inbound, group)
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += group {
		b.StopTimer()
		for i := range in {
			in[i] = typical(int(next.Add(1)), sinks(targets)...)
		}
		b.StartTimer()
		if _, err := s.Append(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
}

// sinks are so many targets.
func sinks(n int) (ts []relay.Target) {
	for i := range n {
		ts = append(ts, relay.Target{Rule: "rule", Sink: fmt.Sprint("sink", i)})
	}
	return slices.Clip(ts)
}
