package relay

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
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

// attempt makes one attempt at leased deliveries, as one message, and records
// how it ended.
func (d *Dispatcher) attempt(ctx context.Context, o opening, leases []Lease) {
	begun := time.Now()
	answer, err := d.send(ctx, o.dest, leases)
	now := time.Now()
	stopped := err != nil && errors.Is(context.Cause(ctx), ErrStopped)
	outs := make([]Outcome, len(leases))
	for i, l := range leases {
		if stopped {
			outs[i] = Outcome{ID: l.Delivery.ID, Token: l.Token, State: Pending, Due: now, Deferred: true}
		} else {
			outs[i] = d.outcome(l, o.dest, answer, err, begun, now)
			d.o.Attempted(l.Delivery, outs[i])
		}
		d.log(l, outs[i], now.Sub(begun))
	}
	d.mu.Lock()
	o.line.busy--
	o.line.unrecorded++
	if !stopped {
		o.line.sent(err, now)
	}
	d.mu.Unlock()
	d.changed()
	d.record(o.line, outs)
}

// send hands the deliveries to the sink, within its deadline. A panic is a
// failed attempt. Bytes that are damaged are not sent.
func (d *Dispatcher) send(ctx context.Context, dest Destination, leases []Lease) (answer Answer, err error) {
	ctx, cancel := context.WithTimeout(ctx, dest.Timeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("the sink panicked: %v", p)
			d.o.Log.Error("a sink panicked", "sink", leases[0].Delivery.Sink, "error", p, "stack", string(debug.Stack()))
		}
	}()
	parcels := make([]Parcel, len(leases))
	for i, l := range leases {
		if l.Callback.Damaged && l.Delivery.Payload == nil {
			return Answer{}, Permanent(errors.New("the stored bytes are damaged"))
		}
		parcels[i] = Parcel{Callback: l.Callback, Delivery: l.Delivery, Attempt: l.Attempt, Replay: l.Delivery.Replays > 0}
	}
	return dest.Sink.Send(ctx, parcels)
}

// outcome says what an attempt means for one delivery of it.
func (d *Dispatcher) outcome(l Lease, dest Destination, answer Answer, err error, begun, now time.Time) Outcome {
	out := Outcome{ID: l.Delivery.ID, Token: l.Token, Console: answer.Console, Attempt: Attempt{N: l.Attempt, StartedAt: begun,
		Duration: now.Sub(begun), OK: err == nil, Status: answer.Status, Response: shorten(answer.Response, maxResponse),
		Note: answer.Note, Replay: l.Delivery.Replays > 0}}
	out.Console = answer.Console && err == nil
	if err != nil {
		out.Attempt.Error = shorten(err.Error(), maxError)
	}
	out.State, out.Due = verdict(l.Delivery, dest.Retry, err, now)
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
func (d *Dispatcher) fallback(l Lease, why string) (next []Target) {
	defer func() {
		if p := recover(); p != nil {
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
func (d *Dispatcher) log(l Lease, out Outcome, took time.Duration) {
	attrs := []any{"callback", l.Callback.ID, "ref_id", l.Callback.RefID, "source", l.Callback.Source,
		"sink", l.Delivery.Sink, "delivery", l.Delivery.ID, "attempt", l.Attempt, "state", out.State, "duration", took}
	level := slog.LevelInfo
	switch {
	case out.Deferred:
		attrs = append(attrs, "error", ErrStopped)
	case out.State == Pending:
		level, attrs = slog.LevelWarn, append(attrs, "error", out.Attempt.Error, "due", out.Due)
	case out.State == Dead:
		level, attrs = slog.LevelError, append(attrs, "error", out.Attempt.Error)
	}
	d.o.Log.Log(context.Background(), level, "attempt", attrs...)
}

// record settles outcomes, as often as it takes. Until then their leases are
// kept, so that they are not sent again.
func (d *Dispatcher) record(l *line, outs []Outcome) {
	errs, err := d.settles.Do(context.Background(), outs)
	for err != nil && !errors.Is(err, ErrClosed) && d.pause(recordAgain) {
		errs, err = d.settles.Do(context.Background(), outs)
	}
	now := time.Now()
	d.mu.Lock()
	l.unrecorded--
	l.look = true
	for _, out := range outs {
		delete(d.held, out.ID)
		if out.State == Pending && out.Due.After(now) {
			l.lookAt(out.Due)
		}
	}
	d.mu.Unlock()
	d.changed()
	for i, err := range errs {
		if err != nil {
			d.o.Log.Warn("an outcome is not recorded", "delivery", outs[i].ID, "state", outs[i].State, "error", err)
		}
	}
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
	var outs []Outcome
	for _, group := range groups {
		outs = append(outs, group...)
	}
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
			d.o.Log.Error("a sink panicked", "sink", o.gate.Sink, "error", p, "stack", string(debug.Stack()))
		}
	}()
	if err := sink.BurstOver(ctx, over); err != nil {
		d.o.Log.Warn("the end of a burst could not be told", "sink", o.gate.Sink, "error", err)
	}
}
