package relay

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
)

// ErrBusy says that what was handed in was not done in time. It may be done
// later all the same, so who hands it in again must bear that it is done twice.
var ErrBusy = errors.New("busy: too much is waiting")

// A Batch makes one call of what its callers hand in at about the same time:
// one commit serves everybody who waits. It adds no delay: a call starts when
// the one before has ended, with all that waits by then.
type Batch[I, O any] struct {
	do    func(context.Context, []I) ([]O, error)
	limit BatchLimit[I]

	queue   chan *batched[I, O]
	ended   chan struct{} // the last call has returned
	mu      sync.RWMutex  // guards closed, and queue against closing
	closed  bool
	senders sync.WaitGroup
}

// A BatchLimit bounds a Batch.
type BatchLimit[I any] struct {
	Weight int           // of one call; it is passed by the last item at most
	Weigh  func(I) int   // of an item; nil: each weighs 1
	Queue  int           // items that wait beyond those of the running call; the callers of more wait for room
	Wait   time.Duration // how long a caller waits before ErrBusy; 0: as long as it takes
}

// batched is one item on its way.
type batched[I, O any] struct {
	in    I
	taken atomic.Bool    // by a call, or by its own caller, who gave up
	then  func(O, error) // is told of the result; nil: done is closed when it is there
	done  chan struct{}
	out   O
	err   error
}

// end tells who handed the item in.
func (item *batched[I, O]) end(out O, err error) {
	if item.then != nil {
		item.then(out, err)
		return
	}
	item.out, item.err = out, err
	close(item.done)
}

// NewBatch makes a Batch around do, which gives one result for each item, in
// order, or an error for all of them. Who makes one closes it.
func NewBatch[I, O any](do func(context.Context, []I) ([]O, error), limit BatchLimit[I]) *Batch[I, O] {
	if limit.Weigh == nil {
		limit.Weigh = func(I) int { return 1 }
	}
	b := &Batch[I, O]{do: do, limit: limit, queue: make(chan *batched[I, O], limit.Queue), ended: make(chan struct{})}
	go b.run()
	return b
}

// Do hands in an item and waits for its result. When ctx ends, or the wait is
// over, an item whose call has not begun is withdrawn; one whose call has begun
// is done, whoever waits for it. After Close it returns ErrClosed.
func (b *Batch[I, O]) Do(ctx context.Context, in I) (out O, err error) {
	late, stop := after(b.limit.Wait)
	defer stop()
	item := &batched[I, O]{in: in, done: make(chan struct{})}
	if err := b.enter(ctx, item, late); err != nil {
		return out, err
	}
	select {
	case <-item.done:
		return item.out, item.err
	case <-ctx.Done():
		err = ctx.Err()
	case <-late:
		err = ErrBusy
	}
	item.taken.Store(true)
	return out, err
}

// Hand hands in an item and does not wait for its result, of which then is told:
// it runs between two calls, and is quick. After Close, Hand returns ErrClosed,
// and nothing is told.
func (b *Batch[I, O]) Hand(in I, then func(O, error)) error {
	return b.enter(context.Background(), &batched[I, O]{in: in, then: then}, nil)
}

// enter puts an item into the queue.
func (b *Batch[I, O]) enter(ctx context.Context, item *batched[I, O], late <-chan time.Time) error {
	b.mu.RLock()
	if b.closed {
		b.mu.RUnlock()
		return ErrClosed
	}
	b.senders.Add(1)
	b.mu.RUnlock()
	defer b.senders.Done()
	select {
	case b.queue <- item:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	case <-late:
		return ErrBusy
	}
}

// after is time.After that can be stopped and where 0 is never.
func after(d time.Duration) (<-chan time.Time, func() bool) {
	if d <= 0 {
		return nil, func() bool { return false }
	}
	t := time.NewTimer(d)
	return t.C, t.Stop
}

// Close takes nothing more, finishes what was handed in and returns then.
func (b *Batch[I, O]) Close() {
	b.mu.Lock()
	first := !b.closed
	b.closed = true
	b.mu.Unlock()
	if first {
		b.senders.Wait()
		close(b.queue)
	}
	<-b.ended
}

// run makes calls until the queue is closed and empty.
func (b *Batch[I, O]) run() {
	defer close(b.ended)
	for item := range b.queue {
		if items := b.collect(item); len(items) > 0 {
			b.call(items)
		}
	}
}

// collect takes first and all that waits, as far as one call may go. The
// callers whom the call before has just answered get a turn to come back: without
// it, calls of nearly all and of nearly none would alternate.
func (b *Batch[I, O]) collect(first *batched[I, O]) (items []*batched[I, O]) {
	weight, yielded := 0, false
	for item := first; item != nil; {
		if item.taken.CompareAndSwap(false, true) {
			items = append(items, item)
			weight += b.limit.Weigh(item.in)
		}
		if weight >= b.limit.Weight {
			return items
		}
		if item = b.next(); item == nil && !yielded {
			yielded = true
			runtime.Gosched()
			item = b.next()
		}
	}
	return items
}

// next is an item that waits, or nil.
func (b *Batch[I, O]) next() *batched[I, O] {
	select {
	case item := <-b.queue: // nil if it is closed
		return item
	default:
		return nil
	}
}

// call does items and tells their callers. A panic is taken for the fault of
// one item: each is then tried alone, so that the others do not suffer from it.
func (b *Batch[I, O]) call(items []*batched[I, O]) {
	out, err := b.try(items)
	if errors.Is(err, errPanic) && len(items) > 1 {
		for _, item := range items {
			b.call([]*batched[I, O]{item})
		}
		return
	}
	for i, item := range items {
		var result O
		if err == nil {
			result = out[i]
		}
		item.end(result, err)
	}
}

var errPanic = errors.New("panic")

// try makes one call and turns a panic into an error.
func (b *Batch[I, O]) try(items []*batched[I, O]) (out []O, err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %v", errPanic, r)
		}
	}()
	in := make([]I, len(items))
	for i, item := range items {
		in[i] = item.in
	}
	out, err = b.do(context.Background(), in)
	if err == nil && len(out) != len(in) {
		err = fmt.Errorf("%d results for %d items", len(out), len(in))
	}
	return out, err
}
