package boltstore_test

import (
	"context"
	"encoding/binary"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// typical is a callback as IsiKuota sends them: 450 bytes of body, eight headers.
func typical(n int, targets ...relay.Target) relay.Inbound {
	ref := fmt.Sprintf("TRX-%012d", n)
	body := fmt.Appendf(nil, `{"event":"order.success","data":{"ref_id":%q,"status":"success","product_code":"TSEL10",`+
		`"product_name":"Telkomsel 10.000","customer_number":"081234567890","price":10250,"sn":"0123456789012345","message":""}`, ref)
	body = append(body, slices.Repeat([]byte(" "), 449-len(body))...)
	for i := range targets {
		targets[i].Lane = ref
	}
	return relay.Inbound{
		Key:     relay.Key{"isikuota", ref, "order.success"},
		Targets: targets,
		Callback: relay.Callback{
			Source: "isikuota", Event: "order.success", RefID: ref, Method: "POST", URI: "/webhook/isikuota", Remote: "203.0.113.9",
			Body: append(body, '}'),
			Header: http.Header{
				"Accept": {"*/*"}, "Accept-Encoding": {"gzip, deflate"}, "Connection": {"keep-alive"},
				"Content-Length": {"450"}, "Content-Type": {"application/json"}, "Host": {"relay.example.com"},
				"User-Agent":  {"IsiKuota-Webhook/1.0"},
				"X-Signature": {"5f2c8e0d7d3b5a0f9c1e4b6a8d2f7c3e1a9b0c4d6e8f2a1b3c5d7e9f0a2b4c6d"},
			},
		},
	}
}

func BenchmarkAppend(b *testing.B) {
	for _, targets := range []int{0, 1, 5} {
		for _, callers := range []int{1, 8, 64, 256} {
			b.Run(fmt.Sprintf("targets=%d/callers=%d", targets, callers), func(b *testing.B) {
				s := openBench(b, b.TempDir())
				benchAppend(b, s, callers, targets)
			})
		}
	}
}

func openBench(b *testing.B, dir string) *boltstore.Store {
	s, err := boltstore.Open(dir, boltstore.Options{})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// next numbers the callbacks of all benchmarks.
var next atomic.Int64

// benchAppend appends b.N callbacks, one a call, from so many callers at once.
func benchAppend(b *testing.B, s relay.Store, callers, targets int) {
	var left atomic.Int64
	left.Store(int64(b.N))
	var took latencies
	b.ReportAllocs()
	b.ResetTimer()
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				in := []relay.Inbound{typical(int(next.Add(1)), sinks(targets)...)}
				begun := time.Now()
				if _, err := s.Append(context.Background(), in); err != nil {
					b.Error(err)
				}
				took.add(time.Since(begun))
			}
		})
	}
	wg.Wait()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
	b.ReportMetric(took.at(0.5), "p50-ms")
	b.ReportMetric(took.at(0.99), "p99-ms")
}

// latencies are those of all callers.
type latencies struct {
	mu  sync.Mutex
	all []time.Duration
}

func (l *latencies) add(d time.Duration) {
	l.mu.Lock()
	l.all = append(l.all, d)
	l.mu.Unlock()
}

// at gives a quantile in milliseconds.
func (l *latencies) at(q float64) float64 {
	slices.Sort(l.all)
	if len(l.all) == 0 {
		return 0
	}
	return float64(l.all[int(q*float64(len(l.all)-1))]) / 1e6
}

// What the store is compared with: a commit for each append, a key index beside
// the log.
func BenchmarkOneCommitAnAppend(b *testing.B) {
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			db, err := bbolt.Open(filepath.Join(b.TempDir(), "db"), 0o600, nil)
			if err != nil {
				b.Fatal(err)
			}
			defer db.Close()
			var left atomic.Int64
			left.Store(int64(b.N))
			b.ResetTimer()
			var wg sync.WaitGroup
			for range callers {
				wg.Go(func() {
					for left.Add(-1) >= 0 {
						in := typical(int(next.Add(1)))
						if err := db.Update(func(tx *bbolt.Tx) error { return put(tx, &in) }); err != nil {
							b.Error(err)
						}
					}
				})
			}
			wg.Wait()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "appends/s")
		})
	}
}

func put(tx *bbolt.Tx, in *relay.Inbound) error {
	keys, err := tx.CreateBucketIfNotExists([]byte("keys"))
	if err != nil {
		return err
	}
	log, err := tx.CreateBucketIfNotExists([]byte("log"))
	if err != nil {
		return err
	}
	n, err := log.NextSequence()
	if err != nil {
		return err
	}
	id := binary.BigEndian.AppendUint64(nil, n)
	if err := keys.Put(sum([]byte(in.Key[1])), id); err != nil {
		return err
	}
	return log.Put(id, append(in.Callback.Body, make([]byte, 350)...))
}

// What a claim costs when 100,000 deliveries wait: fresh ones, ones of a few
// long lanes, and ones that failed and wait for their time.
func BenchmarkClaimOfManyPending(b *testing.B) {
	for _, tt := range []struct {
		name string
		lane func(n int) string
		due  time.Duration // of what failed once; 0: nothing did
	}{
		{"fresh", func(n int) string { return fmt.Sprint(n) }, 0},
		{"of ten lanes", func(n int) string { return fmt.Sprint(n % 10) }, 0},
		{"failed", func(n int) string { return fmt.Sprint(n) }, time.Hour},
	} {
		b.Run(tt.name, func(b *testing.B) {
			s, err := boltstore.Open(b.TempDir(), boltstore.Options{NoSync: true})
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			pending(b, s, 100_000, tt.lane, tt.due)
			b.ReportAllocs()
			for b.Loop() {
				leases, err := s.Claim(context.Background(), "w", -1, []relay.Gate{{Sink: "sink0", Room: 8}})
				if err != nil || tt.due == 0 && len(leases) != 8 || tt.due > 0 && len(leases) != 0 {
					b.Fatal(len(leases), err)
				}
			}
		})
	}
}

func pending(b *testing.B, s relay.Store, n int, lane func(int) string, due time.Duration) {
	for i := 0; i < n; i += 1000 {
		var in []relay.Inbound
		for j := range 1000 {
			in = append(in, typical(int(next.Add(1)), sinks(1)...))
			in[j].Targets[0].Lane = lane(i + j)
		}
		if _, err := s.Append(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
	for due > 0 {
		leases, err := s.Claim(context.Background(), "w", time.Hour, []relay.Gate{{Sink: "sink0", Room: 1000}})
		if err != nil {
			b.Fatal(err)
		}
		if len(leases) == 0 {
			return
		}
		var out []relay.Outcome
		for _, l := range leases {
			out = append(out, relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: relay.Pending, Due: time.Now().Add(due)})
		}
		if _, err := s.Settle(context.Background(), out); err != nil {
			b.Fatal(err)
		}
	}
}

// What forgetting a callback with a delivery costs the writer, the disk aside.
func BenchmarkPrune(b *testing.B) {
	s, err := boltstore.Open(b.TempDir(), boltstore.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	pending(b, s, b.N/1000*1000+1000, func(n int) string { return "" }, 0)
	for {
		leases, err := s.Claim(context.Background(), "w", time.Hour, []relay.Gate{{Sink: "sink0", Room: 1000}})
		if err != nil {
			b.Fatal(err)
		}
		if len(leases) == 0 {
			break
		}
		var out []relay.Outcome
		for _, l := range leases {
			out = append(out, relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: relay.Delivered})
		}
		if _, err := s.Settle(context.Background(), out); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportAllocs()
	b.ResetTimer()
	if _, err := s.Prune(context.Background(), relay.Prune{Callbacks: time.Now().Add(time.Hour)}); err != nil {
		b.Fatal(err)
	}
}
