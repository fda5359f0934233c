package load

import (
	"math"
	"time"
)

// A Latency is a histogram of durations from a microsecond to a minute whose
// buckets grow by about 2%. The zero value is ready.
type Latency struct {
	count   int
	sum     time.Duration
	max     time.Duration
	buckets [1024]uint32
}

const step = 0.0199 // ln(1.0201)

// Add counts one duration.
func (l *Latency) Add(d time.Duration) {
	l.count++
	l.sum += d
	l.max = max(l.max, d)
	l.buckets[bucket(d)]++
}

func bucket(d time.Duration) int {
	us := max(float64(d)/float64(time.Microsecond), 1)
	return min(int(math.Log(us)/step), 1023)
}

func (l *Latency) merge(o *Latency) {
	l.count += o.count
	l.sum += o.sum
	l.max = max(l.max, o.max)
	for i, n := range o.buckets {
		l.buckets[i] += n
	}
}

// Count is how many durations were counted.
func (l *Latency) Count() int { return l.count }

// Max is the longest duration.
func (l *Latency) Max() time.Duration { return l.max }

// Mean is the average; 0 if nothing was counted.
func (l *Latency) Mean() time.Duration {
	if l.count == 0 {
		return 0
	}
	return l.sum / time.Duration(l.count)
}

// Quantile is the duration that the part q (0 to 1) of all does not exceed, to
// about 2%.
func (l *Latency) Quantile(q float64) time.Duration {
	need := int(math.Ceil(q * float64(l.count)))
	for i, seen := 0, 0; i < len(l.buckets); i++ {
		if seen += int(l.buckets[i]); seen >= need && seen > 0 {
			return min(time.Duration(math.Exp(float64(i+1)*step)*float64(time.Microsecond)), l.max)
		}
	}
	return l.max
}
