package relay_test

import (
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

func TestTheDefaultScheduleIsTenAttemptsInAboutTwoDays(t *testing.T) {
	var sum time.Duration
	waits := relay.DefaultRetry()
	for _, w := range waits {
		sum += w
	}
	if len(waits) != 9 || sum != 46*time.Hour+12*time.Minute+35*time.Second {
		t.Errorf("%d waits, together %v", len(waits), sum)
	}
}

func TestJitterStaysWithinATenthAndIsSpreadAndReproducible(t *testing.T) {
	const wait = 10 * time.Minute
	var ids relay.IDSource
	low, high, sum := wait, wait, time.Duration(0)
	const n = 10_000
	for i := range n {
		id := relay.DeliveryID{Callback: ids.Next(someDay), N: uint16(i%3 + 1)}
		got := relay.Jitter(wait, id, i%9+1)
		if again := relay.Jitter(wait, id, i%9+1); again != got {
			t.Fatalf("%s: %v and then %v", id, got, again)
		}
		low, high, sum = min(low, got), max(high, got), sum+got
	}
	if low < wait-wait/10 || high > wait+wait/10 {
		t.Errorf("from %v to %v", low, high)
	}
	if low > wait-wait/11 || high < wait+wait/11 || (sum/n-wait).Abs() > wait/200 {
		t.Errorf("from %v to %v, %v on average: not spread", low, high, sum/n)
	}
	id := relay.DeliveryID{Callback: ids.Next(someDay), N: 1}
	if relay.Jitter(wait, id, 1) == relay.Jitter(wait, id, 2) {
		t.Error("two tries of a delivery have the same jitter")
	}
	if got := relay.Jitter(0, id, 1); got != 0 {
		t.Errorf("no wait became %v", got)
	}
}
