package relay

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"
)

// errStopped is why an attempt's context ended when the dispatcher stops: the
// far side is not to blame.
var errStopped = errors.New("stopped before the end")

// maxUnrecorded is how many outcomes are kept for a store that takes none, such
// as on a full disk. They are what is sent twice if the process dies then.
const maxUnrecorded = 32

// A Dispatcher delivers what is due: it claims deliveries from the store, hands
// them to their sinks and settles them. Each sink has its own room, so a slow or
// dead one delays no other.
type Dispatcher struct {
	store Store
	rules func() Destinations
	o     DispatcherOptions

	looked  time.Time // when it last looked for what is due
	settles *Batch[[]Outcome, []error]
	work    sync.WaitGroup // attempts, with the recording of their outcomes
	wake    chan struct{}  // holds a token if something has changed
	late    chan struct{}  // closed when outcomes are waited for no longer

	mu      sync.Mutex
	lines   map[string]*line
	held    map[DeliveryID]hold // claimed and not recorded
	polled  time.Time           // when every sink was looked at
	deaf    bool                // the store gives no leases
	refused bool                // the store takes no outcomes
	ending  bool                // no further attempt begins
}

// DispatcherOptions tune a Dispatcher. The zero value is ready.
type DispatcherOptions struct {
	Log    *slog.Logger  // default: slog.Default()
	Worker string        // names this process in leases; default: a random text
	Lease  time.Duration // how long a delivery is hidden from others; renewed while it is needed; default 30 s
	Poll   time.Duration // how often every sink is looked at; default 1 s
	Grace  time.Duration // how long attempts may go on after Run's context has ended; default 10 s

	// Attempted is told of each attempt, for counters. It is called from
	// many goroutines at once.
	Attempted func(d Delivery, o Outcome)

	Panicked func() // is told when a sink or the planning of a fallback panicked
}

// NewDispatcher makes a Dispatcher that asks rules for the destinations in force
// at each attempt.
func NewDispatcher(store Store, rules func() Destinations, o DispatcherOptions) *Dispatcher {
	o.Log = cmp.Or(o.Log, slog.Default())
	o.Worker = cmp.Or(o.Worker, rand.Text())
	o.Lease = cmp.Or(o.Lease, 30*time.Second)
	o.Poll = cmp.Or(o.Poll, time.Second)
	o.Grace = cmp.Or(o.Grace, 10*time.Second)
	if o.Attempted == nil {
		o.Attempted = func(Delivery, Outcome) {}
	}
	if o.Panicked == nil {
		o.Panicked = func() {}
	}
	return &Dispatcher{store: store, rules: rules, o: o, wake: make(chan struct{}, 1), late: make(chan struct{}),
		lines: map[string]*line{}, held: map[DeliveryID]hold{}}
}

// Run delivers until ctx ends, or the store is closed. It then lets the attempts
// that have begun end within the grace, and records them; what could not end
// stays pending. It is called once.
func (d *Dispatcher) Run(ctx context.Context) error {
	whole := context.WithoutCancel(ctx)
	sending, stop := context.WithCancelCause(whole)
	keeping, release := context.WithCancel(whole)
	d.settles = NewBatch(d.settle, BatchLimit[[]Outcome]{Weight: digestParcels, Queue: appendQueue,
		Weigh: func(outs []Outcome) int { return len(outs) }})
	var keeper sync.WaitGroup
	keeper.Go(func() { d.keepLeases(keeping) })

	err := d.deliver(ctx, sending)

	d.leave(sending)
	d.await(d.o.Grace)
	stop(errStopped)
	d.await(lastWord)
	close(d.late)
	release()
	keeper.Wait()
	d.settles.Close()
	return err
}

// lastWord is how long attempts that are told to stop may take for it.
const lastWord = 2 * time.Second

// await waits for all attempts to be recorded, but not longer than limit.
func (d *Dispatcher) await(limit time.Duration) {
	done := make(chan struct{})
	go func() {
		d.work.Wait()
		close(done)
	}()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-done:
	case <-timer.C:
	}
}

// deliver looks for what is due whenever something hints at it, and at every
// poll, until ctx ends. Attempts run under sending.
func (d *Dispatcher) deliver(ctx, sending context.Context) error {
	hints := d.store.Hints()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-timer.C:
		case <-d.wake:
		case h, open := <-hints:
			if !open {
				hints = nil
				continue
			}
			d.hinted(h, hints)
		}
		if err := d.look(ctx, sending); errors.Is(err, ErrClosed) {
			return err
		}
		timer.Reset(time.Until(d.next()))
	}
}

// hinted notes a hint, and those behind it.
func (d *Dispatcher) hinted(h Hint, more <-chan Hint) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.line(h.Sink).look = true
	for range len(more) {
		d.line((<-more).Sink).look = true
	}
}

// A hold is the newest lease of a delivery: its token, and when it ends by this
// machine's clock.
type hold struct {
	token uint64
	until time.Time
}

// line gives what is known of a sink; the caller holds the lock.
func (d *Dispatcher) line(sink string) *line {
	l := d.lines[sink]
	if l == nil {
		l = &line{look: true}
		d.lines[sink] = l
	}
	return l
}

// changed makes the dispatcher look again.
func (d *Dispatcher) changed() {
	select {
	case d.wake <- struct{}{}:
	default:
	}
}

// next is when to look again if nothing happens before.
func (d *Dispatcher) next() time.Time {
	d.mu.Lock()
	defer d.mu.Unlock()
	next := d.polled.Add(d.o.Poll)
	for _, l := range d.lines {
		if !l.next.IsZero() && l.next.Before(next) {
			next = l.next
		}
	}
	return next
}

// An opening is room for deliveries of one sink.
type opening struct {
	line *line
	dest Destination
	gate Gate
}

// look starts what is ready, and claims and starts what is due, as far as there
// is room. While the store takes no outcomes, sink after sink gets a share of what
// still fits.
func (d *Dispatcher) look(ctx, sending context.Context) error {
	now := time.Now()
	if now.Sub(d.looked) > d.o.Lease/3 { // the process slept: leases may be over, and this would claim them again
		d.renew(ctx, now)
	}
	d.looked = now
	open, refused := d.openings(now)
	for _, sink := range d.waiting() {
		d.fill(sending, sink)
	}
	if !refused || len(open) == 0 {
		return d.claim(ctx, sending, open)
	}
	for one := range slices.Chunk(open, 1) {
		one[0].gate.Room = min(one[0].gate.Room, d.fits())
		if err := d.claim(ctx, sending, one); err != nil {
			return err
		}
	}
	return nil
}

// openings lists the sinks that may have something due and have room for it. A
// sink that the rules don't have is not among them: its deliveries wait.
func (d *Dispatcher) openings(now time.Time) (open []opening, refused bool) {
	rules := d.rules()
	d.mu.Lock()
	defer d.mu.Unlock()
	poll := now.Sub(d.polled) >= d.o.Poll
	if poll {
		d.polled = now
	}
	for _, l := range d.lines {
		l.wake(now, poll)
	}
	for _, name := range rules.SinkNames() {
		l := d.line(name)
		dest, ok := rules.Destination(name)
		if !ok || !l.look {
			continue
		}
		dest = dest.complete()
		if gate, ok := l.gate(name, dest, !d.refused, now); ok {
			l.look = false // what is noticed from now on, this claim may have missed
			open = append(open, opening{l, dest, gate})
		}
	}
	return open, d.refused
}

// complete fills in what the destination leaves to the defaults.
func (dest Destination) complete() Destination {
	dest.Timeout = cmp.Or(dest.Timeout, DefaultTimeout)
	dest.Concurrency = cmp.Or(dest.Concurrency, DefaultConcurrency)
	if dest.Retry == nil {
		dest.Retry = DefaultRetry()
	}
	return dest
}

// fits is how many outcomes there is still memory for.
func (d *Dispatcher) fits() int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return maxUnrecorded - d.unrecorded()
}

// claim leases deliveries through the openings and starts an attempt at each.
func (d *Dispatcher) claim(ctx, sending context.Context, open []opening) error {
	var gates []Gate
	for _, o := range open {
		if o.gate.Room > 0 {
			gates = append(gates, o.gate)
		}
	}
	if len(gates) == 0 {
		return nil
	}
	now := time.Now()
	leases, err := d.store.Claim(ctx, d.o.Worker, d.o.Lease, gates)
	d.heard(ctx, err)
	if err != nil {
		return err
	}
	bySink := map[string][]*Lease{}
	for _, l := range leases { // each on its own: the last one to go keeps no others in memory
		bySink[l.Delivery.Sink] = append(bySink[l.Delivery.Sink], &l)
	}
	for _, o := range open {
		d.start(sending, o, bySink[o.gate.Sink], now)
	}
	return nil
}

// heard logs when the store stops giving leases, and when it gives them again.
func (d *Dispatcher) heard(ctx context.Context, err error) {
	if ctx.Err() != nil {
		return
	}
	d.mu.Lock()
	was := d.deaf
	d.deaf = err != nil
	d.mu.Unlock()
	switch {
	case err != nil && !was:
		d.o.Log.Error("the store gives no deliveries", "error", err)
	case err == nil && was:
		d.o.Log.Info("the store gives deliveries again")
	}
}

// start takes what was claimed through an opening in hand, and makes attempts at
// it: one each, or one for all if the gate said so.
func (d *Dispatcher) start(sending context.Context, o opening, leases []*Lease, now time.Time) {
	claimed := messages(leases, o.gate.Batch, o.dest.pace())
	d.work.Add(len(claimed))
	d.mu.Lock()
	if o.dest.Digest.Every > 0 {
		o.line.started(o.gate.Rate, len(claimed), time.Now())
	}
	over, ended := o.line.claimed(o.gate, len(leases), now)
	o.line.ready = append(o.line.ready, claimed...)
	for _, l := range leases {
		d.held[l.Delivery.ID] = hold{l.Token, now.Add(d.o.Lease)}
	}
	d.mu.Unlock()
	d.fill(sending, o.gate.Sink)
	if ended {
		d.work.Go(func() { d.burstOver(sending, o, over) })
	}
}

// messages groups leases into messages: one each, or one for all. What can't be
// sent for its damage is left out of the message of the others.
func messages(leases []*Lease, batch bool, by pace) (ms []message) {
	var sound []*Lease
	for _, l := range leases {
		if batch && !l.damaged() {
			sound = append(sound, l)
		} else {
			ms = append(ms, message{[]*Lease{l}, batch, by})
		}
	}
	if len(sound) > 0 {
		ms = append(ms, message{sound, batch, by})
	}
	return ms
}

// damaged reports whether the bytes that the delivery would send are lost.
func (l *Lease) damaged() bool { return l.Callback.Damaged && l.Delivery.Payload == nil }

// keepLeases renews what is held, well before it ends, until ctx ends.
func (d *Dispatcher) keepLeases(ctx context.Context) {
	tick := time.NewTicker(d.o.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			d.renew(ctx, now)
		}
	}
}

// renew renews the leases of which more than a third is over. One that is lost
// is noticed when its outcome is refused.
func (d *Dispatcher) renew(ctx context.Context, now time.Time) {
	var old []Lease
	d.mu.Lock()
	for id, h := range d.held {
		if h.until.Sub(now) < d.o.Lease*2/3 {
			old = append(old, Lease{Delivery: Delivery{ID: id}, Token: h.token})
		}
	}
	d.mu.Unlock()
	if len(old) == 0 {
		return
	}
	if err := d.store.Renew(ctx, old, d.o.Lease); err != nil {
		if ctx.Err() == nil {
			d.o.Log.Warn("leases could not be renewed", "leases", len(old), "error", err)
		}
		return
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for i := range old {
		if id := old[i].Delivery.ID; d.held[id].token == old[i].Token {
			d.held[id] = hold{old[i].Token, now.Add(d.o.Lease)}
		}
	}
}

// Sinks tells where each sink stands that the rules have.
func (d *Dispatcher) Sinks() map[string]SinkState {
	rules, now := d.rules(), time.Now()
	names := rules.SinkNames()
	d.mu.Lock()
	defer d.mu.Unlock()
	states := make(map[string]SinkState, len(names))
	for _, name := range names {
		dest, _ := rules.Destination(name)
		states[name] = d.line(name).state(dest.Digest, now)
	}
	return states
}
