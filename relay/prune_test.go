package relay_test

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

const day = 24 * time.Hour

var month = relay.Keep{Callbacks: 30 * day, Keys: 400 * day}

// logOf is a store with callbacks received at the given times, which owe
// nothing.
func logOf(t *testing.T, received ...time.Time) relay.Store {
	t.Helper()
	store := must(boltstore.Open(t.TempDir(), boltstore.Options{NoSync: true}))
	t.Cleanup(func() { store.Close() })
	var in []relay.Inbound
	for _, at := range received {
		in = append(in, relay.Inbound{Callback: relay.Callback{ReceivedAt: at}, Key: relay.Key{at.String()}})
	}
	must(store.Append(t.Context(), in))
	return store
}

// daily are times, one a day, from the first to before the last.
func daily(from, to time.Time) (times []time.Time) {
	for ; from.Before(to); from = from.Add(day) {
		times = append(times, from)
	}
	return times
}

func TestPruneForgetsWhatIsOldAndSettled(t *testing.T) {
	store := logOf(t, daily(someDay.Add(-100*day), someDay)...)
	var log strings.Builder
	n, err := relay.PruneNow(t.Context(), store, month, someDay, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil || n.Callbacks != 70 || n.Keys != 0 {
		t.Errorf("%+v, %v", n, err)
	}
	if !strings.Contains(log.String(), "callbacks=70") {
		t.Errorf("log: %s", &log)
	}
	if n, err := relay.PruneNow(t.Context(), store, month, someDay, slog.New(slog.DiscardHandler)); err != nil || n.Callbacks != 0 {
		t.Errorf("again: %+v, %v", n, err)
	}
}

func TestKeepingForEverPrunesNothing(t *testing.T) {
	store := logOf(t, daily(someDay.Add(-100*day), someDay)...)
	n, err := relay.PruneNow(t.Context(), store, relay.Keep{Keys: day}, someDay.Add(1000*day), slog.New(slog.DiscardHandler))
	if err != nil || n != (relay.Pruned{}) {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestKeysOutliveTheirCallbacks(t *testing.T) {
	store := logOf(t, daily(someDay.Add(-100*day), someDay)...)
	n, err := relay.PruneNow(t.Context(), store, relay.Keep{Callbacks: 30 * day, Keys: day}, someDay, slog.New(slog.DiscardHandler))
	if err != nil || n.Keys > n.Callbacks {
		t.Errorf("%+v, %v", n, err)
	}
}

func TestAPruneThatIsCancelledSaysSo(t *testing.T) {
	store := logOf(t, daily(someDay.Add(-100*day), someDay)...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := relay.PruneNow(ctx, store, month, someDay, slog.New(slog.DiscardHandler)); err == nil {
		t.Error("no error")
	}
}

func TestALeapOfTheClockPrunesNothing(t *testing.T) {
	always := daily(someDay.Add(-100*day), someDay)
	for _, tt := range []struct {
		name   string
		log    []time.Time
		start  time.Duration   // of the process, from someDay on
		prunes []time.Duration // when it prunes, by the wall clock from someDay on
		up     []time.Duration // and by the clock that nobody sets, from the start
		wants  []bool          // whether it forgets anything
	}{
		{"a clock that goes right", always, 0, []time.Duration{time.Hour}, []time.Duration{time.Hour}, []bool{true}},
		{"a clock that drifts", always, 0, []time.Duration{20*time.Hour + 9*time.Minute}, []time.Duration{20 * time.Hour}, []bool{true}},
		{"a clock that is set forward", always, 0, []time.Duration{20 * day, 21 * day, 22 * day},
			[]time.Duration{12 * time.Hour, 36 * time.Hour, 60 * time.Hour}, []bool{false, false, false}},
		{"and is right in that", always, 0, []time.Duration{20 * day, 23 * day},
			[]time.Duration{12 * time.Hour, 84 * time.Hour}, []bool{false, true}},
		{"and is set back", always, 0, []time.Duration{365 * day, day}, []time.Duration{12 * time.Hour, 24 * time.Hour}, []bool{false, false}},
		{"a clock that is a year ahead at the start", always, 365 * day, []time.Duration{365*day + time.Hour},
			[]time.Duration{time.Hour}, []bool{false}},
		{"and callbacks came under it before a restart", append(always, daily(someDay.Add(365*day), someDay.Add(367*day))...), 367 * day,
			[]time.Duration{367*day + time.Hour}, []time.Duration{time.Hour}, []bool{false}},
		{"a shop that was closed for a month", always, 30 * day, []time.Duration{30*day + 3*time.Hour, 33 * day},
			[]time.Duration{3 * time.Hour, 3 * day}, []bool{false, true}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			store := logOf(t, tt.log...)
			var log strings.Builder
			p := must(relay.NewPruner(t.Context(), store, someDay.Add(tt.start), slog.New(slog.NewTextHandler(&log, nil))))
			for i, at := range tt.prunes {
				log.Reset()
				n, err := p.Prune(t.Context(), month, someDay.Add(at), tt.up[i])
				if err != nil || (n.Callbacks > 0) != tt.wants[i] {
					t.Errorf("at %v: %+v, %v, want some: %v", at, n, err, tt.wants[i])
				}
				if !tt.wants[i] && !strings.Contains(log.String(), "the clock may be wrong") {
					t.Errorf("at %v the log says: %s", at, &log)
				}
			}
		})
	}
}

func TestAnEmptyLogIsPrunedWithoutDoubt(t *testing.T) {
	store := logOf(t)
	p := must(relay.NewPruner(t.Context(), store, someDay, slog.New(slog.DiscardHandler)))
	if n, err := p.Prune(t.Context(), month, someDay.Add(day), day); err != nil || n != (relay.Pruned{}) {
		t.Errorf("%+v, %v", n, err)
	}
}
