package lang

import (
	"net/url"
	"strings"
	"unicode"
	"unicode/utf8"
)

// An Escape is where a template's text goes: what its values must not break.
// All but Plain make a value valid UTF-8 first.
type Escape int

// The destinations of a text.
const (
	Plain Escape = iota // as it is
	HTML                // between tags or in quotes; control characters and bidi overrides are dropped
	Line                // one line, such as a header or a subject: what breaks it becomes a space
	Query               // a value in a query or a form, percent-encoded; a space is %20
	JSON                // inside a JSON string
)

// Raw is text that a template prints as it is, whatever its destination; what
// raw(x) yields. On a Line it still can't break the line.
type Raw string

// Text escapes s for the destination.
func (e Escape) Text(s string) string {
	switch e {
	case HTML:
		return htmlEscapes.Replace(strings.Map(visible, strings.ToValidUTF8(s, "\uFFFD")))
	case Line:
		return strings.Map(inLine, strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\r\n", "\n"))
	case Query:
		return strings.ReplaceAll(url.QueryEscape(strings.ToValidUTF8(s, "\uFFFD")), "+", "%20")
	case JSON:
		return string(appendJSONText(nil, s))
	}
	return s
}

// literal is what a template's own words look like at the destination: its
// author wrote them for it, so only a Line has to be made one.
func (e Escape) literal(s string) string {
	if e == Line {
		return e.Text(s)
	}
	return s
}

var htmlEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", `"`, "&#34;", "'", "&#39;")

// visible drops what a reader can't see and a messenger may refuse.
func visible(r rune) rune {
	if r == '\n' || r == '\t' {
		return r
	}
	if unicode.IsControl(r) || overridesBidi(r) {
		return -1
	}
	return r
}

func inLine(r rune) rune {
	switch {
	case overridesBidi(r):
		return -1
	case unicode.IsControl(r) || r == '\u2028' || r == '\u2029':
		return ' '
	}
	return r
}

// overridesBidi reports the embeddings, overrides and isolates by which a value
// turns the text after it around (Unicode Standard Annex 9).
func overridesBidi(r rune) bool {
	return r >= '\u202A' && r <= '\u202E' || r >= '\u2066' && r <= '\u2069'
}

const hexDigits = "0123456789abcdef"

// appendJSONText appends the content of a JSON string: valid UTF-8, with what
// JSON or JavaScript can't have in a string written as an escape.
func appendJSONText(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			b = appendJSONByte(b, c)
			i++
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			b = append(b, `\ufffd`...)
		case r == '\u2028' || r == '\u2029':
			b = append(b, `\u202`...)
			b = append(b, hexDigits[r&0xf])
		default:
			b = append(b, s[i:i+n]...)
		}
		i += n
	}
	return b
}

func appendJSONByte(b []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(b, '\\', c)
	case '\n':
		return append(b, `\n`...)
	case '\r':
		return append(b, `\r`...)
	case '\t':
		return append(b, `\t`...)
	}
	if c < ' ' {
		return append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
	}
	return append(b, c)
}
