package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/rules"
)

func TestAScheduleIsDueOnceAtItsTimeInItsZone(t *testing.T) {
	for _, tt := range []struct {
		schedule, zone string
		last, now      string
		due            bool
	}{
		{"17 3 * * *", "Asia/Jakarta", "2026-03-01T20:16:50Z", "2026-03-01T20:17:10Z", true},
		{"17 3 * * *", "Asia/Jakarta", "2026-03-01T20:17:10Z", "2026-03-01T20:17:30Z", false},
		{"17 3 * * *", "Asia/Jakarta", "2026-03-01T03:16:50Z", "2026-03-01T03:17:10Z", false},
		{"30 2 * * *", "Europe/Berlin", "2026-03-29T00:59:50Z", "2026-03-29T01:00:10Z", false}, // 2:00 is 3:00
		{"30 2 * * *", "Europe/Berlin", "2026-03-29T00:59:50Z", "2026-03-30T00:30:10Z", true},  // there was no 2:30 the day before
		{"30 4 * * *", "Europe/Berlin", "2026-10-25T03:29:50Z", "2026-10-25T03:30:10Z", true},  // 3:00 was 2:00 again
		{"0 0 29 2 *", "Asia/Jakarta", "2097-03-01T00:00:00Z", "2098-03-01T00:00:00Z", false},  // 2104 is the next
	} {
		file := fmt.Sprintf("timezone: %s\nsources: {shop: {preset: isikuota, secret: x}}\nsinks: {log: {log: {}}}\n"+
			"rules: [{name: all, to: [log]}]\nlog: {prune: %q}\n", tt.zone, tt.schedule)
		set, problems := rules.Parse("rules.yaml", []byte(file), rules.Options{})
		if set == nil {
			t.Fatal(problems)
		}
		last, _ := time.Parse(time.RFC3339, tt.last)
		now, _ := time.Parse(time.RFC3339, tt.now)
		if due := isDue(set, last, now); due != tt.due {
			t.Errorf("%s in %s from %s to %s: %v", tt.schedule, tt.zone, tt.last, tt.now, due)
		}
		set.Close()
	}
}
