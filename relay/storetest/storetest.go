// Package storetest holds what every relay.Store must do, as a suite of tests
// that each store passes.
package storetest

import (
	"bytes"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// A Place keeps the data of one store, empty at first. Open opens the store in
// it; the suite closes each one before it opens the next.
type Place interface {
	Open() (relay.Store, error)
}

// Run tests the promises of relay.Store, each on a place of its own.
func Run(t *testing.T, place func(t *testing.T) Place) {
	for _, group := range []struct {
		name  string
		tests []test
	}{
		{"Append", appendTests},
		{"Claim", claimTests},
		{"Settle", settleTests},
		{"Lane", laneTests},
		{"Log", listTests},
		{"Prune", pruneTests},
		{"Store", lifeTests},
	} {
		t.Run(group.name, func(t *testing.T) {
			for _, tt := range group.tests {
				t.Run(tt.promise, func(t *testing.T) {
					s := &suite{T: t, place: place(t)}
					s.open()
					defer func() { s.Store.Close() }()
					tt.run(s)
				})
			}
		})
	}
	t.Run("a random history ends as a simple model says", func(t *testing.T) { model(t, place) })
}

type test struct {
	promise string
	run     func(s *suite)
}

// A suite is a store under test, with short ways to use it. Every error it does
// not return ends the test.
type suite struct {
	*testing.T
	relay.Store
	place Place
}

func (s *suite) open() {
	s.Helper()
	store, err := s.place.Open()
	if err != nil {
		s.Fatalf("open: %v", err)
	}
	s.Store = store
}

func (s *suite) reopen() {
	s.Helper()
	if err := s.Store.Close(); err != nil {
		s.Fatalf("close: %v", err)
	}
	s.open()
}

// start is when the suite's callbacks begin to come in, to the microsecond: a
// store need not keep more.
var start = time.Date(2026, 3, 1, 8, 0, 0, 123456000, time.UTC)

// callback makes the n-th callback, with all fields set; it is the only one of
// its key.
func callback(n int, targets ...relay.Target) relay.Inbound {
	ref := "T-" + strconv.Itoa(n)
	return relay.Inbound{
		Key: relay.Key{"shop", ref, "order.failed"},
		Callback: relay.Callback{
			Source: "shop", Event: "order.failed", RefID: ref, ReceivedAt: start.Add(time.Duration(n) * time.Second),
			Method: "POST", URI: "/webhook/shop?a=%20b", Remote: "203.0.113.9",
			Header: http.Header{"Content-Type": {"application/json"}, "X-Many": {"one", "", "three"}},
			Body:   fmt.Appendf(nil, `{"event":"order.failed","data":{"ref_id":%q}}`, ref),
		},
		Targets: targets,
	}
}

// to is a target in the lane of nobody else.
func to(sink string) relay.Target { return relay.Target{Rule: "rule of " + sink, Sink: sink} }

// inLane is a target that waits for those before it in its lane.
func inLane(sink, lane string) relay.Target {
	return relay.Target{Rule: "rule of " + sink, Sink: sink, Lane: lane}
}

// accept appends one callback that must be new.
func (s *suite) accept(in relay.Inbound) relay.ID {
	s.Helper()
	r := s.append(in)
	if r[0].Duplicate || r[0].Conflict || r[0].ID.IsZero() {
		s.Fatalf("a new callback got the receipt %+v", r[0])
	}
	return r[0].ID
}

func (s *suite) append(in ...relay.Inbound) []relay.Receipt {
	s.Helper()
	r, err := s.Append(s.Context(), in)
	if err != nil {
		s.Fatalf("append: %v", err)
	}
	if len(r) != len(in) {
		s.Fatalf("%d receipts for %d callbacks", len(r), len(in))
	}
	return r
}

func (s *suite) get(id relay.ID) relay.Entry {
	s.Helper()
	e, err := s.Get(s.Context(), id)
	if err != nil {
		s.Fatalf("get %s: %v", id, err)
	}
	return e
}

// delivery gets the n-th delivery of a callback, from 1.
func (s *suite) delivery(id relay.ID, n int) relay.Delivery {
	s.Helper()
	e := s.get(id)
	if len(e.Deliveries) < n {
		s.Fatalf("callback %s has %d deliveries, wanted the %d. of them", id, len(e.Deliveries), n)
	}
	return e.Deliveries[n-1]
}

// all is the gate of a sink without limits.
func all(sink string) relay.Gate { return relay.Gate{Sink: sink, Room: 10000} }

// claim leases for a time that the test doesn't see the end of.
func (s *suite) claim(gates ...relay.Gate) []relay.Lease {
	s.Helper()
	return s.claimFor(time.Hour, gates...)
}

// claimFor leases for d. A lease that is not for the future is over at once.
func (s *suite) claimFor(d time.Duration, gates ...relay.Gate) []relay.Lease {
	s.Helper()
	leases, err := s.Claim(s.Context(), "worker", d, gates)
	if err != nil {
		s.Fatalf("claim: %v", err)
	}
	return leases
}

// claimOne leases the one delivery that must be due at a sink.
func (s *suite) claimOne(sink string) relay.Lease {
	s.Helper()
	leases := s.claim(all(sink))
	if len(leases) != 1 {
		s.Fatalf("%d leases at %s, wanted 1: %v", len(leases), sink, names(leases))
	}
	return leases[0]
}

// idle checks that nothing can be claimed from the sinks.
func (s *suite) idle(sinks ...string) {
	s.Helper()
	for _, sink := range sinks {
		if leases := s.claim(all(sink)); len(leases) > 0 {
			s.Fatalf("leases at %s, wanted none: %v", sink, names(leases))
		}
	}
}

// settle settles what must be accepted.
func (s *suite) settle(out ...relay.Outcome) {
	s.Helper()
	for i, err := range s.trySettle(out...) {
		if err != nil {
			s.Fatalf("outcome %d of %s: %v", i, out[i].ID, err)
		}
	}
}

func (s *suite) trySettle(out ...relay.Outcome) []error {
	s.Helper()
	errs, err := s.Settle(s.Context(), out)
	if err != nil {
		s.Fatalf("settle: %v", err)
	}
	if len(errs) != len(out) {
		s.Fatalf("%d errors for %d outcomes", len(errs), len(out))
	}
	return errs
}

func (s *suite) reopenDeliveries(due time.Time, ids ...relay.DeliveryID) int {
	s.Helper()
	n, err := s.Reopen(s.Context(), ids, due)
	if err != nil {
		s.Fatalf("reopen: %v", err)
	}
	return n
}

func (s *suite) hasten(due time.Time, ids ...relay.DeliveryID) int {
	s.Helper()
	n, err := s.Hasten(s.Context(), ids, due)
	if err != nil {
		s.Fatalf("hasten: %v", err)
	}
	return n
}

func (s *suite) stats() relay.Stats {
	s.Helper()
	st, err := s.Stats(s.Context())
	if err != nil {
		s.Fatalf("stats: %v", err)
	}
	return st
}

func (s *suite) prune(p relay.Prune) relay.Pruned {
	s.Helper()
	n, err := s.Prune(s.Context(), p)
	if err != nil {
		s.Fatalf("prune: %v", err)
	}
	return n
}

// list follows a query to its end and gives the ids it found.
func (s *suite) list(q relay.Query) (ids []relay.ID) {
	s.Helper()
	for {
		p, err := s.List(s.Context(), q)
		if err != nil {
			s.Fatalf("list: %v", err)
		}
		for _, e := range p.Entries {
			ids = append(ids, e.Callback.ID)
		}
		if p.Next.IsZero() {
			return ids
		}
		if !q.Cursor.IsZero() && bytes.Compare(p.Next[:], q.Cursor[:]) >= 0 {
			s.Fatalf("the cursor went from %s to %s", q.Cursor, p.Next)
		}
		q.Cursor = p.Next
	}
}

// delivered is a lease's good end.
func delivered(l relay.Lease) relay.Outcome {
	return relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: relay.Delivered, Attempt: attempt(l, "")}
}

// failed is its bad end: dead.
func failed(l relay.Lease, why string) relay.Outcome {
	return relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: relay.Dead, Attempt: attempt(l, why)}
}

// again is one that is due for another attempt.
func again(l relay.Lease, due time.Time) relay.Outcome {
	return relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: relay.Pending, Due: due, Attempt: attempt(l, "refused")}
}

func attempt(l relay.Lease, why string) relay.Attempt {
	return relay.Attempt{
		N: l.Attempt, StartedAt: start.Add(time.Minute), Duration: 1500 * time.Microsecond, OK: why == "",
		Status: 200 + len(why), Error: why, Response: "answer\x00 to " + l.Delivery.Sink, Note: "a note",
		Replay: l.Delivery.Replays > 0,
	}
}

// names lists what leases are for.
func names(leases []relay.Lease) (refs []string) {
	for _, l := range leases {
		refs = append(refs, l.Callback.RefID)
	}
	return refs
}

func (s *suite) equal(what string, got, want any) {
	s.Helper()
	if !reflect.DeepEqual(got, want) {
		s.Errorf("%s:\n got %+v\nwant %+v", what, got, want)
	}
}

// past and future are times on either side of any test.
func past() time.Time   { return time.Now().Add(-time.Hour).UTC().Truncate(time.Microsecond) }
func future() time.Time { return time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond) }

func reversed[T any](list []T) []T {
	list = slices.Clone(list)
	slices.Reverse(list)
	return list
}
