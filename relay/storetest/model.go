package storetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kurir-relay/kurir/relay"
)

// model plays random histories on a store and on lists and maps side by side.
// Times are past or future, never near, and leases are over at once or never.
func model(t *testing.T, place func(t *testing.T) Place) {
	rapid.Check(t, func(rt *rapid.T) {
		m := &history{suite: &suite{T: t, place: place(t)}, t: rt, keys: map[string]*known{}}
		m.open()
		defer func() { m.Store.Close() }()
		rt.Repeat(map[string]func(*rapid.T){
			"append":  m.appends,
			"claim":   m.claims,
			"claim ":  m.claims, // twice as often
			"settle":  m.settles,
			"settle ": m.settles,
			"reopen":  m.replays,
			"hasten":  m.hastens,
			"prune":   m.prunes,
			"restart": m.restarts,
			"":        m.check,
		})
	})
}

// A history is what a store should hold after what was done to it.
type history struct {
	*suite
	t *rapid.T

	log        []*modelCallback // in append order
	keys       map[string]*known
	leases     []relay.Lease // all there ever were, since the last restart
	clock      int           // seconds after start
	duplicates int64
}

type modelCallback struct {
	id         relay.ID
	in         relay.Inbound
	conflict   bool // kept under a key that was taken
	flagged    bool
	duplicates int
	deliveries []*modelDelivery
}

type modelDelivery struct {
	relay.Delivery
	due   bool
	token uint64
	out   bool // leased, and the lease isn't over
}

// known is a key that was seen, with the callback that has it.
type known struct {
	id       relay.ID
	body     string
	received time.Time
}

func (m *history) fatalf(format string, args ...any) {
	m.T.Helper()
	m.t.Fatalf(format, args...)
}

func (m *history) appends(*rapid.T) {
	in := make([]relay.Inbound, rapid.IntRange(1, 3).Draw(m.t, "callbacks"))
	for i := range in {
		m.clock++
		in[i] = callback(m.clock)
		c := &in[i].Callback
		ref := strconv.Itoa(rapid.IntRange(1, 8).Draw(m.t, "key"))
		in[i].Key, c.RefID = relay.Key{ref}, ref
		c.Body = []byte(rapid.SampledFrom([]string{"one", "one", "two", "three"}).Draw(m.t, "body"))
		in[i].RouteConflict = rapid.Bool().Draw(m.t, "route conflict")
		for range rapid.IntRange(0, 3).Draw(m.t, "targets") {
			in[i].Targets = append(in[i].Targets, m.target())
		}
	}
	for i, r := range m.append(in...) {
		m.appended(in[i], r)
	}
}

func (m *history) target() relay.Target {
	return relay.Target{
		Rule:      "r",
		Sink:      rapid.SampledFrom([]string{"a", "b"}).Draw(m.t, "sink"),
		Lane:      rapid.SampledFrom([]string{"", "l", "m"}).Draw(m.t, "lane"),
		NotBefore: rapid.SampledFrom([]time.Time{{}, {}, past(), future()}).Draw(m.t, "not before"),
		Error:     rapid.SampledFrom([]string{"", "", "", "boom"}).Draw(m.t, "error"),
	}
}

// appended checks a receipt and brings the history up to it.
func (m *history) appended(in relay.Inbound, r relay.Receipt) {
	key, body := in.Key[0], string(in.Callback.Body)
	holder := m.keys[key]
	if holder == nil {
		m.receipt(r, relay.Receipt{ID: r.ID})
		m.keys[key] = &known{r.ID, body, in.Callback.ReceivedAt}
		m.store(in, r.ID, in.Targets)
		return
	}
	m.duplicates++
	if holder.body == body {
		m.receipt(r, relay.Receipt{ID: holder.id, Duplicate: true})
		m.came(holder.id)
		return
	}
	if kept := m.keys[key+"/"+body]; kept != nil {
		m.receipt(r, relay.Receipt{ID: kept.id, Duplicate: true, Conflict: true})
		m.came(kept.id)
		return
	}
	m.receipt(r, relay.Receipt{ID: r.ID, Duplicate: true, Conflict: true})
	m.keys[key+"/"+body] = &known{r.ID, body, in.Callback.ReceivedAt}
	if c := m.callback(holder.id); c != nil {
		c.flagged = true
	}
	if !in.RouteConflict {
		in.Targets = nil
	}
	c := m.store(in, r.ID, in.Targets)
	c.conflict, c.flagged = true, true
}

func (m *history) receipt(got, want relay.Receipt) {
	if got != want {
		m.fatalf("receipt %+v, wanted %+v", got, want)
	}
}

func (m *history) store(in relay.Inbound, id relay.ID, targets []relay.Target) *modelCallback {
	c := &modelCallback{id: id, in: in}
	for _, t := range targets {
		c.owe(t)
	}
	m.log = append(m.log, c)
	return c
}

func (c *modelCallback) owe(t relay.Target) {
	d := &modelDelivery{due: t.NotBefore.Before(time.Now())}
	d.ID, d.Target, d.State = relay.DeliveryID{Callback: c.id, N: uint16(len(c.deliveries) + 1)}, t, relay.Pending
	if t.Error != "" {
		d.State, d.Error = relay.Dead, t.Error
	}
	c.deliveries = append(c.deliveries, d)
}

// came counts a duplicate, unless the callback is forgotten.
func (m *history) came(id relay.ID) {
	if c := m.callback(id); c != nil {
		c.duplicates++
	}
}

func (m *history) callback(id relay.ID) *modelCallback {
	for _, c := range m.log {
		if c.id == id {
			return c
		}
	}
	return nil
}

func (m *history) find(id relay.DeliveryID) *modelDelivery {
	if c := m.callback(id.Callback); c != nil && id.N > 0 && int(id.N) <= len(c.deliveries) {
		return c.deliveries[id.N-1]
	}
	return nil
}

// pending lists the open deliveries of a sink in append order.
func (m *history) pending(sink string) (open []*modelDelivery) {
	for _, c := range m.log {
		for _, d := range c.deliveries {
			if d.State == relay.Pending && d.Sink == sink {
				open = append(open, d)
			}
		}
	}
	return open
}

// claimable says which deliveries of a sink a claim may lease now, all together.
func (m *history) claimable(sink string) map[relay.DeliveryID]bool {
	may, lanes := map[relay.DeliveryID]bool{}, map[string]bool{}
	open := m.pending(sink)
	for _, d := range open {
		if d.out && d.Lane != "" {
			lanes[d.Lane] = true
		}
	}
	for _, d := range open {
		if d.due && !d.out && !lanes[d.Lane] {
			may[d.ID] = true
		}
		if d.Lane != "" {
			lanes[d.Lane] = true
		}
	}
	return may
}

func (m *history) claims(*rapid.T) {
	gate := relay.Gate{
		Sink: rapid.SampledFrom([]string{"a", "b"}).Draw(m.t, "sink"),
		Room: rapid.SampledFrom([]int{1, 2, 3, 1000}).Draw(m.t, "room"),
	}
	length := rapid.SampledFrom([]time.Duration{time.Hour, time.Hour, -time.Second}).Draw(m.t, "lease")
	may := m.claimable(gate.Sink)
	leases := m.claimFor(length, gate)
	if want := min(len(may), gate.Room); len(leases) != want {
		m.fatalf("%d leases, wanted %d of %v", len(leases), want, slices.Collect(maps.Keys(may)))
	}
	for _, l := range leases {
		if !may[l.Delivery.ID] {
			m.fatalf("%s was leased, which may not", l.Delivery.ID)
		}
		delete(may, l.Delivery.ID)
		d := m.find(l.Delivery.ID)
		if l.Attempt != len(d.Attempts)+1 || l.Delivery.Tries != d.Tries {
			m.fatalf("%s is leased for attempt %d after %d tries, wanted %d after %d",
				d.ID, l.Attempt, l.Delivery.Tries, len(d.Attempts)+1, d.Tries)
		}
		d.token, d.out = l.Token, length > 0
	}
	m.leases = append(m.leases, leases...)
}

func (m *history) settles(*rapid.T) {
	if len(m.leases) == 0 {
		return
	}
	out := make([]relay.Outcome, rapid.IntRange(1, 3).Draw(m.t, "outcomes"))
	for i := range out {
		out[i] = m.outcome(m.leases[rapid.IntRange(0, len(m.leases)-1).Draw(m.t, "lease")])
	}
	for i, err := range m.trySettle(out...) {
		m.settled(out[i], err)
	}
}

func (m *history) outcome(l relay.Lease) relay.Outcome {
	due := rapid.SampledFrom([]time.Time{past(), past(), future()}).Draw(m.t, "due")
	switch rapid.IntRange(0, 4).Draw(m.t, "outcome") {
	case 0:
		return failed(l, "gone")
	case 1:
		return again(l, due)
	case 2:
		return relay.Outcome{ID: l.Delivery.ID, Token: l.Token, Deferred: true, Due: due}
	case 3:
		out := failed(l, "gone")
		out.Next = []relay.Target{m.target()}
		return out
	}
	return delivered(l)
}

// settled checks what became of an outcome. A lease that is over, and that
// nobody else has, may still be good.
func (m *history) settled(out relay.Outcome, err error) {
	d := m.find(out.ID)
	current := d != nil && d.State == relay.Pending && d.token == out.Token
	switch {
	case err == nil && !current:
		m.fatalf("an outcome of %s was accepted without its lease", out.ID)
	case err != nil && (!errors.Is(err, relay.ErrLease) || current && d.out):
		m.fatalf("an outcome of %s was refused: %v", out.ID, err)
	case err != nil:
		return
	}
	d.out, d.token = false, 0
	if out.Deferred {
		d.due = out.Due.Before(time.Now())
		return
	}
	d.State, d.due, d.Error = out.State, out.Due.Before(time.Now()), out.Attempt.Error
	d.Tries++
	out.Attempt.N = len(d.Attempts) + 1
	d.Attempts = append(d.Attempts, out.Attempt)
	for _, t := range out.Next {
		m.callback(out.ID.Callback).owe(t)
	}
}

func (m *history) replays(*rapid.T) {
	if len(m.log) == 0 {
		return
	}
	c := m.log[rapid.IntRange(0, len(m.log)-1).Draw(m.t, "callback")]
	due := rapid.SampledFrom([]time.Time{past(), future()}).Draw(m.t, "due")
	var ids []relay.DeliveryID
	want := 0
	for n := range uint16(len(c.deliveries) + 2) {
		id := relay.DeliveryID{Callback: c.id, N: n}
		ids = append(ids, id)
		if d := m.find(id); d != nil && d.State != relay.Pending {
			d.State, d.due, d.Tries, d.token, d.out = relay.Pending, due.Before(time.Now()), 0, 0, false
			d.Replays++
			want++
		}
	}
	if n := m.reopenDeliveries(due, ids...); n != want {
		m.fatalf("%d deliveries were opened, wanted %d", n, want)
	}
}

func (m *history) hastens(*rapid.T) {
	if len(m.log) == 0 {
		return
	}
	c := m.log[rapid.IntRange(0, len(m.log)-1).Draw(m.t, "callback")]
	var ids []relay.DeliveryID
	want := 0
	for n := range uint16(len(c.deliveries) + 2) {
		id := relay.DeliveryID{Callback: c.id, N: n}
		ids = append(ids, id)
		if d := m.find(id); d != nil && d.State == relay.Pending && !d.due && !d.out {
			d.due = true
			want++
		}
	}
	if n := m.hasten(past(), ids...); n != want {
		m.fatalf("%d deliveries were hastened, wanted %d", n, want)
	}
}

func (m *history) prunes(*rapid.T) {
	callbacks, keys := rapid.IntRange(0, m.clock+1).Draw(m.t, "callbacks"), rapid.IntRange(0, m.clock+1).Draw(m.t, "keys")
	var want relay.Pruned
	m.log = slices.DeleteFunc(m.log, func(c *modelCallback) bool {
		owes := slices.ContainsFunc(c.deliveries, func(d *modelDelivery) bool { return d.State == relay.Pending })
		gone := !owes && c.in.Callback.ReceivedAt.Before(at(callbacks))
		if gone {
			want.Callbacks++
		}
		return gone
	})
	maps.DeleteFunc(m.keys, func(_ string, k *known) bool {
		gone := k.received.Before(at(keys))
		if gone {
			want.Keys++
		}
		return gone
	})
	if got := m.prune(relay.Prune{Callbacks: at(callbacks), Keys: at(keys)}); got != want {
		m.fatalf("forgot %+v, wanted %+v", got, want)
	}
}

// restarts gives all leases back first: some stores void them, some don't.
func (m *history) restarts(*rapid.T) {
	for _, l := range m.leases {
		if d := m.find(l.Delivery.ID); d != nil && d.out && d.token == l.Token {
			out := relay.Outcome{ID: d.ID, Token: l.Token, Deferred: true, Due: past()}
			m.settled(out, m.trySettle(out)[0])
		}
	}
	for _, c := range m.log {
		for _, d := range c.deliveries {
			d.token = 0
		}
	}
	m.leases = nil
	m.reopen()
}

// check compares all that the store shows with the history.
func (m *history) check(*rapid.T) {
	var ids []relay.ID
	for _, c := range m.log {
		m.compare(c)
		ids = append(ids, c.id)
	}
	if got := m.list(relay.Query{Limit: 5}); !slices.Equal(got, reversed(ids)) {
		m.fatalf("the log lists %v, wanted %v", got, reversed(ids))
	}
	for _, q := range []relay.Query{{RefID: "3"}, {State: relay.Dead}, {State: relay.Pending, Sink: "a"}, {Conflict: true}} {
		if got, want := m.list(q), m.selected(q); !slices.Equal(got, want) {
			m.fatalf("%+v lists %v, wanted %v", q, got, want)
		}
	}
	m.compareStats()
}

func (m *history) selected(q relay.Query) (ids []relay.ID) {
	for _, c := range m.log {
		meets := q.State == "" || slices.ContainsFunc(c.deliveries, func(d *modelDelivery) bool {
			return d.State == q.State && (q.Sink == "" || d.Sink == q.Sink)
		})
		if meets && (q.RefID == "" || q.RefID == c.in.Callback.RefID) && (!q.Conflict || c.flagged) {
			ids = append(ids, c.id)
		}
	}
	return reversed(ids)
}

func (m *history) compare(c *modelCallback) {
	e := m.get(c.id)
	got := fmt.Sprint(e.Callback.RefID, string(e.Callback.Body), e.Callback.Duplicates, e.Callback.Conflict, len(e.Deliveries))
	want := fmt.Sprint(c.in.Callback.RefID, string(c.in.Callback.Body), c.duplicates, c.flagged, len(c.deliveries))
	if got != want {
		m.fatalf("callback %s is %s, wanted %s", c.id, got, want)
	}
	for i, d := range c.deliveries {
		got, want := e.Deliveries[i], d.Delivery
		got.Due, want.Due = time.Time{}, time.Time{}
		if fmt.Sprintf("%+v", got) != fmt.Sprintf("%+v", want) {
			m.fatalf("delivery\n%+v, wanted\n%+v", got, want)
		}
	}
}

func (m *history) compareStats() {
	want := relay.Stats{Callbacks: int64(len(m.log)), Duplicates: m.duplicates, Keys: int64(len(m.keys)),
		Sinks: map[string]relay.SinkStats{}}
	for _, c := range m.log {
		if c.conflict {
			want.Conflicts++
		}
		for _, d := range c.deliveries {
			want.Sinks[d.Sink] = counted(want.Sinks[d.Sink], d)
		}
	}
	got := m.stats()
	for name, s := range got.Sinks {
		if want.Sinks[name] != s {
			m.fatalf("stats of %s: %+v, wanted %+v", name, s, want.Sinks[name])
		}
	}
	got.Bytes, got.Sinks, want.Sinks = 0, nil, nil
	if fmt.Sprint(got) != fmt.Sprint(want) {
		m.fatalf("stats %+v, wanted %+v", got, want)
	}
}

func counted(s relay.SinkStats, d *modelDelivery) relay.SinkStats {
	switch d.State {
	case relay.Pending:
		s.Pending++
		if s.Oldest.IsZero() {
			s.Oldest = d.ID.Callback.Time()
		}
	case relay.Dead:
		s.Dead++
	default:
		s.Delivered++
	}
	return s
}
