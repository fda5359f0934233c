package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"strings"
	"time"
)

// What the record of an attempt holds at most, in bytes.
const (
	maxResponse = 64 << 10
	maxError    = 4 << 10
)

// recordAgain is the pause before a store that took no outcomes is asked again.
const recordAgain = time.Second

// A try is a message that was sent, and how that ended.
type try struct {
	leases       []*Lease
	dest         Destination
	answer       Answer
	err          error
	stopped      bool // it ended only because the dispatcher stops
	begun, ended time.Time
}

// attempt makes one attempt at a message and has it recorded how it ended.
func (d *Dispatcher) attempt(ctx context.Context, j job) {
	t := try{leases: j.leases, dest: j.dest, begun: time.Now()}
	t.answer, t.err = d.send(ctx, j.dest, j.leases)
	t.ended = time.Now()
	t.stopped = t.err != nil && errors.Is(context.Cause(ctx), errStopped)
	outs := make([]Outcome, len(j.leases))
	for i, lease := range j.leases {
		if outs[i] = d.outcome(&t, lease); !outs[i].Deferred {
			d.o.Attempted(lease.Delivery, outs[i])
		}
		d.log(&t, lease, &outs[i])
	}
	d.mu.Lock()
	j.line.busy--
	*j.line.owed(outs)++
	if !t.stopped {
		j.line.sent(t.err, t.ended)
		owed := slices.ContainsFunc(outs, func(o Outcome) bool { return o.State == Pending })
		switch {
		case j.batch:
			j.line.burst.sent(len(outs), t.err != nil, owed)
		case owed:
			j.line.burst.failed()
		}
	}
	short := j.line.look && j.line.short(j.dest)
	d.mu.Unlock()
	if short {
		d.changed()
	}
	d.record(j.line, outs)
}

// send hands the deliveries to the sink, within its deadline. A panic is a
// failed attempt. Bytes that are damaged are not sent.
func (d *Dispatcher) send(ctx context.Context, dest Destination, leases []*Lease) (answer Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, dest.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the sink panicked: %v", p)
			d.o.Panicked()
			d.o.Log.Error("a sink panicked", "sink", leases[0].Delivery.Sink, "error", p, "stack", string(debug.Stack()))
		}
	}()
	parcels := make([]Parcel, len(leases))
	for i, l := range leases {
		if l.damaged() {
			return Answer{}, Permanent(errors.New("the stored bytes are damaged"))
		}
		parcels[i] = Parcel{Callback: l.Callback, Delivery: l.Delivery, Attempt: l.Attempt, Replay: l.Delivery.Replays > 0}
	}
	return dest.Sink.Send(ctx, parcels)
}

// outcome says what a try means for one of its deliveries. Those of a digest
// share the jitter, so that they stay together.
func (d *Dispatcher) outcome(t *try, l *Lease) Outcome {
	out := Outcome{ID: l.Delivery.ID, Token: l.Token}
	if t.stopped || unsent(t.err) {
		out.State, out.Due, out.Deferred = Pending, t.ended.Add(asked(t.err)), true
		return out
	}
	out.Attempt = Attempt{N: l.Attempt, StartedAt: t.begun, Duration: t.ended.Sub(t.begun), OK: t.err == nil,
		Status: t.answer.Status, Response: shorten(t.answer.Response, maxResponse), Note: t.answer.Note,
		Replay: l.Delivery.Replays > 0}
	if t.err != nil {
		out.Attempt.Error = shorten(t.err.Error(), maxError)
	}
	out.Console = t.answer.Console && t.err == nil
	out.State, out.Due = verdict(t.leases[0].Delivery.ID, l.Delivery.Tries, t.dest.Retry, t.err, t.ended)
	if out.State == Dead {
		out.Next = d.fallback(l, out.Attempt.Error)
	}
	return out
}

// shorten cuts text to at most limit bytes of valid UTF-8.
func shorten(text string, limit int) string {
	if len(text) > limit {
		text = text[:limit]
	}
	return strings.ToValidUTF8(text, "\ufffd")
}

// fallback plans the way out of a dead letter that died of why. If planning
// panics there is none: the dead letter is visible all the same.
func (d *Dispatcher) fallback(l *Lease, why string) (next []Target) {
	defer func() {
		if p := recover(); p != nil {
			d.o.Panicked()
			d.o.Log.Error("the fallback panicked", "sink", l.Delivery.Sink, "error", p, "stack", string(debug.Stack()))
		}
	}()
	dead := l.Delivery
	dead.State, dead.Error = Dead, why
	target, ok := d.rules().Fallback(l.Callback, dead)
	if !ok {
		return nil
	}
	return []Target{target}
}

// log writes the line of an attempt at one delivery.
func (d *Dispatcher) log(t *try, l *Lease, out *Outcome) {
	level := slog.LevelInfo
	switch {
	case out.Deferred:
	case out.State == Pending:
		level = slog.LevelWarn
	case out.State == Dead:
		level = slog.LevelError
	}
	if !d.o.Log.Enabled(context.Background(), level) {
		return
	}
	attrs := []any{"callback", l.Callback.ID, "ref_id", l.Callback.RefID, "source", l.Callback.Source,
		"sink", l.Delivery.Sink, "delivery", l.Delivery.ID, "attempt", l.Attempt, "state", out.State, "duration", t.ended.Sub(t.begun)}
	switch {
	case t.stopped:
		attrs = append(attrs, "error", errStopped)
	case t.err != nil:
		attrs = append(attrs, "error", shorten(t.err.Error(), maxError))
	}
	if out.State == Pending && !t.stopped {
		attrs = append(attrs, "due", out.Due)
	}
	d.o.Log.Log(context.Background(), level, "attempt", attrs...)
}

// record has the outcomes of a message settled, as often as it takes, or until the
// dispatcher has to end. Until then their leases are kept, so that they are not
// sent again.
func (d *Dispatcher) record(l *line, outs []Outcome) {
	err := d.settles.Hand(outs, func(errs []error, err error) {
		switch {
		case err == nil || errors.Is(err, ErrClosed):
			d.recorded(l, outs, errs, err)
		default:
			go d.recordLater(l, outs, err)
		}
	})
	if err != nil {
		d.recorded(l, outs, nil, err)
	}
}

// recordLater tries again after a pause.
func (d *Dispatcher) recordLater(l *line, outs []Outcome, err error) {
	if d.pause(recordAgain) {
		d.record(l, outs)
	} else {
		d.recorded(l, outs, nil, err)
	}
}

// recorded lets go of a message's deliveries, and notes when they are due again.
func (d *Dispatcher) recorded(l *line, outs []Outcome, errs []error, err error) {
	now := time.Now()
	d.mu.Lock()
	*l.owed(outs)--
	l.look = true // the next ones of their lanes may be due
	for i := range outs {
		if d.held[outs[i].ID].token == outs[i].Token { // or it is leased again already
			delete(d.held, outs[i].ID)
		}
		if outs[i].State == Pending && outs[i].Due.After(now) {
			l.lookAt(outs[i].Due)
		}
	}
	d.mu.Unlock()
	d.changed()
	for i := range outs {
		if err := cmp.Or(err, at(errs, i)); err != nil {
			d.o.Log.Warn("an outcome is not recorded", "delivery", outs[i].ID, "state", outs[i].State, "error", err)
		}
	}
	d.work.Done()
}

// at is the i-th error, or nil.
func at(errs []error, i int) error {
	if i < len(errs) {
		return errs[i]
	}
	return nil
}

// pause waits, and reports whether it may go on after that.
func (d *Dispatcher) pause(wait time.Duration) bool {
	timer := time.NewTimer(wait)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-d.late:
		return false
	}
}

// settle records groups of outcomes in one commit.
func (d *Dispatcher) settle(ctx context.Context, groups [][]Outcome) (errs [][]error, err error) {
	outs := slices.Concat(groups...)
	all, err := d.store.Settle(ctx, outs)
	if err == nil && len(all) != len(outs) {
		err = fmt.Errorf("settle gave %d results for %d outcomes", len(all), len(outs))
	}
	d.took(len(outs), err)
	if err != nil {
		return nil, err
	}
	for _, group := range groups {
		errs = append(errs, all[:len(group)])
		all = all[len(group):]
	}
	return errs, nil
}

// took notes whether the store takes outcomes, and logs when that changes.
func (d *Dispatcher) took(outcomes int, err error) {
	d.mu.Lock()
	was := d.refused
	d.refused = err != nil
	d.mu.Unlock()
	switch {
	case err != nil && !was:
		d.o.Log.Error("outcomes can't be recorded, and are kept", "outcomes", outcomes, "error", err)
	case err == nil && was:
		d.o.Log.Info("outcomes are recorded again")
	}
}

// burstOver lets the sink say that a burst has ended.
func (d *Dispatcher) burstOver(ctx context.Context, o opening, over Burst) {
	sink, ok := o.dest.Sink.(BurstEnder)
	if !ok {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, o.dest.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			d.o.Panicked()
			d.o.Log.Error("a sink panicked", "sink", o.gate.Sink, "error", p, "stack", string(debug.Stack()))
		}
	}()
	if err := sink.BurstOver(ctx, over); err != nil {
		d.o.Log.Warn("the end of a burst could not be told", "sink", o.gate.Sink, "error", err)
	}
}
