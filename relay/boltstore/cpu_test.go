package boltstore_test

import (
	"context"
	"fmt"
	"slices"
	"testing"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// What a callback costs the processor, in groups of 32, the disk aside.
func BenchmarkAppendUnsynced(b *testing.B) {
	const group = 32
	for _, targets := range []int{0, 1, 5} {
		b.Run(fmt.Sprintf("targets=%d", targets), func(b *testing.B) {
			s, err := boltstore.Open(b.TempDir(), boltstore.Options{NoSync: true})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			var sinks []relay.Target
			for i := range targets {
				sinks = append(sinks, relay.Target{Rule: "rule", Sink: fmt.Sprint("sink", i)})
			}
			in := make([]relay.Inbound, group)
			b.ReportAllocs()
			b.ResetTimer()
			for n := 0; n < b.N; n += group {
				b.StopTimer()
				for i := range in {
					in[i] = typical(int(next.Add(1)), slices.Clone(sinks)...)
				}
				b.StartTimer()
				if _, err := s.Append(context.Background(), in); err != nil {
					b.Fatal(err)
				}
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}
