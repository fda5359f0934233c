package server

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

// secretHeader matches the names of headers that carry credentials. A signature
// is none: it says nothing of its key.
var secretHeader = regexp.MustCompile(`(?i)authorization|cookie|token|secret|passw|api-?key|credential`)

// A Filter selects callbacks, in a query or in JSON. State and Sink look at
// deliveries: one of them must meet both.
type Filter struct {
	Source    string `json:"source,omitempty"`
	Event     string `json:"event,omitempty"`
	RefID     string `json:"ref_id,omitempty"`
	State     string `json:"state,omitempty"` // pending, delivered, dead
	Sink      string `json:"sink,omitempty"`
	Since     string `json:"since,omitempty"` // a time, or how long ago: 2026-01-15T08:00:00+07:00, 2026-01-15, 1h
	Until     string `json:"until,omitempty"`
	Text      string `json:"q,omitempty"` // in the ref_id or the body
	Unmatched bool   `json:"unmatched,omitempty"`
	Conflict  bool   `json:"conflict,omitempty"`
}

// The largest and the usual number of callbacks of a page.
const (
	maxLimit     = 1000
	defaultLimit = 50
)

// parameters are those of a page. A misspelt one would select everything.
var parameters = []string{"source", "event", "ref_id", "state", "sink", "since", "until", "q", "unmatched", "conflict", "limit", "cursor"}

// filterOf reads a filter from a query.
func filterOf(q url.Values) Filter {
	return Filter{Source: q.Get("source"), Event: q.Get("event"), RefID: q.Get("ref_id"), State: q.Get("state"), Sink: q.Get("sink"),
		Since: q.Get("since"), Until: q.Get("until"), Text: q.Get("q"), Unmatched: isSet(q.Get("unmatched")), Conflict: isSet(q.Get("conflict"))}
}

func isSet(s string) bool {
	on, err := strconv.ParseBool(s)
	return err == nil && on
}

// Values is the filter as a query.
func (f Filter) Values() url.Values {
	q := url.Values{}
	for name, v := range map[string]string{"source": f.Source, "event": f.Event, "ref_id": f.RefID, "state": f.State, "sink": f.Sink,
		"since": f.Since, "until": f.Until, "q": f.Text} {
		if v != "" {
			q.Set(name, v)
		}
	}
	if f.Unmatched {
		q.Set("unmatched", "true")
	}
	if f.Conflict {
		q.Set("conflict", "true")
	}
	return q
}

// query is the filter as the store understands it. Times without a zone are in
// loc.
func (f Filter) query(now time.Time, loc *time.Location) (q relay.Query, err error) {
	q = relay.Query{Source: f.Source, Event: f.Event, RefID: f.RefID, State: relay.State(f.State), Sink: f.Sink, Text: f.Text,
		Unmatched: f.Unmatched, Conflict: f.Conflict}
	switch q.State {
	case "", relay.Pending, relay.Delivered, relay.Dead:
	default:
		return q, fmt.Errorf("state %q: there is pending, delivered and dead", f.State)
	}
	if q.Since, err = parseTime(f.Since, now, loc); err != nil {
		return q, fmt.Errorf("since: %w", err)
	}
	if q.Until, err = parseTime(f.Until, now, loc); err != nil {
		return q, fmt.Errorf("until: %w", err)
	}
	return q, nil
}

// pageQuery is a query of a page, with limit and cursor.
func pageQuery(values url.Values, now time.Time, loc *time.Location) (q relay.Query, err error) {
	for name := range values {
		if !slices.Contains(parameters, name) {
			return q, fmt.Errorf("unknown parameter %q: there is %s", name, strings.Join(parameters, ", "))
		}
	}
	if q, err = filterOf(values).query(now, loc); err != nil {
		return q, err
	}
	q.Limit = defaultLimit
	if text := values.Get("limit"); text != "" {
		if q.Limit, err = strconv.Atoi(text); err != nil || q.Limit < 1 {
			return q, fmt.Errorf("limit %q: write a number from 1 to %d", text, maxLimit)
		}
		q.Limit = min(q.Limit, maxLimit)
	}
	if text := values.Get("cursor"); text != "" {
		if q.Cursor, err = relay.ParseID(text); err != nil {
			return q, errors.New("cursor: give the `next` of the page before")
		}
	}
	return q, nil
}

var timeForms = []string{time.RFC3339, "2006-01-02T15:04:05", "2006-01-02 15:04:05", "2006-01-02T15:04", "2006-01-02 15:04", "2006-01-02"}

// parseTime reads a time, or how long ago it was; "" is the zero time.
func parseTime(text string, now time.Time, loc *time.Location) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if ago, err := conf.ParseDuration(text); err == nil {
		return now.Add(-ago), nil
	}
	for _, form := range timeForms {
		if t, err := time.ParseInLocation(form, text, loc); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is no time: write one such as 2026-01-15T08:00:00+07:00 or 2026-01-15, or how long ago, such as 1h or 7d", text)
}

// matches reports whether a filter that was read as q selects an entry: what a
// store's List would say of it.
func matches(q relay.Query, e relay.Entry) bool {
	c := e.Callback
	switch {
	case q.Source != "" && q.Source != c.Source, q.Event != "" && q.Event != c.Event, q.RefID != "" && q.RefID != c.RefID,
		q.Unmatched && !c.Unmatched, q.Conflict && !c.Conflict, !contains(c, q.Text),
		!q.Since.IsZero() && c.ReceivedAt.Before(q.Since), !q.Until.IsZero() && !c.ReceivedAt.Before(q.Until):
		return false
	case q.State == "" && q.Sink == "":
		return true
	}
	for _, d := range e.Deliveries {
		if (q.State == "" || d.State == q.State) && (q.Sink == "" || d.Sink == q.Sink) {
			return true
		}
	}
	return false
}
