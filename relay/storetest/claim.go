package storetest

import (
	"sync"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

var claimTests = []test{
	{"a lease has all that a delivery takes", func(s *suite) {
		in := callback(1, relay.Target{Rule: "r", Sink: "ops", Lane: "T-1", Payload: []byte("hello")})
		id := s.accept(in)
		l := s.claimOne("ops")
		want := in.Callback
		want.ID = id
		s.equal("callback", l.Callback, want)
		s.equal("delivery", l.Delivery, s.delivery(id, 1))
		if l.Attempt != 1 || !l.Until.After(time.Now()) {
			s.Errorf("attempt %d until %s", l.Attempt, l.Until)
		}
	}},
	{"a claimed delivery is hidden until its lease ends", func(s *suite) {
		s.accept(callback(1, to("ops")))
		lost := s.claimFor(-time.Second, all("ops"))
		kept := s.claimOne("ops")
		s.idle("ops")
		s.equal("the late outcome", s.trySettle(delivered(lost[0])), []error{relay.ErrLease})
		s.settle(delivered(kept))
		s.idle("ops")
	}},
	{"earliest first", func(s *suite) {
		s.accept(callback(2, to("ops")))
		retried := s.claimOne("ops")
		s.settle(again(retried, past().Add(-time.Hour*24*365*5)))
		s.append(callback(3, to("ops")), callback(1, to("ops")))
		s.equal("order", names(s.claim(all("ops"))), []string{"T-2", "T-3", "T-1"})
	}},
	{"nothing is due before its time", func(s *suite) {
		late, soon := to("ops"), to("ops")
		late.NotBefore, soon.NotBefore = future(), past()
		id := s.accept(callback(1, late))
		s.accept(callback(2, soon))
		s.equal("leased", names(s.claim(all("ops"))), []string{"T-2"})
		if d := s.delivery(id, 1); !d.Due.Equal(late.NotBefore) {
			s.Errorf("due %s, wanted %s", d.Due, late.NotBefore)
		}
	}},
	{"a sink without a gate is left alone, and goes on when it gets one", func(s *suite) {
		s.accept(callback(1, to("ops"), to("removed")))
		s.settle(delivered(s.claimOne("ops")))
		s.reopen()
		s.idle("ops", "unheard of")
		s.settle(delivered(s.claimOne("removed")))
	}},
	{"a gate lets no more through than its room", func(s *suite) {
		s.append(callback(1, to("a"), to("b")), callback(2, to("a"), to("b")), callback(3, to("a"), to("b")))
		leases := s.claim(relay.Gate{Sink: "a", Room: 2}, relay.Gate{Sink: "b", Room: 1}, relay.Gate{Sink: "c", Room: 0})
		s.equal("leased", names(leases), []string{"T-1", "T-2", "T-1"})
		if leases := s.claim(relay.Gate{Sink: "a", Room: 0}); len(leases) > 0 {
			s.Errorf("leased without room: %v", names(leases))
		}
	}},
	{"a gate counts the leases that are out", func(s *suite) {
		s.append(callback(1, to("ops")), callback(2, to("ops")), callback(3, to("ops")))
		gate := relay.Gate{Sink: "ops", Room: 10, Concurrency: 2}
		out := s.claim(gate)
		s.equal("at first", names(out), []string{"T-1", "T-2"})
		s.equal("then", names(s.claim(gate)), []string(nil))
		s.settle(delivered(out[0]))
		s.equal("after one came back", names(s.claim(gate)), []string{"T-3"})
		s.equal("and again", names(s.claim(gate)), []string(nil))
	}},
	{"leases that ended are not out", func(s *suite) {
		s.append(callback(1, to("ops")), callback(2, to("ops")))
		gate := relay.Gate{Sink: "ops", Room: 10, Concurrency: 2}
		s.claimFor(-time.Second, gate)
		s.equal("leased", names(s.claim(gate)), []string{"T-1", "T-2"})
	}},
	{"a gate keeps the rate", func(s *suite) {
		s.append(callback(1, to("ops")), callback(2, to("ops")), callback(3, to("ops")))
		gate := relay.Gate{Sink: "ops", Room: 10, Rate: relay.Rate{N: 2, Per: time.Hour}}
		s.settle(delivered(s.claim(gate)[0]))
		s.equal("within the hour", names(s.claim(gate)), []string(nil))
		gate.Rate.Per = time.Nanosecond
		s.equal("later", names(s.claim(gate)), []string{"T-3"})
	}},
	{"a batch counts as one", func(s *suite) {
		s.append(callback(1, to("ops")), callback(2, to("ops")), callback(3, to("ops")))
		gate := relay.Gate{Sink: "ops", Room: 2, Concurrency: 2, Rate: relay.Rate{N: 2, Per: time.Hour}, Batch: true}
		out := s.claim(gate)
		s.equal("the first message", names(out), []string{"T-1", "T-2"})
		s.equal("the second", names(s.claim(gate)), []string{"T-3"})
		s.accept(callback(4, to("ops")))
		s.equal("beyond the concurrency", names(s.claim(gate)), []string(nil))
		s.settle(delivered(out[0]), delivered(out[1]))
		s.equal("beyond the rate", names(s.claim(gate)), []string(nil))
		gate.Rate = relay.Rate{}
		s.equal("without a rate", names(s.claim(gate)), []string{"T-4"})
	}},
	{"a renewed lease goes on, a lost one doesn't come back", func(s *suite) {
		s.append(callback(1, to("ops")), callback(2, to("ops")))
		lost := s.claimFor(-time.Second, relay.Gate{Sink: "ops", Room: 1})
		kept := s.claim(all("ops"))
		if err := s.Renew(s.Context(), append(kept, lost...), time.Hour); err != nil {
			s.Fatal(err)
		}
		s.idle("ops")
		s.equal("the lost one", s.trySettle(delivered(lost[0])), []error{relay.ErrLease})
		s.settle(delivered(kept[0]), delivered(kept[1]))
	}},
	{"a lease that is over comes back by a renewal, if nobody has taken the delivery", func(s *suite) {
		s.accept(callback(1, to("ops")))
		over := s.claimFor(-time.Second, all("ops"))
		if err := s.Renew(s.Context(), over, time.Hour); err != nil {
			s.Fatal(err)
		}
		s.idle("ops")
		s.accept(callback(2, to("ops")))
		s.equal("beside it, one at a time", names(s.claim(relay.Gate{Sink: "ops", Room: 1, Concurrency: 1})), []string(nil))
		s.settle(delivered(over[0]))
		s.equal("after it", names(s.claim(relay.Gate{Sink: "ops", Room: 1, Concurrency: 1})), []string{"T-2"})
	}},
	{"claims in parallel never lease the same", claimInParallel},
}

func claimInParallel(s *suite) {
	var in []relay.Inbound
	for n := range 200 {
		in = append(in, callback(n, to("ops")))
	}
	s.append(in...)
	leased := make(chan relay.Lease, 2*len(in))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 20 {
				leases, err := s.Claim(s.Context(), "worker", time.Hour, []relay.Gate{{Sink: "ops", Room: 5}})
				if err != nil {
					s.Error(err)
				}
				for _, l := range leases {
					leased <- l
				}
			}
		})
	}
	wg.Wait()
	close(leased)
	seen := map[relay.DeliveryID]bool{}
	for l := range leased {
		if seen[l.Delivery.ID] {
			s.Fatalf("%s is leased twice", l.Delivery.ID)
		}
		seen[l.Delivery.ID] = true
	}
	if len(seen) != len(in) {
		s.Errorf("%d of %d leased", len(seen), len(in))
	}
}
