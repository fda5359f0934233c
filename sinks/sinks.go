// Package sinks holds the kinds of sinks, one file each, and their registry. A
// new kind is one file that registers itself in init, and its test.
//
// A sink of kind http whose address is this relay would send its callbacks round
// and round. Every request it makes therefore carries Kurir-Via, the list of
// the relays it has been through, and the public listener hands what it gets to
// RefuseLoop before it does anything else: see loop.go.
package sinks

import (
	"context"
	"io"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// A Kind is one way of delivering. In rules.yaml its name is the key beside a
// sink's common settings.
type Kind struct {
	Name string
	Doc  string // one line for the reference page

	// Settings is a zero value of the struct its settings are decoded into:
	// the schema and the reference page are made of its tags.
	Settings any

	// Defaults are the common settings a sink of this kind has if it sets none.
	Defaults Defaults

	// Digests says that Send makes one message of several parcels. Without it,
	// Send gets one parcel at a time and `digest` is a mistake.
	Digests bool

	// New makes a sink of its settings. What is wrong with them is reported on
	// n; the sink is then not used.
	New func(n conf.Node, p Place) Sink
}

// Place is what a sink is told of where it stands.
type Place struct {
	Name     string         // of the sink
	Location *time.Location // of rules.yaml's timezone
	Version  string         // of Kurir, for User-Agent and the like
	Timeout  time.Duration  // of one attempt
	Idle     int            // idle connections worth keeping: the sink's concurrency

	Console io.Writer    // of sinks without an address; nil is the standard output
	Log     *slog.Logger // for alarms, and for sinks of kind log; nil is slog's default

	// Dial opens connections, in tests; nil is a net.Dialer's, which for http
	// refuses link-local and metadata addresses.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Defaults are common settings that differ from kind to kind.
type Defaults struct {
	Concurrency int
	Rate        relay.Rate
}

// A Sink is a relay.Sink that knows how to put what a rule says into words.
type Sink interface {
	relay.Sink

	// Writer prepares what a rule says to this sink. Mistakes in it are
	// reported at their places.
	Writer(m Message) Writer

	// Preview shows, without sending, what Send would: for explain and for
	// the console.
	Preview(p relay.Parcel) Preview

	// Close lets go of connections. What is under way may finish.
	Close()
}

// A Checker is a Sink that can ask its far side, without sending anything,
// whether it is there and would let it in.
type Checker interface {
	Check(ctx context.Context) error
}

// A Limited Sink knows how fast its far side takes messages: the rate it has if
// its settings set none.
type Limited interface {
	Limit() relay.Rate
}

// A Message is what a rule says, in templates that are not compiled yet.
type Message struct {
	Rule    string
	Text    conf.String // empty: the kind's default
	Subject conf.String // empty: event and ref_id
	Line    conf.String // of an order in a digest; empty: the kind's default
}

// A Writer renders a message for one callback: it gives the payload that is
// stored with the delivery and handed to Send as Delivery.Payload; nil stands
// for the callback's own bytes. It is pure.
type Writer func(o Occasion) (payload []byte, err error)

// An Occasion is what a message is about.
type Occasion struct {
	Vars   lang.Vars
	Silent bool // quiet hours: do not ring

	// Failed and Reason are set on a fallback: the sink that could not
	// deliver, and why. The message must say so.
	Failed, Reason string
}

// A Preview is what a sink would send.
type Preview struct {
	To      string            `json:"to"`                // an address, without secrets
	Subject string            `json:"subject,omitempty"` // of an email
	Text    string            `json:"text,omitempty"`
	Method  string            `json:"method,omitempty"` // of an http request, with
	URL     string            `json:"url,omitempty"`
	Headers map[string]string `json:"headers,omitempty"`
	Body    string            `json:"body,omitempty"`
	Console bool              `json:"console,omitempty"` // it has no address: goes to the console
}

var kinds = map[string]Kind{}

// Register adds a kind. It is called in init, and panics on a name that is taken.
func Register(k Kind) {
	if _, ok := kinds[k.Name]; ok {
		panic("sinks: kind " + k.Name + " is registered twice")
	}
	kinds[k.Name] = k
}

// Lookup gives a kind by name.
func Lookup(name string) (Kind, bool) {
	k, ok := kinds[name]
	return k, ok
}

// Kinds lists all kinds by name.
func Kinds() []Kind {
	var ks []Kind
	for _, k := range kinds {
		ks = append(ks, k)
	}
	slices.SortFunc(ks, func(a, b Kind) int { return strings.Compare(a.Name, b.Name) })
	return ks
}
