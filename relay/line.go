package relay

import "time"

// ahead is for how many messages of one sink the store may still owe the record
// before no further one goes out: enough to keep a fast sink busy during a
// commit, and what may be sent twice if the process dies in it.
const ahead = 128

// A line is what the dispatcher knows of one sink. Its Dispatcher guards it.
type line struct {
	ready      []message // claimed, and waiting for a slot
	busy       int       // messages on their way: slots at work
	unrecorded int       // messages that were sent, and that the store does not know of yet
	returning  int       // messages that were not sent, and that the store does not have back yet

	look bool      // something may be due
	next time.Time // when to look again, if before the poll; zero if not known

	paused  time.Time // the far side asked that nothing comes before it
	breaker breaker
	burst   burst
	starts  []time.Time // of a sink that digests: the latest messages, as many as its rate lets through

	failed    time.Time // the latest failure
	err       string    // what it was
	succeeded time.Time // the latest success
}

// lookAt makes the dispatcher look at t.
func (l *line) lookAt(t time.Time) {
	if l.next.IsZero() || t.Before(l.next) {
		l.next = t
	}
}

// wake notes whether something may be due at now.
func (l *line) wake(now time.Time, poll bool) {
	if !l.next.IsZero() && !now.Before(l.next) {
		l.look, l.next = true, time.Time{}
	}
	l.look = l.look || poll
}

// gate says what may be claimed for the sink now; false if nothing may, until
// an attempt ends or a time that it notes. With spare, as much as goes out at once
// may wait in hand for its turn, so that no slot waits for the store.
func (l *line) gate(sink string, dest Destination, spare bool, now time.Time) (Gate, bool) {
	inHand, limit := l.busy+len(l.ready), dest.Concurrency
	if spare && dest.pace().none() {
		limit *= 2
	}
	room := min(limit-inHand, ahead-l.unrecorded)
	if l.breaker.open() {
		room = min(room, 1-inHand)
	}
	if room <= 0 || !l.short(dest) {
		return Gate{}, false
	}
	may, batch, from := l.burst.room(dest.Digest, now)
	if batch && inHand > 0 {
		return Gate{}, false
	}
	waits := []time.Time{l.paused, l.breaker.until}
	if batch {
		waits = append(waits, l.full(dest.Rate)) // or it would find nothing, and end the burst
	}
	for _, t := range waits {
		if t.After(from) {
			from = t
		}
	}
	if from.After(now) {
		l.lookAt(from)
		return Gate{}, false
	}
	if !batch {
		may = min(may, room)
	}
	return Gate{Sink: sink, Room: may, Batch: batch, Rate: dest.Rate, Concurrency: limit + l.unrecorded + l.returning}, true
}

// short reports whether more is to be claimed before the slots run out of it. With
// more than that in hand it can wait: a claim costs the same for many as for one.
func (l *line) short(dest Destination) bool { return len(l.ready) <= dest.Concurrency/2 }

// rests reports whether what is ready may not go now.
func (l *line) rests(now time.Time) bool {
	return now.Before(l.paused) || now.Before(l.breaker.until) || l.breaker.open() && l.busy > 0
}

// owed counts what the store is to be told of, of the kind that a message's outcomes are.
func (l *line) owed(outs []Outcome) *int {
	if outs[0].Deferred {
		return &l.returning
	}
	return &l.unrecorded
}

// claimed notes that n deliveries were claimed through g at now. If a burst
// ended by that, it is returned.
func (l *line) claimed(g Gate, n int, now time.Time) (over Burst, ended bool) {
	l.look = l.look || n > 0 && n >= g.Room
	if n > 0 && n < g.Room && g.Rate.N > 0 {
		l.lookAt(now.Add(g.Rate.Per / time.Duration(g.Rate.N)))
	}
	more := n >= g.Room || l.full(g.Rate).After(now)
	return l.burst.claimed(n, g.Batch, more, now)
}

// started notes that n messages start, no earlier than the store counted them.
func (l *line) started(r Rate, n int, now time.Time) {
	for range n {
		l.starts = append(l.starts, now)
	}
	l.starts = l.starts[max(len(l.starts)-r.N, 0):]
}

// full is when the rate lets another message through, if that is known.
func (l *line) full(r Rate) time.Time {
	if r.N <= 0 || len(l.starts) < r.N {
		return time.Time{}
	}
	return l.starts[len(l.starts)-r.N].Add(r.Per)
}

// sent notes how an attempt ended at now.
func (l *line) sent(err error, now time.Time) {
	if until := now.Add(askedOfAll(err)); until.After(l.paused) {
		l.paused = until
	}
	if unsent(err) {
		return
	}
	l.breaker.record(err, now)
	if err == nil {
		l.succeeded = now
		return
	}
	l.failed, l.err = now, err.Error()
}

// SinkState is where a sink stands: what keeps its deliveries waiting, if
// anything does.
type SinkState struct {
	Sending    int // messages on their way
	Unrecorded int // messages that were sent, and that the store has not recorded yet

	Failures int       // in a row
	Resting  bool      // after BreakerAfter failures: nothing goes before Rests, then a single probe
	Rests    time.Time // when a rest ends; zero without one
	Paused   time.Time // until when the far side asked for patience; zero if it did not
	Collects time.Time // when what waits goes as a digest; zero if nothing is collected

	LastSuccess time.Time
	LastFailure time.Time
	LastError   string // of the latest failure
}

// state describes the line of a sink that digests as c says, at now.
func (l *line) state(c Digest, now time.Time) SinkState {
	s := SinkState{Sending: l.busy, Unrecorded: l.unrecorded, Failures: l.breaker.failures,
		Resting: l.breaker.open(), Rests: l.breaker.until, Collects: l.burst.collects(c, now),
		LastSuccess: l.succeeded, LastFailure: l.failed, LastError: l.err}
	if l.paused.After(now) {
		s.Paused = l.paused
	}
	return s
}
