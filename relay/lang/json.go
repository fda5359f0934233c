package lang

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"
)

// MaxJSONDepth is how deep lists and objects of a payload may be nested.
const MaxJSONDepth = 512

// ParseJSON reads one JSON value (RFC 8259): nil, bool, string, int,
// json.Number, []any or map[string]any. A number that an int holds in the very
// characters it has in data is an int, any other a json.Number; so printing one
// gives its exact characters. Of two equal keys the last counts.
//
// In the value, and only there, a byte that is no UTF-8 and half a surrogate
// pair become U+FFFD. A byte order mark, a comment, a second value and anything
// nested deeper than MaxJSONDepth are errors.
func ParseJSON(data []byte) (any, error) {
	v, _, err := ReadJSON(data)
	return v, err
}

// ReadJSON is ParseJSON that also tells which keys stand more than once.
func ReadJSON(data []byte) (v any, twice Repeats, err error) {
	p := parsers.Get().(*jsonParser)
	defer p.release()
	p.s = string(data)
	p.space()
	if v, err = p.value(); err != nil {
		return nil, Repeats{}, err
	}
	if p.space(); p.i < len(p.s) {
		return nil, Repeats{}, p.error("there is more after the value")
	}
	return v, p.twice, nil
}

// A jsonParser reads s from byte i. Strings without escapes are parts of s.
type jsonParser struct {
	s     string
	i     int
	depth int

	path    []string     // the keys that lead to the value being read; "[]" is an element
	members []jsonMember // of the objects being read, outermost first
	twice   Repeats
}

type jsonMember struct {
	key   string
	value any
}

var parsers = sync.Pool{New: func() any { return new(jsonParser) }}

// release gives the parser back, with the room for as many members as a payload
// usually has, and nothing of what it read.
func (p *jsonParser) release() {
	if cap(p.members) > 256 {
		p.members = nil
	}
	clear(p.members[:cap(p.members)])
	*p = jsonParser{path: p.path[:0], members: p.members[:0]}
	parsers.Put(p)
}

func (p *jsonParser) error(what string) error {
	return fmt.Errorf("not JSON at byte %d: %s", p.i, what)
}

func (p *jsonParser) space() {
	for p.i < len(p.s) {
		switch p.s[p.i] {
		case ' ', '\t', '\r', '\n':
			p.i++
		default:
			return
		}
	}
}

// next reports whether c comes next, and passes it.
func (p *jsonParser) next(c byte) bool {
	if p.i < len(p.s) && p.s[p.i] == c {
		p.i++
		return true
	}
	return false
}

func (p *jsonParser) value() (any, error) {
	if p.i >= len(p.s) {
		return nil, p.error("a value is missing")
	}
	switch c := p.s[p.i]; c {
	case '{', '[':
		return p.nested(c)
	case '"':
		return p.text()
	case 't':
		return true, p.word("true")
	case 'f':
		return false, p.word("false")
	case 'n':
		return nil, p.word("null")
	}
	return p.number()
}

func (p *jsonParser) nested(c byte) (v any, err error) {
	if p.depth++; p.depth > MaxJSONDepth {
		return nil, p.error("nested too deep")
	}
	p.i++
	if p.space(); c == '{' {
		v, err = p.object()
	} else {
		v, err = p.list()
	}
	p.depth--
	return v, err
}

func (p *jsonParser) word(w string) error {
	if !strings.HasPrefix(p.s[p.i:], w) {
		return p.error("no value")
	}
	p.i += len(w)
	return nil
}

// emptyList is every []; it has no capacity, so nobody can write into it.
var emptyList any = []any{}

func (p *jsonParser) list() (any, error) {
	if p.next(']') {
		return emptyList, nil
	}
	p.path = append(p.path, "[]")
	var list []any
	for {
		v, err := p.value()
		if err != nil {
			return nil, err
		}
		list = append(list, v)
		p.space()
		if p.next(']') {
			p.path = p.path[:len(p.path)-1]
			return list, nil
		}
		if !p.next(',') {
			return nil, p.error("want , or ]")
		}
		p.space()
	}
}

func (p *jsonParser) object() (any, error) {
	if p.next('}') {
		return map[string]any{}, nil
	}
	first := len(p.members)
	for {
		if err := p.member(); err != nil {
			return nil, err
		}
		p.space()
		if p.next('}') {
			m := p.collect(p.members[first:])
			p.members = p.members[:first]
			return m, nil
		}
		if !p.next(',') {
			return nil, p.error("want , or }")
		}
		p.space()
	}
}

func (p *jsonParser) member() error {
	key, err := p.text()
	if err != nil {
		return err
	}
	if p.space(); !p.next(':') {
		return p.error("want :")
	}
	p.space()
	p.path = append(p.path, key)
	v, err := p.value()
	p.path = p.path[:len(p.path)-1]
	p.members = append(p.members, jsonMember{key, v})
	return err
}

// collect makes the object of its members, and notes which keys stand twice.
func (p *jsonParser) collect(members []jsonMember) map[string]any {
	m := make(map[string]any, len(members))
	folds := false
	for _, e := range members {
		m[e.key] = e.value
		folds = folds || folding(e.key)
	}
	if folds || len(m) < len(members) {
		p.repeated(members)
	}
	return m
}

// folding reports whether a key has a letter that may differ in case from
// another's; of keys in lower case, only equal ones collide.
func folding(key string) bool {
	for i := 0; i < len(key); i++ {
		if c := key[i]; c >= utf8.RuneSelf || 'A' <= c && c <= 'Z' {
			return true
		}
	}
	return false
}

func (p *jsonParser) repeated(members []jsonMember) {
	seen := make(map[string]bool, len(members))
	for _, e := range members {
		f := fold(e.key)
		if seen[f] {
			p.twice.add(p.path, f)
		}
		seen[f] = true
	}
}

// fold makes equal what differs only in case, in any script.
func fold(s string) string { return strings.ToLower(strings.ToUpper(s)) }

// text reads a string.
func (p *jsonParser) text() (string, error) {
	if !p.next('"') {
		return "", p.error("want a key in quotes")
	}
	start, ascii := p.i, true
	for ; p.i < len(p.s); p.i++ {
		switch c := p.s[p.i]; {
		case c == '"':
			s := p.s[start:p.i]
			p.i++
			if !ascii && !utf8.ValidString(s) {
				s = string([]rune(s))
			}
			return s, nil
		case c == '\\':
			return p.escaped(start)
		case c < ' ':
			return "", p.error("a control character in a text")
		case c >= utf8.RuneSelf:
			ascii = false
		}
	}
	return "", p.error("a text has no end")
}

// escaped reads the rest of a string that began at start and has escapes.
func (p *jsonParser) escaped(start int) (string, error) {
	b := append(make([]byte, 0, 2*(p.i-start)+16), p.s[start:p.i]...)
	for p.i < len(p.s) {
		c := p.s[p.i]
		p.i++
		switch {
		case c == '"':
			if !utf8.Valid(b) {
				return string([]rune(string(b))), nil
			}
			return string(b), nil
		case c == '\\':
			var err error
			if b, err = p.escape(b); err != nil {
				return "", err
			}
		case c < ' ':
			return "", p.error("a control character in a text")
		default:
			b = append(b, c)
		}
	}
	return "", p.error("a text has no end")
}

var jsonEscapes = [256]byte{'"': '"', '\\': '\\', '/': '/', 'b': '\b', 'f': '\f', 'n': '\n', 'r': '\r', 't': '\t'}

// escape appends what the escape after a backslash stands for.
func (p *jsonParser) escape(b []byte) ([]byte, error) {
	if p.i >= len(p.s) {
		return nil, p.error("a text has no end")
	}
	c := p.s[p.i]
	p.i++
	if plain := jsonEscapes[c]; plain != 0 {
		return append(b, plain), nil
	}
	if c != 'u' {
		return nil, p.error("an unknown escape")
	}
	r := p.hex4(p.i)
	if r < 0 {
		return nil, p.error("want four hexadecimal digits")
	}
	p.i += 4
	if utf16.IsSurrogate(r) {
		r = p.pair(r)
	}
	return utf8.AppendRune(b, r), nil
}

// pair is the character of a surrogate and the one after it, which it passes;
// alone it stands for U+FFFD.
func (p *jsonParser) pair(high rune) rune {
	if strings.HasPrefix(p.s[p.i:], `\u`) {
		if r := utf16.DecodeRune(high, p.hex4(p.i+2)); r != utf8.RuneError {
			p.i += 6
			return r
		}
	}
	return utf8.RuneError
}

// hex4 is the number in the four hexadecimal digits at byte i, or -1.
func (p *jsonParser) hex4(i int) rune {
	if i+4 > len(p.s) {
		return -1
	}
	r := rune(0)
	for _, c := range []byte(p.s[i : i+4]) {
		switch {
		case '0' <= c && c <= '9':
			r = r<<4 | rune(c-'0')
		case 'a' <= c|0x20 && c|0x20 <= 'f':
			r = r<<4 | rune(c|0x20-'a'+10)
		default:
			return -1
		}
	}
	return r
}

func (p *jsonParser) number() (any, error) {
	start := p.i
	p.next('-')
	if !p.next('0') && !p.digits() {
		return nil, p.error("no value")
	}
	whole := true
	if p.next('.') {
		if whole = false; !p.digits() {
			return nil, p.error("want a digit")
		}
	}
	if p.next('e') || p.next('E') {
		whole = false
		if !p.next('+') {
			p.next('-')
		}
		if !p.digits() {
			return nil, p.error("want a digit")
		}
	}
	s := p.s[start:p.i]
	if whole && s != "-0" {
		if n, err := strconv.Atoi(s); err == nil {
			return n, nil
		}
	}
	return json.Number(s), nil
}

// digits passes digits, and reports whether there were any.
func (p *jsonParser) digits() bool {
	start := p.i
	for p.i < len(p.s) && '0' <= p.s[p.i] && p.s[p.i] <= '9' {
		p.i++
	}
	return p.i > start
}

// Repeats are the keys of a JSON text that stand more than once in their object,
// be it in another case: of which two readers may take different ones.
type Repeats struct {
	paths []string // folded
	many  bool     // too many to tell apart
}

const maxRepeats = 64

func (r *Repeats) add(path []string, key string) {
	if len(r.paths) == maxRepeats {
		r.many = true
		return
	}
	r.paths = append(r.paths, fold(dotted(append(path[:len(path):len(path)], key))))
}

// dotted joins keys as Fields writes them: "data.items[].sku".
func dotted(keys []string) string {
	return strings.TrimPrefix(strings.ReplaceAll("."+strings.Join(keys, "."), ".[]", "[]"), ".")
}

// Any reports whether there are any.
func (r Repeats) Any() bool { return len(r.paths) > 0 }

// Touch reports whether the value at a path such as "data.ref_id" or
// "items[].sku" is in doubt: because it, something on the way to it, or
// something in it stands more than once. "" is the whole text.
func (r Repeats) Touch(path string) bool {
	if path = fold(path); r.many || path == "" && r.Any() {
		return true
	}
	for _, twice := range r.paths {
		if within(path, twice) || within(twice, path) {
			return true
		}
	}
	return false
}

// within reports whether path is outer or leads through it.
func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}
