package conf

import (
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// lines are the file's lines without their ends, as YAML counts them.
func (f *File) lines() []string {
	if f.split == nil {
		f.split = splitLines(string(f.source))
	}
	return f.split
}

var lineEnds = strings.NewReplacer("\r\n", "\n", "\r", "\n", "\u0085", "\n", "\u2028", "\n", "\u2029", "\n")

func splitLines(s string) []string {
	return strings.Split(lineEnds.Replace(strings.TrimPrefix(s, "\ufeff")), "\n")
}

// line is a line by its number from 1; "" if there is none.
func (f *File) line(n int) string {
	if lines := f.lines(); n >= 1 && n <= len(lines) {
		return lines[n-1]
	}
	return ""
}

// placeIn is the place of a byte offset of a scalar's value, whichever way the
// scalar is written.
func (n Node) placeIn(offset int) Place {
	if n.y == nil || n.f == nil || n.y.Kind != yaml.ScalarNode {
		return n.Place()
	}
	offset = min(max(offset, 0), len(n.y.Value))
	switch {
	case n.y.Style&yaml.LiteralStyle != 0:
		return n.inLiteral(offset)
	case n.y.Style&yaml.FoldedStyle != 0:
		return n.inFolded(offset)
	}
	return n.inFlow(offset)
}

// blockIndent is how many spaces the lines of a block scalar begin with that
// are not of its value.
func (n Node) blockIndent() int {
	value := firstFilled(strings.Split(n.y.Value, "\n"))
	source := firstFilled(n.f.lines()[min(n.y.Line, len(n.f.lines())):])
	return max(0, leading(source)-leading(value))
}

func firstFilled(lines []string) string {
	for _, l := range lines {
		if strings.Trim(l, " ") != "" {
			return l
		}
	}
	return ""
}

func leading(s string) int { return len(s) - len(strings.TrimLeft(s, " ")) }

// Every line of a literal scalar is a line of the file.
func (n Node) inLiteral(offset int) Place {
	before := n.y.Value[:offset]
	start := strings.LastIndexByte(before, '\n') + 1
	return Place{Line: n.y.Line + 1 + strings.Count(before, "\n"),
		Col: n.blockIndent() + 1 + utf8.RuneCountInString(before[start:])}
}

// A folded scalar has its lines joined: each is found in the value again, after
// some blanks.
func (n Node) inFolded(offset int) Place {
	indent, at, p := n.blockIndent(), 0, n.Place()
	for i := n.y.Line; i < len(n.f.lines()); i++ {
		line := n.f.lines()[i]
		if strings.Trim(line, " ") == "" {
			continue
		}
		content := line[min(indent, leading(line)):]
		rest := n.y.Value[at:]
		for !strings.HasPrefix(rest, content) && strings.IndexAny(rest, " \n") == 0 {
			rest = rest[1:]
		}
		if !strings.HasPrefix(rest, content) {
			break
		}
		at = len(n.y.Value) - len(rest)
		p = Place{Line: i + 1, Col: indent + 1}
		if offset <= at+len(content) {
			p.Col += utf8.RuneCountInString(content[:max(0, offset-at)])
			break
		}
		at += len(content)
	}
	return p
}

// A flow scalar, quoted or plain, is read again rune by rune.
func (n Node) inFlow(offset int) Place {
	c := cursor{lines: n.f.lines(), line: n.y.Line, col: n.y.Column}
	c.rest = dropRunes(n.f.line(c.line), c.col-1)
	c.skipProperties()
	quote := c.quote(n.y.Style)
	for at := 0; at < offset; {
		if folded := c.fold(); folded > 0 {
			at += folded
			continue
		}
		skip, gives := c.next(quote)
		c.skip(skip)
		if gives {
			_, size := utf8.DecodeRuneInString(n.y.Value[at:])
			at += size
		} else if c.rest == "" && c.line >= len(c.lines) {
			break
		}
	}
	return Place{Line: c.line, Col: c.col}
}

// A cursor goes through the file's lines.
type cursor struct {
	lines     []string
	line, col int    // both from 1
	rest      string // of the line
}

func dropRunes(s string, n int) string {
	for ; n > 0 && s != ""; n-- {
		_, size := utf8.DecodeRuneInString(s)
		s = s[size:]
	}
	return s
}

func (c *cursor) skip(runes int) {
	c.rest = dropRunes(c.rest, runes)
	c.col += runes
}

func (c *cursor) skipBlanks() { c.skip(len(c.rest) - len(strings.TrimLeft(c.rest, " \t"))) }

func (c *cursor) nextLine() {
	c.line++
	c.col, c.rest = 1, ""
	if c.line <= len(c.lines) {
		c.rest = c.lines[c.line-1]
	}
	c.skipBlanks()
}

// skipProperties passes tags and anchors.
func (c *cursor) skipProperties() {
	for c.rest != "" && strings.ContainsRune("!&", rune(c.rest[0])) {
		if end := strings.IndexAny(c.rest, " \t"); end >= 0 {
			c.skip(utf8.RuneCountInString(c.rest[:end]))
			c.skipBlanks()
		} else {
			c.nextLine()
		}
	}
}

// quote passes the opening quote and gives it; 0 for a plain scalar.
func (c *cursor) quote(style yaml.Style) byte {
	switch {
	case style&yaml.DoubleQuotedStyle != 0:
		c.skip(1)
		return '"'
	case style&yaml.SingleQuotedStyle != 0:
		c.skip(1)
		return '\''
	}
	return 0
}

// fold passes the end of a line and what is blank around it, and gives the
// number of bytes that stand for it in the value; 0 if the line goes on.
func (c *cursor) fold() int {
	if strings.TrimLeft(c.rest, " \t") != "" || c.line >= len(c.lines) {
		return 0
	}
	breaks := 0
	for strings.TrimLeft(c.rest, " \t") == "" && c.line < len(c.lines) {
		c.nextLine()
		breaks++
	}
	return max(1, breaks-1)
}

// escapeLen is how many characters an escape has by the one after its backslash.
var escapeLen = map[byte]int{'x': 4, 'u': 6, 'U': 10}

// next gives how many characters of the file make the next one of the value;
// gives is false if they make none.
func (c *cursor) next(quote byte) (runes int, gives bool) {
	switch {
	case c.rest == "":
		c.nextLine()
		return 0, false
	case quote == '\'' && strings.HasPrefix(c.rest, "''"):
		return 2, true
	case quote == '"' && c.rest == "\\":
		c.nextLine()
		return 0, false
	case quote == '"' && c.rest[0] == '\\':
		if n, ok := escapeLen[c.rest[1]]; ok {
			return n, true
		}
		return 2, true
	}
	return 1, true
}
