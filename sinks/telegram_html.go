package sinks

import (
	"cmp"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
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
		if t, ok := readTag(s); ok {
			return t
		}
	case '&':
		if n, r := readEntity(s); r != 0 {
			return piece{raw: s[:n], units: utf16.RuneLen(r)}
		} else if n > 0 {
			return piece{raw: s[:n], units: n}
		}
	}
	r, n := utf8.DecodeRuneInString(s)
	return piece{raw: s[:n], units: utf16.RuneLen(r)}
}

// A markupError is something that Telegram would refuse, at an offset of a text.
type markupError struct {
	offset, len int
	message     string
	hint        string
}

const htmlSpaces = " \t\r\n"

// Bounds of what is looked at behind a <, in bytes: a tag's name, and all of it.
const (
	maxTagName = 16
	maxTag     = 4096
)

// readTag reads the tag that s begins with, if Telegram would take it for one.
func readTag(s string) (t piece, ok bool) {
	n := strings.IndexAny(s[:min(len(s), maxTagName)], htmlSpaces+">")
	if n < 0 {
		return piece{}, false
	}
	name, end := strings.CutPrefix(strings.ToLower(s[1:n]), "/")
	known := slices.Contains(telegramTags, name)
	if end {
		rest := strings.TrimLeft(s[n:], htmlSpaces)
		ok = strings.HasPrefix(rest, ">") && (known || name == "")
		return piece{raw: s[:len(s)-len(rest)+min(1, len(rest))], tag: name, end: true}, ok
	}
	whole := s[:min(len(s), maxTag)]
	if !known || !strings.Contains(whole, ">") {
		return piece{}, false
	}
	class, rest, ok := readAttributes(whole[n:])
	return piece{raw: whole[:len(whole)-len(rest)], tag: name}, ok && (name != "span" || class == "tg-spoiler")
}

// readAttributes reads up to the > that ends a start tag, and gives its class
// and what follows it.
func readAttributes(s string) (class, rest string, ok bool) {
	for {
		s = strings.TrimLeft(s, htmlSpaces)
		if after, ended := strings.CutPrefix(s, ">"); ended {
			return class, after, true
		}
		n := strings.IndexAny(s, htmlSpaces+"=>")
		if n <= 0 {
			return "", "", false
		}
		name := strings.ToLower(s[:n])
		s = strings.TrimLeft(s[n:], htmlSpaces)
		value := ""
		if assigned, has := strings.CutPrefix(s, "="); has {
			if value, s, ok = readValue(strings.TrimLeft(assigned, htmlSpaces)); !ok {
				return "", "", false
			}
		}
		if name == "class" {
			class = value
		}
	}
}

// readValue reads an attribute's value: in quotes, or a word.
func readValue(s string) (value, rest string, ok bool) {
	if s != "" && (s[0] == '"' || s[0] == '\'') {
		return strings.Cut(s[1:], s[:1])
	}
	n := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r == '.' || r == '-')
	})
	if n < 0 || !strings.ContainsRune(htmlSpaces+">", rune(s[n])) {
		return "", "", false
	}
	return strings.ToLower(s[:n]), s[n:], true
}

// hole stands for each byte of an expression in a template that is checked.
const hole = '\x01'

// brokenTag says why s, which begins with <, begins with no tag.
func brokenTag(s string) *markupError {
	n := strings.IndexAny(s, htmlSpaces+">")
	if n < 0 {
		return &markupError{0, 1, "a tag begins here and doesn't end", `write &lt; for "<" itself`}
	}
	name, _ := strings.CutPrefix(strings.ToLower(s[1:n]), "/")
	end := strings.Index(s, ">")
	switch {
	case n == 1:
		return &markupError{0, 1, `a "<" that begins no tag`, "write &lt;"}
	case strings.ContainsRune(name, hole):
		return &markupError{0, max(n, end+1), "a tag's name cannot be an expression", `write &lt; for "<" itself`}
	case name == "br" || name == "br/" || name == "p":
		return &markupError{0, max(n, end+1), fmt.Sprintf("Telegram knows no tag <%s>", name), "begin a new line in the text: write | after text:"}
	case !slices.Contains(telegramTags, name):
		return &markupError{0, max(n, end+1), fmt.Sprintf("Telegram knows no tag <%s>", name),
			`use b i u s a code pre blockquote tg-spoiler, and &lt; for "<" itself`}
	case end < 0:
		return &markupError{0, n, fmt.Sprintf("the tag <%s> doesn't end", name), "write > after it"}
	case name == "span":
		return &markupError{0, end + 1, "Telegram's <span> must have a class", `write <span class="tg-spoiler">`}
	}
	return &markupError{0, end + 1, fmt.Sprintf("the attributes of <%s> can't be read", name), "put quotes around their values"}
}

var entity = regexp.MustCompile(`^&(?:#x([0-9a-fA-F]+)|#([0-9]+)|([A-Za-z]+));?`)

var namedEntities = map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"'}

// readEntity reads the entity that s begins with: its length and what it stands
// for. As with Telegram, the semicolon may be missing. If only the look is that
// of an entity, r is 0; a part of it might be one.
func readEntity(s string) (n int, r rune) {
	m := entity.FindStringSubmatch(s)
	if m == nil {
		return 0, 0
	}
	r = namedEntities[m[3]]
	if m[3] == "" {
		code, _ := strconv.ParseInt(cmp.Or(m[1], m[2]), map[bool]int{true: 16, false: 10}[m[1] != ""], 32)
		r = rune(code)
	}
	if !utf8.ValidRune(r) || len(m[1])+len(m[2]) > 7 || len(m[1]) > 6 {
		r = 0
	}
	return len(m[0]), r
}

// checkMarkup reports the first thing in a text that Telegram would refuse.
func checkMarkup(s string) *markupError {
	type opened struct {
		piece
		at int
	}
	var stack []opened
	for at := 0; at < len(s); {
		p := nextPiece(s[at:])
		switch {
		case p.raw == "<":
			mistake := brokenTag(s[at:])
			mistake.offset += at
			return mistake
		case p.end && len(stack) == 0:
			return &markupError{at, len(p.raw), p.raw + " closes nothing", ""}
		case p.end && p.tag != "" && p.tag != stack[len(stack)-1].tag:
			return &markupError{at, len(p.raw), fmt.Sprintf("%s stands where </%s> is due", p.raw, stack[len(stack)-1].tag), ""}
		case p.end:
			stack = stack[:len(stack)-1]
		case p.tag != "":
			stack = append(stack, opened{p, at})
		}
		at += len(p.raw)
	}
	if len(stack) == 0 {
		return nil
	}
	o := stack[len(stack)-1]
	return &markupError{o.at, len(o.raw), fmt.Sprintf("<%s> is never closed", o.tag), fmt.Sprintf("write </%s>", o.tag)}
}

// units counts what a text shows in UTF-16 code units, as Telegram does after
// it has parsed the entities.
func units(s string) int { return unitsUpTo(s, math.MaxInt) }

// unitsUpTo counts no further than beyond limit.
func unitsUpTo(s string, limit int) (n int) {
	for s != "" && n <= limit {
		p := nextPiece(s)
		n += p.units
		s = s[len(p.raw):]
	}
	return n
}

// isBlank reports whether a text shows nothing but spaces.
func isBlank(s string) bool {
	for s != "" {
		p := nextPiece(s)
		if p.units > 0 && strings.TrimSpace(plainText(p.raw)) != "" {
			return false
		}
		s = s[len(p.raw):]
	}
	return true
}

// cutNote ends a message that was shortened.
const cutNote = "\n… (dipotong)"

// shorten makes a text show at most limit UTF-16 units. It cuts at the end of a
// line if one is in the second half, else between characters, never inside a
// tag, an entity or a surrogate pair. Tags that are open there are closed, and
// the note says what happened.
func shorten(s string, limit int, note string) string {
	if len(s) <= limit || unitsUpTo(s, limit) <= limit {
		return s
	}
	room := limit - units(note)
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
	return strings.TrimRight(s[:cut], " \n") + closing(s[:cut]) + note
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
		if _, r := readEntity(p.raw); r != 0 {
			b.WriteRune(r)
			continue
		}
		b.WriteString(p.raw)
	}
	return b.String()
}
