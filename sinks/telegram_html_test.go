package sinks

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/sinks/sinktest"
)

func TestMarkupIsCheckedAsTelegramDoes(t *testing.T) {
	for text, want := range map[string]string{
		"":                                 "",
		"<b>a</b> <i>b</i>":                "",
		"<B>a</b>":                         "",
		"<b>a</>":                          "",
		`<a href="https://a.id?x=1">a</a>`: "",
		`<a href='x>y'>a</a>`:              "",
		`<pre><code class="language-go">x</code></pre>`:         "",
		`<span class="tg-spoiler">a</span>`:                     "",
		"<blockquote expandable>a</blockquote>":                 "",
		`<tg-emoji emoji-id="5368324170671202286">👍</tg-emoji>`: "",
		"a &lt; b &amp; c &#39; &nbsp;":                         "",
		"a > b":                                                 "",
		"a<br>b":                                                "1 4 Telegram knows no tag <br>",
		"harga < 5000 > 2":                                      "6 1 a \"<\" that begins no tag",
		"a <":                                                   "2 1 a tag begins here and doesn't end",
		"<b":                                                    "0 1 a tag begins here and doesn't end",
		"<b x":                                                  "0 2 the tag <b> doesn't end",
		"<a href=https://a.id>a</a>":                            "0 21 the attributes of <a> can't be read",
		"<span>a</span>":                                        "0 6 Telegram's <span> must have a class",
		"<b>a":                                                  "0 3 <b> is never closed",
		"<i>a <b>c</i></b>":                                     "9 4 </i> stands where </b> is due",
		"a</b>":                                                 "1 4 </b> closes nothing",
		"😀 <h1>":                                                "5 4 Telegram knows no tag <h1>",
	} {
		got := ""
		if e := checkMarkup(text); e != nil {
			got = fmt.Sprintf("%d %d %s", e.offset, e.len, e.message)
		}
		if got != want {
			t.Errorf("%q: %q, want %q", text, got, want)
		}
		if _, err := sinktest.ParseHTML(text); (err == nil) != (want == "") {
			t.Errorf("%q: the stand-in says %v", text, err)
		}
	}
}

func TestLongTextsAreCutAtALine(t *testing.T) {
	line := strings.Repeat("a", 9) + "\n"
	for name, tt := range map[string]struct{ in, want string }{
		"short":             {"<b>abc</b>", "<b>abc</b>"},
		"just fits":         {strings.Repeat("x", 100), strings.Repeat("x", 100)},
		"entities are one":  {strings.Repeat("&lt;", 100), strings.Repeat("&lt;", 100)},
		"at a line":         {strings.Repeat(line, 12), strings.TrimRight(strings.Repeat(line, 8), "\n") + cutNote},
		"no line":           {strings.Repeat("x", 101), strings.Repeat("x", 87) + cutNote},
		"no torn surrogate": {"x" + strings.Repeat("😀", 60), "x" + strings.Repeat("😀", 43) + cutNote},
		"no torn entity":    {strings.Repeat("&#128512;", 60), strings.Repeat("&#128512;", 43) + cutNote},
		"tags are closed":   {"<b><i>" + strings.Repeat("x", 101) + "</i></b>", "<b><i>" + strings.Repeat("x", 87) + "</i></b>" + cutNote},
	} {
		if got := shorten(tt.in, 100, cutNote); got != tt.want {
			t.Errorf("%s:\n%q, want\n%q", name, got, tt.want)
		}
	}
}

// FuzzMarkup holds the checker and the shortener against an independent
// reading of Telegram's rules.
func FuzzMarkup(f *testing.F) {
	for _, s := range []string{"", "<b>a</b>", "a &lt b", "<a href='x'>y</a>", "&#x1F600;&#128512", "<span class=\"tg-spoiler\">😀\n</span>",
		"<pre><code class=\"a>b\">\n\n</code></pre>", "<b", "</", "<>", "&", "&#", "&#x0000041;", "&#x000041;", "&#0000065;", "&#00000065", "&#xD800;", "<b\n>x</b >", "<a b=c d>x</a>", "<a b= >x</a>", "<a b='c'd>x</a>", "<a b= !>x</a>", "\xff<b>\xf0\x9f</b>"} {
		f.Add(s, uint8(20))
		f.Add(strings.Repeat(s, 40), uint8(60))
	}
	f.Fuzz(func(t *testing.T, s string, limit uint8) {
		if !utf8.ValidString(s) || strings.ContainsAny(s, "\x00\v\f") {
			t.Skip()
		}
		plain, err := sinktest.ParseHTML(s)
		if mistake := checkMarkup(s); (mistake == nil) != (err == nil) {
			t.Fatalf("%q: we say %v, the stand-in says %v", s, mistake, err)
		}
		if err != nil {
			return
		}
		if n := len(utf16.Encode([]rune(plain))); units(s) != n {
			t.Fatalf("%q shows %d units, not %d", s, n, units(s))
		}
		if plainText(s) != plain {
			t.Fatalf("%q shows %q, not %q", s, plain, plainText(s))
		}
		checkShort(t, s, plain, 20+int(limit))
	})
}

func checkShort(t *testing.T, s, plain string, limit int) {
	short := shorten(s, limit, cutNote)
	shown, err := sinktest.ParseHTML(short)
	if err != nil {
		t.Fatalf("%q was torn: %q: %v", s, short, err)
	}
	if n := len(utf16.Encode([]rune(shown))); n > limit {
		t.Fatalf("%q shows %d units, more than %d", short, n, limit)
	}
	if short == s {
		return
	}
	kept, ok := strings.CutSuffix(shown, cutNote)
	if !ok || !strings.HasPrefix(plain, kept) {
		t.Fatalf("%q became %q", plain, shown)
	}
}
