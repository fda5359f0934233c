package rules

import (
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
)

// quietHours are a time of every day in which a sink is not to ring. They may
// span midnight.
type quietHours struct {
	From clock  `conf:"from,required" doc:"when they begin, such as \"22:00\""`
	To   clock  `conf:"to,required" doc:"when they end, such as \"06:00\""`
	Mode string `conf:"mode" default:"silent" doc:"silent sends without a sound; hold waits until they end"`
}

// A clock is a time of day, in minutes after midnight.
type clock int

// UnmarshalConf implements conf.Unmarshaler.
func (c *clock) UnmarshalConf(n conf.Node) {
	text, _ := n.Text()
	t, err := time.Parse("15:04", text)
	if err != nil {
		n.Problem("%q is no time of day: write hours and minutes, such as \"22:00\"", text)
		return
	}
	*c = clock(60*t.Hour() + t.Minute())
}

// covers reports whether t, in its own location, lies in the quiet hours.
func (q *quietHours) covers(t time.Time) bool {
	now := clock(60*t.Hour() + t.Minute())
	if q.From < q.To {
		return q.From <= now && now < q.To
	}
	return q.From <= now || now < q.To
}

// end is when the quiet hours that cover t are over.
func (q *quietHours) end(t time.Time) time.Time {
	end := time.Date(t.Year(), t.Month(), t.Day(), int(q.To)/60, int(q.To)%60, 0, 0, t.Location())
	if !end.After(t) {
		end = time.Date(t.Year(), t.Month(), t.Day()+1, int(q.To)/60, int(q.To)%60, 0, 0, t.Location())
	}
	return end
}
