package boltstore_test

import (
	"errors"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// A history is what callers of a store were told, over all its crashes.
type history struct {
	next     int
	acked    map[int]bool // callbacks that were accepted
	settling map[int]bool // those whose outcome was given to the store
	settled  map[int]bool // those of which that is durable
}

func (h *history) clone() *history {
	return &history{h.next, maps.Clone(h.acked), maps.Clone(h.settling), maps.Clone(h.settled)}
}

// A run is a store that does everything at once, until it crashes.
type run struct {
	t    *testing.T
	s    *boltstore.Store
	full bool // the disk may be

	mu      sync.Mutex
	h       *history
	refused int
	out     map[string]bool // lanes that are out with a worker
}

// With little of everything, again and again: what was acknowledged before a crash
// is there after it, once, and no two deliveries of a lane are ever out.
func TestNothingIsLostOverManyCrashes(t *testing.T) {
	for seed := range uint64(stressSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 1))
			h := &history{acked: map[int]bool{}, settling: map[int]bool{}, settled: map[int]bool{}}
			dir := filepath.Join(t.TempDir(), "data")
			for range 3 {
				dir, h = crash(t, rng, dir, h, "")
				survived(t, dir, h)
			}
		})
	}
}

const stressSeeds = 3

func little(rng *rand.Rand) boltstore.Options {
	sizes := []int64{-1, 1, 8 << 10, 16 << 10, 64 << 10, 256 << 10}
	return boltstore.Options{NoSync: true, Scan: 7, Recent: 3 + rng.IntN(40), Journal: sizes[rng.IntN(len(sizes))]}
}

// crash works in dir for a while, and gives a copy of it from the middle, with
// what callers had been told by then. A ballast file comes and goes on its disk.
func crash(t *testing.T, rng *rand.Rand, dir string, h *history, ballast string) (string, *history) {
	t.Helper()
	s, err := boltstore.Open(dir, little(rng))
	must(t, err)
	r := &run{t: t, s: s, full: ballast != "", h: h, out: map[string]bool{}}
	end := make(chan struct{})
	var wg sync.WaitGroup
	works := []func(*rand.Rand){r.append, r.append, r.deliver, r.deliver}
	for _, work := range []func(*rand.Rand){r.read, r.prune} { // which have the database catch up
		if rng.IntN(2) == 0 {
			works = append(works, work)
		}
	}
	for i, work := range works {
		own := rand.New(rand.NewPCG(rng.Uint64(), uint64(i)))
		wg.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
					work(own)
				}
			}
		})
	}
	for range 10 + rng.IntN(30) {
		r.append(rng)
		if ballast != "" && rng.IntN(8) == 0 {
			if os.Remove(ballast) != nil {
				os.WriteFile(ballast, make([]byte, 40<<20), 0o600)
			}
		}
	}
	release := boltstore.Stall(s)
	r.mu.Lock()
	told := r.h.clone()
	r.mu.Unlock()
	after := copyOf(t, dir)
	release()
	close(end)
	wg.Wait()
	if err := s.Close(); ignoreFull(err) != nil && !r.full {
		t.Error(err)
	}
	t.Logf("%d callbacks, %d settled, %d refusals", len(r.h.acked), len(r.h.settled), r.refused)
	if rng.IntN(3) > 0 {
		return after, told
	}
	return dir, r.h
}

func ignoreFull(err error) error {
	if errors.Is(err, relay.ErrFull) {
		return nil
	}
	return err
}

// ok reports whether something was done, and not refused by a full disk.
func (r *run) ok(err error) bool {
	if err == nil {
		return true
	}
	if !r.full || !errors.Is(err, relay.ErrFull) {
		r.t.Error(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.refused++
	return false
}

func (r *run) append(rng *rand.Rand) {
	r.mu.Lock()
	n := r.h.next
	r.h.next++
	r.mu.Unlock()
	in := callback(n, relay.Target{Sink: "ops", Lane: lane(n)})
	if rng.IntN(4) == 0 {
		in.Callback.Header = map[string][]string{"Big": {string(make([]byte, rng.IntN(20<<10)))}}
	}
	got, err := r.s.Append(noContext, []relay.Inbound{in, callback(n)})
	if !r.ok(err) {
		return
	}
	if got[0].Duplicate || !got[1].Duplicate {
		r.t.Errorf("callback %d: %+v", n, got)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.h.acked[n] = true
}

func lane(n int) string { return fmt.Sprint(n % 11) }

func number(c *relay.Callback) int {
	n, err := strconv.Atoi(strings.TrimPrefix(c.RefID, "T-"))
	if err != nil {
		panic(err)
	}
	return n
}

func (r *run) deliver(rng *rand.Rand) {
	leases, err := r.s.Claim(noContext, "w", time.Hour, []relay.Gate{{Sink: "ops", Room: 1 + rng.IntN(5)}})
	if !r.ok(err) {
		return
	}
	var out []relay.Outcome
	r.mu.Lock()
	for _, l := range leases {
		n := number(&l.Callback)
		if r.h.settled[n] || r.out[lane(n)] {
			r.t.Errorf("callback %d is out again: settled %v", n, r.h.settled[n])
		}
		r.out[lane(n)] = true
		o := relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: relay.Delivered}
		if rng.IntN(4) == 0 {
			o.State, o.Due = relay.Pending, time.Now()
		} else {
			r.h.settling[n] = true
		}
		out = append(out, o)
	}
	r.mu.Unlock()
	for {
		r.mu.Lock() // what becomes free is out with another worker at once
		for _, l := range leases {
			delete(r.out, lane(number(&l.Callback)))
		}
		r.mu.Unlock()
		errs, err := r.s.Settle(noContext, out)
		if r.ok(errors.Join(append(errs, err)...)) {
			break
		}
		if !errors.Is(err, relay.ErrFull) {
			return
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for i, l := range leases {
		if out[i].State == relay.Delivered {
			r.h.settled[number(&l.Callback)] = true
		}
	}
}

func (r *run) read(rng *rand.Rand) {
	var err error
	switch rng.IntN(6) {
	case 0:
		_, err = r.s.Backup(noContext, io.Discard)
	case 1:
		_, err = r.s.Stats(noContext)
	case 2:
		_, err = r.s.List(noContext, relay.Query{State: relay.Pending})
	default:
		r.mu.Lock()
		n := -1
		for k := range r.h.acked {
			if n = k; !r.h.settling[k] {
				break
			}
		}
		settling := r.h.settling[n]
		r.mu.Unlock()
		var p relay.Page
		p, err = r.s.List(noContext, relay.Query{RefID: fmt.Sprint("T-", n)})
		if n >= 0 && !settling && !r.full && len(p.Entries) != 1 {
			r.mu.Lock()
			if !r.h.settling[n] {
				r.t.Errorf("callback %d is there %d times", n, len(p.Entries))
			}
			r.mu.Unlock()
		}
	}
	r.ok(err)
}

func (r *run) prune(rng *rand.Rand) {
	_, err := r.s.Prune(noContext, relay.Prune{Callbacks: time.Now().Add(time.Duration(rng.IntN(40)-30) * 10 * time.Millisecond)})
	r.ok(err)
}

// survived checks a store after a crash, and leaves it as it is but for that.
func survived(t *testing.T, dir string, h *history) {
	t.Helper()
	s, err := boltstore.Open(dir, boltstore.Options{NoSync: true, Journal: small})
	must(t, err)
	found := map[int]bool{}
	for e := range entries(t, s, relay.Query{Limit: 1000}) {
		n := number(&e.Callback)
		if found[n] || len(e.Deliveries) != 1 || e.Callback.Damaged {
			t.Errorf("callback %d: twice %v, %+v", n, found[n], e)
		}
		found[n] = true
		if state := e.Deliveries[0].State; h.settled[n] && state != relay.Delivered || !h.settling[n] && state != relay.Pending {
			t.Errorf("callback %d is %s; outcome given %v, acknowledged %v", n, state, h.settling[n], h.settled[n])
		}
	}
	for n := range h.acked {
		if !found[n] && !h.settling[n] {
			t.Errorf("callback %d of %d is lost", n, h.next)
		}
		if r, err := s.Append(t.Context(), []relay.Inbound{callback(n)}); err != nil || !r[0].Duplicate {
			t.Errorf("the key of callback %d of %d is lost: %+v, %v", n, h.next, r, err)
		}
	}
	st, err := s.Stats(t.Context())
	if err != nil || int(st.Callbacks) != len(found) {
		t.Errorf("%d are there, %d are counted, %v", len(found), st.Callbacks, err)
	}
	must(t, s.Close())
	must(t, boltstore.Check(filepath.Join(dir, "kurir.db")))
}
