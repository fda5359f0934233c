package storetest

import (
	"bytes"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

var appendTests = []test{
	{"an accepted callback is kept to the byte", func(s *suite) {
		in := callback(1, relay.Target{Rule: "r", Sink: "ops", Lane: "T-1", Payload: []byte("say \xff"), Fallback: "owner"}, to("raw"))
		in.Callback.Body = []byte("{\"a\": \xff\xfe\x00\r\n}  ")
		in.Callback.Unparsed, in.Callback.Unmatched = true, true
		id := s.accept(in)
		s.reopen()
		e := s.get(id)
		want := in.Callback
		want.ID = id
		s.equal("callback", e.Callback, want)
		s.equal("deliveries", e.Deliveries, []relay.Delivery{
			{ID: relay.DeliveryID{Callback: id, N: 1}, Target: in.Targets[0], State: relay.Pending, Due: e.Deliveries[0].Due},
			{ID: relay.DeliveryID{Callback: id, N: 2}, Target: in.Targets[1], State: relay.Pending, Due: e.Deliveries[1].Due},
		})
	}},
	{"a callback of nothing is kept too", func(s *suite) {
		id := s.accept(relay.Inbound{Key: relay.Key{""}, Targets: []relay.Target{{Sink: "s", Payload: []byte{}}}})
		e := s.get(id)
		if len(e.Callback.Body) != 0 || len(e.Callback.Header) != 0 || e.Callback.ReceivedAt.IsZero() {
			s.Errorf("got %+v", e.Callback)
		}
		if p := e.Deliveries[0].Payload; p == nil || len(p) != 0 {
			s.Errorf("an empty payload became %v: only nil means the callback's own bytes", p)
		}
	}},
	{"of no callbacks nothing is stored", func(s *suite) {
		s.append()
		s.equal("the log", s.list(relay.Query{}), []relay.ID(nil))
	}},
	{"a large body is kept", func(s *suite) {
		in := callback(1)
		in.Callback.Body = bytes.Repeat([]byte("0123456789abcdef"), 1<<16)
		id := s.accept(in)
		if got := s.get(id).Callback.Body; !bytes.Equal(got, in.Callback.Body) {
			s.Errorf("%d bytes differ from the %d that came", len(got), len(in.Callback.Body))
		}
	}},
	{"one call keeps its order, and ids are in the order of appending", func(s *suite) {
		in := []relay.Inbound{callback(3), callback(1), callback(2)} // the clock goes back
		var ids []relay.ID
		for _, r := range s.append(in...) {
			ids = append(ids, r.ID)
		}
		ids = append(ids, s.accept(callback(0)))
		if !slices.IsSortedFunc(ids, func(a, b relay.ID) int { return bytes.Compare(a[:], b[:]) }) {
			s.Errorf("not in order: %v", ids)
		}
		s.equal("the log", s.list(relay.Query{}), reversed(ids))
	}},
	{"appended twice is once", func(s *suite) {
		in := callback(1, to("ops"))
		id := s.accept(in)
		for range 3 {
			r := s.append(in, in)
			s.equal("receipts", r, []relay.Receipt{{ID: id, Duplicate: true}, {ID: id, Duplicate: true}})
			s.reopen()
		}
		if e := s.get(id); e.Callback.Duplicates != 6 || len(e.Deliveries) != 1 || e.Callback.Conflict {
			s.Errorf("%d duplicates, %d deliveries, conflict %v", e.Callback.Duplicates, len(e.Deliveries), e.Callback.Conflict)
		}
		if st := s.stats(); st.Callbacks != 1 || st.Duplicates != 6 || st.Keys != 1 {
			s.Errorf("stats %+v", st)
		}
	}},
	{"twice in one call is once", func(s *suite) {
		r := s.append(callback(1, to("ops")), callback(2), callback(1, to("ops")))
		s.equal("the third receipt", r[2], relay.Receipt{ID: r[0].ID, Duplicate: true})
		s.claimOne("ops")
	}},
	{"a thousand times in parallel is once", appendInParallel},
	{"the parts of a key have their own bounds", func(s *suite) {
		for i, key := range []relay.Key{{"a", "b/c"}, {"a/b", "c"}, {"a", "b", "c"}, {"abc"}, {"", "abc"}, {"abc", ""}, {}} {
			in := callback(i)
			in.Key = key
			s.accept(in)
		}
	}},
	{"one ref_id holds many keys, and one key many ref_ids", func(s *suite) {
		success, sn, other := callback(1), callback(1), callback(2)
		sn.Key = relay.Key{"shop", "T-1", "order.sn_received"}
		s.accept(success)
		s.accept(sn)
		other.Key, other.Callback.Body = success.Key, success.Callback.Body
		if r := s.append(other)[0]; !r.Duplicate {
			s.Errorf("the key is known, but the receipt is %+v", r)
		}
	}},
	{"another body under a known key is kept, flagged and not routed", conflict},
	{"on request, another body under a known key is routed", func(s *suite) {
		s.accept(callback(1, to("ops")))
		in := callback(1, to("ops"))
		in.Callback.Body, in.RouteConflict = []byte("another"), true
		r := s.append(in)[0]
		if !r.Duplicate || !r.Conflict {
			s.Errorf("receipt %+v", r)
		}
		if n := len(s.claim(all("ops"))); n != 2 {
			s.Errorf("%d leases, wanted both", n)
		}
	}},
	{"a duplicate of what was delivered or died stays one", func(s *suite) {
		s.accept(callback(1, to("ops")))
		s.accept(callback(2, to("ops")))
		l := s.claim(all("ops"))
		s.settle(delivered(l[0]), failed(l[1], "no"))
		for n := 1; n <= 2; n++ {
			if r := s.append(callback(n, to("ops")))[0]; !r.Duplicate {
				s.Errorf("receipt %+v", r)
			}
		}
		s.idle("ops")
	}},
	{"a target whose rule failed is a dead letter from the start", func(s *suite) {
		id := s.accept(callback(1, relay.Target{Rule: "r", Sink: "ops", Error: "r:3:1: boom"}))
		s.idle("ops")
		if d := s.delivery(id, 1); d.State != relay.Dead || d.Error != "r:3:1: boom" || d.Target.Error != d.Error {
			s.Errorf("got %+v", d)
		}
		s.equal("the dead of ops", s.stats().Sinks["ops"], relay.SinkStats{Dead: 1})
		s.equal("listed dead", s.list(relay.Query{State: relay.Dead, Sink: "ops"}), []relay.ID{id})
	}},
	{"with an ended context nothing is stored", func(s *suite) {
		ctx, cancel := context.WithCancel(s.Context())
		cancel()
		if _, err := s.Append(ctx, []relay.Inbound{callback(1)}); !errors.Is(err, context.Canceled) {
			s.Errorf("got %v", err)
		}
		s.accept(callback(1))
	}},
	{"what a caller does to its callback afterwards changes nothing", func(s *suite) {
		in := callback(1, relay.Target{Sink: "ops", Payload: []byte("payload")})
		id := s.accept(in)
		clear(in.Callback.Body)
		clear(in.Targets[0].Payload)
		in.Callback.Header.Set("X-Many", "changed")
		want := callback(1).Callback
		want.ID = id
		s.equal("callback", s.get(id).Callback, want)
		s.equal("payload", string(s.claimOne("ops").Delivery.Payload), "payload")
	}},
}

func appendInParallel(s *suite) {
	receipts := make([]relay.Receipt, 1000)
	var wg sync.WaitGroup
	for g := range 50 {
		wg.Go(func() {
			for i := range 20 {
				r, err := s.Append(s.Context(), []relay.Inbound{callback(1, to("ops"))})
				if err != nil {
					s.Error(err)
					return
				}
				receipts[g*20+i] = r[0]
			}
		})
	}
	wg.Wait()
	first := 0
	for _, r := range receipts {
		if !r.Duplicate {
			first++
		}
		if r.ID != receipts[0].ID || r.Conflict {
			s.Fatalf("receipts differ: %+v, %+v", r, receipts[0])
		}
	}
	if first != 1 {
		s.Errorf("%d of a thousand were new", first)
	}
	if d := s.get(receipts[0].ID).Callback.Duplicates; d != 999 {
		s.Errorf("%d duplicates counted", d)
	}
	s.claimOne("ops")
}

func conflict(s *suite) {
	original := s.accept(callback(1, to("ops")))
	other := callback(1, to("ops"))
	other.Callback.Body = []byte("another body")
	other.Callback.ReceivedAt = start.Add(time.Hour)
	r := s.append(other)[0]
	if !r.Duplicate || !r.Conflict || r.ID == original {
		s.Fatalf("receipt %+v of the original %s", r, original)
	}
	s.reopen()
	s.equal("the same again", s.append(other)[0], relay.Receipt{ID: r.ID, Duplicate: true, Conflict: true})
	s.equal("the original again", s.append(callback(1))[0], relay.Receipt{ID: original, Duplicate: true})

	kept := s.get(r.ID)
	if string(kept.Callback.Body) != "another body" || !kept.Callback.Conflict || len(kept.Deliveries) != 0 || kept.Callback.Duplicates != 1 {
		s.Errorf("kept %+v", kept)
	}
	if c := s.get(original).Callback; !c.Conflict || c.Duplicates != 1 {
		s.Errorf("the original: conflict %v, %d duplicates", c.Conflict, c.Duplicates)
	}
	if st := s.stats(); st.Conflicts != 1 || st.Callbacks != 2 || st.Duplicates != 3 {
		s.Errorf("stats %+v", st)
	}
	s.equal("listed conflicts", s.list(relay.Query{Conflict: true}), []relay.ID{r.ID, original})
	s.equal("the order's callbacks", s.list(relay.Query{RefID: "T-1"}), []relay.ID{r.ID, original})
	s.claimOne("ops")
}
