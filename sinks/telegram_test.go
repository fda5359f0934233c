package sinks_test

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf16"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/sinks"
	"github.com/kurir-relay/kurir/sinks/sinktest"
)

const (
	botToken  = "123456:SECRET-token_of-a-bot"
	botSecret = "SECRET-token_of-a-bot"
	toGroup   = "chat: '-100'"
	toPerson  = "chat: '7'"
	toTopic   = "chat: '-100', topic: 5"
)

// A bot is the stand-in in memory, with a group, -100, and a person, 7.
type bot struct {
	*sinktest.Telegram
	place sinks.Place
	api   string // its own: the limits of one bot are those of a process
}

var bots atomic.Int64

func newBot(t *testing.T) *bot {
	t.Helper()
	b := &bot{Telegram: sinktest.NewTelegram(botToken), api: fmt.Sprintf("http://api%d.test", bots.Add(1))}
	b.AddChat(-100, "Operator", 5)
	b.AddChat(7, "Budi")
	pipe := sinktest.NewPipe()
	server := &http.Server{Handler: b}
	go server.Serve(pipe)
	t.Cleanup(func() { server.Close() })
	b.place = sinks.Place{Name: "ops", Dial: pipe.Dial}
	return b
}

// settings are those of the bot with further keys.
func (b *bot) settings(keys string) string {
	return "{token: '" + botToken + "', api: '" + b.api + "', " + keys + "}"
}

// sink makes a sink of the bot.
func (b *bot) sink(t *testing.T, keys string) sinks.Sink {
	t.Helper()
	return openAt(t, "telegram", b.settings(keys), b.place)
}

// rule is what a rule says, for tests.
type rule struct{ text, subject, line string }

// about routes an order to a sink; n tells deliveries of it apart.
func about(t *testing.T, s sinks.Sink, says rule, refID string, n int, data map[string]any) relay.Parcel {
	t.Helper()
	c := order("{}")
	c.RefID = refID
	if data != nil {
		c.Parsed = &relay.Parsed{Data: data}
	}
	w := s.Writer(sinks.Message{Rule: "failed-order", Text: conf.String{Text: says.text}, Subject: conf.String{Text: says.subject}, Line: conf.String{Text: says.line}})
	payload, err := w(sinks.Occasion{Vars: lang.NewVars(c)})
	if err != nil {
		t.Fatalf("the message cannot be rendered: %v", err)
	}
	p := parcel(c, payload)
	p.Delivery.ID.N = uint16(n)
	return p
}

// attempt gives an attempt at the parcels 15 seconds.
func attempt(t *testing.T, s sinks.Sink, ps ...relay.Parcel) (relay.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	return s.Send(ctx, ps)
}

// logged gives what is logged from here on.
func logged(t *testing.T) *syncBuffer {
	before, b := slog.Default(), &syncBuffer{}
	slog.SetDefault(slog.New(slog.NewTextHandler(b, nil)))
	t.Cleanup(func() { slog.SetDefault(before) })
	return b
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func TestTelegramMessageIsSentAsTheSettingsSay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, `chat: '-100', topic: 5, silent: true, disable_preview: true,
			buttons: [{text: 'Buka {{ ref_id }}', url: 'https://shop.example/o?id={{ ref_id }}'}]`)
		answer, err := attempt(t, s, about(t, s, rule{text: "❌ <b>{{ ref_id }}</b> {{ data.message }}"}, "INV 1&2", 1, nil))
		if err != nil || answer.Status != 200 || answer.Note != "" || !strings.Contains(answer.Response, `"message_id":1`) {
			t.Fatalf("settled as %+v, %v", answer, err)
		}
		m := tg.Messages()[0]
		m.Source, m.At = "", time.Time{}
		want := sinktest.Message{ID: 1, Chat: "-100", Topic: 5, HTML: true, Silent: true, NoPreview: true,
			Text:    `❌ INV 1&2 Nomor "salah" & <b>tutup</b>`,
			Buttons: []sinktest.Button{{Text: "Buka INV 1&2", URL: "https://shop.example/o?id=INV%201%262"}}}
		if got := fmt.Sprintf("%+v", m); got != fmt.Sprintf("%+v", want) {
			t.Errorf("it got %s\nwant %+v", got, want)
		}
	})
}

func TestTelegramSaysSomethingWithoutAText(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toPerson)
		for i, text := range []string{"", "<b>{{ data.nothing }}</b>"} {
			if _, err := attempt(t, s, about(t, s, rule{text: text}, "INV-1", i+1, nil)); err != nil {
				t.Fatal(err)
			}
		}
		const want = "order.failed INV-1\nProduk: Telkomsel 10.000\nTujuan: 081234567890\nHarga: Rp11.500\nSN: A+B/C=1 2\nKeterangan: Nomor \"salah\" & <b>tutup</b>"
		for _, m := range tg.Messages() {
			if m.Text != want {
				t.Errorf("it says\n%s", m.Text)
			}
		}
	})
}

// What Telegram answers, and what follows.
func TestTelegramAnswersDecide(t *testing.T) {
	refuse := sinktest.Refuse
	for name, tt := range map[string]struct {
		settings string // keys; toGroup by default
		far      func(*bot)

		err       string        // what the error says; "" is none
		permanent bool          // it is a dead letter at once
		wait      time.Duration // what it asks for, of everyone
		note      string
		took      string // the messages taken: chat, topic, text
	}{
		"a message is taken": {took: "-100 0 ❌ INV-1"},
		"429 makes the chat wait as long as told": {far: script(refuse(429, "Too Many Requests: retry after 35", 35)),
			err: "retry after 35", wait: 35 * time.Second},
		"429 with an absurd time is no time in the past": {far: script(refuse(429, "Too Many Requests", 9e18)),
			err: "Too Many Requests", wait: 1 << 31 * time.Second},
		"429 without a time waits a second": {far: script(refuse(429, "Too Many Requests", 0)), err: "Too Many Requests", wait: time.Second},
		"what cannot be parsed is sent again as plain text, once": {far: script(refuse(400, `Bad Request: can't parse entities: Unsupported start tag "x" at byte offset 0`, 0)),
			note: "plain text", took: "-100 0 ❌ INV-1"},
		"plain text that is refused is a dead letter": {far: script(refuse(400, "Bad Request: can't parse entities", 0), refuse(400, "Bad Request: can't parse entities", 0)),
			err: "can't parse entities", permanent: true, note: "plain text"},
		"a group that moved is followed": {far: func(tg *bot) { tg.Migrate(-100, -1001, "Operator") },
			note: "chat moved to -1001", took: "-1001 0 ❌ INV-1"},
		"a closed topic is left out": {settings: toTopic, far: func(tg *bot) { tg.CloseTopic(-100, 5) },
			note: "without topic", took: "-100 0 ❌ INV-1"},
		"a missing topic is left out": {settings: strings.Replace(toTopic, "topic: 5", "topic: 6", 1), note: "without topic", took: "-100 0 ❌ INV-1"},
		"a button that leads nowhere is left out": {settings: "chat: 7, buttons: [{text: Buka, url: 'https://localhost/{{ ref_id }}'}]",
			note: "without buttons", took: "7 0 ❌ INV-1"},
		"a bot that is blocked is a dead letter": {settings: toPerson, far: func(tg *bot) { tg.Bar(7, "bot was blocked by the user") },
			err: "bot was blocked by the user", permanent: true},
		"a chat that is not there is a dead letter": {settings: "chat: '-9'", err: "chat not found", permanent: true},
		"a token that was revoked is a dead letter": {far: func(tg *bot) { tg.Token = "123456:NEW" }, err: "Unauthorized", permanent: true},
		"a message that is refused is a dead letter": {far: script(refuse(400, "Bad Request: message is too long", 0)),
			err: "message is too long", permanent: true},
		"200 with ok:false is a failure":   {far: script(body(200, `{"ok":false,"description":"Internal trouble"}`)), err: "Internal trouble"},
		"200 with an error code means it":  {far: script(body(200, `{"ok":false,"error_code":403,"description":"Forbidden: no"}`)), err: "Forbidden", permanent: true},
		"200 that is no JSON is a failure": {far: script(body(200, "<html>welcome</html>")), err: "HTTP 200: <html>welcome"},
		"500 is tried again":               {far: script(refuse(500, "Internal Server Error", 0)), err: "Internal Server Error"},
		"502 of a proxy is tried again":    {far: script(body(502, "<html>bad gateway</html>")), err: "HTTP 502: <html>bad gateway"},
		"a redirect is not followed":       {far: script(redirect), err: "HTTP 301"},
		"an endless answer is cut":         {far: script(endless), err: "HTTP 200"},
		"a reset is tried again":           {far: script(reset), err: "EOF"},
		"no answer fails at the deadline":  {far: script(silence), err: "deadline exceeded"},
		"a trickle fails at the deadline":  {far: script(trickle), err: "deadline exceeded"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logs := logged(t)
				tg := newBot(t)
				if tt.far != nil {
					tt.far(tg)
				}
				s := tg.sink(t, cmp.Or(tt.settings, toGroup))
				p := about(t, s, rule{text: "❌ <b>{{ ref_id }}</b>"}, "INV-1", 1, nil)
				answer, err := attempt(t, s, p)
				if fmt.Sprint(err) == "<nil>" != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
					t.Errorf("failed with %v, want %q", err, tt.err)
				}
				if wait, everyone := asked(err); wait != tt.wait || everyone != (wait > 0) || isPermanent(err) != tt.permanent {
					t.Errorf("%v: waits %v, permanent %v", err, wait, isPermanent(err))
				}
				if answer.Note != tt.note {
					t.Errorf("the note is %q, want %q", answer.Note, tt.note)
				}
				var took []string
				for _, m := range tg.Messages() {
					took = append(took, fmt.Sprint(m.Chat, " ", m.Topic, " ", m.Text))
				}
				if got := strings.Join(took, "\n"); got != tt.took {
					t.Errorf("it took %q, want %q", got, tt.took)
				}
				for _, shown := range []string{fmt.Sprint(err), fmt.Sprintf("%+v", answer), fmt.Sprintf("%+v", s.Preview(p)), logs.String()} {
					if strings.Contains(shown, botSecret) {
						t.Errorf("the token shows in %s", shown)
					}
				}
			})
		})
	}
}

// script lets the stand-in give the answers, one a call.
func script(answers ...http.HandlerFunc) func(*bot) {
	return func(tg *bot) {
		for _, h := range answers {
			tg.Next(h)
		}
	}
}

func body(status int, text string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(status)
		io.WriteString(w, text)
	}
}

func redirect(w http.ResponseWriter, r *http.Request) {
	http.Redirect(w, r, "http://elsewhere.test"+r.URL.Path, http.StatusMovedPermanently)
}

// endless answers with more than anybody wants, and with the address it was asked at.
func endless(w http.ResponseWriter, r *http.Request) {
	for {
		if _, err := io.WriteString(w, r.URL.Path+strings.Repeat(" ", 8192)); err != nil {
			return
		}
	}
}

func reset(w http.ResponseWriter, _ *http.Request) {
	conn, _, _ := w.(http.Hijacker).Hijack()
	conn.Close()
}

func silence(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }

func trickle(w http.ResponseWriter, r *http.Request) {
	for r.Context().Err() == nil {
		io.WriteString(w, " ")
		w.(http.Flusher).Flush()
		select {
		case <-r.Context().Done():
		case <-time.After(time.Second):
		}
	}
}

func TestTelegramThatIsNotThereIsTriedAgain(t *testing.T) {
	for name, dial := range map[string]error{
		"refused": errors.New("connection refused"),
		"DNS":     &net.DNSError{Err: "no such host", Name: "api.test", IsNotFound: true},
	} {
		place := sinks.Place{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, dial }}
		s := openAt(t, "telegram", "{token: '"+botToken+"', chat: 7, api: 'http://"+name+".test'}", place)
		_, err := attempt(t, s, about(t, s, rule{}, name, 1, nil))
		fails(t, err, dial.Error())
		if strings.Contains(err.Error(), botSecret) || strings.Contains(err.Error(), "/bot") {
			t.Errorf("the address shows: %v", err)
		}
	}
}

func TestTelegramChatWaitsAsLongAsToldAndOthersGoOn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		group, person := tg.sink(t, toGroup), tg.sink(t, toPerson)
		again := tg.sink(t, toGroup) // another sink, or the one after a reload
		tg.Next(sinktest.Refuse(429, "Too Many Requests: retry after 35", 35))
		p := about(t, group, rule{}, "INV-1", 1, nil)
		attempt(t, group, p)
		time.Sleep(5 * time.Second)

		_, err := attempt(t, again, p)
		if wait, everyone := asked(err); wait != 30*time.Second || !everyone {
			t.Errorf("five seconds later: %v, waits %v", err, wait)
		}
		if calls, _ := tg.Calls(); calls != 1 {
			t.Errorf("Telegram was called %d times meanwhile", calls)
		}
		if _, err := attempt(t, person, p); err != nil {
			t.Errorf("the other chat waits too: %v", err)
		}
		time.Sleep(30 * time.Second)
		if _, err := attempt(t, group, p); err != nil {
			t.Errorf("after the wait: %v", err)
		}
	})
}

func TestTelegramRemembersWhereAGroupMovedAndSaysSo(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := logged(t)
		tg := newBot(t)
		s := tg.sink(t, toGroup)
		tg.Migrate(-100, -1001, "Operator")
		for n := range 3 {
			answer, err := attempt(t, s, about(t, s, rule{}, "INV-1", n+1, nil))
			if err != nil || answer.Note != "chat moved to -1001" {
				t.Errorf("message %d: %+v, %v", n, answer, err)
			}
		}
		if calls, _ := tg.Calls(); calls != 4 {
			t.Errorf("%d calls for three messages: the old id was asked again", calls)
		}
		if n := strings.Count(logs.String(), "new=-1001"); n != 1 {
			t.Errorf("the operator was told %d times:\n%s", n, logs)
		}
	})
}

func TestTelegramTriesAClosedTopicAgainLater(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := logged(t)
		tg := newBot(t)
		s := tg.sink(t, toTopic)
		tg.CloseTopic(-100, 5)
		send := func(n int) string {
			answer, err := attempt(t, s, about(t, s, rule{}, "INV-1", n, nil))
			if err != nil {
				t.Fatal(err)
			}
			return answer.Note
		}
		if one, two := send(1), send(2); one != "without topic" || two != one {
			t.Errorf("the notes are %q and %q", one, two)
		}
		if calls, _ := tg.Calls(); calls != 3 {
			t.Errorf("%d calls for two messages: the topic was asked again at once", calls)
		}
		tg.AddChat(-100, "Operator", 5) // it is open again
		time.Sleep(11 * time.Minute)
		if note := send(3); note != "" {
			t.Errorf("later the note is %q", note)
		}
		if n := strings.Count(logs.String(), "level=WARN"); n != 1 {
			t.Errorf("the operator was told %d times:\n%s", n, logs)
		}
	})
}

func TestTelegramAlarmsOnceWhenAChatIsLostAndWhenItIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := logged(t)
		tg := newBot(t)
		s := tg.sink(t, toPerson)
		p := about(t, s, rule{}, "INV-1", 1, nil)
		for range 2 {
			tg.Bar(7, "bot was blocked by the user")
			for range 3 {
				if _, err := attempt(t, s, p); !isPermanent(err) {
					t.Fatal(err)
				}
			}
			tg.Bar(7, "")
			for range 2 {
				if _, err := attempt(t, s, p); err != nil {
					t.Fatal(err)
				}
			}
		}
		if lost, back := strings.Count(logs.String(), "level=ERROR"), strings.Count(logs.String(), "level=INFO"); lost != 2 || back != 2 {
			t.Errorf("%d alarms and %d all-clears for two outages:\n%s", lost, back, logs)
		}
	})
}

// pump sends n messages as a dispatcher would, and gives how long it took.
func pump(t *testing.T, s sinks.Sink, n int) time.Duration {
	t.Helper()
	begun := time.Now()
	for i := range n {
		p := about(t, s, rule{}, fmt.Sprint("INV-", i), i+1, nil)
		_, err := attempt(t, s, p)
		for err != nil {
			wait, everyone := asked(err)
			if !everyone {
				t.Errorf("message %d: %v", i, err)
				break
			}
			time.Sleep(wait)
			_, err = attempt(t, s, p)
		}
	}
	return time.Since(begun)
}

func TestTelegramLimitsAreKeptWithoutConfiguration(t *testing.T) {
	for name, tt := range map[string]struct {
		settings string
		n        int
		min, max time.Duration
	}{
		"one a second to a person":    {toPerson, 30, 29 * time.Second, 30 * time.Second},
		"twenty a minute to a group":  {toGroup, 45, 2 * time.Minute, 127 * time.Second},
		"a few to a group are prompt": {toGroup, 5, 4 * time.Second, 5 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tg := newBot(t)
				took := pump(t, tg.sink(t, tt.settings), tt.n)
				if took < tt.min || took > tt.max {
					t.Errorf("%d messages took %v", tt.n, took)
				}
				if _, limited := tg.Calls(); limited != 0 || len(tg.Messages()) != tt.n {
					t.Errorf("%d messages came, %d calls broke the limits", len(tg.Messages()), limited)
				}
			})
		})
	}
}

func TestTelegramLimitOfATokenIsSharedByItsSinks(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		var all sync.WaitGroup
		for chat := range 50 {
			tg.AddChat(int64(1000+chat), "x")
			s := tg.sink(t, fmt.Sprint("chat: ", 1000+chat))
			all.Go(func() { pump(t, s, 5) })
		}
		begun := time.Now()
		all.Wait()
		if took := time.Since(begun); took < 8*time.Second || took > 10*time.Second {
			t.Errorf("250 messages at 30 a second took %v", took)
		}
		if _, limited := tg.Calls(); limited != 0 {
			t.Errorf("%d calls broke the limits", limited)
		}
	})
}

func TestAGroupAtItsLimitDoesNotHoldUpTheBotsOtherChats(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		group := tg.sink(t, toGroup)
		begun := time.Now()
		pump(t, group, 20)
		time.Sleep(55*time.Second - time.Since(begun))
		var all sync.WaitGroup
		all.Go(func() { pump(t, group, 1) }) // in five seconds
		synctest.Wait()
		begun = time.Now()
		var others sync.WaitGroup
		for chat := range 90 {
			tg.AddChat(int64(1000+chat), "x")
			s := tg.sink(t, fmt.Sprint("chat: ", 1000+chat))
			others.Go(func() { pump(t, s, 1) })
		}
		others.Wait()
		if took := time.Since(begun); took > 4*time.Second {
			t.Errorf("90 messages at 30 a second took %v", took)
		}
		all.Wait()
		if _, limited := tg.Calls(); limited != 0 {
			t.Errorf("%d calls broke the limits", limited)
		}
	})
}

func TestTelegramAttemptsAtOnceDontBreakTheLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toPerson)
		var all sync.WaitGroup
		for range 8 {
			all.Go(func() { pump(t, s, 4) })
		}
		all.Wait()
		if _, limited := tg.Calls(); limited != 0 || len(tg.Messages()) != 32 {
			t.Errorf("%d messages came, %d calls broke the limits", len(tg.Messages()), limited)
		}
	})
}

func TestTelegramAttemptThatIsCancelledStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toPerson)
		tg.Next(silence)
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := s.Send(ctx, []relay.Parcel{about(t, s, rule{}, "INV-1", 1, nil)}); !errors.Is(err, context.Canceled) {
			t.Errorf("it ended with %v", err)
		}
	})
}

func TestTelegramShortensWholeWhatIsTooLong(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toPerson)
		long := strings.Repeat("😀 <baris> & \"kutip\"\n", 500)
		p := about(t, s, rule{text: "<b>{{ ref_id }}</b>\n<i>{{ data.long }}</i>"}, "INV-1", 1, map[string]any{"long": long})
		if answer, err := attempt(t, s, p); err != nil || answer.Note != "" {
			t.Fatalf("%+v, %v", answer, err)
		}
		text := tg.Messages()[0].Text
		kept, ok := strings.CutSuffix(text, "\n… (dipotong)")
		if n := len(utf16.Encode([]rune(text))); !ok || n > 4096 || n < 4000 || !strings.HasSuffix(kept, `"kutip"`) || !strings.HasPrefix("INV-1\n"+long, kept) {
			t.Errorf("%d units are left, ending in %q", n, text[len(text)-60:])
		}
	})
}

func TestTelegramDigestIsOneMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toGroup)
		var ps []relay.Parcel
		for i := range 500 {
			data := map[string]any{"product_name": "Telkomsel <10>", "message": "Nomor salah", "customer_number": fmt.Sprint("0812", i)}
			if i%5 == 0 {
				data["product_name"], data["message"] = "PLN 50", "Gangguan & lama"
			}
			ps = append(ps, about(t, s, rule{line: "<code>{{ ref_id }}</code>\n{{ data.customer_number }}"}, fmt.Sprint("INV-", i), 1, data))
		}
		if _, err := attempt(t, s, ps...); err != nil {
			t.Fatal(err)
		}
		text := tg.Messages()[0].Text
		const head = "500 notifikasi\nTelkomsel <10> ×400: Nomor salah 400\nPLN 50 ×100: Gangguan & lama 100\n\n• INV-0 08120\n• INV-1 08121\n"
		lines := strings.Split(text, "\n")
		if !strings.HasPrefix(text, head) || lines[len(lines)-1] != fmt.Sprintf("+%d lainnya", 500-(len(lines)-5)) {
			t.Errorf("%d units:\n%s", len(utf16.Encode([]rune(text))), text)
		}
		if v := s.(interface {
			PreviewDigest([]relay.Parcel) sinks.Preview
		}).PreviewDigest(ps); !strings.HasPrefix(v.Text, "<b>500 notifikasi</b>") {
			t.Errorf("the preview is %+v", v)
		}
	})
}

func TestADigestHasOneLineAnOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toGroup)
		ps := []relay.Parcel{about(t, s, rule{}, "INV-1", 1, map[string]any{"message": "Diproses"}),
			about(t, s, rule{}, "INV-2", 1, map[string]any{"message": "Gagal"}), about(t, s, rule{}, "INV-1", 2, map[string]any{"message": "Gagal"}),
			{Callback: order("{}"), Delivery: relay.Delivery{Target: relay.Target{Payload: []byte("damaged")}}}}
		if _, err := attempt(t, s, ps...); err != nil {
			t.Fatal(err)
		}
		const want = "4 notifikasi\norder.failed ×3: Gagal 2, Diproses 1\n ×1: - 1\n\n• INV-1: Gagal\n• INV-2: Gagal\n• permanent failure: the stored message of"
		if text := tg.Messages()[0].Text; !strings.HasPrefix(text, want) {
			t.Errorf("it says\n%s", text)
		}
	})
}

func TestADigestSumsUpWhatIsRareAndBearsABrokenLine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toGroup)
		var ps []relay.Parcel
		for i := range 60 {
			ps = append(ps, about(t, s, rule{line: "{{ ref_id }}{{ raw(data.tag) }}"}, fmt.Sprint("INV-", i), 1,
				map[string]any{"product": fmt.Sprint("P", i%12), "message": fmt.Sprint("R", i/12), "tag": "<b>"}))
		}
		if answer, err := attempt(t, s, ps...); err != nil || answer.Note != "" {
			t.Fatalf("%+v, %v", answer, err)
		}
		lines := strings.Split(tg.Messages()[0].Text, "\n")
		if lines[1] != "P0 ×5: R0 1, R1 1, R2 1, R3 1, lainnya 1" || lines[11] != "produk lain ×10: R0 2, R1 2, R2 2, R3 2, lainnya 2" || lines[13] != "• INV-0" {
			t.Errorf("it says\n%s", strings.Join(lines, "\n"))
		}
	})
}

func TestLongReasonsLeaveRoomForTheLinesOfADigest(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toGroup)
		var ps []relay.Parcel
		for i := range 200 {
			ps = append(ps, about(t, s, rule{}, fmt.Sprint("INV-", i), 1, map[string]any{"product": fmt.Sprint("Produk & layanan ", i%10),
				"message": fmt.Sprintf("Transaksi %d ke 0812345678%02d GAGAL: %s", i, i, strings.Repeat("nomor <salah> ", 8))}))
		}
		if _, err := attempt(t, s, ps...); err != nil {
			t.Fatal(err)
		}
		text := tg.Messages()[0].Text
		lines, rest := strings.Count(text, "\n• INV-"), 0
		if _, err := fmt.Sscanf(text[strings.LastIndex(text, "\n+")+1:], "+%d lainnya", &rest); err != nil || lines < 10 || lines+rest != 200 || !strings.Contains(text, "\n…\n") {
			t.Errorf("%d lines of orders and %d more (%v) in\n%s", lines, rest, err, text)
		}
	})
}

func TestADigestTellsOrdersOfTwoSourcesApart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toGroup)
		one, two := about(t, s, rule{}, "1001", 1, map[string]any{"message": "Gagal"}), about(t, s, rule{}, "1001", 2, map[string]any{"message": "Diproses"})
		two.Callback.Source = "digiflazz"
		if _, err := attempt(t, s, one, two); err != nil {
			t.Fatal(err)
		}
		if text := tg.Messages()[0].Text; !strings.HasSuffix(text, "\n• 1001: Gagal\n• 1001: Diproses") {
			t.Errorf("it says\n%s", text)
		}
	})
}

func TestTelegramTellsWhenABurstIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		tg.place.Location = time.FixedZone("WIB", 7*3600)
		s := tg.sink(t, toGroup)
		err := s.(relay.BurstEnder).BurstOver(t.Context(), relay.Burst{Since: time.Date(2026, 1, 1, 3, 5, 0, 0, time.UTC), Digests: 3, Parcels: 495})
		if ms := tg.Messages(); err != nil || ms[0].Text != "✅ Reda: 495 notifikasi diringkas dalam 3 pesan sejak 10.05." || !ms[0].Silent {
			t.Errorf("%+v, %v", ms, err)
		}
	})
}

func TestAFallbackSaysWhichSinkFailedAndWhy(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toGroup)
		c := order("{}")
		payload, err := s.Writer(sinks.Message{})(sinks.Occasion{Vars: lang.NewVars(c), Failed: "legacy", Reason: "500 <html>"})
		if err != nil {
			t.Fatal(err)
		}
		p := parcel(c, payload)
		attempt(t, s, p)
		attempt(t, s, p, p)
		ms := tg.Messages()
		if !strings.HasPrefix(ms[0].Text, "⚠️ Gagal terkirim ke legacy: 500 <html>\n\norder.failed ORDER-2025-001\n") || !strings.Contains(ms[1].Text, "• ⚠️ legacy: ORDER-2025-001") {
			t.Errorf("it says\n%s\n%s", ms[0].Text, ms[1].Text)
		}
	})
}

func TestTelegramIsSilentInQuietHours(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, toGroup)
		c := order("{}")
		quiet, _ := s.Writer(sinks.Message{})(sinks.Occasion{Vars: lang.NewVars(c), Silent: true})
		loud, _ := s.Writer(sinks.Message{})(sinks.Occasion{Vars: lang.NewVars(c)})
		attempt(t, s, parcel(c, quiet))
		attempt(t, s, parcel(c, loud))
		attempt(t, s, parcel(c, quiet), parcel(c, quiet))
		attempt(t, s, parcel(c, quiet), parcel(c, loud))
		var silent []bool
		for _, m := range tg.Messages() {
			silent = append(silent, m.Silent)
		}
		if fmt.Sprint(silent) != "[true false true false]" {
			t.Errorf("silent: %v", silent)
		}
	})
}

func TestATextThatFailsIsToldWhenItIsRendered(t *testing.T) {
	const fails = `{{ int("x") }}`
	for kind, settings := range map[string]string{"telegram": "{token: a, chat: 7}", "email": "{server: 'smtp://x', from: a@x.test, to: b@x.test}"} {
		for part, says := range map[string]sinks.Message{"text": {Text: conf.String{Text: fails}}, "line": {Line: conf.String{Text: fails}}, "subject": {Subject: conf.String{Text: fails}}} {
			_, err := open(t, kind, settings).Writer(says)(sinks.Occasion{Vars: lang.NewVars(order("{}"))})
			if none := kind == "telegram" && part == "subject"; (err == nil) != none {
				t.Errorf("%s of %s: %v", part, kind, err)
			}
		}
	}
	for _, button := range []string{"{text: '" + fails + "', url: 'https://a.id'}", "{text: x, url: 'https://a.id/" + fails + "'}"} {
		if _, err := open(t, "telegram", "{token: a, chat: 7, buttons: ["+button+"]}").Writer(sinks.Message{})(sinks.Occasion{Vars: lang.NewVars(order("{}"))}); err == nil {
			t.Errorf("%s is rendered", button)
		}
	}
}

func TestTelegramPayloadThatCannotBeReadIsADeadLetter(t *testing.T) {
	s := open(t, "telegram", "{token: a, chat: 7}")
	for _, payload := range []string{"", "x", "[]"} {
		p := parcel(order("{}"), []byte(payload))
		if _, err := attempt(t, s, p); !isPermanent(err) {
			t.Errorf("%q: %v", payload, err)
		}
		if s.Preview(p).Text == "" {
			t.Errorf("%q has an empty preview", payload)
		}
	}
}

func TestTelegramSettingsThatAreWrongAreReportedAtTheirPlace(t *testing.T) {
	for settings, want := range map[string]string{
		"{chat: 7}":                                 `rules.yaml:1:1: "token" is missing`,
		"{token: a}":                                `rules.yaml:1:1: "chat" is missing`,
		"{token: '', chat: 7}":                      "rules.yaml:1:9: the token is empty",
		"{token: 'a b', chat: 7}":                   "rules.yaml:1:9: this is no bot token",
		"{token: a, chat: Operator}":                `rules.yaml:1:18: "Operator" is no chat`,
		"{token: a, chat: 7, topic: x}":             `rules.yaml:1:28: want a whole number, not "x"`,
		"{token: a, chat: 7, api: api.test}":        `rules.yaml:1:26: this is no address of a Bot API server`,
		"{token: a, chat: 7, api: 'http://u:p@x/'}": `rules.yaml:1:26: this is no address of a Bot API server`,
		"{token: a, chat: 7, buttons: [{text: '{{ x', url: 'https://a.id'}]}":            "rules.yaml:1:39: ",
		"{token: a, chat: 7, buttons: [{text: x, url: 'ftp://a.id'}]}":                   "rules.yaml:1:46: a button leads to",
		"{token: a, chat: 7, buttons: [{text: x, url: 'https://a.id/{{ ref_id }}'}]}":    "",
		"{token: a, chat: 7, buttons: [{text: x, url: 'https://{{ data.host }}.id/x'}]}": "rules.yaml:1:46: where a button leads, the host",
		"{token: a, chat: 7, buttons: [{text: x, url: 'tg://user?id=1'}]}":               "",
		"{token: a, chat: '@kurir_ops', api: 'http://localhost:8081/'}":                  "",
	} {
		_, problems := load("telegram", settings, nil, sinks.Place{})
		if got := problems.Error(); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s:\n%s\nwant %s", settings, got, want)
		}
	}
}

func TestTagsOfATextAreCheckedAtTheirPlace(t *testing.T) {
	for text, want := range map[string]string{
		"text: |\n  ❌ <b>{{ \"}}\" }}</b>\n  {{ ref_id }} <h1>x</h1>\n": "rules.yaml:3:16: Telegram knows no tag <h1>: use b i u s a",
		"line: '<i>{{ ref_id }}'\n":                                     "rules.yaml:1:8: <i> is never closed: write </i>",
		"text: '<a href={{ data.url }}>x</a>'\n":                        "rules.yaml:1:8: the attributes of <a> can't be read: put quotes around their values",
		"text: '<{{ data.tag }}>x'\n":                                   "rules.yaml:1:8: a tag's name cannot be an expression",
		"text: <a href=\"{{ data.url }}\">{{ '<br>' }}</a> & so\n":      "",
	} {
		f := conf.Parse("rules.yaml", []byte(text), nil)
		var says struct {
			Text conf.String `conf:"text"`
			Line conf.String `conf:"line"`
		}
		f.Root().Decode(&says)
		open(t, "telegram", "{token: a, chat: 7}").Writer(sinks.Message{Text: says.Text, Line: says.Line})
		if got := f.Problems().Error(); !strings.HasPrefix(got, want) || (want == "") != (got == "") {
			t.Errorf("%s: %s, want %s", text, got, want)
		}
	}
}

func TestTelegramWithoutATokenOrChatPrintsOnTheConsole(t *testing.T) {
	for _, settings := range []string{"{token: '${UNSET:-}', chat: 7}", "{token: '" + botToken + "', chat: '${UNSET:-}'}"} {
		s, out := onConsole(t, "telegram", settings)
		answer, err := attempt(t, s, about(t, s, rule{text: "<b>{{ ref_id }}</b>"}, "INV-1", 1, nil))
		if err != nil || !answer.Console || !strings.Contains(out.String(), "<b>INV-1</b>") || strings.Contains(out.String(), botSecret) {
			t.Errorf("%+v, %v:\n%s", answer, err, out)
		}
	}
}

func TestTelegramTellsWhetherItsBotAndChatAreThere(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		for keys, want := range map[string]string{toGroup: "<nil>", "chat: '-9'": "chat -9: Bad Request: chat not found"} {
			if err := tg.sink(t, keys).(sinks.Checker).Check(t.Context()); fmt.Sprint(err) != want {
				t.Errorf("%v, want %s", err, want)
			}
		}
		tg.Token = "123456:NEW"
		if err := tg.sink(t, toGroup).(sinks.Checker).Check(t.Context()); err == nil || err.Error() != "the bot: Unauthorized" {
			t.Errorf("with another token: %v", err)
		}
		if len(tg.Messages()) != 0 {
			t.Error("the question was a message")
		}
	})
}

func TestChatsListsWhatTheBotHasHeardFrom(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		tg := newBot(t)
		s := tg.sink(t, "chat: '${UNSET:-}'")
		chats, err := sinks.Chats(t.Context(), s)
		got, _ := json.Marshal(chats)
		if want := `[{"id":-100,"type":"supergroup","title":"Operator"},{"id":7,"type":"private","title":"Budi"}]`; err != nil || string(got) != want {
			t.Errorf("%s, %v", got, err)
		}
		busy := `{"update_id":1,"message":{"message_id":1,"date":0,"chat":{"id":7,"type":"private","first_name":"Budi"},"text":"` + strings.Repeat("x", 4096) + `"}},`
		tg.Next(body(200, `{"ok":true,"result":[`+strings.TrimRight(strings.Repeat(busy, 100), ",")+`]}`))
		if chats, err := sinks.Chats(t.Context(), s); err != nil || len(chats) != 1 || chats[0].ID != 7 {
			t.Errorf("of a hundred long messages: %v, %v", chats, err)
		}
		tg.Next(sinktest.Refuse(409, "Conflict: can't use getUpdates method while webhook is active", 0))
		if _, err := sinks.Chats(t.Context(), s); err == nil || !strings.Contains(err.Error(), "webhook is active") {
			t.Errorf("with a webhook: %v", err)
		}
		noToken, _ := onConsole(t, "telegram", "{token: '${UNSET:-}', chat: '${UNSET:-}'}")
		if _, err := sinks.Chats(t.Context(), noToken); err == nil || err.Error() != "the sink has no token yet" {
			t.Errorf("without a token: %v", err)
		}
		if _, err := sinks.Chats(t.Context(), open(t, "log", "{}")); !errors.Is(err, errors.ErrUnsupported) {
			t.Errorf("of a log: %v", err)
		}
	})
}
