package server

import (
	"encoding/json"
	"net/http"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

// The forms in which the API gives things, and in which the command line reads
// them.

// A Page is a part of the log.
type Page struct {
	Callbacks []Callback `json:"callbacks"`
	Next      string     `json:"next,omitempty"` // the cursor of the next page; absent at the end
}

// A Callback is one of the log, newest first in lists.
type Callback struct {
	ID         relay.ID   `json:"id"`
	Source     string     `json:"source"`
	RefID      string     `json:"ref_id"`
	Event      string     `json:"event"`
	ReceivedAt time.Time  `json:"received_at"`
	Duplicates int        `json:"duplicates"` // how often it came again
	Conflict   bool       `json:"conflict"`   // another body came under the same key
	Unparsed   bool       `json:"unparsed"`   // no object with a ref_id could be read
	Unmatched  bool       `json:"unmatched"`  // no rule took it
	Damaged    bool       `json:"damaged,omitempty"`
	Deliveries []Delivery `json:"deliveries"`
}

// A Detail is a callback with all that is known of it.
type Detail struct {
	Callback
	Method string      `json:"method"`
	URI    string      `json:"uri"`
	Remote string      `json:"remote"`
	Size   int         `json:"size"`   // of the body, in bytes
	Header http.Header `json:"header"` // with [secret] in place of credentials
	Data   any         `json:"data"`   // as its source reads it; null if there is none
}

// A Delivery is one callback owed to one sink.
type Delivery struct {
	ID            relay.DeliveryID `json:"id"`
	Sink          string           `json:"sink"`
	Rule          string           `json:"rule"`
	State         relay.State      `json:"state"`
	Attempts      Attempts         `json:"attempts"`
	NextAttemptAt time.Time        `json:"next_attempt_at,omitzero"` // while pending
	Error         string           `json:"error,omitempty"`          // of the last attempt, or of the rule
	Fallback      string           `json:"fallback,omitempty"`       // the sink it stands in for
	Replays       int              `json:"replays,omitempty"`
	Console       bool             `json:"console,omitempty"` // printed there, for want of an address
}

// Attempts are given as their number in lists and tails, and each of them in a
// Detail.
type Attempts struct {
	N    int
	Each []Attempt // nil if only the number is known
}

// MarshalJSON gives a number or a list.
func (a Attempts) MarshalJSON() ([]byte, error) {
	if a.Each != nil {
		return json.Marshal(a.Each)
	}
	return json.Marshal(a.N)
}

// UnmarshalJSON reads either.
func (a *Attempts) UnmarshalJSON(b []byte) error {
	if json.Unmarshal(b, &a.N) == nil {
		return nil
	}
	err := json.Unmarshal(b, &a.Each)
	a.N = len(a.Each)
	return err
}

// An Attempt is one try at a delivery.
type Attempt struct {
	N          int       `json:"n"` // from 1, over all replays
	StartedAt  time.Time `json:"started_at"`
	DurationMS float64   `json:"duration_ms"`
	OK         bool      `json:"ok"`
	Status     int       `json:"status,omitempty"`
	Error      string    `json:"error,omitempty"`
	Response   string    `json:"response,omitempty"`
	Note       string    `json:"note,omitempty"`
	Replay     bool      `json:"replay,omitempty"`
}

func newCallback(e relay.Entry) Callback {
	c := e.Callback
	out := Callback{ID: c.ID, Source: c.Source, RefID: c.RefID, Event: c.Event, ReceivedAt: c.ReceivedAt.UTC(),
		Duplicates: c.Duplicates, Conflict: c.Conflict, Unparsed: c.Unparsed, Unmatched: c.Unmatched, Damaged: c.Damaged,
		Deliveries: []Delivery{}}
	for _, d := range e.Deliveries {
		out.Deliveries = append(out.Deliveries, newDelivery(d))
	}
	return out
}

func newDelivery(d relay.Delivery) Delivery {
	out := Delivery{ID: d.ID, Sink: d.Sink, Rule: d.Rule, State: d.State, Attempts: Attempts{N: d.Tries}, Error: d.Error,
		Fallback: d.Fallback, Replays: d.Replays, Console: d.Console}
	if d.State == relay.Pending {
		out.NextAttemptAt = d.Due.UTC()
	}
	return out
}

func newDetail(e relay.Entry, data any) Detail {
	c := e.Callback
	out := Detail{Callback: newCallback(e), Method: c.Method, URI: c.URI, Remote: c.Remote, Size: len(c.Body),
		Header: masked(c.Header), Data: data}
	for i, d := range e.Deliveries {
		each := make([]Attempt, len(d.Attempts))
		for j, a := range d.Attempts {
			each[j] = newAttempt(a)
		}
		out.Deliveries[i].Attempts = Attempts{len(each), each}
	}
	return out
}

func newAttempt(a relay.Attempt) Attempt {
	return Attempt{N: a.N, StartedAt: a.StartedAt.UTC(), DurationMS: float64(a.Duration.Microseconds()) / 1000, OK: a.OK,
		Status: a.Status, Error: a.Error, Response: a.Response, Note: a.Note, Replay: a.Replay}
}

// A SinkStatus is where a sink stands.
type SinkStatus struct {
	Name      string `json:"name"`
	Kind      string `json:"kind,omitempty"` // absent if the rules have no such sink: its deliveries wait
	Pending   int64  `json:"pending"`
	Delivered int64  `json:"delivered"`
	Dead      int64  `json:"dead"`

	OldestPendingAt time.Time `json:"oldest_pending_at,omitzero"`
	Sending         int       `json:"sending"`
	Failures        int       `json:"failures"` // in a row
	RestsUntil      time.Time `json:"rests_until,omitzero"`
	PausedUntil     time.Time `json:"paused_until,omitzero"`   // asked for by the far side
	CollectsUntil   time.Time `json:"collects_until,omitzero"` // then what waits goes as a digest
	LastSuccessAt   time.Time `json:"last_success_at,omitzero"`
	LastFailureAt   time.Time `json:"last_failure_at,omitzero"`
	LastError       string    `json:"last_error,omitempty"`
}

// Stats are the daemon's figures.
type Stats struct {
	Callbacks  int64 `json:"callbacks"` // in the log
	Pending    int64 `json:"pending"`   // deliveries, as are those below
	Delivered  int64 `json:"delivered"`
	Dead       int64 `json:"dead"`
	Duplicates int64 `json:"duplicates"` // requests
	Conflicts  int64 `json:"conflicts"`
	Unmatched  int64 `json:"unmatched"`
	Keys       int64 `json:"keys"`
	StoreBytes int64 `json:"store_bytes"`

	OldestPendingAt time.Time `json:"oldest_pending_at,omitzero"`

	Version   string    `json:"version"`
	StartedAt time.Time `json:"started_at"`
	Webhook   string    `json:"webhook"` // where the public listener is: http://host:port/webhook/
	Rules     string    `json:"rules"`   // the path of the file
	RulesHash string    `json:"rules_hash"`

	RulesReadAt   time.Time     `json:"rules_read_at"`            // when the file last changed the rules, or was refused
	RulesChanges  string        `json:"rules_changes,omitempty"`  // by it, as one line
	RulesRefused  bool          `json:"rules_refused"`            // the rules in force are those before
	RulesProblems conf.Problems `json:"rules_problems,omitempty"` // with warnings
}

// A SourceStatus is a source of the rules in force.
type SourceStatus struct {
	Name        string      `json:"name"`
	Preset      string      `json:"preset,omitempty"`
	Methods     []string    `json:"methods"`
	Checks      []string    `json:"checks"`       // what a request is verified by, in words
	SecretsUsed []time.Time `json:"secrets_used"` // when each secret last verified one; year 1 is never in this process
}

// masked hides what credentials a header holds.
func masked(h http.Header) http.Header {
	out := make(http.Header, len(h))
	for name, values := range h {
		if secretHeader.MatchString(name) {
			values = []string{"[secret]"}
		}
		out[name] = values
	}
	return out
}
