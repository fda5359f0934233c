package sinks

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"maps"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

// empty tells the two ways of having no address apart: the default of ${NAME:-}
// is on purpose, and sends the sink to the console; an empty text in the file is
// a mistake, which is reported.
func empty(text string, isDefault bool, n conf.Node, what string) (console bool) {
	if text == "" && !isDefault {
		n.Report(conf.Problem{Message: what + " is empty",
			Hint: "write ${NAME:-} to print on the console as long as NAME is not set"})
	}
	return text == ""
}

// onConsole makes a sink of one that has no address: it prints what s would send
// and takes it as delivered. missing is what to set, in words: "url".
func onConsole(s Sink, kind, missing string, p Place) Sink {
	return &console{Sink: s, kind: kind, missing: missing, name: p.Name, out: cmp.Or[io.Writer](p.Console, os.Stdout)}
}

type console struct {
	Sink
	kind, missing, name string

	mu  sync.Mutex // boxes are not torn
	out io.Writer
}

// A digestPreviewer is a Sink that shows what it makes of several parcels.
type digestPreviewer interface {
	PreviewDigest(parcels []relay.Parcel) Preview
}

// Send prints the parcels: one box, as it would be one message.
func (c *console) Send(_ context.Context, parcels []relay.Parcel) (relay.Answer, error) {
	var v Preview
	if d, ok := c.Sink.(digestPreviewer); ok && len(parcels) > 1 {
		v = d.PreviewDigest(parcels)
	} else {
		v = c.Sink.Preview(parcels[0])
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	_, err := io.WriteString(c.out, c.box(v, parcels))
	return relay.Answer{Console: true, Note: "console"}, err
}

// Preview shows the same, marked.
func (c *console) Preview(p relay.Parcel) Preview {
	v := c.Sink.Preview(p)
	v.Console = true
	return v
}

// box draws what would have been sent, with nothing in it that a terminal would
// obey.
func (c *console) box(v Preview, parcels []relay.Parcel) string {
	var b strings.Builder
	fmt.Fprintf(&b, "┌─ %s (%s): printed, not sent, because its %s is empty\n", oneLine(c.name), c.kind, c.missing)
	for line := range strings.SplitSeq(printable([]byte(c.content(v)), maxAnswer), "\n") {
		b.WriteString(strings.TrimRight("│ "+line, " ") + "\n")
	}
	fmt.Fprintf(&b, "└─ %s\n", about(parcels))
	return b.String()
}

// content is what stands in the box: a request's line and headers or a message's
// address, and below them what it says.
func (c *console) content(v Preview) string {
	var head []string
	if v.Method != "" {
		head = append(head, v.Method+" "+cmp.Or(v.URL, "(no "+c.missing+")"))
	}
	for _, k := range slices.Sorted(maps.Keys(v.Headers)) {
		if k != "Idempotency-Key" && k != "User-Agent" && !strings.HasPrefix(k, "Kurir-") { // of no interest here
			head = append(head, k+": "+v.Headers[k])
		}
	}
	if v.To != "" && v.Method == "" {
		head = append(head, "To: "+v.To)
	}
	if v.Subject != "" {
		head = append(head, "Subject: "+v.Subject)
	}
	says := strings.TrimRight(v.Text+readable(v), "\r\n")
	if len(head) == 0 || says == "" {
		return strings.Join(head, "\n") + says
	}
	return strings.Join(head, "\n") + "\n\n" + says
}

// readable is a body, or a form with its percent-encoding undone: a line each value.
func readable(v Preview) string {
	if v.Headers["Content-Type"] != formType {
		return v.Body
	}
	pairs := strings.Split(v.Body, "&")
	for i, pair := range pairs {
		if text, err := url.QueryUnescape(strings.Replace(pair, "=", ": ", 1)); err == nil {
			pairs[i] = text
		}
	}
	return strings.Join(pairs, "\n")
}

// about names what a box is about.
func about(parcels []relay.Parcel) string {
	p := parcels[0]
	s := strings.TrimSpace(cmp.Or(p.Callback.Event, p.Callback.Source) + " " + p.Callback.RefID)
	if p.Delivery.Rule != "" {
		s += ", rule " + p.Delivery.Rule
	}
	if p.Replay {
		s += ", replayed"
	}
	if len(parcels) > 1 {
		s = fmt.Sprintf("%d callbacks, the first: %s", len(parcels), s)
	}
	return oneLine(s)
}
