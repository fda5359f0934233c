package relay

import (
	"errors"
	"time"
)

// A sink that fails again and again is given a rest: after BreakerAfter failures
// in a row nothing is sent to it for BreakerRest, then a single delivery
// probes it. Each probe that fails doubles the rest, up to BreakerMaxRest; the
// first success ends it. What waits meanwhile burns no attempts.
const (
	BreakerAfter   = 10
	BreakerRest    = 2 * time.Second
	BreakerMaxRest = 30 * time.Second
)

// A breaker counts the failures of one sink. It is pure: it is told the time.
type breaker struct {
	failures int       // in a row
	until    time.Time // the rest's end, once there were too many
}

// open reports whether the sink may get a probe at most.
func (b *breaker) open() bool { return b.failures >= BreakerAfter }

// record takes the outcome of an attempt that ended now. A far side that
// refuses one delivery for good is up; one that asks for patience neither
// proves nor disproves that it is. Attempts that began before the breaker
// opened don't lengthen the rest.
func (b *breaker) record(err error, now time.Time) {
	_, patience := errors.AsType[*RetryAfterError](err)
	switch {
	case err == nil || errors.Is(err, ErrPermanent):
		*b = breaker{}
		return
	case b.open() && now.Before(b.until):
		return
	case !patience:
		b.failures++
	}
	if b.open() {
		b.until = now.Add(b.rest())
	}
}

// rest is how long the sink is left alone after the latest failure.
func (b *breaker) rest() time.Duration {
	doubled := min(b.failures-BreakerAfter, 8)
	return min(BreakerRest<<doubled, BreakerMaxRest)
}
