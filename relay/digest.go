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
	more  bool      // some may wait that could not go yet
	early bool      // it is to be seen whether more do, before the first few went
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
	case !now.Before(end) && b.ones < c.After && !b.more: // it was none
		*b = burst{}
		return c.After, false, from
	case now.Before(end) && b.ones < c.After:
		return c.After - b.ones, false, from
	case now.Before(end) && b.again > 0:
		return b.again, false, from
	case now.Before(end):
		return 0, false, end
	}
	b.early = b.ones < c.After
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
// given, and whether more may wait. A digest that finds nothing ends the burst;
// it is then returned if there was a digest in it.
func (b *burst) claimed(n int, batch, more bool, now time.Time) (over Burst, ended bool) {
	b.more = more && (n > 0 || !b.since.IsZero())
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
	switch {
	case batch && b.early && n == 1: // no others wait: it is the first of a window
		b.ones = 1
	case batch:
		b.ones = math.MaxInt / 2 // from now on all are collected
	default:
		b.ones += n
		b.again = max(b.again-n, 0)
	}
	return over, false
}

// failed notes that one that went by itself is to be sent again. Its place is
// free: it, or another one, need not wait for the digest.
func (b *burst) failed() { b.again++ }

// sent notes that a digest of n deliveries was sent, or that it failed and is
// owed still. One delivery alone makes no digest.
func (b *burst) sent(n int, failed, owed bool) {
	if b.owed = owed; !failed && n+b.told.Digests > 1 {
		b.told.Digests++
		b.told.Parcels += n
	}
}
