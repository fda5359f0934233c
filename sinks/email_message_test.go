package sinks

import (
	"bytes"
	"io"
	"mime"
	"net/mail"
	"slices"
	"strings"
	"testing"
	"unicode"
	"unicode/utf8"
)

func TestTheTextPartSaysWhatTheHTMLShows(t *testing.T) {
	for in, want := range map[string]string{
		"<b>a</b> &amp; &lt;b&gt;": "a & <b>",
		"a\nb":                     "a\nb",
		"a<br>b<br/>\nc":           "a\nb\nc",
		"<p>a</p><p>b</p>":         "a\nb",
		"<table><tr><td>a</td></tr><tr><td>b</td></tr>":     "a\nb",
		`<a href="https://a.id/?x=1&amp;y=2">Buka</a>!`:     "Buka (https://a.id/?x=1&y=2)!",
		`<a class="x" href='https://a.id'>https://a.id</a>`: "https://a.id",
		"5 < 6 > 4": "5 < 6 > 4",
	} {
		if got := mailText(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func TestLinesStayLinesInTheHTMLPart(t *testing.T) {
	for in, want := range map[string]string{
		"a\nb":                            "a<br>\nb",
		"a<br>\nb":                        "a<br>\nb",
		"<p>a\nb</p>":                     "<p>a\nb</p>",
		"a\n<pre>b\nc</pre>\nd":           "a<br>\n<pre>b\nc</pre><br>\nd",
		"a\r\nb":                          "a<br>\nb",
		"<pre>a</pre>\n<pre>b\nc\n</pre>": "<pre>a</pre><br>\n<pre>b\nc\n</pre>",
	} {
		_, body, _ := strings.Cut(mailHTML(in), "<body style=\"font-family: sans-serif\">\n")
		if got, _ := strings.CutSuffix(body, "\n</body></html>\n"); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// FuzzMail makes mails of anything: they stay one mail, with the headers that
// were set and no others.
func FuzzMail(f *testing.F) {
	for _, s := range []string{"", "a\r\nBcc: x@y.z\r\n\r\nbody", "\x00\x1b\u2028\u202e", "=?utf-8?q?=0D=0AX: y?=", strings.Repeat("ü", 400), "<pre>\n</pre", ".\r\n.\r\nQUIT", "\xff"} {
		f.Add(s, s)
	}
	e := &email{from: &mail.Address{Name: "Kurir", Address: "kurir@shop.test"}, to: []*mail.Address{{Address: "owner@x.test"}}}
	headers := []string{"Auto-Submitted", "Content-Type", "Date", "From", "In-Reply-To", "Kurir-Delivery-Id", "Message-Id", "Mime-Version",
		"References", "Subject", "To", "User-Agent", "X-Auto-Response-Suppress"}
	f.Fuzz(func(t *testing.T, subject, text string) {
		var raw bytes.Buffer
		msg := e.compose(words{Subject: oneLine(subject), Text: text}, identity{message: "1", order: "o", delivery: "1"})
		if _, err := msg.WriteTo(&raw); err != nil {
			t.Fatal(err)
		}
		for line := range strings.SplitSeq(raw.String(), "\r\n") {
			if len(line) > 998 || strings.ContainsAny(line, "\r\n\x00") {
				t.Fatalf("a line is %q", line)
			}
		}
		m, err := mail.ReadMessage(bytes.NewReader(raw.Bytes()))
		if err != nil {
			t.Fatal(err)
		}
		for key := range m.Header {
			if !slices.Contains(headers, key) {
				t.Fatalf("there is a header %s: %s", key, raw.String())
			}
		}
		got, err := new(mime.WordDecoder).DecodeHeader(m.Header.Get("Subject"))
		if err != nil || !utf8.ValidString(got) || strings.ContainsFunc(got, unicode.IsControl) || utf8.RuneCountInString(got) > 200 {
			t.Fatalf("the subject is %q (%v)", got, err)
		}
		if _, err := io.Copy(io.Discard, m.Body); err != nil {
			t.Fatal(err)
		}
	})
}

func TestTextsOfAnyLengthAreReadInOneGo(t *testing.T) {
	for _, part := range []string{"<", "&", "<a href=\"", "<a href='x'>", "</", "<b>", "&#", "😀", "<pre\n", "x"} {
		s := strings.Repeat(part, 1<<18/len(part))
		mailText(s)
		mailHTML(s)
		isBlank(s)
		plainText(s)
		if n := unitsUpTo(shorten(s, 4096, cutNote), 5000); n > 4096 {
			t.Errorf("%q: %d units are left", part, n)
		}
	}
}
