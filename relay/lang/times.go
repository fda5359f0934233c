package lang

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"
)

// timeFunctions take a time, seconds or milliseconds since 1970, or a text that
// holds one of them in a usual form; a text in another form stays as it is. They
// show times in the zone of received_at, which is that of the rules; without
// received_at in UTC.
var timeFunctions = []Func{
	{Name: "date", Doc: "The day of a time, as DD/MM/YYYY or as the second argument says with YYYY YY MMMM MMM MM DD HH mm ss.",
		Example: `date("2025-08-17T10:00:00Z", "DD MMMM YYYY")`, Yields: `"17 Agustus 2025"`, Types: timeSignatures, also: "received_at", within: shown("DD/MM/YYYY")},
	{Name: "time", Doc: "The hour of a time, as HH:mm or as the second argument says, like date.",
		Example: `time(1763953509)`, Yields: `"03:05"`, Types: timeSignatures, also: "received_at", within: shown("HH:mm")},
	{Name: "ago", Doc: "How long before the callback came a time was, in words.",
		Example: `ago("2025-11-24T01:00:00Z")`, Yields: `"2 jam lalu"`, Types: []any{new(func(any) string)}, also: "received_at", only: true,
		within: ago},
}

var timeSignatures = []any{new(func(any) string), new(func(any, string) string)}

func shown(layout string) func(f *frame, args []any) (any, error) {
	return func(f *frame, args []any) (any, error) {
		loc := time.UTC
		if received, ok := args[len(args)-1].(time.Time); ok && len(args) > 1 {
			loc = received.Location()
			args = args[:len(args)-1]
		}
		if len(args) > 1 && args[1] != nil {
			return f.showTime(args[0], args[1].(string), loc)
		}
		return f.showTime(args[0], layout, loc)
	}
}

var months = [...]string{"", "Januari", "Februari", "Maret", "April", "Mei", "Juni", "Juli", "Agustus", "September", "Oktober", "November", "Desember"}

var errLayout = errors.New("the form of a time is made of YYYY YY MMMM MMM MM DD HH mm ss, such as DD-MM-YYYY HH:mm")

func (f *frame) showTime(v any, layout string, loc *time.Location) (any, error) {
	if err := f.spend(timeCost); err != nil {
		return nil, err
	}
	t, ok := timeOf(v, loc)
	if !ok {
		return f.asItIs(v)
	}
	month := months[t.Month()]
	shown := strings.NewReplacer("YYYY", t.Format("2006"), "YY", t.Format("06"), "MMMM", month, "MMM", month[:3], "MM", t.Format("01"),
		"DD", t.Format("02"), "HH", t.Format("15"), "mm", t.Format("04"), "ss", t.Format("05")).Replace(layout)
	if shown == layout {
		return nil, errLayout
	}
	return shown, nil
}

// Forms of times in payloads; those without a zone are local.
var timeForms = []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02T15:04:05", "2006-01-02 15:04:05Z07:00", "2006-01-02 15:04", "2006-01-02",
	"02-01-2006 15:04:05", "02-01-2006 15:04", "02-01-2006", "02/01/2006 15:04:05", "02/01/2006 15:04", "02/01/2006", time.RFC1123, time.RFC1123Z}

// timeCost is the work of reading a time in every form it could have.
const timeCost = 4000

// maxTime is the longest text that may be a time.
const maxTime = 40

// timeOf reads a time, and puts it in loc.
func timeOf(v any, loc *time.Location) (time.Time, bool) {
	switch v := v.(type) {
	case time.Time:
		return v.In(loc), true
	case int, json.Number:
		return unixTime(v, loc)
	case string:
		s := strings.TrimSpace(v)
		if len(s) > maxTime {
			return time.Time{}, false
		}
		if n, ok := parseNumber(s); ok && len(s) >= 10 {
			return unixTime(n, loc)
		}
		for _, form := range timeForms {
			if t, err := time.ParseInLocation(form, s, loc); err == nil {
				return t.In(loc), true
			}
		}
	}
	return time.Time{}, false
}

// unixTime tells seconds, milli-, micro- and nanoseconds apart by their size:
// seconds have 11 digits until the year 5138.
func unixTime(v any, loc *time.Location) (time.Time, bool) {
	n, err := whole(v)
	if err != nil {
		return time.Time{}, false
	}
	for _, unit := range []struct {
		below int
		of    func(int64) time.Time
	}{{1e11, func(n int64) time.Time { return time.Unix(n, 0) }}, {1e14, time.UnixMilli}, {1e17, time.UnixMicro}} {
		if n < unit.below && n > -unit.below {
			return unit.of(int64(n)).In(loc), true
		}
	}
	return time.Unix(0, int64(n)).In(loc), true
}

// spans are what ago counts in, the largest first.
var spans = []struct {
	span time.Duration
	name string
}{{365 * 24 * time.Hour, "tahun"}, {30 * 24 * time.Hour, "bulan"}, {24 * time.Hour, "hari"}, {time.Hour, "jam"}, {time.Minute, "menit"}}

func ago(f *frame, args []any) (any, error) {
	now := args[1].(time.Time)
	if err := f.spend(timeCost); err != nil {
		return nil, err
	}
	t, ok := timeOf(args[0], now.Location())
	if !ok {
		return f.asItIs(args[0])
	}
	since, word := now.Sub(t), "lalu"
	if since < 0 {
		since, word = -since, "lagi"
	}
	for _, s := range spans {
		if since >= s.span {
			return fmt.Sprintf("%d %s %s", since/s.span, s.name, word), nil
		}
	}
	return "baru saja", nil
}
