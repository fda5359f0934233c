package relay

import (
	"errors"
	"hash/fnv"
	"time"
)

// What a destination has if it says nothing else.
const (
	DefaultTimeout     = 15 * time.Second
	DefaultConcurrency = 8
)

// DefaultRetry is the schedule of a sink that sets none: ten attempts within
// two days and a bit.
func DefaultRetry() []time.Duration {
	return []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute,
		time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour}
}

// maxAsked is the longest wait that a far side may ask for.
const maxAsked = time.Hour

// verdict says what follows from an attempt that ended now with err, after tries
// others. The wait before the next one is the schedule's with the jitter of
// id, or what the far side asked for if that is longer.
func verdict(id DeliveryID, tries int, retry []time.Duration, err error, now time.Time) (State, time.Time) {
	switch {
	case err == nil:
		return Delivered, time.Time{}
	case errors.Is(err, ErrPermanent) || tries >= len(retry):
		return Dead, time.Time{}
	}
	return Pending, now.Add(max(Jitter(retry[tries], id, tries+1), asked(err)))
}

// asked is the wait that the far side asked for, at least 0 and at most an hour.
func asked(err error) time.Duration {
	if ra, ok := errors.AsType[*RetryAfterError](err); ok {
		return min(max(ra.Wait, 0), maxAsked)
	}
	return 0
}

// askedOfAll is the wait that the far side asked for every delivery of its sink.
func askedOfAll(err error) time.Duration {
	if ra, ok := errors.AsType[*RetryAfterError](err); ok && ra.Everyone {
		return asked(err)
	}
	return 0
}

// unsent reports whether err says that the far side was asked for nothing.
func unsent(err error) bool {
	ra, ok := errors.AsType[*RetryAfterError](err)
	return ok && ra.Unsent
}

// Jitter spreads the waits of deliveries that failed together: it gives wait,
// up to a tenth shorter or longer. It is a function of the delivery and of the
// number of the try that failed, so what was planned can be computed again.
func Jitter(wait time.Duration, id DeliveryID, try int) time.Duration {
	h := fnv.New64a()
	h.Write(id.Callback[:])
	h.Write([]byte{byte(id.N >> 8), byte(id.N), byte(try >> 8), byte(try)})
	const steps = 1 << 20
	at := int64(mix(h.Sum64())%(2*steps+1)) - steps // -steps to +steps
	return wait + time.Duration(float64(wait)/10*float64(at)/steps)
}

// mix spreads a hash whose input differs in few bits over all of its own: the
// finalizer of SplitMix64.
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
