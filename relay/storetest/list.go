package storetest

import (
	"errors"
	"fmt"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

var listTests = []test{
	{"an unknown callback is not found", func(s *suite) {
		s.accept(callback(1))
		if _, err := s.Get(s.Context(), relay.ID{15: 1}); !errors.Is(err, relay.ErrNotFound) {
			s.Errorf("got %v", err)
		}
	}},
	{"pages are newest first, and each callback is on one of them", func(s *suite) {
		var ids []relay.ID
		for n := range 25 {
			ids = append(ids, s.accept(callback(n)))
		}
		for _, limit := range []int{0, 1, 7, 25, 1000} {
			s.equal(fmt.Sprint("with pages of ", limit), s.list(relay.Query{Limit: limit}), reversed(ids))
		}
		p, err := s.List(s.Context(), relay.Query{Limit: 7})
		if err != nil || len(p.Entries) > 7 {
			s.Errorf("%d entries on a page of 7, %v", len(p.Entries), err)
		}
	}},
	{"what comes in meanwhile doesn't disturb a cursor", func(s *suite) {
		a, b := s.accept(callback(1)), s.accept(callback(2))
		p, err := s.List(s.Context(), relay.Query{Limit: 1})
		if err != nil || len(p.Entries) != 1 || p.Entries[0].Callback.ID != b {
			s.Fatalf("got %+v, %v", p, err)
		}
		s.accept(callback(3))
		s.equal("the rest", s.list(relay.Query{Limit: 1, Cursor: p.Next}), []relay.ID{a})
	}},
	{"an entry shows its deliveries, without attempts", func(s *suite) {
		id := s.accept(callback(1, to("ops"), to("raw")))
		l := s.claimOne("ops")
		s.settle(again(l, past()))
		s.settle(again(s.claimOne("ops"), future()))
		p, err := s.List(s.Context(), relay.Query{})
		if err != nil || len(p.Entries) != 1 {
			s.Fatalf("got %+v, %v", p, err)
		}
		want := s.get(id)
		want.Deliveries[0].Attempts = nil
		s.equal("entry", p.Entries[0], want)
	}},
	{"each filter selects what it says", filters},
	{"since and until meet without a gap", func(s *suite) {
		var ids []relay.ID
		for n := range 10 {
			ids = append(ids, s.accept(callback(n)))
		}
		at := start.Add(4 * time.Second).Truncate(time.Millisecond)
		s.equal("since", s.list(relay.Query{Since: at}), reversed(ids[4:]))
		s.equal("until", s.list(relay.Query{Until: at}), reversed(ids[:4]))
		s.equal("between", s.list(relay.Query{Since: at, Until: at.Add(2 * time.Second)}), reversed(ids[4:6]))
		s.equal("with a ref_id", s.list(relay.Query{Until: at, RefID: "T-3"}), ids[3:4])
		s.equal("with a ref_id after it", s.list(relay.Query{Until: at, RefID: "T-4"}), []relay.ID(nil))
	}},
	{"many callbacks of one ref_id are all found", func(s *suite) {
		var ids []relay.ID
		for n := range 60 {
			in := callback(n)
			in.Callback.RefID = []string{"one", "two", ""}[n%3]
			if id := s.accept(in); n%3 == 0 {
				ids = append(ids, id)
			}
		}
		s.equal("listed", s.list(relay.Query{RefID: "one", Limit: 3}), reversed(ids))
		s.equal("unknown", s.list(relay.Query{RefID: "on"}), []relay.ID(nil))
	}},
}

// filters has one callback for each thing to ask for, and one for none of them.
func filters(s *suite) {
	plain := s.accept(callback(0))
	ids := map[string]relay.ID{}
	add := func(name string, change func(in *relay.Inbound)) {
		in := callback(len(ids) + 1)
		change(&in)
		ids[name] = s.accept(in)
	}
	add("source", func(in *relay.Inbound) { in.Callback.Source = "bank" })
	add("event", func(in *relay.Inbound) { in.Callback.Event = "order.success" })
	add("unmatched", func(in *relay.Inbound) { in.Callback.Unmatched = true })
	add("text", func(in *relay.Inbound) { in.Callback.Body = []byte("find a needle here") })
	add("ref", func(in *relay.Inbound) { in.Callback.RefID = "X-needle-9" })
	add("pending", func(in *relay.Inbound) { in.Targets = []relay.Target{to("slow"), to("slow")} })
	add("dead", func(in *relay.Inbound) { in.Targets = []relay.Target{to("ops"), to("raw")} })
	s.settle(failed(s.claimOne("ops"), "gone"))
	s.settle(delivered(s.claimOne("raw")))
	for _, tt := range []struct {
		q    relay.Query
		want []string
	}{
		{relay.Query{Source: "bank"}, []string{"source"}},
		{relay.Query{Event: "order.success"}, []string{"event"}},
		{relay.Query{Unmatched: true}, []string{"unmatched"}},
		{relay.Query{Text: "needle"}, []string{"ref", "text"}},
		{relay.Query{Text: "needle", RefID: "X-needle-9"}, []string{"ref"}},
		{relay.Query{State: relay.Pending}, []string{"pending"}},
		{relay.Query{State: relay.Dead}, []string{"dead"}},
		{relay.Query{State: relay.Delivered}, []string{"dead"}},
		{relay.Query{Sink: "raw"}, []string{"dead"}},
		{relay.Query{Sink: "slow"}, []string{"pending"}},
		{relay.Query{State: relay.Dead, Sink: "ops"}, []string{"dead"}},
		{relay.Query{State: relay.Dead, Sink: "raw"}, nil},
		{relay.Query{State: relay.Dead, Source: "bank"}, nil},
		{relay.Query{State: relay.Pending, Sink: "unheard of"}, nil},
		{relay.Query{Conflict: true}, nil},
	} {
		var want []relay.ID
		for _, name := range tt.want {
			want = append(want, ids[name])
		}
		s.equal(fmt.Sprintf("%+v", tt.q), s.list(tt.q), want)
	}
	if all := s.list(relay.Query{}); len(all) != len(ids)+1 || all[len(all)-1] != plain {
		s.Errorf("without a filter: %v", all)
	}
}
