package relay

import (
	"log/slog"
	"net/http"
	"time"
)

// A Callback is one verified request: what came in, kept as it came, and what
// the source's configuration reads in it.
type Callback struct {
	ID         ID
	Source     string
	Event      string // "" if the payload names none
	RefID      string // the order it is about; "" if the payload names none
	ReceivedAt time.Time

	Method string      // as received
	URI    string      // path and query, as received
	Remote string      // the peer's address, without port
	Header http.Header // as received
	Body   []byte      // the very bytes that were signed

	Unparsed  bool // authentic, but no object with a ref_id could be read in it
	Unmatched bool // no rule took it
	Conflict  bool // another body came under the same dedupe key

	Duplicates int  // how often it came again
	Damaged    bool // its stored bytes fail their checksum: header and body are withheld

	// Parsed is what its source read in the body. It is not stored: in a
	// callback out of the store it is nil, and whoever needs it reads it again.
	Parsed *Parsed
}

// Parsed is a body as conditions and texts see it.
type Parsed struct {
	Body any // the whole payload; nil if it could not be read
	Data any // the part that the source's `data` names; nil if there is none
}

// LogValue names a callback in a log line, without its contents.
func (c Callback) LogValue() slog.Value {
	return slog.GroupValue(slog.String("callback", c.ID.String()), slog.String("source", c.Source),
		slog.String("event", c.Event), slog.String("ref_id", c.RefID))
}

// A State is where a delivery stands.
type State string

// The states of a delivery. Delivered and Dead are settled: only a replay opens
// them again.
const (
	Pending   State = "pending"
	Delivered State = "delivered"
	Dead      State = "dead"
)

// A Target is a delivery as it is planned: who is owed what, and why.
type Target struct {
	Rule string // the rule that asked for it
	Sink string // Nowhere if there is none
	Lane string // targets of one sink and lane go one at a time, in append order; "" is no lane

	// Payload is what the sink will say, in the sink's own form; nil means
	// the callback's own bytes.
	Payload []byte

	NotBefore time.Time // no attempt before it; the zero time is at once
	Error     string    // not empty: a rule failed, and the delivery is dead from the start
	Fallback  string    // the sink whose dead letter this is; "" for an ordinary delivery
}

// Nowhere is the Sink of a dead Target whose rule names none. No sink is called
// so, and no replay opens it.
const Nowhere = "(nowhere)"

// A Delivery is one callback owed to one sink by one rule.
type Delivery struct {
	ID DeliveryID
	Target

	State    State
	Due      time.Time // the next attempt, while pending
	Tries    int       // attempts since the callback was routed, or since the last replay
	Replays  int       // how often it was opened again
	Error    string    // of the last attempt, or of the rule
	Console  bool      // delivered to the console, because the sink has no address
	Attempts []Attempt // every one, oldest first; only Store.Get fills it
}

// An Attempt is one try at a delivery.
type Attempt struct {
	N         int // from 1, over all replays
	StartedAt time.Time
	Duration  time.Duration
	OK        bool
	Status    int    // the far side's code (HTTP, SMTP, Bot API); 0 if it gave none
	Error     string // "" if OK
	Response  string // what the far side answered, as text, shortened
	Note      string // what the sink did out of the ordinary: "console", "plain text", ...
	Replay    bool
}
