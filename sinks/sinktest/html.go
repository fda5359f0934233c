//lint:file-ignore ST1005 these errors are in the Bot API's own words

package sinktest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

var tags = []string{"a", "b", "strong", "i", "em", "s", "strike", "del", "u", "ins", "tg-spoiler", "tg-emoji",
	"span", "pre", "code", "blockquote"}

// ParseHTML reads a text in Telegram's HTML mode and gives what it shows. The
// errors are in Telegram's words. It follows the rules of
// https://core.telegram.org/bots/api#html-style, to the byte.
func ParseHTML(s string) (string, error) {
	p := htmlParser{s: s}
	for p.i < len(s) {
		switch {
		case s[p.i] == '&':
			p.entity(&p.out)
		case strings.HasPrefix(s[p.i:], "</"):
			if err := p.endTag(); err != nil {
				return "", err
			}
		case s[p.i] == '<':
			if err := p.startTag(); err != nil {
				return "", err
			}
		default:
			p.out.WriteByte(s[p.i])
			p.i++
		}
	}
	if n := len(p.open); n > 0 {
		return "", fmt.Errorf("Can't find end tag corresponding to start tag %q", p.open[n-1])
	}
	return p.out.String(), nil
}

type htmlParser struct {
	s    string
	i    int
	out  strings.Builder
	open []string
}

func (p *htmlParser) at() byte {
	if p.i < len(p.s) {
		return p.s[p.i]
	}
	return 0
}

// until moves on to one of the bytes, or the end, and gives what is between.
func (p *htmlParser) until(stop string) string {
	begin := p.i
	for p.i < len(p.s) && !strings.ContainsRune(stop, rune(p.s[p.i])) {
		p.i++
	}
	return p.s[begin:p.i]
}

func (p *htmlParser) spaces() {
	for p.at() != 0 && strings.ContainsRune(" \t\r\n", rune(p.at())) {
		p.i++
	}
}

// entity copies one character, decoded if it is an entity.
func (p *htmlParser) entity(out *strings.Builder) {
	rest := p.s[p.i+1:]
	name := rest[:span(rest, isLetter)]
	if digits, ok := strings.CutPrefix(rest, "#x"); ok {
		name = rest[:2+span(digits, isHex)]
	} else if digits, ok := strings.CutPrefix(rest, "#"); ok {
		name = rest[:1+span(digits, isDigit)]
	}
	r := decode(name)
	if r <= 0 || len(name) > 8 {
		out.WriteByte('&')
		p.i++
		return
	}
	out.WriteRune(r)
	if p.i += 1 + len(name); p.at() == ';' {
		p.i++
	}
}

// span is the length of the bytes at the start of s that are of a kind.
func span(s string, is func(byte) bool) (n int) {
	for n < len(s) && is(s[n]) {
		n++
	}
	return n
}

func isDigit(c byte) bool  { return c >= '0' && c <= '9' }
func isLetter(c byte) bool { return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' }
func isHex(c byte) bool {
	return isDigit(c) || c >= 'a' && c <= 'f' || c >= 'A' && c <= 'F'
}

func decode(name string) rune {
	if r, ok := map[string]rune{"lt": '<', "gt": '>', "amp": '&', "quot": '"'}[name]; ok {
		return r
	}
	digits, base := strings.TrimPrefix(name, "#"), 10
	if hex, ok := strings.CutPrefix(digits, "x"); ok {
		digits, base = hex, 16
	}
	n, err := strconv.ParseInt(digits, base, 32)
	if err != nil || name[0] != '#' || !utf8.ValidRune(rune(n)) {
		return 0
	}
	return rune(n)
}

func (p *htmlParser) endTag() error {
	begin := p.i
	p.i += 2
	if len(p.open) == 0 {
		return fmt.Errorf("Unexpected end tag at byte offset %d", begin)
	}
	name := strings.ToLower(p.until(" \t\r\n>"))
	p.spaces()
	if p.at() != '>' {
		return fmt.Errorf("Unclosed end tag at byte offset %d", begin)
	}
	p.i++
	top := p.open[len(p.open)-1]
	if name != "" && name != top {
		return fmt.Errorf("Unmatched end tag at byte offset %d, expected \"</%s>\", found \"</%s>\"", begin, top, name)
	}
	p.open = p.open[:len(p.open)-1]
	return nil
}

func (p *htmlParser) startTag() error {
	begin := p.i
	p.i++
	name := strings.ToLower(p.until(" \t\r\n>"))
	if p.at() == 0 {
		return fmt.Errorf("Unclosed start tag at byte offset %d", begin)
	}
	if !slices.Contains(tags, name) {
		return fmt.Errorf("Unsupported start tag %q at byte offset %d", name, begin)
	}
	spoiler := false
	for p.spaces(); p.at() != '>'; p.spaces() {
		key, value, err := p.attribute(name, begin)
		if err != nil {
			return err
		}
		if key == "class" {
			spoiler = value == "tg-spoiler"
		}
	}
	if name == "span" && !spoiler {
		return fmt.Errorf(`Tag "span" must have class "tg-spoiler" at byte offset %d`, begin)
	}
	p.i++
	p.open = append(p.open, name)
	return nil
}

func (p *htmlParser) attribute(tag string, begin int) (key, value string, err error) {
	unclosed := fmt.Errorf("Unclosed start tag %q at byte offset %d", tag, begin)
	key = strings.ToLower(p.until(" \t\r\n=>"))
	if key == "" {
		if p.at() == 0 {
			return "", "", unclosed
		}
		return "", "", fmt.Errorf("Empty attribute name in the tag %q at byte offset %d", tag, begin)
	}
	p.spaces()
	if p.at() != '=' {
		if p.at() == 0 {
			return "", "", unclosed
		}
		return key, "", nil
	}
	p.i++
	p.spaces()
	if quote := p.at(); quote == '"' || quote == '\'' {
		p.i++
		value = p.until(string(quote))
		p.i++
	} else {
		at := p.i
		p.i += span(p.s[p.i:], func(c byte) bool { return isDigit(c) || isLetter(c) || c == '.' || c == '-' })
		if value = p.s[at:p.i]; p.at() != 0 && !strings.ContainsRune(" \t\r\n>", rune(p.at())) {
			return "", "", fmt.Errorf("Unexpected end of name token at byte offset %d", at)
		}
	}
	if p.at() == 0 {
		return "", "", unclosed
	}
	return key, value, nil
}
