package relay

import (
	"math"
	"time"
)

// digestParcels is how many deliveries one message of a digest carries at most.
const digestParcels = 1000

// burst is where a digesting sink stands: idle (the zero value), sending one by
// one, or collecting. It is pure: it is told the time. A restart forgets it,
// and begins a new burst with what is still pending.
type burst struct {
	since time.Time // when the window began that runs now
	ones  int       // sent one by one in the window
	again int       // of these, places that failures gave back
	owed  bool      // the latest digest failed, and is due again later
	told  Burst     // of the digests so far
}

// room says how many deliveries may be claimed now, and whether they go as one
// message. If none may, from is when that changes.
func (b *burst) room(c Digest, now time.Time) (n int, batch bool, from time.Time) {
	end := b.since.Add(c.Every)
	switch {
	case c.Every <= 0:
		return math.MaxInt, false, from
	case !now.Before(end) && b.ones < c.After: // it was none
		*b = burst{}
		return c.After, false, from
	case b.ones < c.After:
		return c.After - b.ones, false, from
	case now.Before(end) && b.again > 0:
		return b.again, false, from
	case now.Before(end):
		return 0, false, end
	}
	return digestParcels, true, from
}

// collects is when what comes now goes as a digest; zero if it goes at once.
func (b *burst) collects(c Digest, now time.Time) time.Time {
	end := b.since.Add(c.Every)
	if c.Every <= 0 || b.ones < c.After || b.again > 0 || !now.Before(end) {
		return time.Time{}
	}
	return end
}

// claimed notes how many deliveries were claimed at now into the room that was
// given. A digest that finds nothing ends the burst; it is then returned if
// there was a digest in it.
func (b *burst) claimed(n int, batch bool, now time.Time) (over Burst, ended bool) {
	switch {
	case batch && n == 0 && !b.owed:
		over, ended = b.told, b.told.Digests > 0
		*b = burst{}
		return over, ended
	case !batch && n == 0:
		return over, false
	}
	if b.told.Since.IsZero() {
		b.told.Since = now
	}
	if batch || b.ones == 0 {
		b.since, b.again = now, 0
	}
	if !batch {
		b.ones += n
		b.again = max(b.again-n, 0)
	}
	return over, false
}

// failed notes that one that went by itself is to be sent again. Its place is
// free: it, or another one, need not wait for the digest.
func (b *burst) failed() { b.again++ }

// sent notes that a digest of n deliveries was sent, or that it failed and is
// owed still.
func (b *burst) sent(n int, failed, owed bool) {
	if b.owed = owed; !failed {
		b.told.Digests++
		b.told.Parcels += n
	}
}
