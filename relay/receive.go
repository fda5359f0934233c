package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

// A Receiver accepts verified callbacks: it routes them, stores them with what
// they cause in one commit, and returns when that is durable.
type Receiver struct {
	store   Store
	appends *Batch[Inbound, Receipt]
	o       ReceiverOptions

	refused atomic.Pointer[error] // why the last callback was not stored; nil if it was
	asking  sync.Mutex            // held by the one who asks whether the next one would be
}

// ReceiverOptions tune a Receiver. The zero value is ready.
type ReceiverOptions struct {
	Log  *slog.Logger  // default: slog.Default()
	Wait time.Duration // how long a callback waits for the store before ErrBusy; default 5 s

	// Accepted is told of each callback that was accepted, with what its
	// receipt says and how many deliveries it caused; for counters. It is
	// called from many goroutines at once.
	Accepted func(c Callback, r Receipt, deliveries int)

	Panicked func() // is told when routing panicked
}

// What one commit of callbacks takes at most: bytes of bodies, and for each
// callback what its headers and deliveries come to.
const (
	appendBytes    = 4 << 20
	appendOverhead = 4 << 10
	appendQueue    = 1024
)

// NewReceiver makes a Receiver that stores in store. Who makes one closes it.
func NewReceiver(store Store, o ReceiverOptions) *Receiver {
	if o.Log == nil {
		o.Log = slog.Default()
	}
	if o.Wait == 0 {
		o.Wait = 5 * time.Second
	}
	if o.Accepted == nil {
		o.Accepted = func(Callback, Receipt, int) {}
	}
	if o.Panicked == nil {
		o.Panicked = func() {}
	}
	limit := BatchLimit[Inbound]{Weight: appendBytes, Queue: appendQueue, Wait: o.Wait,
		Weigh: func(in Inbound) int { return len(in.Callback.Body) + appendOverhead }}
	return &Receiver{store: store, appends: NewBatch(store.Append, limit), o: o}
}

// Receive accepts a verified callback. When it returns without an error, the
// callback is durable together with its key and its deliveries, or it is a
// duplicate of one that is. With an error nothing is promised: the callback
// may be stored all the same, so it must be sent again, and is then a
// duplicate. ErrBusy, ErrFull and ErrClosed say that a later try may succeed.
//
// A duplicate causes nothing; nor does one with another body, which is kept as
// a conflict, unless routeConflict asks for it.
func (r *Receiver) Receive(ctx context.Context, c Callback, key Key, router Router, routeConflict bool) (Receipt, error) {
	if c.ReceivedAt.IsZero() {
		c.ReceivedAt = time.Now()
	}
	in := Inbound{Callback: c, Key: key, RouteConflict: routeConflict}
	in.Targets, in.Callback.Unmatched = r.route(router, c)
	receipt, err := r.appends.Do(ctx, in)
	r.note(err)
	if err != nil {
		return Receipt{}, fmt.Errorf("store a callback of %s: %w", c.Source, err)
	}
	r.tell(in, receipt)
	return receipt, nil
}

// route asks the router. If it panics, the callback is stored all the same,
// with a dead delivery that shows why it went nowhere.
func (r *Receiver) route(router Router, c Callback) (targets []Target, unmatched bool) {
	defer func() {
		if p := recover(); p != nil {
			r.o.Panicked()
			r.o.Log.Error("routing panicked", "source", c.Source, "event", c.Event, "ref_id", c.RefID,
				"error", p, "stack", string(debug.Stack()))
			targets, unmatched = []Target{{Sink: Nowhere, Error: fmt.Sprintf("routing panicked: %v", p)}}, false
		}
	}()
	targets, unmatched = router.Route(c)
	for i := range targets {
		targets[i].Sink = cmp.Or(targets[i].Sink, Nowhere)
	}
	return targets, unmatched
}

// tell writes the log line of a callback and counts it.
func (r *Receiver) tell(in Inbound, receipt Receipt) {
	c, n := in.Callback, len(in.Targets)
	if receipt.Duplicate && !(receipt.Conflict && in.RouteConflict) {
		n, c.Unmatched = 0, false
	}
	c.ID, c.Conflict = receipt.ID, receipt.Conflict
	r.o.Log.Info("callback accepted", "callback", c.ID, "source", c.Source, "event", c.Event, "ref_id", c.RefID,
		"duplicate", receipt.Duplicate, "conflict", receipt.Conflict, "unmatched", c.Unmatched, "deliveries", n)
	r.o.Accepted(c, receipt, n)
}

// note remembers whether the store refuses.
func (r *Receiver) note(err error) {
	if err != nil {
		r.refused.Store(&err)
	} else if r.refused.Load() != nil {
		r.refused.Store(nil)
	}
}

// Ready says why callbacks are refused now, if they are: the last one was not
// stored, and the store, asked again, would not take another. So it needs no
// callback to find out that there is space again.
func (r *Receiver) Ready() error {
	refused := r.refused.Load()
	if refused == nil {
		return nil
	}
	if r.asking.TryLock() { // however many want to know
		defer r.asking.Unlock()
		ctx, stop := context.WithTimeout(context.Background(), r.o.Wait)
		defer stop()
		if _, err := r.store.Append(ctx, nil); err == nil {
			r.refused.CompareAndSwap(refused, nil)
			return nil
		}
	}
	for _, why := range []error{ErrFull, ErrBusy, ErrClosed} {
		if errors.Is(*refused, why) {
			return why
		}
	}
	return errors.New("the store refuses: the log says why")
}

// Close takes no more callbacks and returns when those it took are stored.
func (r *Receiver) Close() { r.appends.Close() }
