package sinks_test

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/sinks"
	"github.com/kurir-relay/kurir/sinks/sinktest"
)

// A post is the stand-in in memory, and what a sink needs to trust it.
type post struct {
	*sinktest.SMTP
	place sinks.Place
	ca    string
}

// newPost serves s with a certificate for mail.test; with implicit TLS if
// secure, without any if s has no Cert and plain is set.
func newPost(t *testing.T, s *sinktest.SMTP, scheme string) *post {
	t.Helper()
	p := &post{SMTP: s, ca: filepath.Join(t.TempDir(), "ca.pem")}
	cert, trust, err := sinktest.NewCert(time.Now().Add(30*24*time.Hour), "mail.test")
	if err == nil {
		err = os.WriteFile(p.ca, trust, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	pipe := sinktest.NewPipe()
	p.place = sinks.Place{Name: "owner", Dial: pipe.Dial, Version: "1.2.3", Location: time.FixedZone("WIB", 7*3600)}
	var l net.Listener = pipe
	switch scheme {
	case "smtp":
		s.Cert = &cert
	case "smtps":
		l = tls.NewListener(pipe, &tls.Config{Certificates: []tls.Certificate{cert}})
	}
	go s.Serve(l)
	t.Cleanup(func() { pipe.Close(); s.Close() })
	return p
}

// sink makes a sink of the server with further keys.
func (p *post) sink(t *testing.T, scheme, keys string) sinks.Sink {
	t.Helper()
	return openAt(t, "email", "{server: '"+scheme+"://mail.test', from: Kurir <kurir@shop.test>, tls: {ca_file: '"+p.ca+"'}, "+keys+"}", p.place)
}

const toOwner = "to: [owner@x.test]"

// parts are the parts of a mail by their type, decoded.
func parts(t *testing.T, m *mail.Message) map[string]string {
	t.Helper()
	_, params, err := mime.ParseMediaType(m.Header.Get("Content-Type"))
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for r := multipart.NewReader(m.Body, params["boundary"]); ; {
		part, err := r.NextRawPart()
		if err != nil {
			return found
		}
		kind, _, _ := strings.Cut(part.Header.Get("Content-Type"), ";")
		text, err := io.ReadAll(quotedprintable.NewReader(part))
		if err != nil {
			t.Fatal(err)
		}
		found[kind] = strings.ReplaceAll(string(text), "\r\n", "\n")
	}
}

func parsed(t *testing.T, m sinktest.Mail) *mail.Message {
	t.Helper()
	msg, err := m.Message()
	if err != nil {
		t.Fatalf("%v:\n%s", err, m.Raw)
	}
	return msg
}

func TestEmailIsAMailAsItShouldBe(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		s := p.sink(t, "smtp", "to: [Toko Jaya <owner@x.test>, staff@x.test], cc: boss@x.test")
		parcel := about(t, s, rule{text: "❌ <b>{{ ref_id }}</b>\n<a href=\"https://a.id/?a=1&amp;b=2\">Buka</a> {{ data.message }}", subject: "Gagal: {{ ref_id }} ❌"}, "INV-1", 1, nil)
		id := parcel.Delivery.ID.String()
		answer, err := attempt(t, s, parcel)
		if err != nil || answer.Status != 250 || !strings.Contains(answer.Response, "queued") {
			t.Fatalf("settled as %+v, %v", answer, err)
		}
		got := p.Mails()[0]
		if !got.TLS || got.From != "kurir@shop.test" || fmt.Sprint(got.To) != "[owner@x.test staff@x.test boss@x.test]" {
			t.Errorf("the envelope is %+v", got)
		}
		m := parsed(t, got)
		for key, want := range map[string]string{
			"From": `"Kurir" <kurir@shop.test>`, "To": `"Toko Jaya" <owner@x.test>, <staff@x.test>`, "Cc": "<boss@x.test>",
			"Subject": "Gagal: INV-1 ❌", "Message-Id": "<" + id + "@shop.test>",
			"Kurir-Delivery-Id": id, "Auto-Submitted": "auto-generated",
			"X-Auto-Response-Suppress": "All", "User-Agent": "Kurir 1.2.3", "Date": "Sat, 01 Jan 2000 07:00:00 +0700",
		} {
			if text, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get(key)); text != want {
				t.Errorf("%s is %q, want %q", key, text, want)
			}
		}
		body := parts(t, m)
		if want := "❌ INV-1\nBuka (https://a.id/?a=1&b=2) Nomor \"salah\" & <b>tutup</b>"; strings.TrimSpace(body["text/plain"]) != want {
			t.Errorf("the text is %q", body["text/plain"])
		}
		if want := "❌ <b>INV-1</b><br>\n<a href=\"https://a.id/?a=1&amp;b=2\">Buka</a> " + lang.HTML.Text(`Nomor "salah" & <b>tutup</b>`) + "\n</body>"; !strings.Contains(body["text/html"], want) {
			t.Errorf("the HTML is %q", body["text/html"])
		}
	})
}

func TestEmailKeepsItsIdAndItsThread(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		s := p.sink(t, "smtp", toOwner)
		first := about(t, s, rule{}, "INV-1", 1, nil)
		second := about(t, s, rule{}, "INV-1", 2, nil)
		other := about(t, s, rule{}, "INV-2", 3, nil)
		again := first
		again.Attempt = 2
		for _, parcel := range []relay.Parcel{first, again, second, other} {
			if _, err := attempt(t, s, parcel); err != nil {
				t.Fatal(err)
			}
		}
		var ids, threads []string
		for _, m := range p.Mails() {
			h := parsed(t, m).Header
			ids = append(ids, h.Get("Message-Id"))
			threads = append(threads, h.Get("In-Reply-To"))
			if h.Get("References") != h.Get("In-Reply-To") {
				t.Errorf("References is %q", h.Get("References"))
			}
		}
		if ids[0] != ids[1] || ids[0] == ids[2] || ids[2] == ids[3] {
			t.Errorf("the ids are %q", ids)
		}
		if threads[0] == "" || threads[0] != threads[1] || threads[0] != threads[2] || threads[0] == threads[3] {
			t.Errorf("the threads are %q", threads)
		}
	})
}

func TestEmailSubjectIsOneLineWhateverTheDataHolds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		s := p.sink(t, "smtp", toOwner)
		for i, tt := range []struct{ subject, data, want string }{
			{"{{ data.x }}", "a\r\nBcc: evil@x.test\r\n\r\nhi", "a Bcc: evil@x.test hi"},
			{"{{ data.x }}", "a\x00b\x1b[31m\u2028c\u0085d", "a b [31m c d"},
			{"{{ data.x }}", "gpj.\u202egnp\u2066x", "gpj.gnpx"},
			{"{{ data.x }}", "\xff\xfe", "\uFFFD"},
			{"{{ data.x }}", strings.Repeat("ü", 300), strings.Repeat("ü", 199) + "…"},
			{"{{ data.x }}", " ", "order.failed INV-1"},
			{"dua\nbaris\n", "", "dua baris"},
			{"", "", "order.failed INV-1"},
		} {
			if _, err := attempt(t, s, about(t, s, rule{subject: tt.subject}, "INV-1", i+1, map[string]any{"x": tt.data})); err != nil {
				t.Fatal(err)
			}
			mails := p.Mails()
			m := parsed(t, mails[len(mails)-1])
			if got, _ := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject")); got != tt.want || m.Header.Get("Bcc") != "" {
				t.Errorf("%q with %q: %q, want %q", tt.subject, tt.data, got, tt.want)
			}
			for line := range strings.Lines(string(mails[len(mails)-1].Raw)) {
				if len(line) > 998 || strings.ContainsAny(line, "\x00\x1b") {
					t.Errorf("a line of the mail is %q", line)
				}
			}
		}
	})
}

func TestEmailSpeaksEachSchemeAndLogin(t *testing.T) {
	for _, tt := range []struct{ scheme, login string }{
		{"smtp", ""}, {"smtp", "PLAIN"}, {"smtp", "LOGIN"}, {"smtp", "CRAM-MD5"}, {"smtp", "CRAM-MD5 PLAIN LOGIN"},
		{"smtps", ""}, {"smtps", "PLAIN"}, {"smtps", "LOGIN"}, {"smtps", "CRAM-MD5"},
		{"smtp+insecure", ""}, {"smtp+insecure", "PLAIN"}, {"smtp+insecure", "LOGIN"}, {"smtp+insecure", "CRAM-MD5"},
	} {
		t.Run(tt.scheme+" "+tt.login, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server, keys := &sinktest.SMTP{}, toOwner
				if tt.login != "" {
					server.Users, server.Logins = map[string]string{"kurir": "pass word"}, strings.Fields(tt.login)
					keys += ", username: kurir, password: pass word"
				}
				p := newPost(t, server, tt.scheme)
				s, problems := load("email", "{server: '"+tt.scheme+"://mail.test', from: kurir@shop.test, tls: {ca_file: '"+p.ca+"'}, "+keys+"}", nil, p.place)
				defer s.Close()
				if warned := len(problems) > 0; warned != (tt.scheme == "smtp+insecure") || len(problems.Errors()) > 0 {
					t.Errorf("the settings: %v", problems)
				}
				if err := s.(sinks.Checker).Check(t.Context()); err != nil || len(p.Mails()) != 0 {
					t.Errorf("the check: %v", err)
				}
				if _, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil)); err != nil {
					t.Fatal(err)
				}
				if m := p.Mails()[0]; m.TLS == (tt.scheme == "smtp+insecure") || (m.User != "") != (tt.login != "") {
					t.Errorf("it came %+v", m)
				}
			})
		})
	}
}

// What a mail server answers at each step, and what follows.
func TestEmailAnswersDecide(t *testing.T) {
	for _, tt := range []struct {
		step      string
		code      int
		permanent bool
	}{
		{"AUTH", 454, false}, {"AUTH", 535, true}, {"AUTH", 534, true},
		{"MAIL", 421, false}, {"MAIL", 451, false}, {"MAIL", 550, true}, {"MAIL", 530, true},
		{"RCPT", 421, false}, {"RCPT", 450, false}, {"RCPT", 452, false}, {"RCPT", 550, true}, {"RCPT", 551, true},
		{"DATA", 421, false}, {"DATA", 451, false}, {"DATA", 452, false}, {"DATA", 552, true}, {"DATA", 554, true},
	} {
		t.Run(fmt.Sprint(tt.step, " ", tt.code), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				logged(t)
				refuse := true
				server := &sinktest.SMTP{Users: map[string]string{"kurir": "pass word"}, Refuse: func(step, _ string) error {
					if refuse && step == tt.step {
						return sinktest.Code(tt.code, "no: pass word")
					}
					return nil
				}}
				p := newPost(t, server, "smtp")
				s := p.sink(t, "smtp", toOwner+", username: kurir, password: pass word")
				parcel := about(t, s, rule{}, "INV-1", 1, nil)
				answer, err := attempt(t, s, parcel)
				if err == nil || isPermanent(err) != tt.permanent || answer.Status != tt.code {
					t.Errorf("settled as %+v, %v", answer, err)
				}
				if strings.Contains(fmt.Sprintf("%+v %v", answer, err), "pass word") {
					t.Errorf("the password shows: %+v, %v", answer, err)
				}
				refuse = false
				time.Sleep(5 * time.Minute)
				if _, err := attempt(t, s, parcel); err != nil || len(p.Mails()) != 1 {
					t.Errorf("the next attempt: %v, %d mails", err, len(p.Mails()))
				}
			})
		})
	}
}

func TestAMailServerThatTurnsUsAwayAtTheDoor(t *testing.T) {
	for greeting, permanent := range map[string]bool{"554 no service\r\n": true, "421 try later\r\n": false, "hello\r\n": false, "": false} {
		synctest.Test(t, func(t *testing.T) {
			pipe := sinktest.NewPipe()
			defer pipe.Close()
			go func() {
				for {
					c, err := pipe.Accept()
					if err != nil {
						return
					}
					io.WriteString(c, greeting)
					c.Close()
				}
			}()
			s := openAt(t, "email", "{server: 'smtp://mail.test', from: a@x.test, to: b@x.test}", sinks.Place{Dial: pipe.Dial})
			if _, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil)); err == nil || isPermanent(err) != permanent {
				t.Errorf("greeted with %q: %v", greeting, err)
			}
		})
	}
}

func TestEmailWithoutSTARTTLSIsRefusedUnlessInsecureIsAskedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := logged(t)
		p := newPost(t, &sinktest.SMTP{Users: map[string]string{"kurir": "pass word"}}, "none")
		s := p.sink(t, "smtp", toOwner+", username: kurir, password: pass word")
		for range 3 {
			_, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil))
			if !isPermanent(err) || !strings.Contains(err.Error(), "mail.test offers no STARTTLS, so nothing was sent: use smtps://") {
				t.Errorf("it ended with %v", err)
			}
		}
		if conns, logins := p.Sessions(); conns != 1 || logins != 0 || len(p.Mails()) != 0 {
			t.Errorf("%d connections, %d logins, %d mails", conns, logins, len(p.Mails()))
		}
		if n := strings.Count(logs.String(), "level=ERROR"); n != 1 {
			t.Errorf("%d alarms:\n%s", n, logs)
		}
	})
}

func TestAServerWithoutALoginThatKurirKnowsIsRefused(t *testing.T) {
	for _, logins := range [][]string{{"GSSAPI"}, {}} {
		synctest.Test(t, func(t *testing.T) {
			logged(t)
			p := newPost(t, &sinktest.SMTP{Users: map[string]string{"kurir": "pass word"}, Logins: logins}, "smtp")
			s := p.sink(t, "smtp", toOwner+", username: kurir, password: pass word")
			if _, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil)); !isPermanent(err) || !strings.Contains(err.Error(), "mail.test offers no login that Kurir knows") {
				t.Errorf("with %v: %v", logins, err)
			}
		})
	}
}

func TestAFailedLoginIsDeadWithOneAlarmAndNoHammering(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		logs := logged(t)
		server := &sinktest.SMTP{Users: map[string]string{"kurir": "another"}}
		p := newPost(t, server, "smtp")
		s := p.sink(t, "smtp", toOwner+", username: kurir, password: pass word")
		parcel := about(t, s, rule{}, "INV-1", 1, nil)
		for range 20 {
			if _, err := attempt(t, s, parcel); !isPermanent(err) || !strings.Contains(err.Error(), "mail.test refuses the login of kurir: ") {
				t.Fatalf("it ended with %v", err)
			}
		}
		if conns, logins := p.Sessions(); conns != 1 || logins != 1 {
			t.Errorf("%d connections and %d logins for 20 mails", conns, logins)
		}
		time.Sleep(5 * time.Minute)
		attempt(t, s, parcel)
		if _, logins := p.Sessions(); logins != 2 {
			t.Errorf("%d logins after five minutes", logins)
		}
		server.Users["kurir"] = "pass word"
		time.Sleep(5 * time.Minute)
		for range 2 {
			if _, err := attempt(t, s, parcel); err != nil {
				t.Errorf("with the right password: %v", err)
			}
		}
		if lost, back := strings.Count(logs.String(), "level=ERROR"), strings.Count(logs.String(), "level=INFO"); lost != 1 || back != 1 {
			t.Errorf("%d alarms, %d all-clears:\n%s", lost, back, logs)
		}
		if strings.Contains(logs.String(), "pass word") {
			t.Errorf("the password shows:\n%s", logs)
		}
	})
}

func TestEmailOneOfThreeRecipientsRefusedTheOthersHaveItOnce(t *testing.T) {
	for name, tt := range map[string]struct {
		codes     []int // of staff, attempt by attempt; 0 is taken
		permanent bool
		refused   string
	}{
		"for good":               {[]int{550}, true, "refused for staff@x.test (550 5.0.0 no)"},
		"for now":                {[]int{450, 451, 0}, false, "refused for staff@x.test (450 4.0.0 no)"},
		"for now, then for good": {[]int{450, 550}, false, "refused for staff@x.test (450 4.0.0 no)"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				codes := tt.codes
				server := &sinktest.SMTP{Refuse: func(step, about string) error {
					if step != "RCPT" || about != "staff@x.test" {
						return nil
					}
					code := codes[0]
					if codes = codes[1:]; code == 0 {
						return nil
					}
					return sinktest.Code(code, "no")
				}}
				p := newPost(t, server, "smtp")
				s := p.sink(t, "smtp", "to: [owner@x.test, staff@x.test], cc: [boss@x.test]")
				parcel := about(t, s, rule{}, "INV-1", 1, nil)
				answer, err := attempt(t, s, parcel)
				if isPermanent(err) != tt.permanent || !strings.Contains(fmt.Sprint(err), tt.refused) || answer.Note != "2 of 3 recipients have it" {
					t.Errorf("settled as %+v, %v", answer, err)
				}
				for len(codes) > 0 {
					answer, err = attempt(t, s, parcel)
				}
				last := tt.codes[len(tt.codes)-1]
				if (answer.Note == "2 of 3 recipients have it") != (last == 550) {
					t.Errorf("in the end the note is %q", answer.Note)
				}
				if isPermanent(err) != (last == 550) || (err == nil) != (last == 0) {
					t.Errorf("in the end: %v", err)
				}
				counts := map[string]int{}
				for _, m := range p.Mails() {
					for _, to := range m.To {
						counts[to]++
					}
				}
				if want := map[bool]int{true: 1}[last == 0]; counts["owner@x.test"] != 1 || counts["boss@x.test"] != 1 || counts["staff@x.test"] != want {
					t.Errorf("the mails came to %v", counts)
				}
			})
		})
	}
}

func TestAReplayIsForEveryRecipientAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &sinktest.SMTP{Refuse: func(_, about string) error {
			if about == "staff@x.test" {
				return sinktest.Code(450, "no")
			}
			return nil
		}}
		p := newPost(t, server, "smtp")
		s := p.sink(t, "smtp", "to: [owner@x.test, staff@x.test]")
		parcel := about(t, s, rule{}, "INV-1", 1, nil)
		attempt(t, s, parcel)
		attempt(t, s, parcel)
		parcel.Delivery.Replays, parcel.Replay = 1, true
		attempt(t, s, parcel)
		if n := len(p.Mails()); n != 2 {
			t.Errorf("%d mails for two attempts and a replay", n)
		}
	})
}

func TestADigestGoesToThoseWhoLackAnyOfIt(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		refuse := true
		server := &sinktest.SMTP{Refuse: func(_, about string) error {
			if refuse && about == "staff@x.test" {
				return sinktest.Code(450, "no")
			}
			return nil
		}}
		p := newPost(t, server, "smtp")
		s := p.sink(t, "smtp", "to: [owner@x.test, staff@x.test]")
		one, two, three := about(t, s, rule{}, "INV-1", 1, nil), about(t, s, rule{}, "INV-2", 2, nil), about(t, s, rule{}, "INV-3", 3, nil)
		attempt(t, s, one, two)
		refuse = false
		attempt(t, s, one, two)
		attempt(t, s, two, three)
		var to []string
		for _, m := range p.Mails() {
			to = append(to, strings.Join(m.To, "+"))
		}
		if want := "owner@x.test staff@x.test owner@x.test+staff@x.test"; strings.Join(to, " ") != want {
			t.Errorf("the mails came to %q", to)
		}
	})
}

// A digest that one recipient took and another did not is sent again with what
// came meanwhile: who has a part of it gets the rest, in a mail that no mailbox
// takes for the first one.
func TestADigestThatGrewIsNoRepetitionOfTheFirst(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		code := 450
		server := &sinktest.SMTP{Refuse: func(_, about string) error {
			if code > 0 && about == "staff@x.test" {
				return sinktest.Code(code, "no")
			}
			return nil
		}}
		p := newPost(t, server, "smtp")
		s := p.sink(t, "smtp", "to: [owner@x.test, staff@x.test]")
		var ps []relay.Parcel
		for i := range 4 {
			ps = append(ps, about(t, s, rule{}, fmt.Sprint("INV-", i), i+1, nil))
		}
		if answer, err := attempt(t, s, ps[:2]...); err == nil || isPermanent(err) || answer.Note != "1 of 2 recipients have it" {
			t.Errorf("the first: %+v, %v", answer, err)
		}
		if answer, err := attempt(t, s, ps[:3]...); err == nil || isPermanent(err) || answer.Note != "1 of 2 recipients have it" {
			t.Errorf("with a third: %+v, %v", answer, err)
		}
		code = 0
		if answer, err := attempt(t, s, ps[2], ps[3], ps[1], ps[0]); err != nil || answer.Note != "" {
			t.Errorf("with a fourth: %+v, %v", answer, err)
		}
		got := map[string][]string{}
		for _, m := range p.Mails() {
			h := parsed(t, m).Header
			for _, to := range m.To {
				got[to] = append(got[to], h.Get("Subject"))
			}
			if got[h.Get("Message-Id")] != nil {
				t.Errorf("two mails are called %s", h.Get("Message-Id"))
			}
			got[h.Get("Message-Id")] = []string{"seen"}
		}
		if owner, staff := strings.Join(got["owner@x.test"], ", "), strings.Join(got["staff@x.test"], ", "); owner != "2 notifikasi, order.failed INV-2, order.failed INV-3" || staff != "4 notifikasi" {
			t.Errorf("the owner got %q, the staff %q", owner, staff)
		}
	})
}

// After a restart nobody is known to have a digest. The same one comes under the
// same name, and one that grew under another.
func TestADigestIsNamedAfterAllOfItsDeliveries(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		var ids []string
		send := func(numbers ...int) {
			s := p.sink(t, "smtp", toOwner)
			var ps []relay.Parcel
			for _, n := range numbers {
				ps = append(ps, about(t, s, rule{}, fmt.Sprint("INV-", n), n, nil))
			}
			if _, err := attempt(t, s, ps...); err != nil {
				t.Fatal(err)
			}
			mails := p.Mails()
			ids = append(ids, parsed(t, mails[len(mails)-1]).Header.Get("Message-Id"))
		}
		send(1, 2)
		send(2, 1)
		send(1, 2, 3)
		if ids[0] != ids[1] || ids[0] == ids[2] {
			t.Errorf("the ids are %q", ids)
		}
		if raw := string(p.Mails()[0].Raw); !strings.Contains(raw, "Message-ID: "+ids[0]+"\r\n") {
			t.Errorf("the header is folded in\n%s", raw)
		}
	})
}

// Lots are refused one by one: who said 5xx does not make a dead letter of what
// another is to get later.
func TestALotThatIsRefusedForGoodLeavesTheOthersTheirRetry(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		codes := map[string]int{"staff@x.test": 450}
		server := &sinktest.SMTP{Refuse: func(_, about string) error {
			if code := codes[about]; code > 0 {
				return sinktest.Code(code, "no")
			}
			return nil
		}}
		p := newPost(t, server, "smtp")
		s := p.sink(t, "smtp", "to: [owner@x.test, staff@x.test]")
		one, two := about(t, s, rule{}, "INV-1", 1, nil), about(t, s, rule{}, "INV-2", 2, nil)
		attempt(t, s, one)
		codes = map[string]int{"owner@x.test": 450, "staff@x.test": 550}
		if answer, err := attempt(t, s, one, two); err == nil || err.Error() != "refused for owner@x.test (450 4.0.0 no), staff@x.test (550 5.0.0 no)" || isPermanent(err) || answer.Note != "0 of 2 recipients have it" {
			t.Errorf("450 and 550: %+v, %v", answer, err)
		}
		codes = map[string]int{"staff@x.test": 550}
		if answer, err := attempt(t, s, one, two); !isPermanent(err) || answer.Note != "1 of 2 recipients have it" {
			t.Errorf("550 alone: %+v, %v", answer, err)
		}
		if n := len(p.Mails()); n != 2 {
			t.Errorf("%d mails", n)
		}
	})
}

func TestEmailConnectionIsKeptInABurstAndLeftAfterwards(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{Users: map[string]string{"kurir": "pass word"}}, "smtp")
		s := p.sink(t, "smtp", toOwner+", username: kurir, password: pass word")
		send := func(n int) {
			for i := range n {
				if _, err := attempt(t, s, about(t, s, rule{}, "INV-1", i+1, nil)); err != nil {
					t.Fatal(err)
				}
				time.Sleep(5 * time.Second)
			}
		}
		send(10)
		if conns, logins := p.Sessions(); conns != 1 || logins != 1 {
			t.Errorf("ten mails took %d connections and %d logins", conns, logins)
		}
		time.Sleep(10 * time.Second)
		send(1)
		if conns, _ := p.Sessions(); conns != 2 {
			t.Errorf("after a pause there were %d connections", conns)
		}
	})
}

func TestEmailConnectionThatTheServerClosedIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{Idle: 3 * time.Second}, "smtp")
		s := p.sink(t, "smtp", toOwner)
		for i := range 3 {
			if _, err := attempt(t, s, about(t, s, rule{}, "INV-1", i+1, nil)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(5 * time.Second)
		}
		if conns, _ := p.Sessions(); conns != 3 || len(p.Mails()) != 3 {
			t.Errorf("%d connections, %d mails", conns, len(p.Mails()))
		}
	})
}

func TestEmailMailsAtOnceHaveAConnectionEach(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		p.place.Idle = 4
		s := p.sink(t, "smtp", toOwner)
		for range 3 {
			var all sync.WaitGroup
			for i := range 4 {
				all.Go(func() {
					if _, err := attempt(t, s, about(t, s, rule{}, "INV-1", i+1, nil)); err != nil {
						t.Error(err)
					}
				})
			}
			all.Wait()
		}
		if conns, _ := p.Sessions(); conns > 4 || len(p.Mails()) != 12 {
			t.Errorf("%d connections, %d mails", conns, len(p.Mails()))
		}
	})
}

func TestEmailEndsAtItsDeadline(t *testing.T) {
	for name, hang := range map[string]func(p *sinktest.SMTP, wait func()){
		"a late greeting": func(p *sinktest.SMTP, wait func()) { p.Greeting = wait },
		"a late answer": func(p *sinktest.SMTP, wait func()) {
			p.Refuse = func(step, _ string) error {
				if step == "DATA" {
					wait()
				}
				return nil
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				server := &sinktest.SMTP{}
				hang(server, func() { time.Sleep(20 * time.Second) })
				p := newPost(t, server, "smtp")
				s := p.sink(t, "smtp", toOwner)
				begun := time.Now()
				_, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil))
				fails(t, err, "mail.test did not answer in time")
				if took := time.Since(begun); took != 15*time.Second || !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("it took %v and ended with %v", took, err)
				}
				ctx, cancel := context.WithCancel(t.Context())
				time.AfterFunc(time.Second, cancel)
				begun = time.Now()
				if _, err := s.Send(ctx, []relay.Parcel{about(t, s, rule{}, "INV-1", 1, nil)}); !errors.Is(err, context.Canceled) || time.Since(begun) != time.Second {
					t.Errorf("cancelled, it took %v and ended with %v", time.Since(begun), err)
				}
				time.Sleep(time.Minute) // what the server still does
			})
		})
	}
}

func TestEmailWaitsForAGreetingWithinItsTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{Greeting: func() { time.Sleep(10 * time.Second) }}, "smtp")
		s := p.sink(t, "smtp", toOwner)
		if _, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil)); err != nil {
			t.Error(err)
		}
	})
}

func TestEmailTrustsNoCertificateItCannotProve(t *testing.T) {
	for name, tt := range map[string]struct {
		until time.Duration
		host  string
		want  string
	}{
		"expired":      {-time.Hour, "mail.test", "expired"},
		"another name": {time.Hour, "other.test", "not other.test"},
	} {
		for _, scheme := range []string{"smtp", "smtps"} {
			t.Run(name+" "+scheme, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					cert, trust, err := sinktest.NewCert(time.Now().Add(tt.until), "mail.test")
					if err != nil {
						t.Fatal(err)
					}
					server, pipe := &sinktest.SMTP{Cert: &cert}, sinktest.NewPipe()
					var l net.Listener = pipe
					if scheme == "smtps" {
						l = tls.NewListener(pipe, &tls.Config{Certificates: []tls.Certificate{cert}})
					}
					go server.Serve(l)
					t.Cleanup(func() { pipe.Close(); server.Close() })
					ca := filepath.Join(t.TempDir(), "ca.pem")
					os.WriteFile(ca, trust, 0o600)
					s := openAt(t, "email", "{server: '"+scheme+"://"+tt.host+"', from: a@x.test, to: b@x.test, tls: {ca_file: '"+ca+"'}}", sinks.Place{Dial: pipe.Dial})
					_, err = attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil))
					fails(t, err, tt.want)
					if len(server.Mails()) != 0 {
						t.Error("it was sent all the same")
					}
				})
			})
		}
	}
}

func TestEmailServerThatIsNotThereIsTriedAgain(t *testing.T) {
	for _, why := range []error{errors.New("connection refused"), &net.DNSError{Err: "no such host", Name: "mail.test", IsNotFound: true}} {
		place := sinks.Place{Dial: func(context.Context, string, string) (net.Conn, error) { return nil, why }}
		s := openAt(t, "email", "{server: 'smtp://mail.test', from: a@x.test, to: b@x.test}", place)
		_, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil))
		fails(t, err, why.Error())
	}
}

func TestEmailServerMayBeAnIPv6Address(t *testing.T) {
	for server, want := range map[string]string{
		"smtp+insecure://[::1]:1025": "[::1]:1025", "smtp://[2001:db8::25]": "[2001:db8::25]:587",
		"smtps://mail.test": "mail.test:465", "smtp+insecure://127.0.0.1": "127.0.0.1:25",
	} {
		var dialled string
		place := sinks.Place{Dial: func(_ context.Context, _, addr string) (net.Conn, error) {
			dialled = addr
			return nil, errors.New("connection refused")
		}}
		s, _ := load("email", "{server: '"+server+"', from: a@x.test, to: b@x.test}", nil, place)
		_, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil))
		if fails(t, err, "connection refused"); dialled != want {
			t.Errorf("%s is dialled as %q, want %q", server, dialled, want)
		}
	}
}

func TestADigestIsOneMail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		s := p.sink(t, "smtp", toOwner)
		var ps []relay.Parcel
		for i := range 300 {
			ps = append(ps, about(t, s, rule{line: "<b>{{ ref_id }}</b>"}, fmt.Sprint("INV-", i), i+1, map[string]any{"product": "PLN", "message": "Gangguan"}))
		}
		if _, err := attempt(t, s, ps...); err != nil {
			t.Fatal(err)
		}
		mails := p.Mails()
		m := parsed(t, mails[0])
		text := parts(t, m)["text/plain"]
		if len(mails) != 1 || m.Header.Get("Subject") != "300 notifikasi" || !strings.HasSuffix(m.Header.Get("Message-Id"), ".digest@shop.test>") ||
			!strings.HasPrefix(text, "300 notifikasi\nPLN ×300: Gangguan 300\n\n• INV-0\n") || !strings.Contains(text, "• INV-299") {
			t.Errorf("%d mails, %v\n%s", len(mails), m.Header, text)
		}
		if v := s.Preview(ps[0]); v.Subject != "order.failed INV-0" || v.To != "owner@x.test" || !strings.HasPrefix(v.Text, "order.failed INV-0") {
			t.Errorf("the preview is %+v", v)
		}
	})
}

func TestEmailTellsWhenABurstIsOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		s := p.sink(t, "smtp", toOwner)
		err := s.(relay.BurstEnder).BurstOver(t.Context(), relay.Burst{Since: time.Date(2026, 1, 1, 3, 5, 0, 0, time.UTC), Digests: 3, Parcels: 495})
		if err != nil {
			t.Fatal(err)
		}
		if m := parsed(t, p.Mails()[0]); m.Header.Get("Subject") != "Reda" || !strings.Contains(parts(t, m)["text/plain"], "495 notifikasi diringkas dalam 3 pesan sejak 10.05") {
			t.Errorf("%v", m.Header)
		}
	})
}

func TestAMailAboutADeadLetterSaysSoInItsSubject(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		s := p.sink(t, "smtp", toOwner)
		c := order("{}")
		payload, err := s.Writer(sinks.Message{})(sinks.Occasion{Vars: lang.NewVars(c), Failed: "ops", Reason: "chat not found"})
		if err != nil {
			t.Fatal(err)
		}
		attempt(t, s, parcel(c, payload))
		m := parsed(t, p.Mails()[0])
		if m.Header.Get("Subject") != "[gagal: ops] order.failed ORDER-2025-001" || !strings.Contains(parts(t, m)["text/plain"], "Gagal terkirim ke ops: chat not found") {
			t.Errorf("%v", m.Header)
		}
	})
}

func TestEmailSettingsThatAreWrongAreReportedAtTheirPlace(t *testing.T) {
	const rest = ", from: a@x.test, to: b@x.test}"
	for settings, want := range map[string]string{
		"{from: a@x.test, to: b@x.test}":                          `rules.yaml:1:1: "server" is missing`,
		"{server: 'smtp://x', to: b@x.test}":                      `rules.yaml:1:1: "from" is missing`,
		"{server: 'smtp://x', from: a@x.test}":                    `rules.yaml:1:1: "to" is missing`,
		"{server: ''" + rest:                                      "rules.yaml:1:10: the server is empty",
		"{server: mail.x.test" + rest:                             "rules.yaml:1:10: this is no mail server: write smtp://host:587",
		"{server: 'smtp://x:abc'" + rest:                          "rules.yaml:1:10: this is no mail server",
		"{server: 'smtp://x:70000'" + rest:                        "rules.yaml:1:10: 70000 is no port",
		"{server: 'http://x'" + rest:                              "rules.yaml:1:10: this is no mail server",
		"{server: 'smtp://kurir:hush@x'" + rest:                   "rules.yaml:1:10: the login stands under username and password",
		"{server: 'smtp://x', password: hush" + rest:              "rules.yaml:1:32: there is a password, but no username",
		"{server: 'smtp+insecure://x.test:25'" + rest:             "rules.yaml:1:10: warning: mails and the password go to x.test without encryption",
		"{server: 'smtp+insecure://127.0.0.1'" + rest:             "",
		"{server: 'smtp+insecure://[::1]:1025'" + rest:            "",
		"{server: 'smtps://x/'" + rest:                            "",
		"{server: 'smtp://x', from: kurir, to: b@x.test}":         `rules.yaml:1:28: "kurir" is no mail address: write a@example.com`,
		"{server: 'smtp://x', from: a@x.test, to: [b@x.test, c]}": `rules.yaml:1:53: "c" is no mail address`,
		"{server: 'smtp://x', from: a@x.test, to: ['']}":          "rules.yaml:1:43: the address is empty",
	} {
		_, problems := load("email", settings, nil, sinks.Place{})
		if got := problems.Error(); !strings.HasPrefix(got, want) || want == "" && got != "" || strings.Contains(got, "hush") {
			t.Errorf("%s:\n%s\nwant %s", settings, got, want)
		}
	}
}

func TestEmailWithoutAServerOrRecipientPrintsOnTheConsole(t *testing.T) {
	for _, settings := range []string{
		"{server: '${UNSET:-}', from: a@x.test, to: b@x.test}", "{server: 'smtp://x', from: '${UNSET:-}', to: b@x.test}",
		"{server: 'smtp://x', from: a@x.test, to: ['${UNSET:-}']}",
	} {
		s, out := onConsole(t, "email", settings)
		answer, err := attempt(t, s, about(t, s, rule{text: "<b>{{ ref_id }}</b>", subject: "Gagal"}, "INV-1", 1, nil))
		if err != nil || !answer.Console || !strings.Contains(out.String(), "│ Subject: Gagal\n│\n│ INV-1\n") {
			t.Errorf("%+v, %v:\n%s", answer, err, out)
		}
	}
}

func TestEmailAddressesAreReadOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := newPost(t, &sinktest.SMTP{}, "smtp")
		s := p.sink(t, "smtp", "to: [owner@x.test, Owner <owner@x.test>, '${UNSET:-}'], cc: owner@x.test")
		if _, err := attempt(t, s, about(t, s, rule{}, "INV-1", 1, nil)); err != nil {
			t.Fatal(err)
		}
		if to := p.Mails()[0].To; !slices.Equal(to, []string{"owner@x.test"}) {
			t.Errorf("it came to %v", to)
		}
	})
}
