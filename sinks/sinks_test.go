package sinks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/sinks"
)

// load makes a sink of a kind from its settings in YAML, and returns what is
// wrong with them.
func load(kind, settings string, env map[string]string, p sinks.Place) (sinks.Sink, conf.Problems) {
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	f := conf.Parse("rules.yaml", []byte(settings), lookup)
	k, ok := sinks.Lookup(kind)
	if !ok {
		panic("no kind " + kind)
	}
	return k.New(f.Root(), p), f.Problems()
}

// open makes a sink that nothing is wrong with.
func open(t *testing.T, kind, settings string) sinks.Sink {
	t.Helper()
	return openAt(t, kind, settings, sinks.Place{Name: "legacy", Location: time.UTC, Version: "1.2.3", Timeout: 15 * time.Second, Idle: 8})
}

func openAt(t *testing.T, kind, settings string, p sinks.Place) sinks.Sink {
	t.Helper()
	s, problems := load(kind, settings, nil, p)
	if len(problems) > 0 {
		t.Fatalf("the settings are refused: %v", problems)
	}
	t.Cleanup(s.Close)
	return s
}

// order is a callback as IsiKuota sends it.
func order(body string) relay.Callback {
	return relay.Callback{
		ID:         relay.FloorID(time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)),
		Source:     "isikuota",
		Event:      "order.failed",
		RefID:      "ORDER-2025-001",
		ReceivedAt: time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC),
		Method:     "POST",
		URI:        "/webhook/isikuota",
		Header:     map[string][]string{"Content-Type": {"application/json"}, "X-Signature": {"2f8a"}},
		Body:       []byte(body),
		Parsed: &relay.Parsed{Data: map[string]any{"ref_id": "ORDER-2025-001", "price": 11500, "product_name": "Telkomsel 10.000",
			"customer_number": "081234567890", "message": `Nomor "salah" & <b>tutup</b>`, "sn": "A+B/C=1 2"}},
	}
}

// parcelOf routes a callback to a sink and takes it on its way.
func parcelOf(t *testing.T, s sinks.Sink, c relay.Callback, text string) relay.Parcel {
	t.Helper()
	w := s.Writer(sinks.Message{Rule: "failed-order", Text: conf.String{Text: text}})
	payload, err := w(sinks.Occasion{Vars: lang.NewVars(c)})
	if err != nil {
		t.Fatalf("the message cannot be rendered: %v", err)
	}
	return parcel(c, payload)
}

func parcel(c relay.Callback, payload []byte) relay.Parcel {
	return relay.Parcel{Callback: c, Attempt: 1, Delivery: relay.Delivery{
		ID: relay.DeliveryID{Callback: c.ID, N: 1}, Target: relay.Target{Rule: "failed-order", Sink: "legacy", Payload: payload}}}
}

func TestEachKindIsRegisteredWithItsSettings(t *testing.T) {
	var names []string
	for _, k := range sinks.Kinds() {
		names = append(names, k.Name)
		if k.Doc == "" || k.Settings == nil || k.New == nil {
			t.Errorf("kind %s lacks its line, its settings or its maker", k.Name)
		}
	}
	if got := strings.Join(names, " "); got != "email file http log telegram" { // file is that of the example
		t.Errorf("the kinds are %s", got)
	}
}

func TestAKindIsRegisteredOnce(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a second kind of the same name was taken")
		}
	}()
	sinks.Register(sinks.Kind{Name: "http"})
}
