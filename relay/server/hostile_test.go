package server_test

import (
	"bufio"
	"crypto/md5"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/server"
)

// A hostile row is bytes on a connection and what they must get. After every row
// a good callback is accepted, and nothing else was stored than the row says.
type hostile struct {
	name   string
	raw    string
	status int
	body   string // "": any
	closed bool   // the connection must be closed
	stored bool
}

func (h *house) try(rows []hostile) {
	h.Helper()
	for i, row := range rows {
		h.Run(row.name, func(t *testing.T) {
			in := *h
			in.T = t
			before := len(in.entries())
			a := in.raw(row.raw)
			if a.status != row.status || row.body != "" && a.body != row.body || row.closed && !a.closed {
				t.Errorf("got %d %q closed %v, want %d %q closed %v", a.status, a.body, a.closed, row.status, row.body, row.closed)
			}
			if a.status >= 300 && a.status < 400 {
				t.Error("redirected")
			}
			if got := len(in.entries()) > before; got != row.stored {
				t.Errorf("stored: %v, want %v", got, row.stored)
			}
			in.good(fmt.Sprintf("%s-%d", h.Name(), i))
		})
	}
}

const invalid = `{"error":"Invalid signature"}`

func TestASignatureThatIsNotRightIsA401(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	body := order("A")
	right := sign(body)
	raw, _ := hex.DecodeString(right)
	with := func(signature string) string {
		return post("/webhook/shop", body, "Content-Type: application/json", "X-Signature: "+signature)
	}
	sum1, sum5 := sha1.Sum([]byte(body)), md5.Sum([]byte(body))
	rows := []hostile{{name: "no header", raw: post("/webhook/shop", body)}}
	for name, signature := range map[string]string{
		"empty": "", "a prefix alone": "sha256=", "odd length": right[1:], "no hex": "zz" + right[2:], "too short": right[:62], "too long": right + "00",
		"base64": base64.StdEncoding.EncodeToString(raw), "of the JSON written anew": sign(strings.ReplaceAll(body, ":", ": ")),
		"of another body": sign(order("B")), "none=": "none=", "md5=": "md5=" + hex.EncodeToString(sum5[:]), "sha1=": "sha1=" + hex.EncodeToString(sum1[:]),
		"a list": right + "," + right, "very long": strings.Repeat("a", 10_000),
	} {
		rows = append(rows, hostile{name: name, raw: with(signature)})
	}
	rows = append(rows, hostile{name: "two headers", raw: post("/webhook/shop", body, "X-Signature: "+right, "X-Signature: "+sign("x"))})
	for i := range rows {
		rows[i].status, rows[i].body = 401, invalid
	}
	rows = append(rows,
		hostile{name: "upper case is right", raw: with(strings.ToUpper(right)), status: 200, body: `{"status":"ok"}`, stored: true},
		hostile{name: "seen before", raw: with(right), status: 200, body: `{"status":"already_processed"}`})
	h.try(rows)
	for _, r := range h.rejections.Newest() {
		if r.Source != "shop" || r.Address != "127.0.0.1" || r.Reason == "" || r.Time.IsZero() {
			t.Errorf("a rejection lacks something: %+v", r)
		}
	}
	if strings.Contains(h.log.String(), secret) || strings.Contains(h.log.String(), right) {
		t.Error("the log has a secret or a signature")
	}
}

func TestASecretOfAnotherSourceDoesNotFit(t *testing.T) {
	h := open(t, strings.Replace(yaml, "sinks:", "  other: {preset: isikuota, secret: another-secret}\nsinks:", 1), server.Limits{})
	body := order("A")
	h.try([]hostile{{name: "cross", raw: post("/webhook/other", body, "X-Signature: "+sign(body)), status: 401, body: invalid}})
}

func TestRotationTakesBothSecretsAndARemovedOneNoMore(t *testing.T) {
	two := strings.Replace(yaml, "secret: "+secret, "secrets: [new-secret-0123456789, "+secret+"]", 1)
	h := open(t, two, server.Limits{})
	h.good("during")
	h.reload(strings.Replace(yaml, "secret: "+secret, "secrets: [new-secret-0123456789]", 1))
	if a := h.raw(signed(order("after"))); a.status != 401 {
		t.Errorf("after it was removed: %d", a.status)
	}
	h.reload(yaml)
	h.good("again")
}

const stamped = `
sources:
  shop: {preset: isikuota, secret: ` + secret + `}
  timed:
    secret: ` + secret + `
    verify: {type: hmac, signature: 'header("X-Signature")', timestamp: {value: 'header("X-Ts")', unit: s, tolerance: 5m}, content: ts + "." + raw}
sinks: {log: {log: {}}}
rules: [{name: all, to: [log]}]
`

func TestATimestampMustBeNear(t *testing.T) {
	h := open(t, stamped, server.Limits{})
	now, body := time.Now(), order("T")
	with := func(ts string) string {
		return post("/webhook/timed", body, "Content-Type: application/json", "X-Ts: "+ts, "X-Signature: "+sign(ts+"."+body))
	}
	h.try([]hostile{
		{name: "missing", raw: post("/webhook/timed", body, "X-Signature: "+sign("."+body)), status: 401, body: invalid},
		{name: "text", raw: with("now"), status: 401, body: invalid},
		{name: "negative", raw: with("-1"), status: 401, body: invalid},
		{name: "milliseconds", raw: with(fmt.Sprint(now.UnixMilli())), status: 401, body: invalid},
		{name: "old", raw: with(fmt.Sprint(now.Add(-6 * time.Minute).Unix())), status: 401, body: invalid},
		{name: "of the future", raw: with(fmt.Sprint(now.Add(6 * time.Minute).Unix())), status: 401, body: invalid},
		{name: "near", raw: with(fmt.Sprint(now.Unix())), status: 200, stored: true},
	})
}

func TestABodyIsBounded(t *testing.T) {
	h := open(t, strings.Replace(yaml, "preset: isikuota", "preset: isikuota\n    max_body: 64KiB", 1), server.Limits{Body: 300 * time.Millisecond})
	pad := func(n int) string { return order(strings.Repeat("x", n-len(order("")))) }
	const limit = 64 << 10
	chunks := func(body string) string {
		return "POST /webhook/shop HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\nX-Signature: " + sign(body) + "\r\n\r\n" +
			fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	}
	h.try([]hostile{
		{name: "exactly as large as it may be", raw: signed(pad(limit)), status: 200, stored: true},
		{name: "a byte more", raw: signed(pad(limit + 1)), status: 413, closed: true},
		{name: "a byte more, and none is sent", raw: strings.Replace(signed(""), "Content-Length: 0", fmt.Sprintf("Content-Length: %d", limit+1), 1), status: 413, closed: true},
		{name: "more than there is memory, and none is sent", raw: strings.Replace(signed(""), "Content-Length: 0", "Content-Length: 9223372036854775807", 1), status: 413, closed: true},
		{name: "chunked, exactly", raw: chunks(pad(limit)[:limit-1] + " "), status: 200, closed: true, stored: true},
		{name: "chunked, a byte more", raw: chunks(pad(limit + 1)), status: 413, closed: true},
		{name: "shorter than announced, and then silence", raw: strings.Replace(signed(order("S")), "\r\n\r\n", "0\r\n\r\n", 1), status: 408, closed: true},
		{name: "chunked and then silence", raw: chunks(order("S"))[:len(chunks(order("S")))-10], status: 408, closed: true},
		{name: "gzip", raw: signed(order("G"), "Content-Encoding: gzip"), status: 415, closed: true},
		{name: "br", raw: signed(order("G"), "Content-Encoding: br"), status: 415, closed: true},
		{name: "gzip under identity", raw: signed(order("G"), "Content-Encoding: identity", "Content-Encoding: gzip"), status: 415, closed: true},
		{name: "identity is no encoding", raw: signed(order("G"), "Content-Encoding: Identity"), status: 200, stored: true},
		{name: "expecting to be refused", raw: strings.Replace(signed("", "Expect: 100-continue"), "Content-Length: 0", "Content-Length: 99999999", 1), status: 413, closed: true},
		{name: "expecting the impossible", raw: signed(order("E"), "Expect: wonders"), status: 417},
	})
}

func TestAnEndlessChunkedBodyCostsLittle(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	conn, err := net.Dial("tcp", h.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	io.WriteString(conn, "POST /webhook/shop HTTP/1.1\r\nHost: relay\r\nTransfer-Encoding: chunked\r\n\r\n")
	sent := make(chan int)
	go func() {
		chunk, n := "10000\r\n"+strings.Repeat("x", 0x10000)+"\r\n", 0
		for ; n < 10<<30; n += 0x10000 {
			if _, err := io.WriteString(conn, chunk); err != nil {
				break
			}
		}
		sent <- n
	}()
	if a := h.read(bufio.NewReader(conn)); a.status != 413 || !a.closed {
		t.Errorf("got %d, closed %v", a.status, a.closed)
	}
	conn.Close()
	if n := <-sent; n > 64<<20 {
		t.Errorf("%d bytes were taken", n)
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	if grown := int64(after.HeapAlloc) - int64(before.HeapAlloc); grown > 4<<20 {
		t.Errorf("the heap grew by %d bytes", grown)
	}
	h.good("after")
}

func TestAuthenticBytesAreStoredWhateverTheyAre(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	var keys strings.Builder
	for i := range 60_000 {
		fmt.Fprintf(&keys, `"key%d":1,`, i)
	}
	unparsed := map[string]string{
		"empty": "", "no JSON": "hello", "null": "null", "a list": "[1]", "two values": "{}{}", "BOM": "\ufeff{}",
		"UTF-16": "{\x00}\x00", "a comment": "{/* */}", "NaN": `{"a":NaN}`, "deep": deep, "a megabyte of lists": "[" + strings.Repeat("[],", 1<<20/3-2) + "[]]",
		"a ref_id twice":       `{"event":"e","data":{"ref_id":"X","ref_id":"Y"}}`,
		"data twice":           `{"event":"e","data":{"ref_id":"X"},"data":{"ref_id":"Y"}}`,
		"a ref_id in two ways": `{"event":"e","data":{"ref_id":"X","Ref_ID":"Y"}}`,
		"ref_id missing":       `{"event":"e","data":{}}`, "ref_id null": `{"event":"e","data":{"ref_id":null}}`,
		"ref_id empty": `{"event":"e","data":{"ref_id":""}}`, "ref_id an object": `{"event":"e","data":{"ref_id":{}}}`,
	}
	parsed := map[string]string{
		"ref_id a number": `{"event":"e","data":{"ref_id":12345678901234567890}}`, "ref_id long": order(strings.Repeat("r", 10_000)),
		"NUL and line breaks": `{"event":"e","data":{"ref_id":"a\u0000b\r\nc"}}`, "markup and bidi": order("<script>\u202e"),
		"many keys": `{` + keys.String() + `"event":"e","data":{"ref_id":"many"}}`, "bad UTF-8": "{\"event\":\"\xff\",\"data\":{\"ref_id\":\"\xfe\"}}",
		"half a pair": `{"event":"e","data":{"ref_id":"\ud800"}}`,
	}
	for _, group := range []struct {
		bodies   map[string]string
		unparsed bool
	}{{unparsed, true}, {parsed, false}} {
		for name, body := range group.bodies {
			t.Run(name, func(t *testing.T) {
				in := *h
				in.T = t
				if a := in.raw(signed(body)); a.status != 200 || a.body != `{"status":"ok"}` {
					t.Fatalf("got %d %s", a.status, a.body)
				}
				c := in.entries()[0].Callback
				if string(c.Body) != body {
					t.Errorf("other bytes are stored: %.80q", c.Body)
				}
				if c.Unparsed != group.unparsed {
					t.Errorf("unparsed: %v", c.Unparsed)
				}
				if a := in.raw(signed(body)); a.body != `{"status":"already_processed"}` {
					t.Errorf("again: %s", a.body)
				}
			})
		}
	}
	h.good("after")
}

func TestOnlyTheVeryPathOfASourceIsAnswered(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	at := func(method, path string) string {
		return method + " " + path + " HTTP/1.1\r\nHost: relay\r\nContent-Length: 0\r\n\r\n"
	}
	var rows []hostile
	for _, path := range []string{"/", "/webhook", "/webhook/", "/webhook/nobody", "/webhook/shop/", "/webhook//shop", "//webhook/shop", "/webhook/shop/x",
		"/webhook/sh%6fp", "/webhook%2Fshop", "/webhook/shop%2F", "/webhook/a%2Fb", "/webhook/..%2Fshop", "/webhook/../webhook/shop", "/webhook/./shop", "/Webhook/shop",
		"/webhook/SHOP", "/webhook/%00", "/webhook/%ff", "/webhook/shop;x", "/webhook/*", "/webhook/:source", "/api/callbacks", "/metrics", "/-/", "/-/healthy/"} {
		rows = append(rows, hostile{name: "POST " + path, raw: at("POST", path), status: 404})
	}
	h.try(append(rows,
		hostile{name: "GET", raw: at("GET", "/webhook/shop"), status: 405}, hostile{name: "PUT", raw: at("PUT", "/webhook/shop"), status: 405},
		hostile{name: "DELETE", raw: at("DELETE", "/webhook/shop"), status: 405}, hostile{name: "HEAD unknown", raw: at("PATCH", "/webhook/nobody"), status: 404},
		hostile{name: "OPTIONS", raw: at("OPTIONS", "/webhook/shop"), status: 405}, hostile{name: "TRACE", raw: at("TRACE", "/webhook/shop"), status: 405},
		hostile{name: "a method nobody knows", raw: at("BREW", "/webhook/shop"), status: 405},
		hostile{name: "a method of an unknown source", raw: at("DELETE", "/webhook/nobody"), status: 404},
		hostile{name: "OPTIONS *", raw: at("OPTIONS", "*"), status: 404},
		hostile{name: "health by POST", raw: at("POST", "/-/healthy"), status: 405},
		hostile{name: "healthy", raw: at("GET", "/-/healthy"), status: 200}, hostile{name: "ready", raw: at("GET", "/-/ready"), status: 200},
		hostile{name: "a query is no other path", raw: post("/webhook/shop?a=1", order("Q"), "Content-Type: application/json", "X-Signature: "+sign(order("Q"))), status: 200, stored: true},
	))
	for _, method := range []string{"GET", "DELETE", "BREW"} {
		if a := h.raw(at(method, "/webhook/shop")); a.header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow is %q", method, a.header.Get("Allow"))
		}
	}
}

func TestASourceMayTakeGET(t *testing.T) {
	h := open(t, `
sources:
  shop: {preset: isikuota, secret: `+secret+`}
  h2h:
    methods: [GET]
    allow_ips: [127.0.0.1]
    verify: {type: none}
    ref_id: query.refid
    event: '"report"'
sinks: {log: {log: {}}}
rules: [{name: all, to: [log]}]
`, server.Limits{})
	h.try([]hostile{
		{name: "GET", raw: "GET /webhook/h2h?refid=R1&message=ok HTTP/1.1\r\nHost: relay\r\n\r\n", status: 200, stored: true},
		{name: "POST", raw: post("/webhook/h2h?refid=R1", ""), status: 405},
	})
	if a := h.raw(post("/webhook/h2h", "")); a.header.Get("Allow") != "GET" {
		t.Errorf("Allow is %q", a.header.Get("Allow"))
	}
}

func TestHeadsAreBounded(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	head := func(n int) string { // of n bytes, empty line and all
		start, end := "POST /webhook/shop HTTP/1.1\r\nHost: relay\r\nX-Signature: "+sign("{}")+"\r\nContent-Length: 2\r\nX-Pad: ", "\r\n\r\n"
		return start + strings.Repeat("p", n-len(start)-len(end)) + end + "{}"
	}
	uri := func(n int) string {
		return post("/webhook/shop?"+strings.Repeat("q", n-len("/webhook/shop?")), "{}", "X-Signature: "+sign("{}"))
	}
	h.try([]hostile{
		{name: "a head of 16 KiB", raw: head(16 << 10), status: 200, stored: true},
		{name: "a byte more", raw: head(16<<10 + 1), status: 431, closed: true},
		{name: "a megabyte", raw: head(1 << 20), status: 431, closed: true},
		{name: "thousands of headers", raw: post("/webhook/shop", "{}", strings.Repeat("A: b\r\n", 5000)+"C: d"), status: 431, closed: true},
		{name: "a path and query of 8 KiB", raw: uri(8 << 10), status: 200},
		{name: "a byte more of it", raw: uri(8<<10 + 1), status: 414, closed: true},
		{name: "far more of it", raw: uri(32 << 10), status: 431, closed: true},
	})
}

func TestWhatSaysItsLengthTwiceIsRefused(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	body := order("L")
	head := "POST /webhook/shop HTTP/1.1\r\nHost: relay\r\nContent-Type: application/json\r\nX-Signature: " + sign(body) + "\r\n"
	length := fmt.Sprintf("Content-Length: %d\r\n", len(body))
	chunked := fmt.Sprintf("%x\r\n%s\r\n0\r\n\r\n", len(body), body)
	rows := []hostile{
		{name: "a length and chunked", raw: head + length + "Transfer-Encoding: chunked\r\n\r\n" + chunked},
		{name: "chunked and a length", raw: head + "Transfer-Encoding: chunked\r\n" + length + "\r\n" + chunked},
		{name: "in odd cases", raw: head + strings.ToLower(length) + "TRANSFER-encoding: chunked\r\n\r\n" + chunked},
		{name: "a length of 0 and chunked", raw: head + "Content-Length: 0\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked},
		{name: "chunked in HTTP/1.0", raw: strings.Replace(head, "HTTP/1.1", "HTTP/1.0", 1) + "Connection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n" + chunked},
		{name: "the same length twice", raw: head + length + length + "\r\n" + body},
		{name: "two lengths", raw: head + length + "Content-Length: 1\r\n\r\n" + body},
		{name: "a list of lengths", raw: head + fmt.Sprintf("Content-Length: %d, %[1]d\r\n\r\n", len(body)) + body},
		{name: "a folded line", raw: head + "Content-Length:\r\n 5\r\n\r\n" + body},
		{name: "a folded line elsewhere", raw: head + "X-A: b\r\n\tc\r\n" + length + "\r\n" + body},
		{name: "a length with a sign", raw: head + "Content-Length: +5\r\n\r\n" + body},
		{name: "a negative length", raw: head + "Content-Length: -5\r\n\r\n" + body},
		{name: "a length in hex", raw: head + "Content-Length: 0x5\r\n\r\n" + body},
		{name: "a length beyond numbers", raw: head + "Content-Length: 99999999999999999999\r\n\r\n" + body},
		{name: "a space before the colon", raw: head + "Content-Length : 5\r\n\r\n" + body},
		{name: "chunks that are none", raw: head + "Transfer-Encoding: chunked\r\n\r\nhello\r\n"},
		{name: "a chunk of negative length", raw: head + "Transfer-Encoding: chunked\r\n\r\n-5\r\nhello\r\n0\r\n\r\n"},
		{name: "a chunk that is longer than it says", raw: head + "Transfer-Encoding: chunked\r\n\r\n3\r\nhello\r\n0\r\n\r\n"},
		{name: "no Host", raw: "POST /webhook/shop HTTP/1.1\r\n" + length + "\r\n" + body},
		{name: "two Hosts", raw: "POST /webhook/shop HTTP/1.1\r\nHost: a\r\nHost: b\r\n" + length + "\r\n" + body},
		{name: "no HTTP", raw: "hello there\r\n\r\n"},
	}
	for i := range rows {
		rows[i].status, rows[i].closed = 400, true
	}
	rows = append(rows,
		hostile{name: "a coding nobody knows", raw: head + "Transfer-Encoding: gzip, chunked\r\n\r\n" + chunked, status: 501, closed: true},
		hostile{name: "chunked alone", raw: head + "Transfer-Encoding: chunked\r\n\r\n" + chunked, status: 200, closed: true, stored: true})
	h.try(rows)
}

// The guard must see the second request of a connection as the first, however
// the bytes arrive.
func TestTheSecondRequestOfAConnectionIsGuardedToo(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	smuggled := strings.Replace(signed(order("X")), "Content-Length", "Transfer-Encoding: chunked\r\nContent-Length", 1)
	for name, step := range map[string]int{"at once": 1 << 20, "in pieces": 7, "byte by byte": 1} {
		t.Run(name, func(t *testing.T) {
			in := *h
			in.T = t
			conn, err := net.Dial("tcp", h.public)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			all := signed(order(name)) + signed(order(name)) + "\r\n" + post("/webhook/nobody", strings.Repeat("Content-Length: 5\r\n", 10)) + smuggled
			go func() {
				for i := 0; i < len(all); i += step {
					io.WriteString(conn, all[i:min(i+step, len(all))])
				}
			}()
			r := bufio.NewReader(conn)
			for i, want := range []int{200, 200, 404, 400} {
				if a := in.read(r); a.status != want || a.closed != (want == 400) {
					t.Fatalf("request %d: %d, closed %v", i+1, a.status, a.closed)
				}
			}
		})
	}
	if n := len(h.entries()); n != 3 {
		t.Errorf("%d callbacks are stored, want 3", n)
	}
}

const fenced = `
sources:
  shop: {preset: isikuota, secret: ` + secret + `}
  near: {preset: isikuota, secret: ` + secret + `, allow_ips: [127.0.0.1]}
  far: {preset: isikuota, secret: ` + secret + `, allow_ips: [192.0.2.7]}
  behind: {preset: isikuota, secret: ` + secret + `, allow_ips: [192.0.2.0/24], trusted_proxies: [127.0.0.1, 198.51.100.1]}
sinks: {log: {log: {}}}
rules: [{name: all, to: [log]}]
`

func TestAnAddressIsThePeersUnlessATrustedProxySaysOtherwise(t *testing.T) {
	h := open(t, fenced, server.Limits{})
	n := 0
	from := func(source string, lines ...string) string {
		n++
		body := order(fmt.Sprint("F", n))
		return post("/webhook/"+source, body, append(lines, "X-Signature: "+sign(body))...)
	}
	const no = `{"error":"Address not allowed"}`
	h.try([]hostile{
		{name: "the peer is allowed", raw: from("near"), status: 200, stored: true},
		{name: "the peer is not", raw: from("far"), status: 403, body: no},
		{name: "a header of an untrusted peer lets in nobody", raw: from("far", "X-Forwarded-For: 192.0.2.7"), status: 403, body: no},
		{name: "and keeps out nobody", raw: from("near", "X-Forwarded-For: 192.0.2.9"), status: 200, stored: true},
		{name: "a trusted proxy tells", raw: from("behind", "X-Forwarded-For: 192.0.2.7"), status: 200, stored: true},
		{name: "a trusted proxy says nothing", raw: from("behind"), status: 403, body: no},
		{name: "only the last word counts", raw: from("behind", "X-Forwarded-For: 192.0.2.7, 203.0.113.9"), status: 403, body: no},
		{name: "also in a header of its own", raw: from("behind", "X-Forwarded-For: 192.0.2.7", "X-Forwarded-For: 203.0.113.9"), status: 403, body: no},
		{name: "two trusted proxies", raw: from("behind", "X-Forwarded-For: 192.0.2.7, 198.51.100.1"), status: 200, stored: true},
		{name: "no address", raw: from("behind", "X-Forwarded-For: 192.0.2.7, unknown"), status: 403, body: no},
	})
}

func TestConnectionsEndAtTheirDeadlines(t *testing.T) {
	h := open(t, yaml, server.Limits{Header: 2 * time.Second, Body: 2 * time.Second, Idle: 2 * time.Second})
	var conns sync.WaitGroup
	for i := range 200 {
		conns.Go(func() {
			conn, err := net.Dial("tcp", h.public)
			if err != nil {
				t.Error(err)
				return
			}
			defer conn.Close()
			conn.SetDeadline(time.Now().Add(20 * time.Second))
			io.WriteString(conn, []string{"POST /webhook/shop HT", "", signed(order("slow"))[:len(signed(order("slow")))-10], signed(order(fmt.Sprint("idle", i)))}[i%4])
			if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
				t.Errorf("connection %d is still open", i)
			}
		})
	}
	for i := range 20 {
		h.good(fmt.Sprint("meanwhile", i))
	}
	conns.Wait()
	h.good("after")
}

func TestAFloodOfForgedMegabytesIsBorne(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	forged := post("/webhook/shop", strings.Repeat("x", 1<<20), "X-Signature: "+sign("y"))
	var flood sync.WaitGroup
	for range 8 {
		flood.Go(func() {
			for range 20 {
				if a := h.raw(forged); a.status != 401 {
					t.Errorf("forged: %d", a.status)
				}
			}
		})
	}
	for i := range 20 {
		h.good(fmt.Sprint("good", i))
	}
	flood.Wait()
}

func TestTheLogOfRejectionsIsBounded(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	conn, err := net.Dial("tcp", h.public)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for i := range 1200 {
		fmt.Fprint(conn, post("/webhook/shop", "{}", "X-Signature: 00", fmt.Sprintf("X-Forwarded-For: 10.0.0.%d", i%250)))
		h.read(r)
	}
	all := h.rejections.Newest()
	if len(all) != 1000 {
		t.Fatalf("there are %d", len(all))
	}
	for i := 1; i < len(all); i++ {
		if all[i].Time.After(all[i-1].Time) {
			t.Fatal("the newest is not the first")
		}
	}
	if lines := strings.Count(h.log.String(), "callback rejected"); lines > 300 {
		t.Errorf("%d lines in the log", lines)
	}
}
