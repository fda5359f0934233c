package sinks_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/sinks"
)

// A got is a request as a far side received it.
type got struct {
	method, uri, host string
	header            http.Header
	body              string
}

// far is a far side that keeps what it gets and answers with a handler, or 200.
func far(t *testing.T, answer http.HandlerFunc) (url string, requests chan got) {
	t.Helper()
	requests = make(chan got, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		requests <- got{r.Method, r.RequestURI, r.Host, r.Header, string(b)}
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, requests
}

func send(t *testing.T, s sinks.Sink, p relay.Parcel) (relay.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	return s.Send(ctx, []relay.Parcel{p})
}

// deliver sends a callback that the far side must take, and gives what it got.
func deliver(t *testing.T, s sinks.Sink, p relay.Parcel, requests chan got) got {
	t.Helper()
	if _, err := send(t, s, p); err != nil {
		t.Fatalf("not delivered: %v", err)
	}
	return <-requests
}

func TestARawForwardIsTheCallbackItself(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", "url: "+url+"/cb?shop=1")
	c := order(`{"event":"order.failed"}`)
	p := parcelOf(t, s, c, "")
	if p.Delivery.Payload != nil {
		t.Errorf("a raw forward stores %q", p.Delivery.Payload)
	}
	r := deliver(t, s, p, requests)
	if r.method != "POST" || r.uri != "/cb?shop=1" || r.body != string(c.Body) || "http://"+r.host != url {
		t.Errorf("got %s %s %q at %s", r.method, r.uri, r.body, r.host)
	}
	want := http.Header{"X-Signature": {"2f8a"}, "Content-Type": {"application/json"}, "Content-Length": {"24"}, "User-Agent": {"Kurir/1.2.3"},
		"Idempotency-Key": {p.Delivery.ID.String()}, "Kurir-Delivery-Id": {p.Delivery.ID.String()}, "Kurir-Callback-Id": {c.ID.String()},
		"Kurir-Attempt": {"1"}, "Kurir-Via": r.header["Kurir-Via"]}
	if !maps.EqualFunc(r.header, want, slices.Equal) {
		t.Errorf("the header is\n%v, want\n%v", r.header, want)
	}
}

func TestTheBytesThatWereSignedAreTheBytesThatArrive(t *testing.T) {
	every := make([]byte, 256)
	for i := range every {
		every[i] = byte(i)
	}
	url, requests := far(t, nil)
	s := open(t, "http", "url: "+url)
	for name, body := range map[string]string{
		"PHP's JSON":      `{"url":"https:\/\/shop.example\/x","name":"Telkomsel \u2013 10"}`,
		"invalid UTF-8":   "{\"a\":\"\xff\xfe\xc3\x28\"}",
		"NUL and others":  string(every),
		"line ends":       "{\r\n \"a\" : 1 }\r\n\r\n",
		"a BOM":           "\xef\xbb\xbf{}",
		"nothing":         "",
		"one mebibyte":    strings.Repeat("\x00é\\/", 1<<18)[:1<<20],
		"lone surrogates": `"\ud800"`,
	} {
		t.Run(name, func(t *testing.T) {
			if r := deliver(t, s, parcel(order(body), nil), requests); r.body != body {
				t.Errorf("%d bytes arrived otherwise than the %d that were sent", len(r.body), len(body))
			}
		})
	}
}

// checker is the provider's page in Go: 401 unless X-Signature is the hex
// HMAC-SHA256 of the raw body.
func checker(secret string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		raw, _ := io.ReadAll(r.Body)
		if !hmac.Equal([]byte(r.Header.Get("X-Signature")), []byte(signature(secret, raw))) {
			w.WriteHeader(http.StatusUnauthorized)
			io.WriteString(w, `{"error":"Invalid signature"}`)
			return
		}
		io.WriteString(w, `{"status":"ok"}`)
	}
}

func signature(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

func TestTheFarSidesOwnCheckOfTheSignatureStillPasses(t *testing.T) {
	srv := httptest.NewServer(checker("s3cret"))
	defer srv.Close()
	s := open(t, "http", "url: "+srv.URL)
	c := order("{\"ref\":\"\\/\xff\x00\"}\n")
	c.Header.Set("X-Signature", signature("s3cret", c.Body))
	if ans, err := send(t, s, parcel(c, nil)); err != nil || ans.Response != `{"status":"ok"}` {
		t.Errorf("refused: %v %+v", err, ans)
	}
	c.Body = bytes.Replace(c.Body, []byte("ref"), []byte("reg"), 1)
	if ans, err := send(t, s, parcel(c, nil)); err == nil || ans.Status != 401 {
		t.Errorf("a flipped byte was taken: %+v", ans)
	}
}

func TestHeadersArePassedOnAsTheyCameWithoutThoseOfTheLastHop(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", "url: "+url)
	c := order("{}")
	keep := http.Header{
		"X-Signature":   {"AbC=="},
		"X-Odd":         {"\xe9t\xe9 ünï  two  spaces; a=\"b\""},
		"X-Several":     {"one", "two, three"},
		"Authorization": {"Basic dTpw"},
		"Cookie":        {"a=1; b=2"},
		"User-Agent":    {"IsiKuota/2"},
		"Content-Type":  {"application/json; charset=utf-8"},
	}
	c.Header = keep.Clone()
	for name, value := range map[string]string{"Connection": "keep-alive, X-Hop", "X-Hop": "1", "Keep-Alive": "timeout=5", "Te": "trailers",
		"Trailer": "X", "Transfer-Encoding": "chunked", "Upgrade": "h2c", "Proxy-Authorization": "Basic x", "Proxy-Connection": "close",
		"Content-Length": "999", "Host": "relay.example.com", "Idempotency-Key": "theirs", "Kurir-Replay": "1", "Kurir-Attempt": "7",
		"Accept-Encoding": "gzip", "Expect": "100-continue"} {
		c.Header.Set(name, value)
	}
	r := deliver(t, s, parcel(c, nil), requests)
	for name := range r.header {
		if strings.HasPrefix(name, "Kurir-") || name == "Idempotency-Key" || name == "Content-Length" {
			continue
		}
		if !slices.Equal(r.header[name], keep[name]) {
			t.Errorf("%s arrived as %q, want %q", name, r.header[name], keep[name])
		}
		delete(keep, name)
	}
	if len(keep) > 0 {
		t.Errorf("these are missing: %v", keep)
	}
	if r.header.Get("Kurir-Replay") != "" || r.header.Get("Kurir-Attempt") != "1" || r.header.Get("Content-Length") != "2" {
		t.Errorf("what Kurir sets itself was passed on: %v", r.header)
	}
}

func TestEveryAttemptCarriesTheSameId(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", "url: "+url)
	p := parcel(order("{}"), nil)
	first := deliver(t, s, p, requests)
	p.Attempt, p.Replay, p.Delivery.Fallback = 4, true, "ops"
	later := deliver(t, s, p, requests)
	for _, name := range []string{"Idempotency-Key", "Kurir-Delivery-Id", "Kurir-Callback-Id"} {
		if first.header.Get(name) == "" || first.header.Get(name) != later.header.Get(name) {
			t.Errorf("%s was %q, then %q", name, first.header.Get(name), later.header.Get(name))
		}
	}
	if h := later.header; h.Get("Kurir-Attempt") != "4" || h.Get("Kurir-Replay") != "1" || h.Get("Kurir-Fallback") != "ops" {
		t.Errorf("a replayed fourth attempt as a fallback says %v", h)
	}
}

func TestAGetCallbackIsForwardedWithItsMethodAndQuery(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", "url: "+url+"/report?shop=1")
	c := order("")
	c.Method, c.URI = "GET", "/webhook/otomax?refid=A%201&message=R%23ok"
	if r := deliver(t, s, parcel(c, nil), requests); r.method != "GET" || r.uri != "/report?shop=1&refid=A%201&message=R%23ok" {
		t.Errorf("got %s %s", r.method, r.uri)
	}
}

func TestRequestsMadeByTemplates(t *testing.T) {
	const ref = "ORDER-2025-001"
	for name, tt := range map[string]struct {
		settings, text           string
		method, uri, ctype, body string
	}{
		"a query for an H2H engine": {
			settings: `{method: GET, url: "URL/report?pin=1", query: {refid: "{{ ref_id }}", status: '{{ event == "order.success" ? 1 : 2 }}', sn: "{{ data.sn }}", cmd: a b}}`,
			method:   "GET", uri: "/report?pin=1&cmd=a%20b&refid=" + ref + "&status=2&sn=A%2BB%2FC%3D1%202",
		},
		"a mapping as JSON": {
			settings: `{url: URL, body: {ref: "{{ ref_id }}", price: "{{ data.price }}", note: "Rp{{ data.price }}: {{ data.message }}", phone: "0812", n: 1.50, hex: 0x1F, ok: true, none: null, list: ["{{ event }}", {a: 1}], missing: "{{ data.nope }}"}}`,
			method:   "POST", uri: "/", ctype: "application/json",
			body: `{"ref":"` + ref + `","price":11500,"note":"Rp11500: Nomor \"salah\" & <b>tutup</b>","phone":"0812","n":1.50,"hex":"0x1F","ok":true,"none":null,"list":["order.failed",{"a":1}],"missing":null}`,
		},
		"a list as JSON": {
			settings: `{url: URL, method: put, body: ["{{ ref_id }}"]}`,
			method:   "PUT", uri: "/", ctype: "application/json", body: `["` + ref + `"]`,
		},
		"a form": {
			settings: `{url: URL, form: {target: "0812", message: "{{ data.message }}"}}`,
			method:   "POST", uri: "/", ctype: "application/x-www-form-urlencoded",
			body: "target=0812&message=Nomor%20%22salah%22%20%26%20%3Cb%3Etutup%3C%2Fb%3E",
		},
		"plain text": {
			settings: `{url: URL, body: "{{ ref_id }}: {{ data.message }}"}`,
			method:   "POST", uri: "/", ctype: "text/plain; charset=utf-8", body: ref + `: Nomor "salah" & <b>tutup</b>`,
		},
		"JSON as text": {
			settings: `{url: URL, body: '{"m": "{{ data.message }}", "n": {{ data.price }}}'}`,
			method:   "POST", uri: "/", ctype: "application/json", body: `{"m": "Nomor \"salah\" & <b>tutup</b>", "n": 11500}`,
		},
		"XML": {
			settings: `{url: URL, body: "<m>{{ data.message }}</m>"}`,
			method:   "POST", uri: "/", ctype: "application/xml", body: "<m>Nomor &#34;salah&#34; &amp; &lt;b&gt;tutup&lt;/b&gt;</m>",
		},
		"the type that the headers name": {
			settings: `{url: URL, headers: {content-type: application/x-www-form-urlencoded}, body: "a=1&m={{ data.sn }}"}`,
			method:   "POST", uri: "/", ctype: "application/x-www-form-urlencoded", body: "a=1&m=A%2BB%2FC%3D1%202",
		},
		"a path": {
			settings: `{url: "URL/shops/{{ source }}/{{ data.sn }}?x={{ data.sn }}"}`,
			method:   "POST", uri: "/shops/isikuota/A%2BB%2FC%3D1%202?x=A%2BB%2FC%3D1%202", ctype: "application/json", body: "{}",
		},
		"what the rule says": {
			settings: `{url: URL, body: {message: "{{ text }}", title: "{{ subject }}"}}`,
			text:     "❌ <b>{{ ref_id }}</b>\n{{ data.message }}",
			method:   "POST", uri: "/", ctype: "application/json",
			body: `{"message":"❌ ` + ref + `\nNomor \"salah\" & <b>tutup</b>","title":"order.failed ` + ref + `"}`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			url, requests := far(t, nil)
			s := open(t, "http", strings.ReplaceAll(tt.settings, "URL", url))
			r := deliver(t, s, parcelOf(t, s, order("{}"), tt.text), requests)
			if r.method != tt.method || r.uri != tt.uri || r.header.Get("Content-Type") != tt.ctype || r.body != tt.body {
				t.Errorf("got  %s %s (%s)\n%s\nwant %s %s (%s)\n%s", r.method, r.uri, r.header.Get("Content-Type"), r.body,
					tt.method, tt.uri, tt.ctype, tt.body)
			}
			if signed := r.header.Get("X-Signature"); (signed != "") != (name == "a path") {
				t.Errorf("X-Signature is %q: it belongs to the callback's own bytes, and to nothing else", signed)
			}
		})
	}
}

func TestSettingsAddHeadersAndTakeThemAway(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", `{url: "`+url+`", headers: {X-Order: "{{ ref_id }}", x-signature: "", X-Shop: toko, Host: shop.example, X-Lines: "{{ data.message + \"\\r\\nX-Evil: 1\" }}"}}`)
	r := deliver(t, s, parcelOf(t, s, order("{}"), ""), requests)
	if r.header.Get("X-Order") != "ORDER-2025-001" || r.header["X-Signature"] != nil || r.header.Get("X-Shop") != "toko" || r.host != "shop.example" {
		t.Errorf("host %s, header %v", r.host, r.header)
	}
	if r.header.Get("X-Evil") != "" || !strings.Contains(r.header.Get("X-Lines"), "X-Evil: 1") {
		t.Errorf("a value became a header of its own: %v", r.header)
	}
}

func TestCredentialsAreThoseInForceAndAreNotStored(t *testing.T) {
	url, requests := far(t, nil)
	before := open(t, "http", `{url: "`+url+`/{{ ref_id }}?key=old-token", headers: {X-Token: old-token}, query: {pin: old-token, id: "{{ ref_id }}"}}`)
	p := parcelOf(t, before, order("{}"), "")
	if strings.Contains(string(p.Delivery.Payload), "old-token") {
		t.Errorf("the store gets %s", p.Delivery.Payload)
	}
	after := open(t, "http", `{url: "`+url+`/{{ ref_id }}?key=new-token", headers: {X-Token: new-token}, query: {pin: new-token}}`)
	r := deliver(t, after, p, requests)
	if r.header.Get("X-Token") != "new-token" || r.uri != "/ORDER-2025-001?key=new-token&pin=new-token&id=ORDER-2025-001" {
		t.Errorf("got %s with %v", r.uri, r.header)
	}
}

func TestAReloadChangesNoRequestThatWasDecided(t *testing.T) {
	url, requests := far(t, nil)
	raw := open(t, "http", "url: "+url+"/raw")
	made := open(t, "http", `{url: "`+url+`/made", body: {ref: "{{ ref_id }}"}}`)
	path := open(t, "http", `{url: "`+url+`/{{ ref_id }}"}`)
	forward, rendered := parcelOf(t, raw, order("{}"), ""), parcelOf(t, made, order("{}"), "")

	if r := deliver(t, made, forward, requests); r.body != "{}" || r.uri != "/made" || r.header.Get("X-Signature") == "" {
		t.Errorf("a forward became %s %q", r.uri, r.body)
	}
	if r := deliver(t, raw, rendered, requests); r.body != `{"ref":"ORDER-2025-001"}` || r.uri != "/raw" || r.header.Get("X-Signature") != "" {
		t.Errorf("a request made by templates became %s %q", r.uri, r.body)
	}
	if r := deliver(t, raw, parcelOf(t, path, order("{}"), ""), requests); r.uri != "/raw" {
		t.Errorf("the address in force is not used: %s", r.uri)
	}
	if _, err := send(t, path, forward); err == nil || !strings.Contains(err.Error(), "templates") {
		t.Errorf("a path that was never rendered: %v", err)
	}
}

func TestAnEmptyPayloadOfTheStoreIsNone(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", "url: "+url)
	if r := deliver(t, s, parcel(order("x"), []byte{}), requests); r.body != "x" {
		t.Errorf("got %q", r.body)
	}
}

func TestWrongBytesAreNeverForwarded(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", "url: "+url)
	c := order("")
	c.Damaged = true
	if _, err := send(t, s, parcel(c, nil)); !isPermanent(err) || len(requests) > 0 {
		t.Errorf("a damaged callback: %v, %d requests", err, len(requests))
	}
	if _, err := send(t, s, parcel(order(""), []byte("{"))); !isPermanent(err) || len(requests) > 0 {
		t.Errorf("a damaged payload: %v, %d requests", err, len(requests))
	}
	if _, err := s.Send(t.Context(), make([]relay.Parcel, 2)); err == nil {
		t.Error("two callbacks went as one")
	}
}

func TestTemplatesThatFailSaySo(t *testing.T) {
	for name, tt := range map[string]struct{ settings, want string }{
		"a path that climbs":    {`{url: "http://h/shops/{{ data.up }}"}`, "leaves the path"},
		"with a backslash":      {`{url: "http://h/shops/{{ data.up + \"\\\\admin\" }}"}`, "leaves the path"},
		"JSON that is none":     {`{url: "http://h/", body: '{"n": {{ data.nope }}}'}`, "no JSON"},
		"an error in a value":   {`{url: "http://h/", body: {a: "{{ int(ref_id) }}"}}`, "body: "},
		"an error in a header":  {`{url: "http://h/", headers: {X-A: "{{ int(ref_id) }}"}}`, "headers: X-A: "},
		"an error in the query": {`{url: "http://h/", query: {a: "{{ int(ref_id) }}"}}`, "query: a: "},
	} {
		t.Run(name, func(t *testing.T) {
			c := order("{}")
			c.Parsed.Data.(map[string]any)["up"] = ".."
			_, err := open(t, "http", tt.settings).Writer(sinks.Message{})(sinks.Occasion{Vars: lang.NewVars(c)})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestAFallbackSaysWhoFailed(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", `{url: "`+url+`", form: {message: "{{ text }}"}}`)
	payload, err := s.Writer(sinks.Message{Text: conf.String{Text: "{{ ref_id }}"}})(sinks.Occasion{Vars: lang.NewVars(order("{}")), Failed: "ops", Reason: "chat not found"})
	if err != nil {
		t.Fatal(err)
	}
	r := deliver(t, s, parcel(order("{}"), payload), requests)
	for _, want := range []string{"ops", "chat%20not%20found", "ORDER-2025-001"} {
		if !strings.Contains(r.body, want) {
			t.Errorf("%q lacks %s", r.body, want)
		}
	}
}

func TestWhatIsWrongWithTheSettingsIsToldAtItsPlace(t *testing.T) {
	for _, tt := range []struct{ settings, want string }{
		{`method: GET`, `rules.yaml:1:1: "url" is missing`},
		{`url: ""`, `rules.yaml:1:6: url is empty`},
		{`url: shop.example.com/cb`, `1:6: this is no web address`},
		{`url: ftp://shop.example.com/`, `1:6: this is no web address`},
		{`url: "http://{{ data.host }}/cb"`, `1:14: the host of a url is never a template`},
		{`url: "http://a{{ source }}.example/cb"`, `1:15: the host of a url is never a template`},
		{`url: "{{ data.url }}"`, `1:7: the host of a url is never a template`},
		{`url: "http://u:{{ data.p }}@h/"`, `1:16: the host of a url is never a template`},
		{`url: "http://h/{{ ref }}"`, `1:19: `},
		{`url: http://169.254.169.254/latest`, `169.254.169.254: link-local and metadata addresses are refused`},
		{`url: "http://[::ffff:169.254.169.254]/"`, `link-local and metadata addresses are refused`},
		{"url: http://h/\nmethod: POTS", `2:9: unknown method "POTS": did you mean "POST"?`},
		{"url: http://h/\nheaders: {Kurir-Attempt: 1}", `Kurir-Attempt is set by Kurir itself`},
		{"url: http://h/\nheaders: {Content-Length: 1}", `Content-Length is set by Kurir itself`},
		{"url: http://h/\nheaders: {a b: 1}", `"a b" is no name of a header`},
		{"url: http://h/\nheaders: {Host: '{{ source }}'}", `the host is never a template`},
		{"url: http://h/\nbody: {a: [b, '{{ evnt }}']}", `2:19: `},
		{"url: http://h/\nbody: {a: 'x {{ evnt }}'}", `2:17: `},
		{"url: http://h/\nbody: x\nform: {a: b}", `body and form exclude each other`},
		{"url: http://h/\nsuccess: status", `2:10: `},
		{"url: http://h/\nsuccess: stats == 200", `2:10: `},
		{"url: http://h/\nproxy: shop", `want the URL of a proxy`},
		{"url: http://h/\ntls: {ca_file: /nowhere.pem}", `cannot read the secret`},
		{"url: http://h/\ntls: {ca: none}", `this holds no certificate in PEM`},
		{"url: http://h/\ntls: {cert: none}", `cert and key do not make a certificate`},
		{"url: http://h/\ntls: {key: none}", `cert and key do not make a certificate`},
		{"url: http://h/\nauth: {username: a, bearer: b}", `bearer and username exclude each other`},
		{"url: http://h/\nauth: {password: a}", `a password needs a username`},
		{"url: http://h/\nsign: {type: hmak, secret: x}", `unknown type "hmak": did you mean "hmac"?`},
		{"url: http://h/\nsign: {secret: '???'}", `the secret is no base64`},
		{"url: http://h/\nsign: {type: hmac, secret: ''}", `the secret is empty`},
		{"url: http://h/\nsign: {type: hmac}", `"secret" is missing`},
		{"url: http://h/\nsign: {type: hmac, secret: [a, b]}", `hmac signs with one secret`},
		{"url: http://h/\nsign: {type: hmac, secret: a, algorithm: sha257}", `unknown algorithm "sha257": did you mean "sha256"?`},
		{"url: http://h/\nurll: x", `unknown key "urll": did you mean "url"?`},
	} {
		_, problems := load("http", tt.settings, nil, sinks.Place{Name: "legacy"})
		if !strings.Contains(problems.Error(), tt.want) {
			t.Errorf("%s\ngives %v\nwant  %s", tt.settings, problems, tt.want)
		}
	}
}

func TestAPreviewIsTheRequestThatIsSent(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", `{url: "`+url+`/{{ ref_id }}", method: PUT, query: {a: "{{ event }}"}, headers: {X-A: b}, body: {ref: "{{ ref_id }}"}}`)
	c := order("{}")
	c.RefID = "INV-2025-0000000000000001" // as long as a key
	p := parcelOf(t, s, c, "")
	v, r := s.Preview(p), deliver(t, s, p, requests)
	if v.Method != r.method || v.URL != url+r.uri || v.Body != r.body || v.Console {
		t.Errorf("shown %+v, sent %+v", v, r)
	}
	delete(r.header, "Content-Length")
	for name := range r.header {
		if name != "Accept-Encoding" && v.Headers[name] != r.header.Get(name) {
			t.Errorf("%s is shown as %q, sent as %q", name, v.Headers[name], r.header.Get(name))
		}
	}
	if len(v.Headers) != len(r.header) {
		t.Errorf("shown %v, sent %v", v.Headers, r.header)
	}
}

func TestNoSecretShows(t *testing.T) {
	const secret = "hush-hush-9"
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { // says all it was told
		w.WriteHeader(500)
		fmt.Fprintln(w, r.URL.RawQuery, r.Header.Get("Authorization"), r.Header.Get("X-Gotify-Key"))
		io.Copy(w, r.Body)
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	for name, settings := range map[string]string{
		"in the url's query":    `url: "http://HOST/?api_key=hush-hush-9"`,
		"in the url's userinfo": `url: "http://me:hush-hush-9@HOST/"`,
		"as bearer":             `{url: "http://HOST/", auth: {bearer: hush-hush-9}}`,
		"as password":           `{url: "http://HOST/", auth: {username: me, password: hush-hush-9}}`,
		"in a header":           `{url: "http://HOST/", headers: {Authorization: Bearer hush-hush-9}}`,
		"in another header":     `{url: "http://HOST/", headers: {X-Gotify-Key: hush-hush-9}}`,
		"in the query":          `{url: "http://HOST/", query: {token: hush-hush-9}}`,
		"in a form":             `{url: "http://HOST/", form: {api_key: hush-hush-9}}`,
		"in a JSON body":        `{url: "http://HOST/", body: {auth: [{api_key: hush-hush-9}]}}`,
		"in the url's path":     `url: "http://HOST/api/webhooks/123/hush-hush-9-hush-hush-9"`,
		"of a signature":        `{url: "http://HOST/", sign: {type: hmac, secret: hush-hush-9}}`,
		"of an unreachable url": `url: "http://me:hush-hush-9@127.0.0.1:1/?api_key=hush-hush-9"`,
		"of an unsound proxy":   `{url: "http://HOST/", proxy: "http://me:hush-hush-9@127.0.0.1:1/"}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, "http", strings.ReplaceAll(settings, "HOST", host))
			p := parcelOf(t, s, order("{}"), "")
			ans, err := send(t, s, p)
			shown, _ := json.Marshal(s.Preview(p))
			if err == nil {
				t.Fatal("the request succeeded")
			}
			for what, text := range map[string]string{"error": err.Error(), "answer": ans.Response, "preview": string(shown)} {
				if strings.Contains(text, secret) || strings.Contains(text, "bWU6aHVzaC1odXNoLTk") {
					t.Errorf("the %s shows it: %s", what, text)
				}
			}
		})
	}
}

func TestProxiesOfTheEnvironmentAreIgnored(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.invalid:3128")
	url, requests := far(t, nil)
	var dialled string
	s := openAt(t, "http", "url: http://shop.example/cb", sinks.Place{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = addr
		return new(net.Dialer).DialContext(ctx, network, strings.TrimPrefix(url, "http://"))
	}})
	if r := deliver(t, s, parcel(order("{}"), nil), requests); dialled != "shop.example:80" || r.uri != "/cb" {
		t.Errorf("the request for %s went to %s", r.uri, dialled)
	}
}

func TestAProxyOfTheSettingsIsUsed(t *testing.T) {
	proxy, requests := far(t, nil)
	s := open(t, "http", "{url: http://shop.example/cb, proxy: "+proxy+"}")
	if r := deliver(t, s, parcel(order("{}"), nil), requests); r.uri != "http://shop.example/cb" {
		t.Errorf("the proxy got %s", r.uri)
	}
}

// answering is a server that gives one answer, as it is, on each connection.
func answering(t *testing.T, answer string) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				r, err := http.ReadRequest(bufio.NewReader(c))
				if err != nil {
					return
				}
				io.Copy(io.Discard, r.Body)
				io.WriteString(c, answer)
			}()
		}
	}()
	return "http://" + l.Addr().String()
}

func TestAnswersEndInEveryWay(t *testing.T) {
	for _, tt := range []struct{ answer, body string }{
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", ""},
		{"HTTP/1.1 200 OK\r\n\r\nuntil the end", "until the end"},
		{"HTTP/1.0 200 OK\r\n\r\nuntil the end", "until the end"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"},
		{"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", ""},
		{"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", "abc"},
		{"HTTP/1.1 204 No Content\r\n\r\n", ""},
		{"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", ""},
		{"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "ok"},
	} {
		s := open(t, "http", "url: "+answering(t, tt.answer))
		ans, err := send(t, s, parcelOf(t, s, order(`{}`), ""))
		if err != nil || ans.Response != tt.body {
			t.Errorf("%q: %q, %v", tt.answer, ans.Response, err)
		}
	}
	s := open(t, "http", "url: "+answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc"))
	if _, err := send(t, s, parcelOf(t, s, order(`{}`), "")); err == nil {
		t.Error("an answer that breaks off is taken")
	}
	s = open(t, "http", "method: HEAD\nurl: "+answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"))
	if ans, err := send(t, s, parcelOf(t, s, order(`{}`), "")); err != nil || ans.Response != "" {
		t.Errorf("HEAD: %+v, %v", ans, err)
	}
}

// The stored header is the same before and after many attempts at once.
func TestAttemptsShareAHeaderAndChangeNothingInIt(t *testing.T) {
	u := answering(t, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
	s := open(t, "http", "url: "+u+"\nheaders: {X-Signature: other, Accept: ''}\nauth: {bearer: abc}\nsign: {type: hmac, secret: k, header: X-Own}")
	c := order(`{}`)
	c.Header = http.Header{"X-Signature": append(make([]string, 0, 9), "a", "b"), "User-Agent": append(make([]string, 0, 4), "x"),
		"Accept": {"y"}, "Kurir-Via": {"z"}, "Connection": {"X-Gone"}, "X-Gone": {"1"}, "Cookie": {"a=b"}, "Authorization": {"q"}, "X-Own": {"w"}}
	before := fmt.Sprint(c.Header)
	p := parcelOf(t, s, c, "")
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := send(t, s, p); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if after := fmt.Sprint(c.Header); after != before {
		t.Errorf("%s became %s", before, after)
	}
}

// http://host:/ has the usual port, and names no other host than http://host/.
func TestAnEmptyPortIsNoPartOfTheHost(t *testing.T) {
	got := make(chan string, 1)
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { got <- r.Host }))
	defer srv.Close()
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, srv.Listener.Addr().String())
	}
	s := openAt(t, "http", "url: 'http://shop.example:/cb'", sinks.Place{Timeout: 15 * time.Second, Dial: dial, Idle: 1})
	if _, err := send(t, s, parcelOf(t, s, order(`{}`), "")); err != nil {
		t.Fatal(err)
	}
	if host := <-got; host != "shop.example" {
		t.Errorf("the Host is %q", host)
	}
}
