package lang_test

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/relay/lang"
)

// hostile is what a payload may hold to break out of where it is put.
const hostile = "<b>&\"'</b>\r\nBcc: x@y\x00\u202Eabc\u2066\xff ${X} 50% a+b=c #\\ \u2028"

func TestAnEscapeKeepsAValueInItsPlace(t *testing.T) {
	for _, tt := range []struct {
		to       lang.Escape
		in, want string
	}{
		{lang.Plain, hostile, hostile},
		{lang.HTML, `<a href="x">R&D</a>`, "&lt;a href=&#34;x&#34;&gt;R&amp;D&lt;/a&gt;"},
		{lang.HTML, `it's`, "it&#39;s"},
		{lang.HTML, "two\nlines\tand\r\nmore", "two\nlines\tand\nmore"},
		{lang.HTML, "a\x00b\u202Ec\u2069d\xffe", "abcd\uFFFDe"},
		{lang.Line, "Subject\r\nBcc: x@y", "Subject Bcc: x@y"},
		{lang.Line, "a\nb\rc\x00d\te\u2028f\u2029g\u0085h", "a b c d e f g h"},
		{lang.Line, "\u202Etxt.exe\u2066", "txt.exe"},
		{lang.Line, "Héé ✓ العربية", "Héé ✓ العربية"},
		{lang.Query, "a b&c=d+e/f?#%", "a%20b%26c%3Dd%2Be%2Ff%3F%23%25"},
		{lang.JSON, "say \"hi\"\\\n\t\x01\u2028\xff é <b>", `say \"hi\"\\\n\t\u0001\u2028\ufffd é <b>`},
	} {
		if got := tt.to.Text(tt.in); got != tt.want {
			t.Errorf("escape %d of %q: got %q, want %q", tt.to, tt.in, got, tt.want)
		}
	}
}

func FuzzEscapes(f *testing.F) {
	f.Add(hostile)
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		var back string
		if err := json.Unmarshal([]byte(`"`+lang.JSON.Text(s)+`"`), &back); err != nil || back != runes(s) {
			t.Errorf("JSON of %q is read back as %q: %v", s, back, err)
		}
		if back, err := url.QueryUnescape(lang.Query.Text(s)); err != nil || back != strings.ToValidUTF8(s, "\uFFFD") {
			t.Errorf("query of %q is read back as %q: %v", s, back, err)
		}
		if got := lang.Line.Text(s); !utf8.ValidString(got) || strings.ContainsAny(got, "\r\n\x00\u2028\u2029\u202E") {
			t.Errorf("%q is no line: %q", s, got)
		}
		if got := lang.HTML.Text(s); !utf8.ValidString(got) || strings.ContainsAny(got, "<>\"\x00") {
			t.Errorf("%q is no harmless HTML: %q", s, got)
		}
	})
}

// runes is s with each byte that is no UTF-8 replaced, as encoding/json does.
func runes(s string) string { return string([]rune(s)) }
