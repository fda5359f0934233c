package relay

import (
	"context"
	"slices"
	"time"
)

// A message is what goes out in one attempt: a delivery, or those of a digest.
type message struct {
	leases []*Lease
	batch  bool // it was claimed as a digest
	pace   pace // by which it was claimed
}

// A pace is what a sink's messages are held back by.
type pace struct {
	rate   Rate
	digest Digest
}

func (dest *Destination) pace() pace { return pace{dest.Rate, dest.Digest} }

// none reports that messages go whenever there is a slot: then it makes no
// difference how long before that they were claimed.
func (p pace) none() bool { return p.rate.N <= 0 && p.digest.Every <= 0 }

// A job is a message with where it goes.
type job struct {
	message
	sink string
	line *line
	dest Destination
}

// fill starts what is ready at a sink, as far as it has slots.
func (d *Dispatcher) fill(sending context.Context, sink string) {
	for {
		j, ok := d.take(sink)
		if !ok {
			return
		}
		go d.slot(sending, j)
	}
}

// slot makes attempts, one after another, for as long as something is ready.
func (d *Dispatcher) slot(sending context.Context, j job) {
	for ok := true; ok; j, ok = d.take(j.sink) {
		d.attempt(sending, j)
	}
}

// take takes the first message that is ready at a sink, for one of the slots that
// the sink has by its concurrency. If all have to wait, for the end of a rest, for
// rules that have the sink or by a pace that is new, they are given back.
func (d *Dispatcher) take(sink string) (j job, ok bool) {
	dest, known := d.rules().Destination(sink)
	j.sink, j.dest = sink, dest.complete()
	d.mu.Lock()
	defer d.mu.Unlock()
	l := d.line(sink)
	switch {
	case len(l.ready) == 0:
		return j, false
	case !known || d.ending || l.rests(time.Now()) || l.ready[0].pace != j.dest.pace():
		d.giveBack(l)
		return j, false
	case l.busy >= j.dest.Concurrency || l.unrecorded >= ahead || d.refused && d.unrecorded() >= maxUnrecorded:
		if !j.dest.pace().none() { // its turn is now, or another one
			d.giveBack(l)
		}
		return j, false
	}
	j.line, j.message = l, l.ready[0]
	l.ready = slices.Delete(l.ready, 0, 1)
	l.busy++
	return j, true
}

// unrecorded is how many outcomes there are, or will be soon, of which the store
// does not know.
func (d *Dispatcher) unrecorded() (n int) {
	for _, l := range d.lines {
		n += l.busy + l.unrecorded
	}
	return n
}

// giveBack hands what is ready at a line back to the store, due as it was.
func (d *Dispatcher) giveBack(l *line) {
	back := l.ready
	l.ready = nil
	l.returning += len(back)
	for _, m := range back {
		switch {
		case m.batch:
			l.burst.sent(len(m.leases), true, true)
		case m.pace.digest.Every > 0:
			l.burst.failed()
		}
	}
	go func() {
		for _, m := range back {
			outs := make([]Outcome, len(m.leases))
			for i, lease := range m.leases {
				outs[i] = lease.back()
			}
			d.record(l, outs)
		}
	}()
}

// back is the outcome of no attempt: the delivery is due at the time at which it was.
func (l *Lease) back() Outcome {
	due := l.Delivery.Due
	if due.IsZero() {
		due = l.Callback.ReceivedAt
	}
	return Outcome{ID: l.Delivery.ID, Token: l.Token, State: Pending, Due: due, Deferred: true}
}

// waiting are the sinks at which something is ready.
func (d *Dispatcher) waiting() (sinks []string) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for name, l := range d.lines {
		if len(l.ready) > 0 {
			sinks = append(sinks, name)
		}
	}
	return sinks
}

// leave lets no further attempt begin.
func (d *Dispatcher) leave(sending context.Context) {
	d.mu.Lock()
	d.ending = true
	d.mu.Unlock()
	for _, sink := range d.waiting() {
		d.fill(sending, sink)
	}
}
