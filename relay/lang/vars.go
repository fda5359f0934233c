package lang

import (
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// Vars are the names that conditions and texts may use.
type Vars struct {
	Source     string    `expr:"source" doc:"the source's name in rules.yaml"`
	Event      string    `expr:"event" doc:"what happened, such as order.failed"`
	RefID      string    `expr:"ref_id" doc:"the order it is about"`
	Data       any       `expr:"data" doc:"the payload's data object, {} if it has none"`
	Body       any       `expr:"body" doc:"the whole payload, parsed; nil if it is no JSON"`
	Headers    *Headers  `expr:"headers" doc:"the request's headers by their name in lower case"`
	ReceivedAt time.Time `expr:"received_at" doc:"when it was received, in the zone of the rules"`
	Unparsed   bool      `expr:"unparsed" doc:"whether no object with a ref_id could be read in it"`
	Attempt    int       `expr:"attempt" doc:"the number of the attempt, from 1"`
	Duplicate  bool      `expr:"duplicate" doc:"whether its key was seen before"`
	Replay     bool      `expr:"replay" doc:"whether it is delivered again on request"`
}

// AnswerVars are the names that `success` of an http sink may use.
type AnswerVars struct {
	Status   int      `expr:"status" doc:"the HTTP status of the answer"`
	Response string   `expr:"response" doc:"the answer's body, as text"`
	Headers  *Headers `expr:"headers" doc:"the answer's headers by their name in lower case"`
	Attempt  int      `expr:"attempt" doc:"the number of the attempt, from 1"`
}

// Message is the Env of conditions and texts, to be run with Vars. Times are
// shown in the zone of ReceivedAt.
var Message = NewEnv(Vars{})

// Answer is the Env of `success`, to be run with AnswerVars.
var Answer = NewEnv(AnswerVars{})

// NewVars gives the names for a callback whose source has read it.
func NewVars(c relay.Callback) Vars {
	v := Vars{Source: c.Source, Event: c.Event, RefID: c.RefID, Data: map[string]any{},
		Headers: &Headers{Header: c.Header}, ReceivedAt: c.ReceivedAt, Unparsed: c.Unparsed, Attempt: 1}
	if c.Parsed != nil {
		v.Body = c.Parsed.Body
		if c.Parsed.Data != nil {
			v.Data = c.Parsed.Data
		}
	}
	return v
}

// Headers are an object in expressions: names in lower case, one text each. It is made
// when it is asked for, since few expressions do. Without a Header, it is empty.
type Headers struct {
	Header http.Header

	once   sync.Once
	object map[string]string
}

func (h *Headers) read() map[string]string {
	if h == nil {
		return nil
	}
	h.once.Do(func() {
		h.object = make(map[string]string, len(h.Header))
		for k, v := range h.Header {
			h.object[strings.ToLower(k)] = strings.Join(v, ", ")
		}
	})
	return h.object
}
