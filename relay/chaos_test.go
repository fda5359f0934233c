package relay_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// A chaos is a seeded source of trouble: a full disk, and a store that answers late.
type chaos struct {
	disk atomic.Bool
	late atomic.Int64 // at most, before and after each call
	mu   sync.Mutex
	r    *rand.Rand
}

// chaotic is the store that has it.
type chaotic struct {
	relay.Store
	c *chaos
}

func (c *chaos) int(n int) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.r.Intn(n)
}

func (c *chaos) wait() {
	if n := c.late.Load(); n > 0 {
		time.Sleep(time.Duration(c.int(int(n))))
	}
}

func (s chaotic) Settle(ctx context.Context, out []relay.Outcome) ([]error, error) {
	s.c.wait()
	if s.c.disk.Load() {
		return nil, relay.ErrFull
	}
	defer s.c.wait()
	return s.Store.Settle(ctx, out)
}

func (s chaotic) Claim(ctx context.Context, w string, d time.Duration, g []relay.Gate) ([]relay.Lease, error) {
	s.c.wait()
	defer s.c.wait()
	return s.Store.Claim(ctx, w, d, g)
}

// TestNothingIsSentTwiceOrOvertakenInChaos delivers to a sink that fails in every
// way, while its rules change all the time, with a disk that is full, a store that
// is late, and restarts in between. What happens at once in it depends on scheduling,
// so it draws from a seed of its own and not from rapid, which would try to shrink it.
func TestNothingIsSentTwiceOrOvertakenInChaos(t *testing.T) {
	for seed := range 40 {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { chaosWith(t, int64(seed)) }) })
	}
}

func chaosWith(t *testing.T, seed int64) {
	c := &chaos{r: rand.New(rand.NewSource(seed))}
	var mu sync.Mutex
	out := map[string]int{}
	done := map[relay.DeliveryID]int{}
	order := map[string][]string{}
	var calm atomic.Bool
	f := &far{}
	f.behave = func(_ context.Context, ps []relay.Parcel) error {
		mu.Lock()
		if len(ps) == 1 {
			for _, p := range ps {
				if out[p.Delivery.Lane]++; out[p.Delivery.Lane] > 1 {
					t.Errorf("two of the lane %s at once", p.Delivery.Lane)
				}
			}
		}
		mu.Unlock()
		var err error
		if !calm.Load() {
			if c.int(3) == 0 {
				time.Sleep(time.Duration(c.int(9)) * time.Second)
			} else {
				time.Sleep(time.Duration(c.int(300)) * time.Millisecond)
			}
			switch c.int(12) {
			case 0, 1:
				err = errDown
			case 2:
				err = &relay.RetryAfterError{Wait: time.Duration(c.int(4000)) * time.Millisecond, Everyone: true, Err: errors.New("429")}
			case 3:
				err = &relay.RetryAfterError{Err: errors.New("now")}
			case 4:
				err = &relay.RetryAfterError{Unsent: true, Wait: time.Duration(c.int(2)) * time.Second, Err: errors.New("unsent")}
			case 5:
				if c.int(3) == 0 {
					err = errDown
				}
			}
		}
		mu.Lock()
		defer mu.Unlock()
		for _, p := range ps {
			if len(ps) == 1 {
				out[p.Delivery.Lane]--
			}
			if err == nil {
				if done[p.Delivery.ID]++; done[p.Delivery.ID] > 1 {
					t.Errorf("%s was sent %d times", p.Delivery.ID, done[p.Delivery.ID])
				}
				order[p.Delivery.Lane] = append(order[p.Delivery.Lane], p.Callback.Event)
			}
		}
		return err
	}
	retry := make([]time.Duration, 2000)
	for i := range retry {
		retry[i] = time.Duration(c.int(2000)) * time.Millisecond
		if i%3 == 0 {
			retry[i] = 0
		}
	}
	dest := func() relay.Destination {
		d := relay.Destination{Sink: f, Timeout: time.Hour, Retry: retry, Concurrency: 1 + c.int(12)}
		if c.int(3) == 0 {
			d.Rate = relay.Rate{N: 1 + c.int(20), Per: 2 * time.Second}
		}
		if c.int(4) == 0 {
			d.Digest = relay.Digest{After: c.int(4), Every: time.Duration(1+c.int(5)) * time.Second}
		}
		return d
	}
	h := newHouse(t, sinks{"legacy": dest()})
	h.wrap = func(s relay.Store) relay.Store { return chaotic{s, c} }
	h.open()
	defer func() { h.close() }()
	var ids []relay.ID
	events := map[string]int{}
	for range 300 {
		switch c.int(13) {
		case 0, 1, 2, 3, 4, 5:
			for range c.int(8) {
				ref := fmt.Sprint("L-", c.int(25))
				ids = append(ids, h.receiveEvent(ref, fmt.Sprint(events[ref]), "legacy"))
				events[ref]++
			}
		case 6:
			d := dest()
			h.rules.set("legacy", &d)
		case 7:
			if c.int(4) == 0 {
				h.rules.set("legacy", nil)
			}
		case 8:
			c.disk.Store(c.int(3) == 0)
		case 9:
			c.late.Store(int64(c.int(5)) * int64(c.int(5)) * int64(20*time.Millisecond))
		case 10:
			if c.int(5) == 0 && !c.disk.Load() {
				c.late.Store(0)
				pass(3 * time.Second)
				h.close()
				h.open()
			}
		}
		if c.int(3) == 0 {
			time.Sleep(time.Duration(c.int(4000)) * time.Millisecond)
		} else {
			time.Sleep(time.Duration(c.int(100)) * time.Millisecond)
		}
	}
	c.disk.Store(false)
	c.late.Store(0)
	d := relay.Destination{Sink: f, Timeout: time.Hour, Retry: retry, Concurrency: 4}
	h.rules.set("legacy", &d)
	calm.Store(true)
	pass(75 * time.Second) // an attempt of 50 s, and a rest of the breaker
	late := h.stats("legacy").Pending
	pass(time.Hour)
	s := h.stats("legacy")
	if s.Delivered != int64(len(ids)) || s.Pending != 0 {
		t.Errorf("%d received, %+v, state %+v", len(ids), s, h.dispatcher.Sinks())
	}
	if late > 0 {
		t.Errorf("%d of %d were pending 75 s after all was well", late, len(ids))
	}
	mu.Lock()
	defer mu.Unlock()
	for ref, got := range order {
		var want []string
		for i := range events[ref] {
			want = append(want, fmt.Sprint(i))
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: %v", ref, got)
		}
	}
}

// However it ends, Run returns within the grace and the last word, and leaves nothing
// behind: a bubble does not end with goroutines in it.
func TestRunAlwaysReturns(t *testing.T) {
	for seed := range 150 {
		synctest.Test(t, func(t *testing.T) {
			r := rand.New(rand.NewSource(int64(seed)))
			f := &far{behave: func(ctx context.Context, ps []relay.Parcel) error {
				select {
				case <-time.After(time.Duration(ps[0].Delivery.ID.Callback[15]) * 100 * time.Millisecond):
				case <-ctx.Done():
					return ctx.Err()
				}
				switch ps[0].Delivery.ID.Callback[14] % 4 {
				case 0:
					return errDown
				case 1:
					return &relay.RetryAfterError{Wait: time.Second, Everyone: true, Err: errDown}
				case 2:
					panic("the sink")
				}
				return nil
			}}
			d := to(f, time.Second, 0, time.Second, 0, time.Second)
			d.Concurrency = 1 + r.Intn(20)
			h := newHouse(t, sinks{"legacy": d})
			var disk atomic.Bool
			h.wrap = func(s relay.Store) relay.Store { return full{s, &disk} }
			h.open()
			h.receiveMany(100, "legacy")
			pass(time.Duration(r.Intn(20000)) * time.Millisecond)
			disk.Store(r.Intn(2) == 0)
			pass(time.Duration(r.Intn(3000)) * time.Millisecond)
			begun := time.Now()
			closed := r.Intn(2) == 0
			if closed {
				h.store.Close()
			} else {
				h.leave()
			}
			time.Sleep(time.Duration(r.Intn(3000)) * time.Millisecond)
			h.leave()
			err := <-h.left
			if took := time.Since(begun); took > 16*time.Second || err != nil && !errors.Is(err, relay.ErrClosed) {
				t.Errorf("seed %d: Run took %v and gave %v", seed, took, err)
			}
			h.receiver.Close()
			h.store.Close()
		})
	}
}
