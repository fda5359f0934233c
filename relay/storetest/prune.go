package storetest

import (
	"errors"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

var pruneTests = []test{
	{"what is old and settled is forgotten, what is newer stays", func(s *suite) {
		var ids []relay.ID
		for n := range 6 {
			ids = append(ids, s.accept(callback(n, to("ops"), to("raw"))))
		}
		for _, l := range s.claim(all("ops"), all("raw")) {
			if l.Delivery.Sink == "ops" {
				s.settle(failed(l, "gone"))
				continue
			}
			s.settle(delivered(l))
		}
		got := s.prune(relay.Prune{Callbacks: at(3)})
		s.equal("forgotten", got, relay.Pruned{Callbacks: 3})
		s.reopen()
		s.equal("the log", s.list(relay.Query{}), reversed(ids[3:]))
		s.equal("the dead", s.list(relay.Query{State: relay.Dead}), reversed(ids[3:]))
		if _, err := s.Get(s.Context(), ids[2]); !errors.Is(err, relay.ErrNotFound) {
			s.Errorf("got %v", err)
		}
		if n := s.reopenDeliveries(past(), relay.DeliveryID{Callback: ids[2], N: 1}); n != 0 {
			s.Errorf("a forgotten delivery was opened")
		}
		st := s.stats()
		s.equal("stats", []any{st.Callbacks, st.Sinks["ops"].Dead, st.Sinks["raw"].Delivered}, []any{int64(3), int64(3), int64(3)})
	}},
	{"what still owes is never forgotten", func(s *suite) {
		waiting, failing := to("ops"), to("ops")
		waiting.NotBefore = future()
		s.append(callback(0, waiting), callback(1, failing), callback(2, to("leased")), callback(3, to("removed")),
			callback(4, to("ops"), to("removed")), callback(5, inLane("lane", "l")), callback(6, inLane("lane", "l")))
		for _, l := range s.claim(all("ops")) {
			if l.Callback.RefID == "T-1" {
				s.settle(again(l, future()))
			} else {
				s.settle(delivered(l))
			}
		}
		out, first := s.claimOne("leased"), s.claimOne("lane")
		for range 2 {
			s.equal("forgotten", s.prune(relay.Prune{Callbacks: at(100), Keys: at(100)}).Callbacks, 0)
		}
		s.settle(delivered(out), delivered(first))
		s.equal("forgotten once settled", s.prune(relay.Prune{Callbacks: at(100)}).Callbacks, 2)
		s.settle(delivered(s.claimOne("lane")))
	}},
	{"keys outlive callbacks, until it is their turn", func(s *suite) {
		var old []relay.ID
		for n := range 4 {
			old = append(old, s.accept(callback(n, to("ops"))))
		}
		for _, l := range s.claim(all("ops")) {
			s.settle(delivered(l))
		}
		s.equal("forgotten", s.prune(relay.Prune{Callbacks: at(100), Keys: at(2)}), relay.Pruned{Callbacks: 4, Keys: 2})
		s.reopen()
		for n := 2; n < 4; n++ {
			s.equal("a kept key", s.append(callback(n, to("ops")))[0], relay.Receipt{ID: old[n], Duplicate: true})
		}
		s.idle("ops")
		other := callback(3)
		other.Callback.Body = []byte("another")
		if r := s.append(other)[0]; !r.Conflict || !r.Duplicate {
			s.Errorf("another body under a kept key got %+v", r)
		}
		again := callback(1, to("ops"))
		again.Callback.ReceivedAt = at(200)
		id := s.accept(again)
		s.equal("and then", s.append(callback(1))[0], relay.Receipt{ID: id, Duplicate: true})
		s.equal("found by ref_id", s.list(relay.Query{RefID: "T-1"}), []relay.ID{id})
		s.equal("leased", s.claimOne("ops").Callback.ID, id)
	}},
	{"without bounds nothing is forgotten", func(s *suite) {
		s.accept(callback(1))
		s.equal("forgotten", s.prune(relay.Prune{}), relay.Pruned{})
		if st := s.stats(); st.Callbacks != 1 || st.Keys != 1 {
			s.Errorf("stats %+v", st)
		}
	}},
	{"more than fits into a chunk is forgotten in one call", func(s *suite) {
		var in []relay.Inbound
		for n := range 2000 {
			in = append(in, callback(n))
		}
		s.append(in...)
		s.equal("forgotten", s.prune(relay.Prune{Callbacks: at(1500), Keys: at(1200)}), relay.Pruned{Callbacks: 1500, Keys: 1200})
		if st := s.stats(); st.Callbacks != 500 || st.Keys != 800 {
			s.Errorf("stats %+v", st)
		}
	}},
}

// at is just before callback n was received.
func at(n int) time.Time {
	return start.Add(time.Duration(n) * time.Second).Truncate(time.Millisecond)
}
