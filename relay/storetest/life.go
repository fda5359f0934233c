package storetest

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

var lifeTests = []test{
	{"stats count what there is", func(s *suite) {
		s.equal("at first", s.stats().Sinks["ops"], relay.SinkStats{})
		one := callback(1, to("ops"), to("raw"))
		one.Callback.Unmatched = true
		id := s.accept(one)
		s.append(callback(2, to("ops")), callback(3, to("ops")), callback(1))
		l := s.claim(all("ops"))
		s.settle(delivered(l[1]), failed(l[2], "gone"))
		for range 2 {
			st := s.stats()
			if st.Callbacks != 3 || st.Duplicates != 1 || st.Unmatched != 1 || st.Keys != 3 || st.Bytes <= 0 {
				s.Errorf("stats %+v", st)
			}
			s.equal("ops", st.Sinks["ops"], relay.SinkStats{Pending: 1, Delivered: 1, Dead: 1, Oldest: id.Time()})
			s.equal("raw", st.Sinks["raw"], relay.SinkStats{Pending: 1, Oldest: id.Time()})
			s.reopen()
		}
	}},
	{"a hint says where something may be due", func(s *suite) {
		hints := s.Hints()
		s.accept(callback(1, to("ops")))
		ctx, cancel := context.WithTimeout(s.Context(), time.Minute)
		defer cancel()
		select {
		case h := <-hints:
			s.equal("hint", h, relay.Hint{Sink: "ops"})
		case <-ctx.Done():
			s.Error("no hint came")
		}
	}},
	{"work of all kinds in parallel loses nothing and does nothing twice", turmoil},
	{"a closed store says so", func(s *suite) {
		id := s.accept(callback(1, to("ops")))
		l := s.claimOne("ops")
		for range 2 {
			if err := s.Store.Close(); err != nil {
				s.Fatal(err)
			}
		}
		ctx := s.Context()
		for what, call := range map[string]func() error{
			"append": func() error { _, err := s.Append(ctx, []relay.Inbound{callback(2)}); return err },
			"get":    func() error { _, err := s.Get(ctx, id); return err },
			"list":   func() error { _, err := s.List(ctx, relay.Query{}); return err },
			"claim":  func() error { _, err := s.Claim(ctx, "w", time.Hour, []relay.Gate{all("ops")}); return err },
			"settle": func() error { _, err := s.Settle(ctx, []relay.Outcome{delivered(l)}); return err },
			"reopen": func() error { _, err := s.Reopen(ctx, []relay.DeliveryID{l.Delivery.ID}, past()); return err },
			"prune":  func() error { _, err := s.Prune(ctx, relay.Prune{Callbacks: at(9)}); return err },
			"stats":  func() error { _, err := s.Stats(ctx); return err },
		} {
			if err := call(); !errors.Is(err, relay.ErrClosed) {
				s.Errorf("%s: %v", what, err)
			}
		}
	}},
}

// turmoil has senders, each with its own callbacks and some of a neighbour's,
// and workers that deliver, fail and lose leases, until all is settled.
func turmoil(s *suite) {
	const senders, each = 8, 40
	ctx, done := context.WithCancel(s.Context())
	defer done()
	var sending, working sync.WaitGroup
	for g := range senders {
		sending.Go(func() {
			for i := range each {
				mine, also := callback(g*each+i), callback(((g+1)%senders)*each+i)
				for _, in := range []*relay.Inbound{&mine, &also} {
					in.Targets = []relay.Target{inLane("ops", "lane"+in.Callback.RefID[2:3]), to("raw")}
				}
				if _, err := s.Append(s.Context(), []relay.Inbound{mine, also}); err != nil {
					s.Error(err)
				}
			}
		})
	}
	arrived := &arrivals{n: map[relay.DeliveryID]int{}, want: 2 * senders * each, done: done}
	for w := range 4 {
		working.Go(func() { s.work(ctx, w, arrived) })
	}
	sending.Wait()
	working.Wait()
	s.reopen()
	s.idle("ops", "raw")
	for id, n := range arrived.n {
		if n != 1 {
			s.Errorf("%s was delivered %d times", id, n)
		}
	}
	if st := s.stats(); st.Callbacks != senders*each || st.Duplicates != senders*each ||
		st.Sinks["ops"].Delivered != senders*each || st.Sinks["raw"].Delivered != senders*each {
		s.Errorf("stats %+v", st)
	}
}

// arrivals counts accepted deliveries, and ends the test when all are in.
type arrivals struct {
	mu   sync.Mutex
	n    map[relay.DeliveryID]int
	want int
	done func()
}

func (a *arrivals) add(id relay.DeliveryID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.n[id]++; len(a.n) == a.want {
		a.done()
	}
}

func (s *suite) work(ctx context.Context, worker int, arrived *arrivals) {
	for round := worker; ctx.Err() == nil; round++ {
		length := time.Hour
		if round%5 == 0 {
			length = -time.Second // a lease that is lost
		}
		leases, err := s.Claim(ctx, "worker", length, []relay.Gate{{Sink: "ops", Room: 8}, {Sink: "raw", Room: 8}})
		if err != nil {
			return
		}
		var out []relay.Outcome
		for i, l := range leases {
			if (round+i)%3 == 0 {
				out = append(out, again(l, past()))
			} else {
				out = append(out, delivered(l))
			}
		}
		s.report(out, arrived)
	}
}

func (s *suite) report(out []relay.Outcome, arrived *arrivals) {
	if len(out) == 0 {
		return
	}
	errs, err := s.Settle(s.Context(), out)
	if err != nil {
		s.Error(err)
		return
	}
	for i, err := range errs {
		if err == nil && out[i].State == relay.Delivered {
			arrived.add(out[i].ID)
		}
	}
}
