package sinktest

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
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
	end := p.i + 1
	if end < len(p.s) && p.s[end] == '#' {
		end++
	}
	for end < len(p.s) && alnum(p.s[end]) {
		end++
	}
	r := decode(p.s[p.i+1 : end])
	if r <= 0 || end-p.i > 12 {
		out.WriteByte('&')
		p.i++
		return
	}
	out.WriteRune(r)
	p.i = end
	if p.at() == ';' {
		p.i++
	}
}

func alnum(c byte) bool {
	return c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func decode(name string) rune {
	switch name {
	case "lt":
		return '<'
	case "gt":
		return '>'
	case "amp":
		return '&'
	case "quot":
		return '"'
	}
	digits, ok := strings.CutPrefix(name, "#")
	if !ok {
		return 0
	}
	base := 10
	if len(digits) > 0 && (digits[0] == 'x' || digits[0] == 'X') {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseInt(digits, base, 32)
	if err != nil || n > 0x10ffff || n >= 0xd800 && n < 0xe000 {
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
		spoiler = spoiler || key == "class" && strings.HasPrefix(value, "tg-")
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
		for alnum(p.at()) || p.at() == '.' || p.at() == '-' {
			p.i++
		}
		if value = p.s[at:p.i]; p.at() != 0 && !strings.ContainsRune(" \t\r\n>", rune(p.at())) {
			return "", "", fmt.Errorf("Unexpected end of name token at byte offset %d", at)
		}
	}
	if p.at() == 0 {
		return "", "", unclosed
	}
	return key, value, nil
}
