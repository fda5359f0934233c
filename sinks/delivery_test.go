package sinks_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/sinks"
	"github.com/kurir-relay/kurir/sinks/sinktest"
)

// A desk is a dispatcher over a real file with real sinks.
type desk struct {
	t     *testing.T
	store *boltstore.Store
	sinks map[string]relay.Destination
	write map[string]sinks.Writer
	back  string // the fallback of every other sink; "" is none
}

func newDesk(t *testing.T) *desk {
	t.Helper()
	store, err := boltstore.Open(t.TempDir(), boltstore.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	return &desk{t: t, store: store, sinks: map[string]relay.Destination{}, write: map[string]sinks.Writer{}}
}

// add gives the dispatcher a sink.
func (d *desk) add(name string, s sinks.Sink, dest relay.Destination) {
	dest.Sink, dest.Concurrency = s, 1
	if l, ok := s.(sinks.Limited); ok && dest.Rate.N == 0 {
		dest.Rate = l.Limit()
	}
	d.sinks[name] = dest
	d.write[name] = s.Writer(sinks.Message{})
}

// run delivers while test runs.
func (d *desk) run(test func()) {
	d.t.Helper()
	ctx, leave := context.WithCancel(context.Background())
	left := make(chan error, 1)
	dispatcher := relay.NewDispatcher(d.store, func() relay.Destinations { return d }, relay.DispatcherOptions{Log: slog.New(slog.DiscardHandler), Poll: time.Minute})
	go func() { left <- dispatcher.Run(ctx) }()
	test()
	leave()
	if err := errors.Join(<-left, d.store.Close()); err != nil {
		d.t.Error(err)
	}
}

// receive stores a failed order that a sink is owed.
func (d *desk) receive(refID, sink string) {
	d.t.Helper()
	c := order("{}")
	c.RefID, c.ReceivedAt = refID, time.Now()
	payload, err := d.write[sink](sinks.Occasion{Vars: lang.NewVars(c)})
	if err == nil {
		_, err = d.store.Append(d.t.Context(), []relay.Inbound{{Callback: c, Key: relay.Key{refID}, Targets: []relay.Target{{Rule: "failed-order", Sink: sink, Payload: payload}}}})
	}
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) states(sink string) relay.SinkStats {
	d.t.Helper()
	s, err := d.store.Stats(d.t.Context())
	if err != nil {
		d.t.Fatal(err)
	}
	return s.Sinks[sink]
}

func (d *desk) Destination(name string) (relay.Destination, bool) {
	dest, ok := d.sinks[name]
	return dest, ok
}

func (d *desk) SinkNames() (names []string) {
	for name := range d.sinks {
		names = append(names, name)
	}
	return names
}

func (d *desk) Fallback(c relay.Callback, dead relay.Delivery) (relay.Target, bool) {
	if d.back == "" || dead.Sink == d.back {
		return relay.Target{}, false
	}
	payload, err := d.write[d.back](sinks.Occasion{Vars: lang.NewVars(c), Failed: dead.Sink, Reason: dead.Error})
	return relay.Target{Rule: dead.Rule, Sink: d.back, Fallback: dead.Sink, Payload: payload}, err == nil
}

func TestFiveHundredFailedOrdersInAMinuteReachAGroupAsAFewMessages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		d := newDesk(t)
		d.add("ops", tg.sink(t, toGroup), relay.Destination{Digest: relay.Digest{After: 5, Every: time.Minute}})
		d.run(func() {
			begun := time.Now()
			for i := range 500 {
				d.receive(fmt.Sprint("INV-", i), "ops")
				time.Sleep(120 * time.Millisecond)
			}
			time.Sleep(2*time.Minute - time.Since(begun))
			ms := tg.Messages()
			var texts []string
			for _, m := range ms {
				texts = append(texts, strings.SplitN(m.Text, "\n", 2)[0])
			}
			if len(ms) >= 20 || d.states("ops").Delivered != 500 || !strings.HasPrefix(texts[4], "order.failed INV-4") || !strings.HasPrefix(texts[5], "495 notifikasi") {
				t.Errorf("after two minutes %+v were told in %q", d.states("ops"), texts)
			}
			time.Sleep(5 * time.Minute)
			ms = tg.Messages()
			if last := ms[len(ms)-1].Text; !strings.HasPrefix(last, "✅ Reda: 495 notifikasi diringkas dalam 1 pesan") {
				t.Errorf("at the end it says %q", last)
			}
		})
	})
}

func TestWithoutADigestTheLimitsOfAGroupAreKeptAndNoAttemptIsWasted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		d := newDesk(t)
		d.add("ops", tg.sink(t, toGroup), relay.Destination{})
		d.run(func() {
			for i := range 100 {
				d.receive(fmt.Sprint("INV-", i), "ops")
			}
			time.Sleep(10 * time.Minute)
		})
		if calls, limited := tg.Calls(); calls != 100 || limited != 0 || len(tg.Messages()) != 100 {
			t.Errorf("%d calls, %d of them too many, for %d messages", calls, limited, len(tg.Messages()))
		}
	})
}

// Sinks of one chat, such as one for each topic, share its limits. What has to
// wait for them was not attempted: no retry is used up, and nothing is lost
// that may not be tried twice.
func TestSinksOfOneChatWaitForEachOtherWithoutWastingAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		d := newDesk(t)
		names := []string{"failed", "success", "other"}
		for _, name := range names {
			d.add(name, tg.sink(t, toTopic), relay.Destination{Retry: []time.Duration{}})
		}
		d.run(func() {
			for i := range 40 {
				for _, name := range names {
					d.receive(fmt.Sprint(name, i), name)
				}
			}
			time.Sleep(10 * time.Minute)
			if calls, limited := tg.Calls(); calls != 120 || limited != 0 || len(tg.Messages()) != 120 {
				t.Errorf("%d calls, %d of them too many, for %d messages", calls, limited, len(tg.Messages()))
			}
			for _, name := range names {
				if s := d.states(name); s.Delivered != 40 {
					t.Errorf("%s: %+v", name, s)
				}
			}
		})
	})
}

func TestWhatTelegramRefusesForGoodGoesToTheFallbackAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logged(t)
		tg, p := newBot(t), newPost(t, &sinktest.SMTP{}, "smtp")
		tg.Bar(-100, "bot was kicked from the supergroup chat")
		d := newDesk(t)
		d.back = "owner"
		d.add("ops", tg.sink(t, toGroup), relay.Destination{})
		d.add("owner", p.sink(t, "smtp", toOwner), relay.Destination{})
		d.run(func() {
			d.receive("INV-1", "ops")
			time.Sleep(10 * time.Second)
			if calls, _ := tg.Calls(); calls != 1 || d.states("ops").Dead != 1 || d.states("owner").Delivered != 1 {
				t.Errorf("%d calls, %+v, %+v", calls, d.states("ops"), d.states("owner"))
			}
			if text := parts(t, parsed(t, p.Mails()[0]))["text/plain"]; !strings.Contains(text, "Gagal terkirim ke ops: permanent failure: Forbidden: bot was kicked") {
				t.Errorf("the mail says\n%s", text)
			}
		})
	})
}

func TestAfterADayWithoutAnAnswerEverythingIsDeliveredOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var up atomic.Bool
		server := &sinktest.SMTP{Refuse: func(string, string) error {
			if up.Load() {
				return nil
			}
			return sinktest.Code(451, "try later")
		}}
		p := newPost(t, server, "smtp")
		d := newDesk(t)
		d.add("owner", p.sink(t, "smtp", toOwner), relay.Destination{})
		d.run(func() {
			for i := range 50 {
				d.receive(fmt.Sprint("INV-", i), "owner")
			}
			time.Sleep(24 * time.Hour)
			up.Store(true)
			time.Sleep(48 * time.Hour)
			var ids []string
			for _, m := range p.Mails() {
				ids = append(ids, parsed(t, m).Header.Get("Message-Id"))
			}
			slices.Sort(ids)
			if n := len(slices.Compact(ids)); n != 50 || len(p.Mails()) != 50 || d.states("owner").Delivered != 50 {
				t.Errorf("%d mails, %d different, %+v", len(p.Mails()), n, d.states("owner"))
			}
		})
	})
}
