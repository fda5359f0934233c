package relay_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

var someDay = time.Date(2026, 3, 1, 12, 0, 0, 123_456_789, time.UTC)

func TestAnIDTellsWhenItWasMade(t *testing.T) {
	var ids relay.IDSource
	id := ids.Next(someDay)
	if got, want := id.Time().UTC(), someDay.Truncate(time.Millisecond); !got.Equal(want) {
		t.Errorf("Time() = %v, want %v", got, want)
	}
	if s := id.String(); len(s) != 36 || s[14] != '7' || !strings.Contains("89ab", s[19:20]) {
		t.Errorf("%s is no UUID of version 7", s)
	}
}

func TestIDsOnlyGrow(t *testing.T) {
	top := must(relay.ParseID("019cfa00-0000-7fff-bfff-ffffffffffff"))
	for _, tt := range []struct {
		name  string
		after relay.ID
		times []time.Time
	}{
		{"within a millisecond", relay.ID{}, []time.Time{someDay, someDay, someDay}},
		{"when the clock goes back", relay.ID{}, []time.Time{someDay, someDay.Add(-time.Hour), someDay.Add(-time.Minute)}},
		{"when the clock is before 1970", relay.ID{}, []time.Time{time.Unix(-5, 0), time.Unix(-9, 0)}},
		{"after what was seen in the log", relay.FloorID(someDay.Add(time.Hour)), []time.Time{someDay, someDay}},
		{"when the counter of a millisecond is used up", top, []time.Time{top.Time(), top.Time()}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ids relay.IDSource
			ids.Seen(tt.after)
			last := tt.after.String()
			for _, now := range tt.times {
				id := ids.Next(now).String()
				if id <= last || id[14] != '7' || !strings.Contains("89ab", id[19:20]) {
					t.Errorf("%s follows %s", id, last)
				}
				last = id
			}
		})
	}
}

func TestIDsAreDistinctAcrossGoroutines(t *testing.T) {
	var ids relay.IDSource
	var wg sync.WaitGroup
	made := make([][]string, 8)
	for i := range made {
		wg.Go(func() {
			for range 1000 {
				made[i] = append(made[i], ids.Next(someDay).String())
			}
		})
	}
	wg.Wait()
	all := slices.Concat(made...)
	slices.Sort(all)
	if n := len(slices.Compact(all)); n != 8000 {
		t.Errorf("%d distinct ids of 8000", n)
	}
}

func TestTheFloorOfATimeIsBelowEveryIDOfItAndAboveAllBefore(t *testing.T) {
	var ids relay.IDSource
	before := ids.Next(someDay.Add(-time.Millisecond))
	at := ids.Next(someDay)
	floor := relay.FloorID(someDay)
	if !(before.String() < floor.String() && floor.String() < at.String()) {
		t.Errorf("want %s < %s < %s", before, floor, at)
	}
}

func TestIDsAreReadAsTheyAreWritten(t *testing.T) {
	var ids relay.IDSource
	d := relay.DeliveryID{Callback: ids.Next(someDay), N: 65535}
	text := must(json.Marshal(d))
	var back relay.DeliveryID
	if err := json.Unmarshal(text, &back); err != nil || back != d {
		t.Errorf("%s reads as %v, %v", text, back, err)
	}
	upper := must(relay.ParseID(strings.ToUpper(d.Callback.String())))
	if upper != d.Callback || upper.IsZero() {
		t.Errorf("upper case reads as %v", upper)
	}
}

func TestTextThatIsNoIDIsRefused(t *testing.T) {
	const good = "019cfa00-0000-7fff-bfff-ffffffffffff"
	for _, s := range []string{"", "x", good[1:], good + "0", strings.ReplaceAll(good, "-", ""), strings.Replace(good, "a", "g", 1),
		strings.Replace(good, "-", "0", 1), "0-9cfa00-0000-7fff-bfff-ffffffffffff"} {
		if id, err := relay.ParseID(s); !errors.Is(err, relay.ErrBadID) {
			t.Errorf("ParseID(%q) = %v, %v", s, id, err)
		}
	}
	for _, s := range []string{good, good + ".", good + ".0", good + ".65536", good + ".-1", good + ".1.2", ".1", good + ".1 "} {
		if id, err := relay.ParseDeliveryID(s); !errors.Is(err, relay.ErrBadID) {
			t.Errorf("ParseDeliveryID(%q) = %v, %v", s, id, err)
		}
	}
}

func FuzzParseDeliveryID(f *testing.F) {
	f.Add("019cfa00-0000-7fff-bfff-ffffffffffff.1")
	f.Add("019CFA00-0000-7fff-bfff-ffffffffffff.007")
	f.Add("--------.1")
	f.Fuzz(func(t *testing.T, s string) {
		id, err := relay.ParseDeliveryID(s)
		if err != nil {
			return
		}
		if back, err := relay.ParseDeliveryID(id.String()); err != nil || back != id {
			t.Errorf("%q reads as %s, and that as %v, %v", s, id, back, err)
		}
	})
}

// must gives v, where a test can't go on without it.
func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
