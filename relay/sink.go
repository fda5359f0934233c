package relay

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// A Sink makes attempts. It is used from many goroutines at once.
type Sink interface {
	// Send makes one attempt at what the parcels say, within ctx's deadline. A
	// nil error means that the far side took it. Any error is retried by the
	// sink's schedule, unless it is Permanent; a RetryAfterError sets the least
	// wait. There is one parcel, or several if the destination digests: these
	// are to become one message, and share the fate of it.
	Send(ctx context.Context, parcels []Parcel) (Answer, error)
}

// A Parcel is one delivery on its way.
type Parcel struct {
	Callback Callback
	Delivery Delivery // Payload is what Target.Payload was when it was routed
	Attempt  int      // from 1, over all replays
	Replay   bool
}

// An Answer is what the far side said, for the record. It is read also when
// Send fails.
type Answer struct {
	Status   int
	Response string // shortened by the sink to 64 KiB at most
	Note     string
	Console  bool // written to the console, for want of an address
}

// ErrPermanent marks a failure that no retry can cure.
var ErrPermanent = errors.New("permanent failure")

// Permanent marks err as one: the delivery becomes a dead letter at once.
func Permanent(err error) error { return fmt.Errorf("%w: %w", ErrPermanent, err) }

// A RetryAfterError asks for at least Wait before the next attempt. With
// Everyone, the far side asked it of the whole sink, not of this delivery. With
// Unsent, the sink itself had to wait and asked the far side for nothing: that
// was no attempt, and uses up none of the schedule.
type RetryAfterError struct {
	Wait     time.Duration
	Everyone bool
	Unsent   bool
	Err      error
}

func (e *RetryAfterError) Error() string {
	if e.Err == nil {
		return "asked to wait " + e.Wait.String()
	}
	return e.Err.Error()
}

func (e *RetryAfterError) Unwrap() error { return e.Err }

// A Destination is a named sink with what it may be asked to bear.
type Destination struct {
	Sink        Sink
	Timeout     time.Duration   // of one attempt; 0 is DefaultTimeout
	Concurrency int             // attempts at once; 0 is DefaultConcurrency
	Rate        Rate            // starts; zero is no limit
	Retry       []time.Duration // waits before the 2nd, 3rd, ... attempt; nil is DefaultRetry, empty is none
	Digest      Digest          // zero is none
}

// A Digest collects deliveries in a burst: the first After go one by one, then
// all that wait go as one message every Every, up to 1,000 in one. The burst is
// over when there is nothing to send at such a time. Fewer than After within
// Every are no burst, unless others wait that a rate or a slow far side kept
// from going in that time. One of the first that fails gives its place back, so that
// it is tried again when it is due.
type Digest struct {
	After int
	Every time.Duration
}

// A Burst is what a sink digested until nothing more came.
type Burst struct {
	Since   time.Time // when the first delivery of it went
	Digests int       // messages of collected deliveries
	Parcels int       // deliveries in them
}

// A BurstEnder is a Sink that tells its readers when a burst is over. It is
// called once a burst, if that had a digest. It is a courtesy: it is not tried
// again, and a process that ends forgets it.
type BurstEnder interface {
	BurstOver(ctx context.Context, b Burst) error
}

// Destinations are the sinks of the rules in force. A Set of package rules is one.
type Destinations interface {
	// Destination gives a sink by name; false if the rules have none of it: its
	// deliveries wait.
	Destination(name string) (Destination, bool)

	// SinkNames lists all sinks.
	SinkNames() []string

	// Fallback plans the way out of a dead letter, whose Delivery.Error says
	// why it died; false if its sink has none.
	Fallback(c Callback, d Delivery) (Target, bool)
}

// A Router decides where a callback goes: a Set of package rules is one. It is
// pure, and a rule that fails yields a Target with an Error. A callback that no
// rule takes has no targets, or those of `unmatched`, and is marked.
type Router interface {
	Route(c Callback) (targets []Target, unmatched bool)
}
