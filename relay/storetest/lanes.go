package storetest

import (
	"fmt"
	"strconv"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

var laneTests = []test{
	{"a lane goes one at a time, in append order, and others go on", func(s *suite) {
		for n := range 6 {
			s.accept(callback(n, inLane("ops", "lane "+strconv.Itoa(n%2)), inLane("other", "lane 0")))
		}
		for n := 0; n < 6; n += 2 {
			l := s.claim(all("ops"))
			s.equal("leased", names(l), []string{fmt.Sprint("T-", n), fmt.Sprint("T-", n+1)})
			s.idle("ops")
			s.settle(delivered(l[0]), delivered(l[1]))
		}
		s.idle("ops")
		s.equal("the other sink's lane", names(s.claim(all("other"))), []string{"T-0"})
	}},
	{"a lane waits for an attempt that failed, also over a restart", func(s *suite) {
		s.append(callback(1, inLane("ops", "l")), callback(2, inLane("ops", "l")), callback(3, inLane("ops", "l")))
		first := s.claimOne("ops")
		s.settle(again(first, future()))
		s.reopen()
		s.idle("ops")
		s.accept(callback(4, inLane("ops", "l")))
		s.idle("ops")
	}},
	{"a lane goes on after a dead letter", func(s *suite) {
		s.append(callback(1, inLane("ops", "l")), callback(2, inLane("ops", "l")))
		s.settle(failed(s.claimOne("ops"), "gone"))
		s.equal("leased", s.claimOne("ops").Callback.RefID, "T-2")
	}},
	{"a lease that ended holds its lane no longer", func(s *suite) {
		s.append(callback(1, inLane("ops", "l")), callback(2, inLane("ops", "l")))
		s.claimFor(-time.Second, all("ops"))
		l := s.claimOne("ops")
		s.equal("leased", l.Callback.RefID, "T-1")
		s.idle("ops")
		s.settle(delivered(l))
		s.equal("then", s.claimOne("ops").Callback.RefID, "T-2")
	}},
	{"a lane waits for one that has a later time", func(s *suite) {
		late := inLane("ops", "l")
		late.NotBefore = future()
		s.append(callback(1, inLane("ops", "l")), callback(2, late), callback(3, inLane("ops", "l")))
		s.settle(delivered(s.claimOne("ops")))
		s.idle("ops")
	}},
	{"deliveries of one callback in one lane keep their order", func(s *suite) {
		s.accept(callback(1, inLane("ops", "l"), inLane("ops", "l"), inLane("ops", "l")))
		for n := uint16(1); n <= 3; n++ {
			l := s.claimOne("ops")
			s.equal("leased", l.Delivery.ID.N, n)
			s.settle(delivered(l))
		}
	}},
	{"replays of a lane keep its order, before what waits in it", func(s *suite) {
		s.append(callback(1, inLane("ops", "l")), callback(2, inLane("ops", "l")))
		one := s.claimOne("ops")
		s.settle(delivered(one))
		two := s.claimOne("ops")
		s.settle(failed(two, "gone"))
		s.accept(callback(3, inLane("ops", "l")))
		s.reopenDeliveries(past(), two.Delivery.ID, one.Delivery.ID)
		for _, want := range []string{"T-1", "T-2", "T-3"} {
			l := s.claimOne("ops")
			s.equal("leased", l.Callback.RefID, want)
			s.idle("ops")
			s.settle(delivered(l))
		}
		s.idle("ops")
	}},
	{"a replay waits for the one of its lane that is out", func(s *suite) {
		s.append(callback(1, inLane("ops", "l")), callback(2, inLane("ops", "l")))
		one := s.claimOne("ops")
		s.settle(delivered(one))
		two := s.claimOne("ops")
		s.reopenDeliveries(past(), one.Delivery.ID)
		s.idle("ops")
		s.settle(again(two, past()))
		l := s.claimOne("ops")
		s.equal("leased", l.Callback.RefID, "T-1")
		s.settle(delivered(l))
		s.equal("then", s.claimOne("ops").Callback.RefID, "T-2")
	}},
	{"a thousand of one lane arrive in order at a sink that fails every second time", longLane},
}

func longLane(s *suite) {
	const size = 1000
	var in []relay.Inbound
	for n := range size {
		in = append(in, callback(n, inLane("ops", "one order")))
	}
	s.append(in...)
	arrived := 0
	for attempt := 0; arrived < size; attempt++ {
		l := s.claimOne("ops")
		if want := fmt.Sprint("T-", arrived); l.Callback.RefID != want {
			s.Fatalf("%s came, wanted %s", l.Callback.RefID, want)
		}
		if attempt%2 == 0 {
			s.settle(again(l, past()))
			continue
		}
		s.settle(delivered(l))
		arrived++
	}
	s.idle("ops")
}
