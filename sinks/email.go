package sinks

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"sync"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

func init() {
	Register(Kind{
		Name:     "email",
		Doc:      "a mail over SMTP, with a text and an HTML part",
		Settings: emailSettings{},
		Digests:  true,
		Defaults: Defaults{Concurrency: 1},
		New:      newEmail,
	})
}

type emailSettings struct {
	Server   conf.String   `conf:"server,required" also:"host port smtp address" doc:"smtp://host:587 (STARTTLS is required), smtps://host:465 (implicit TLS), or smtp+insecure://localhost:25 (nothing is encrypted)"`
	Username conf.String   `conf:"username" also:"user login" doc:"for the login; empty: none"`
	Password conf.Secret   `conf:"password" also:"pass pwd sandi" doc:"for the login"`
	From     conf.String   `conf:"from,required" doc:"the sender: a@example.com, or Name <a@example.com>"`
	To       []conf.String `conf:"to,required" doc:"the recipients"`
	Cc       []conf.String `conf:"cc" doc:"further recipients, named as such"`
	TLS      tlsSettings   `conf:"tls" doc:"certificates of one's own"`
}

// emailLimit is how much a mail shows at most, in UTF-16 units.
const emailLimit = 100_000

// email sends to a fixed list of recipients over one server.
type email struct {
	settings emailSettings
	place    Place
	from     *mail.Address
	to, cc   []*mail.Address
	rcpts    []string // all of them, each once
	server   *mailServer

	mu    sync.Mutex
	taken taken
}

func newEmail(n conf.Node, p Place) Sink {
	e := &email{place: p}
	n.Decode(&e.settings)
	s := &e.settings
	noServer := empty(s.Server.Text, s.Server.Default || !s.Server.Node.Present(), s.Server.Node, "the server")
	e.server = newMailServer(s, p)
	e.from = &mail.Address{}
	if from := addresses([]conf.String{s.From}); len(from) > 0 {
		e.from = from[0]
	}
	e.to, e.cc = addresses(s.To), addresses(s.Cc)
	for _, a := range slices.Concat(e.to, e.cc) {
		if !slices.Contains(e.rcpts, a.Address) {
			e.rcpts = append(e.rcpts, a.Address)
		}
	}
	switch {
	case noServer:
		return onConsole(e, "email", "server", p)
	case e.from.Address == "":
		return onConsole(e, "email", "from", p)
	case len(e.to) == 0:
		return onConsole(e, "email", "to", p)
	}
	return e
}

// addresses reads a list, and reports what is no address at its place. What is
// empty by an explicit default is left out.
func addresses(list []conf.String) (as []*mail.Address) {
	for _, s := range list {
		if !s.Node.Present() || empty(s.Text, s.Default, s.Node, "the address") {
			continue
		}
		a, err := mail.ParseAddress(s.Text)
		if err != nil {
			s.Node.Report(conf.Problem{Message: fmt.Sprintf("%q is no mail address", s.Text), Hint: "write a@example.com, or Name <a@example.com>"})
			continue
		}
		as = append(as, a)
	}
	return as
}

func (e *email) Writer(m Message) Writer {
	g := newWording(m, emailLimit)
	return func(o Occasion) ([]byte, error) {
		w, err := g.render(o)
		if err != nil {
			return nil, err
		}
		return w.pack()
	}
}

func (e *email) Preview(p relay.Parcel) Preview { return e.PreviewDigest([]relay.Parcel{p}) }

// PreviewDigest shows what is made of several parcels.
func (e *email) PreviewDigest(parcels []relay.Parcel) Preview {
	v := Preview{To: strings.Join(e.rcpts, ", ")}
	w, err := readWords(parcels, emailLimit)
	if err != nil {
		v.Text = err.Error()
		return v
	}
	v.Subject, v.Text = w.Subject, mailText(w.Text)
	return v
}

func (e *email) Close() { e.server.close() }

// Check asks the server for its greeting and, with a username, for a login.
func (e *email) Check(ctx context.Context) error { return e.server.check(ctx) }

// Send makes a mail of the parcels or, if some recipients lack only some of
// them, one mail for each lot.
func (e *email) Send(ctx context.Context, parcels []relay.Parcel) (answer relay.Answer, err error) {
	lots := e.lots(parcels)
	if len(lots) == 0 {
		return relay.Answer{Note: "every recipient has it already"}, nil
	}
	refused := map[string]error{}
	for _, l := range lots {
		r, err := e.sendLot(ctx, l)
		answer.Status, answer.Response = r.code, r.response
		switch {
		case err != nil && (len(l.to) == len(e.rcpts) || codeOf(err) == 0):
			return answer, err
		case err != nil && len(r.refused) == 0:
			r.refused = l.everybody(err)
		}
		if len(lots) > 1 || len(r.refused) > 0 {
			e.keep(l, r.refused)
		}
		maps.Copy(refused, r.refused)
	}
	return e.settle(parcels, refused, answer)
}

func (e *email) sendLot(ctx context.Context, l lot) (mailResult, error) {
	w, err := readWords(l.parcels, emailLimit)
	if err != nil {
		return mailResult{}, err
	}
	return e.server.send(ctx, e.from.Address, l.to, e.compose(w, e.identify(l.parcels)))
}

// settle decides on the delivery by those who refused it: they alone are tried
// again.
func (e *email) settle(parcels []relay.Parcel, refused map[string]error, answer relay.Answer) (relay.Answer, error) {
	var err error
	if len(refused) > 0 {
		answer.Note = fmt.Sprintf("%d of %d recipients have it", len(e.rcpts)-len(refused), len(e.rcpts))
		err = permanent5xx(mailResult{refused: refused}.refusal())
	}
	if err == nil || errors.Is(err, relay.ErrPermanent) {
		e.mu.Lock()
		defer e.mu.Unlock()
		e.taken.forget(parcels)
	}
	return answer, err
}

// A lot is what some of the recipients don't have yet: one mail.
type lot struct {
	parcels []relay.Parcel
	to      []string
}

// everybody says that none of a lot's recipients took it, because of err.
func (l lot) everybody(err error) map[string]error {
	refused := map[string]error{}
	for _, a := range l.to {
		refused[a] = err
	}
	return refused
}

// lots are what each recipient lacks of the parcels, those together who lack the
// same.
func (e *email) lots(parcels []relay.Parcel) (lots []lot) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range e.rcpts {
		lacks := slices.DeleteFunc(slices.Clone(parcels), func(p relay.Parcel) bool { return e.taken.has(p, a) })
		same := slices.IndexFunc(lots, func(l lot) bool {
			return slices.EqualFunc(l.parcels, lacks, func(p, q relay.Parcel) bool { return keyOf(p) == keyOf(q) })
		})
		switch {
		case len(lacks) == 0:
		case same >= 0:
			lots[same].to = append(lots[same].to, a)
		default:
			lots = append(lots, lot{lacks, []string{a}})
		}
	}
	return lots
}

// keep remembers who took a lot.
func (e *email) keep(l lot, refused map[string]error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	for _, a := range l.to {
		if _, no := refused[a]; !no {
			e.taken.add(l.parcels, a)
		}
	}
}

// BurstOver tells the recipients that the digests end.
func (e *email) BurstOver(ctx context.Context, b relay.Burst) error {
	msg := e.compose(burstOver(b, e.place.Location), identity{message: fmt.Sprintf("burst.%d", b.Since.UnixMilli())})
	_, err := e.server.send(ctx, e.from.Address, e.rcpts, msg)
	return err
}

// taken remembers who took a delivery that not everybody took. It forgets the
// oldest beyond a bound, and all with the process: then they get it again,
// under the same Message-ID.
type taken struct {
	by    map[takenKey][]string
	order []takenKey
}

// A takenKey is a delivery; a replay is for everybody again.
type takenKey struct {
	id      relay.DeliveryID
	replays int
}

// takenBound is a few digests, which may hold a thousand each.
const takenBound = 5000

func keyOf(p relay.Parcel) takenKey { return takenKey{p.Delivery.ID, p.Delivery.Replays} }

func (t *taken) has(p relay.Parcel, address string) bool {
	return slices.Contains(t.by[keyOf(p)], address)
}

func (t *taken) add(parcels []relay.Parcel, address string) {
	if t.by == nil {
		t.by = map[takenKey][]string{}
	}
	for _, p := range parcels {
		k := keyOf(p)
		if _, ok := t.by[k]; !ok {
			t.order = append(t.order, k)
		}
		t.by[k] = append(t.by[k], address)
	}
	for len(t.order) > takenBound {
		delete(t.by, t.order[0])
		t.order = t.order[1:]
	}
}

func (t *taken) forget(parcels []relay.Parcel) {
	if len(t.by) == 0 {
		return
	}
	for _, p := range parcels {
		delete(t.by, keyOf(p))
	}
	t.order = slices.DeleteFunc(t.order, func(k takenKey) bool { _, kept := t.by[k]; return !kept })
}
