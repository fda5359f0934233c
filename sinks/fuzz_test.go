package sinks_test

import (
	"bufio"
	"bytes"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"

	"github.com/kurir-relay/kurir/sinks"
)

func FuzzRetryAfter(f *testing.F) {
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	for _, seed := range []string{"", "0", "120", " 120 ", "-5", "+5", "1.5", "1e9", "0x10", "9223372036", "9223372037", "99999999999999999999999",
		"Tue, 24 Nov 2026 04:00:00 GMT", "Tuesday, 24-Nov-26 04:00:00 GMT", "Tue Nov 24 04:00:00 2026", "Wed, 21 Oct 2015 07:28:00 GMT",
		"Fri, 31 Dec 9999 23:59:59 GMT", "soon", "١٢", "\x00", "120, 30"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		wait := sinks.RetryAfter(value, now)
		if wait < 0 {
			t.Errorf("%q is a wait of %v", value, wait)
		}
		if at, err := http.ParseTime(strings.TrimSpace(value)); err == nil && at.Before(now) && wait != 0 {
			t.Errorf("%q has gone by, and is a wait of %v", value, wait)
		}
	})
}

func TestRetryAfterInEveryForm(t *testing.T) {
	now := time.Date(2026, 11, 24, 3, 0, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"": 0, "0": 0, "120": 2 * time.Minute, " 120 ": 2 * time.Minute, "007": 7 * time.Second, "9223372036": 9223372036 * time.Second,
		"9223372037": 1<<63 - 1, "99999999999999999999999": 1<<63 - 1, "-5": 0, "+5": 0, "1.5": 0, "1e9": 0, "120, 30": 0, "soon": 0, "١٢": 0,
		"Tue, 24 Nov 2026 04:00:00 GMT": time.Hour, "Tuesday, 24-Nov-26 04:00:00 GMT": time.Hour, "Tue Nov 24 04:00:00 2026": time.Hour,
		"Tue, 24 Nov 2026 02:59:59 GMT": 0, "Fri, 31 Dec 9999 23:59:59 GMT": 1<<63 - 1,
	} {
		if got := sinks.RetryAfter(value, now); got != want {
			t.Errorf("%q is %v, want %v", value, got, want)
		}
	}
}

// FuzzForward reads a header as the public listener would, passes it on, writes
// the request and reads it again as the far side would.
func FuzzForward(f *testing.F) {
	for _, seed := range []string{
		"X-Signature: 2f8a\r\nContent-Type: application/json\r\n",
		"Connection: keep-alive, X-Hop\r\nX-Hop: 1\r\nX-Keep: 2\r\n",
		"Connection: connection, , \",\r\nConnection: close\r\n",
		"X-Odd: \xe9t\xe9 \tx  \r\nX-Odd: \r\nx-odd: 3\r\n",
		"Kurir-Via: a\r\nKurir-Attempt: 9\r\nIdempotency-Key: x\r\n",
		"Te: trailers\r\nTrailer: Kurir-X\r\nUpgrade: h2c\r\nExpect: 100-continue\r\nAccept-Encoding: br\r\n",
		"User-Agent:\r\nCookie: a=1; b=2\r\n",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, head []byte) {
		in, err := http.ReadRequest(bufio.NewReader(bytes.NewReader(slices.Concat([]byte("POST / HTTP/1.1\r\nHost: relay\r\n"), head, []byte("\r\n")))))
		if err != nil || !wellFormed(in.Header) {
			t.Skip() // the public listener does not let it in
		}
		passed := sinks.ForwardHeader(in.Header)
		for name := range passed {
			if strings.HasPrefix(name, "Kurir-") || slices.Contains([]string{"Connection", "Host", "Content-Length", "Transfer-Encoding", "Idempotency-Key", "Te", "Upgrade"}, name) {
				t.Errorf("%s is passed on", name)
			}
			if !slices.Equal(passed[name], in.Header[name]) {
				t.Errorf("%s changed from %q to %q", name, in.Header[name], passed[name])
			}
		}
		out, _ := http.NewRequest("POST", "http://shop/", nil)
		out.Header = passed
		var wire bytes.Buffer
		if err := out.Write(&wire); err != nil {
			t.Fatalf("%q cannot be written: %v", passed, err)
		}
		there, err := http.ReadRequest(bufio.NewReader(&wire))
		if err != nil {
			t.Fatalf("the far side cannot read %q: %v", &wire, err)
		}
		for name, values := range passed {
			// A folded line that is empty leaves a blank at the end, which
			// means nothing and is not sent again.
			sent := slices.Clone(values)
			for i := range sent {
				sent[i] = strings.Trim(sent[i], " \t")
			}
			if !slices.Equal(sent, there.Header[name]) && name != "User-Agent" {
				t.Errorf("%s was %q and arrives as %q", name, values, there.Header[name])
			}
		}
	})
}

// wellFormed reports what net/http's server asks of a header. A value that ends in
// a blank comes of a folded line, which the public listener refuses.
func wellFormed(h http.Header) bool {
	for name, values := range h {
		if !httpguts.ValidHeaderFieldName(name) || slices.ContainsFunc(values, func(v string) bool {
			return !httpguts.ValidHeaderFieldValue(v) || v != strings.Trim(v, " \t")
		}) {
			return false
		}
	}
	return true
}

func FuzzPrintable(f *testing.F) {
	for _, seed := range []string{"oke\r\n", "\xff\xfe", "\x1b[2J\x9b", "a\u202eb", strings.Repeat("é", 100), "\r\r\n\n", "…"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		text := sinks.Printable(b, 64)
		if len(text) > 64 || !utf8.ValidString(text) {
			t.Fatalf("%d bytes, valid %v", len(text), utf8.ValidString(text))
		}
		for _, r := range text {
			if r < ' ' && r != '\n' && r != '\t' || r >= 0x7f && r < 0xa0 || r == '\u202e' {
				t.Errorf("%U is left", r)
			}
		}
	})
}
