package server

import (
	"sync"
	"sync/atomic"

	"github.com/kurir-relay/kurir/relay"
)

// A Feed tells those who watch what happens. It never holds up what happens: a
// watcher that can't keep up misses some.
type Feed struct {
	watched atomic.Int32

	mu       sync.Mutex
	watchers map[*watcher]bool
}

// NewFeed makes a Feed that nobody watches.
func NewFeed() *Feed { return &Feed{watchers: map[*watcher]bool{}} }

// What a watcher is told: a new callback, one that came again, or an attempt.
const (
	newOne    = "callback"
	duplicate = "duplicate"
	attempted = "attempt"
)

// news is one thing that happened.
type news struct {
	kind     string
	callback relay.ID
	delivery relay.DeliveryID // of an attempt
	attempt  relay.Attempt
	state    relay.State // what the delivery came to
}

type watcher struct {
	news   chan news
	missed atomic.Int64
}

// Accepted tells of a callback; it is a relay.ReceiverOptions hook.
func (f *Feed) Accepted(_ relay.Callback, r relay.Receipt, _ int) {
	kind := newOne
	if r.Duplicate && !r.Conflict {
		kind = duplicate
	}
	f.tell(news{kind: kind, callback: r.ID})
}

// Attempted tells of an attempt; it is a relay.DispatcherOptions hook.
func (f *Feed) Attempted(d relay.Delivery, o relay.Outcome) {
	f.tell(news{kind: attempted, callback: d.ID.Callback, delivery: d.ID, attempt: o.Attempt, state: o.State})
}

func (f *Feed) tell(n news) {
	if f.watched.Load() == 0 {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	for w := range f.watchers {
		select {
		case w.news <- n:
		default:
			w.missed.Add(1)
		}
	}
}

// watch begins to watch, until the function is called.
func (f *Feed) watch() (*watcher, func()) {
	w := &watcher{news: make(chan news, 1024)}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.watchers[w] = true
	f.watched.Add(1)
	return w, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		delete(f.watchers, w)
		f.watched.Add(-1)
	}
}
