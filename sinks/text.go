package sinks

import (
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// maxAnswer is how much of a far side's answer is read and kept, in bytes.
const maxAnswer = 64 << 10

// printable makes any bytes a text that a page, a log and a terminal show as it
// is: valid UTF-8 of at most max bytes, in which nothing controls a terminal or
// turns the direction of writing. Lines and tabs stay.
func printable(b []byte, max int) string {
	text := strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\r\n", "\n")
	return cut(strings.Map(harmless, text), max)
}

// harmless gives r, or what stands in its place.
func harmless(r rune) rune {
	switch {
	case r == '\n' || r == '\t':
		return r
	case r < ' ':
		return '\u2400' + r // the pictures of control characters
	case r == 0x7f:
		return '\u2421'
	case unicode.Is(unicode.Cc, r) || unicode.Is(unicode.Bidi_Control, r):
		return '\uFFFD'
	}
	return r
}

// cut shortens text to at most max bytes, between characters, and marks the cut.
func cut(text string, max int) string {
	const ellipsis = "…"
	if len(text) <= max {
		return text
	}
	end := max - len(ellipsis)
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + ellipsis
}

// report records what is wrong with an expression or template, if anything, that
// begins at a byte of the node's text.
func report(n conf.Node, at int, err error) {
	mistakes, _ := err.(lang.Mistakes)
	for _, e := range mistakes {
		n.ReportAt(at+e.Offset, conf.Problem{Len: e.Len, Message: e.Message, Hint: e.Hint})
	}
}

// template compiles a text of rules.yaml. What is wrong with it is reported, and
// nil returned.
func template(env *lang.Env, s conf.String, to lang.Escape) *lang.Template {
	t, err := env.Template(s.Text, to)
	report(s.Node, 0, err)
	return t
}
