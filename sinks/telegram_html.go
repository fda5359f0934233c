package sinks

import (
	"fmt"
	"slices"
	"strings"
	"unicode/utf16"
	"unicode/utf8"
)

// telegramTags are the tags of Telegram's HTML mode
// (https://core.telegram.org/bots/api#html-style).
var telegramTags = []string{"a", "b", "blockquote", "code", "del", "em", "i", "ins", "pre", "s", "span",
	"strike", "strong", "tg-emoji", "tg-spoiler", "u"}

// A piece is the smallest part of a text in Telegram's HTML that may not be
// torn: a tag, an entity, or a character.
type piece struct {
	raw   string
	tag   string // its name, if it is a tag
	end   bool   // it is an end tag
	units int    // UTF-16 code units it shows as; 0 for a tag
}

// nextPiece is the first piece of s, which is not empty. What only looks like a
// tag or an entity is taken character by character.
func nextPiece(s string) piece {
	switch s[0] {
	case '<':
		if t, err := readTag(s); err == nil {
			return t
		}
	case '&':
		if n, r := readEntity(s); n > 0 {
			return piece{raw: s[:n], units: utf16.RuneLen(r)}
		}
	}
	r, n := utf8.DecodeRuneInString(s)
	return piece{raw: s[:n], units: utf16.RuneLen(r)}
}

// A markupError is something Telegram would refuse at an offset of a text.
type markupError struct {
	offset, len int
	message     string
	hint        string
}

func (e *markupError) Error() string { return e.message }

// readTag reads the tag that s begins with. The error is a *markupError.
func readTag(s string) (piece, error) {
	n := strings.IndexAny(s, " \t\r\n>")
	if n < 0 {
		return piece{}, &markupError{0, 1, "a tag begins here and doesn't end", `write &lt; for "<" itself`}
	}
	name := strings.ToLower(s[1:n])
	t := piece{tag: strings.TrimPrefix(name, "/"), end: strings.HasPrefix(name, "/")}
	if !slices.Contains(telegramTags, t.tag) && name != "/" {
		return piece{}, &markupError{0, n, fmt.Sprintf("Telegram knows no tag <%s>", t.tag),
			"use b i u s a code pre blockquote tg-spoiler, and &lt; for \"<\" itself"}
	}
	attributes, end := readAttributes(s[n:])
	if end < 0 {
		return piece{}, &markupError{0, n, fmt.Sprintf("the tag <%s> doesn't end", t.tag), ""}
	}
	if t.tag == "span" && !t.end && !strings.Contains(attributes, "tg-spoiler") {
		return piece{}, &markupError{0, n + end + 1, `Telegram's <span> must have class="tg-spoiler"`, ""}
	}
	t.raw = s[:n+end+1]
	return t, nil
}

// readAttributes gives what stands before the > that ends a tag, and its
// offset; -1 if there is none outside quotes.
func readAttributes(s string) (string, int) {
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '"' || c == '\'':
			quote = c
		case c == '>':
			return s[:i], i
		}
	}
	return "", -1
}

var telegramEntities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"'}

// readEntity reads the entity that s begins with: its length, 0 if it is none,
// and what it stands for. As with Telegram, the semicolon may be missing.
func readEntity(s string) (n int, r rune) {
	n = 1
	for n < len(s) && n < 12 && (isAlnum(s[n]) || n == 1 && s[n] == '#') {
		n++
	}
	r = entityRune(s[1:n])
	if r <= 0 || !utf8.ValidRune(r) {
		return 0, 0
	}
	if n < len(s) && s[n] == ';' {
		n++
	}
	return n, r
}

func isAlnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

// entityRune is what the entity of a name stands for, or 0.
func entityRune(name string) rune {
	if !strings.HasPrefix(name, "#") {
		return telegramEntities[name]
	}
	var r rune
	if _, err := fmt.Sscanf(strings.ToLower(name[1:]), "x%x", &r); err == nil {
		return r
	}
	fmt.Sscanf(name[1:], "%d", &r)
	return r
}

// checkMarkup reports the first thing in a text that Telegram would refuse.
func checkMarkup(s string) *markupError {
	type open struct {
		tag string
		at  int
		len int
	}
	var stack []open
	for at := 0; at < len(s); {
		p := nextPiece(s[at:])
		switch {
		case p.raw == "<":
			_, err := readTag(s[at:])
			e := err.(*markupError)
			e.offset += at
			return e
		case p.tag != "" && !p.end:
			stack = append(stack, open{p.tag, at, len(p.raw)})
		case p.end && len(stack) == 0:
			return &markupError{at, len(p.raw), fmt.Sprintf("%s closes nothing", p.raw), ""}
		case p.end:
			if top := stack[len(stack)-1]; p.tag != "" && p.tag != top.tag {
				return &markupError{at, len(p.raw), fmt.Sprintf("%s stands where </%s> is due", p.raw, top.tag), ""}
			}
			stack = stack[:len(stack)-1]
		}
		at += len(p.raw)
	}
	if len(stack) > 0 {
		o := stack[len(stack)-1]
		return &markupError{o.at, o.len, fmt.Sprintf("<%s> is never closed", o.tag), fmt.Sprintf("write </%s>", o.tag)}
	}
	return nil
}

// units counts what a text shows in UTF-16 code units, as Telegram does after
// it has parsed the entities.
func units(s string) (n int) {
	for s != "" {
		p := nextPiece(s)
		n += p.units
		s = s[len(p.raw):]
	}
	return n
}

// cutNote ends a text that was shortened.
const cutNote = "\n… (dipotong)"

// shorten makes a text show at most limit UTF-16 units. It cuts at the end of a
// line if one is in the second half, else between characters, never inside a
// tag, an entity or a surrogate pair. Tags that are open there are closed, and
// cutNote says what happened.
func shorten(s string, limit int) string {
	if len(s) <= limit || units(s) <= limit {
		return s
	}
	room := limit - units(cutNote)
	cut, line, shown := 0, 0, 0
	for at := 0; at < len(s); {
		p := nextPiece(s[at:])
		if p.raw == "\n" && shown >= room/2 {
			line = at
		}
		if shown += p.units; shown > room {
			break
		}
		at += len(p.raw)
		cut = at
	}
	if line > 0 {
		cut = line
	}
	return strings.TrimRight(s[:cut], " \n") + closing(s[:cut]) + cutNote
}

// closing gives the end tags for what is open at the end of s.
func closing(s string) (tags string) {
	var stack []string
	for s != "" {
		p := nextPiece(s)
		switch {
		case p.end && len(stack) > 0:
			stack = stack[:len(stack)-1]
		case p.tag != "" && !p.end:
			stack = append(stack, p.tag)
		}
		s = s[len(p.raw):]
	}
	for _, tag := range slices.Backward(stack) {
		tags += "</" + tag + ">"
	}
	return tags
}

// plainText is what a text in HTML shows: tags are gone, entities decoded.
func plainText(s string) string {
	var b strings.Builder
	for s != "" {
		p := nextPiece(s)
		s = s[len(p.raw):]
		if p.tag != "" || p.end {
			continue
		}
		if n, r := readEntity(p.raw); p.raw[0] == '&' && n > 0 {
			b.WriteRune(r)
			continue
		}
		b.WriteString(p.raw)
	}
	return b.String()
}

// cutPlain makes a text that is no HTML show at most limit UTF-16 units.
func cutPlain(s string, limit int) string {
	room := limit - units(cutNote)
	shown, cut := 0, 0
	for i, r := range s {
		if shown <= room {
			cut = i
		}
		if shown += utf16.RuneLen(r); shown > limit {
			return s[:cut] + cutNote
		}
	}
	return s
}
