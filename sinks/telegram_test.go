package sinks_test

import (
	"context"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/sinks"
	"github.com/kurir-relay/kurir/sinks/sinktest"
)

const telegramTestToken = "123456:SECRET-token_of-a-bot"

// A desk is one sink under test with what its rule says.
type desk struct {
	sinks.Sink
	write sinks.Writer
	n     uint16
}

// newDesk makes a sink of a kind, of settings and the keys of a rule, both YAML.
func newDesk(t *testing.T, kind, settings, rule string, place sinks.Place) *desk {
	t.Helper()
	f := conf.Parse("rules.yaml", []byte(settings), os.LookupEnv)
	r := conf.Parse("rules.yaml", []byte(rule+"\nname: alert\n"), os.LookupEnv)
	place.Name = "ops"
	k, ok := sinks.Lookup(kind)
	if !ok {
		t.Fatalf("no kind %s", kind)
	}
	d := &desk{Sink: k.New(f.Root(), place)}
	d.write = d.Writer(readMessage(r))
	if ps := append(f.Problems(), r.Problems()...); len(ps.Errors()) > 0 {
		t.Fatal(ps)
	}
	t.Cleanup(d.Close)
	return d
}

func readMessage(r *conf.File) sinks.Message {
	var m struct {
		Name, Text, Subject, Line conf.String
	}
	for _, e := range r.Root().Entries() {
		text, _ := e.Value.Text()
		s := conf.String{Text: text, Node: e.Value}
		switch e.Name() {
		case "text":
			m.Text = s
		case "subject":
			m.Subject = s
		case "line":
			m.Line = s
		}
	}
	return sinks.Message{Rule: "alert", Text: m.Text, Subject: m.Subject, Line: m.Line}
}

// parcel renders a callback about an order.
func (d *desk) parcel(t *testing.T, refID string, data map[string]any) relay.Parcel {
	t.Helper()
	c := relay.Callback{ID: relay.FloorID(time.UnixMilli(1_700_000_000_000)), Source: "isikuota", Event: "order.failed", RefID: refID,
		Parsed: &relay.Parsed{Data: data}}
	payload, err := d.write(sinks.Occasion{Vars: lang.NewVars(c)})
	if err != nil {
		t.Fatal(err)
	}
	d.n++
	return relay.Parcel{Callback: c, Attempt: 1, Delivery: relay.Delivery{
		ID: relay.DeliveryID{Callback: c.ID, N: d.n}, Target: relay.Target{Rule: "alert", Sink: "ops", Payload: payload}}}
}

// send makes one attempt with 15 seconds' time.
func (d *desk) send(t *testing.T, ps ...relay.Parcel) (relay.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	return d.Send(ctx, ps)
}

// botAPI serves the stand-in in memory, with the chats -100 and 7.
func botAPI(t *testing.T) (*sinktest.Telegram, sinks.Place) {
	t.Helper()
	tg := sinktest.NewTelegram(telegramTestToken)
	tg.AddChat(-100, "Operator", 5)
	tg.AddChat(7, "Budi")
	pipe := sinktest.NewPipe()
	server := &http.Server{Handler: tg}
	go server.Serve(pipe)
	t.Cleanup(func() { server.Close() })
	return tg, sinks.Place{Dial: pipe.Dial}
}

const telegramSettings = "{token: '" + telegramTestToken + "', api: 'http://api.test', chat: '-100'"

func TestTelegramSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg, place := botAPI(t)
		d := newDesk(t, "telegram", telegramSettings+", topic: 5, silent: true}", "text: '<b>{{ ref_id }}</b> gagal'", place)
		answer, err := d.send(t, d.parcel(t, "INV-1", nil))
		if err != nil || answer.Status != 200 || answer.Note != "" || !strings.Contains(answer.Response, `"ok":true`) {
			t.Fatalf("answer %+v, error %v", answer, err)
		}
		if ms := tg.Messages(); len(ms) != 1 || ms[0].Text != "INV-1 gagal" || ms[0].Topic != 5 || !ms[0].Silent {
			t.Fatalf("%+v", ms)
		}
	})
}
