package storetest

import (
	"time"

	"github.com/kurir-relay/kurir/relay"
)

var settleTests = []test{
	{"what is delivered stays delivered", func(s *suite) {
		id := s.accept(callback(1, to("ops")))
		l := s.claimOne("ops")
		s.settle(delivered(l))
		s.equal("settled again", s.trySettle(failed(l, "late")), []error{relay.ErrLease})
		s.reopen()
		s.idle("ops")
		d := s.delivery(id, 1)
		if d.State != relay.Delivered || d.Tries != 1 || d.Error != "" {
			s.Errorf("got %+v", d)
		}
		s.equal("attempts", d.Attempts, []relay.Attempt{attempt(l, "")})
		s.equal("stats", s.stats().Sinks["ops"], relay.SinkStats{Delivered: 1})
	}},
	{"what is settled by a late outcome stays settled, wherever its lane had put it meanwhile", func(s *suite) {
		first := s.accept(callback(1, inLane("ops", "order")))
		second := s.accept(callback(2, inLane("ops", "order")))
		s.settle(delivered(s.claimOne("ops")))
		s.settle(relay.Outcome{ID: relay.DeliveryID{Callback: second, N: 1}, Token: s.claimOne("ops").Token, Deferred: true, Due: past()})
		late := s.claimFor(-time.Second, all("ops")) // over at once, and nobody else takes it
		s.equal("leases", len(late), 1)
		s.reopenDeliveries(past(), relay.DeliveryID{Callback: first, N: 1})
		s.settle(delivered(s.claimOne("ops"))) // the first again, which the second had to wait for
		s.settle(delivered(late[0]))
		other := s.accept(callback(3, to("ops")))
		if l := s.claimOne("ops"); l.Callback.ID != other {
			s.Errorf("leased %s, which is settled", l.Delivery.ID)
		}
		if d := s.delivery(second, 1); d.State != relay.Delivered || len(d.Attempts) != 1 {
			s.Errorf("got %+v", d)
		}
	}},
	{"what is delivered is not leased again beside others", func(s *suite) {
		s.accept(callback(1, to("ops")))
		s.settle(delivered(s.claimOne("ops")))
		other := s.accept(callback(2, to("ops")))
		s.reopen()
		if l := s.claimOne("ops"); l.Callback.ID != other {
			s.Errorf("leased %s, which is settled", l.Delivery.ID)
		}
	}},
	{"an attempt that failed leaves it due at its time, with every attempt on record", func(s *suite) {
		id := s.accept(callback(1, to("ops")))
		var want []relay.Attempt
		for n := 1; n <= 3; n++ {
			l := s.claimOne("ops")
			if l.Attempt != n || l.Delivery.Tries != n-1 {
				s.Errorf("attempt %d after %d tries, wanted number %d", l.Attempt, l.Delivery.Tries, n)
			}
			s.settle(again(l, past()))
			want = append(want, attempt(l, "refused"))
			s.reopen()
		}
		l, due := s.claimOne("ops"), future()
		s.settle(again(l, due))
		s.idle("ops")
		d := s.delivery(id, 1)
		if d.State != relay.Pending || d.Tries != 4 || !d.Due.Equal(due) || d.Error != "refused" {
			s.Errorf("got %+v", d)
		}
		s.equal("attempts", d.Attempts, append(want, attempt(l, "refused")))
	}},
	{"a dead letter stays dead, and visible", func(s *suite) {
		id := s.accept(callback(1, to("ops")))
		s.settle(failed(s.claimOne("ops"), "gone"))
		s.reopen()
		s.idle("ops")
		if d := s.delivery(id, 1); d.State != relay.Dead || d.Error != "gone" {
			s.Errorf("got %+v", d)
		}
		s.equal("listed", s.list(relay.Query{State: relay.Dead}), []relay.ID{id})
		s.equal("stats", s.stats().Sinks["ops"], relay.SinkStats{Dead: 1})
	}},
	{"what went to the console says so", func(s *suite) {
		id := s.accept(callback(1, to("ops")))
		out := delivered(s.claimOne("ops"))
		out.Console = true
		s.settle(out)
		if d := s.delivery(id, 1); !d.Console {
			s.Errorf("got %+v", d)
		}
	}},
	{"a dead letter's fallback becomes due with it", fallback},
	{"what was deferred was not attempted", func(s *suite) {
		id := s.accept(callback(1, to("ops")))
		l, due := s.claimOne("ops"), past()
		s.settle(relay.Outcome{ID: l.Delivery.ID, Token: l.Token, Deferred: true, Due: due})
		if d := s.delivery(id, 1); d.State != relay.Pending || d.Tries != 0 || len(d.Attempts) != 0 || !d.Due.Equal(due) {
			s.Errorf("got %+v", d)
		}
		if l := s.claimOne("ops"); l.Attempt != 1 {
			s.Errorf("the next attempt has number %d", l.Attempt)
		}
	}},
	{"an outcome without its lease changes nothing, and hinders no other", func(s *suite) {
		id := s.accept(callback(1, to("ops"), to("ops")))
		l := s.claim(all("ops"))
		wrong, unknown := failed(l[0], "wrong token"), failed(l[0], "no such delivery")
		wrong.Token++
		unknown.ID.N = 9
		s.equal("errors", s.trySettle(wrong, delivered(l[1]), unknown), []error{relay.ErrLease, nil, relay.ErrLease})
		if d := s.delivery(id, 1); d.State != relay.Pending || len(d.Attempts) != 0 {
			s.Errorf("got %+v", d)
		}
		s.settle(delivered(l[0]))
	}},
	{"twice in one call is once", func(s *suite) {
		id := s.accept(callback(1, to("ops")))
		l := s.claimOne("ops")
		s.equal("errors", s.trySettle(delivered(l), delivered(l)), []error{nil, relay.ErrLease})
		if n := len(s.delivery(id, 1).Attempts); n != 1 {
			s.Errorf("%d attempts on record", n)
		}
	}},
	{"a replay opens what was settled, and keeps its attempts", replay},
	{"a replay skips what is pending or unknown", func(s *suite) {
		id := s.accept(callback(1, to("ops"), to("ops")))
		l := s.claim(all("ops"))
		s.settle(delivered(l[0]))
		n := s.reopenDeliveries(past(), l[0].Delivery.ID, l[0].Delivery.ID, l[1].Delivery.ID,
			relay.DeliveryID{Callback: id, N: 3}, relay.DeliveryID{Callback: id}, relay.DeliveryID{N: 1})
		if n != 1 {
			s.Errorf("%d were opened, wanted 1", n)
		}
		s.settle(delivered(l[1]))
	}},
	{"a replay waits for its time", func(s *suite) {
		id := s.accept(callback(1, to("ops")))
		s.settle(delivered(s.claimOne("ops")))
		s.reopenDeliveries(future(), relay.DeliveryID{Callback: id, N: 1})
		s.idle("ops")
		s.equal("stats", s.stats().Sinks["ops"], relay.SinkStats{Pending: 1, Oldest: id.Time()})
	}},
	{"what waits for its time is hastened", hasten},
	{"what is settled, due, unknown or with a worker is not hastened", func(s *suite) {
		id := s.accept(callback(1, to("ops"), to("ops"), to("ops")))
		l := s.claim(all("ops"))
		s.settle(delivered(l[0]), again(l[1], past()), again(l[2], future()))
		s.equal("of nobody", s.hasten(past(), relay.DeliveryID{Callback: id, N: 1}, relay.DeliveryID{Callback: id, N: 2}, relay.DeliveryID{Callback: id, N: 4}, relay.DeliveryID{N: 1}), 0)
		s.reopenDeliveries(past(), relay.DeliveryID{Callback: id, N: 1})
		out := s.claim(all("ops"))
		s.equal("leased", len(out), 2)
		s.equal("of a worker", s.hasten(past().Add(-time.Hour), out[0].Delivery.ID, out[1].Delivery.ID), 0)
		s.settle(delivered(out[0]), delivered(out[1]))
		s.equal("the one that waits", s.hasten(past(), l[2].Delivery.ID, l[2].Delivery.ID), 1)
		s.settle(delivered(s.claimOne("ops")))
		s.equal("stats", s.stats().Sinks["ops"], relay.SinkStats{Delivered: 3})
	}},
	{"what is hastened keeps its place in its lane", func(s *suite) {
		first := s.accept(callback(1, inLane("ops", "l")))
		second := s.accept(callback(2, inLane("ops", "l")))
		s.settle(again(s.claimOne("ops"), future()))
		s.idle("ops")
		ids := []relay.DeliveryID{{Callback: second, N: 1}, {Callback: first, N: 1}}
		s.equal("hastened", s.hasten(past(), ids...), 1)
		s.reopen()
		for _, id := range []relay.ID{first, second} {
			l := s.claimOne("ops")
			s.equal("leased", l.Callback.ID, id)
			s.settle(delivered(l))
		}
	}},
}

func hasten(s *suite) {
	retried := s.accept(callback(1, to("ops")))
	s.settle(again(s.claimOne("ops"), future()))
	later := to("ops")
	later.NotBefore = future()
	held := s.accept(callback(2, later))
	s.idle("ops")
	due := past()
	s.equal("hastened", s.hasten(due, relay.DeliveryID{Callback: retried, N: 1}, relay.DeliveryID{Callback: held, N: 1}), 2)
	if d := s.delivery(retried, 1); d.State != relay.Pending || d.Tries != 1 || d.Replays != 0 || !d.Due.Equal(due) {
		s.Errorf("got %+v", d)
	}
	s.reopen()
	for _, l := range s.claim(all("ops")) {
		s.settle(delivered(l))
	}
	s.idle("ops")
	s.equal("stats", s.stats().Sinks["ops"], relay.SinkStats{Delivered: 2})
}

func fallback(s *suite) {
	id := s.accept(callback(1, to("ops"), to("raw")))
	s.claimOne("raw")
	out := failed(s.claimOne("ops"), "gone")
	next := relay.Target{Rule: "r", Sink: "owner", Lane: "T-1", Payload: []byte("it died"), Fallback: "ops"}
	out.Next = []relay.Target{next, {Sink: "owner", Error: "can't even say it"}}
	s.settle(out)
	s.reopen()
	e := s.get(id)
	if len(e.Deliveries) != 4 {
		s.Fatalf("%d deliveries, wanted 4", len(e.Deliveries))
	}
	s.equal("the target", e.Deliveries[2].Target, next)
	if d := e.Deliveries[3]; d.State != relay.Dead || d.Error != "can't even say it" {
		s.Errorf("got %+v", d)
	}
	l := s.claimOne("owner")
	s.equal("leased", l.Delivery.ID, relay.DeliveryID{Callback: id, N: 3})
	s.equal("payload", string(l.Delivery.Payload), "it died")
	s.settle(delivered(l))
	if d := s.delivery(id, 3); d.State != relay.Delivered || len(d.Attempts) != 1 || d.Fallback != "ops" {
		s.Errorf("got %+v", d)
	}
	s.equal("stats", s.stats().Sinks["owner"], relay.SinkStats{Delivered: 1, Dead: 1})
}

func replay(s *suite) {
	id := s.accept(callback(1, to("ops")))
	d := relay.DeliveryID{Callback: id, N: 1}
	s.settle(again(s.claimOne("ops"), past()))
	s.settle(failed(s.claimOne("ops"), "gone"))
	if n := s.reopenDeliveries(past(), d); n != 1 {
		s.Fatalf("%d were opened, wanted 1", n)
	}
	s.reopen()
	l := s.claimOne("ops")
	if l.Attempt != 3 || l.Delivery.Tries != 0 || l.Delivery.Replays != 1 {
		s.Errorf("attempt %d, %d tries, %d replays", l.Attempt, l.Delivery.Tries, l.Delivery.Replays)
	}
	s.settle(delivered(l))
	got := s.delivery(id, 1)
	if got.State != relay.Delivered || got.Tries != 1 || got.Replays != 1 || len(got.Attempts) != 3 || got.Error != "" {
		s.Errorf("got %+v", got)
	}
	s.equal("listed dead", s.list(relay.Query{State: relay.Dead}), []relay.ID(nil))
	s.equal("stats", s.stats().Sinks["ops"], relay.SinkStats{Delivered: 1})
	s.reopenDeliveries(time.Time{}, d) // delivered ones too, and at once
	s.claimOne("ops")
}
