package conf

import (
	"errors"
	"strings"

	"gopkg.in/yaml.v3"
)

// Format gives a file's text with two spaces for each level, no blanks at line
// ends, and no two empty lines in a row. Nothing else is touched: comments,
// order, quotes and what texts say stay. A file with syntax errors is refused.
func Format(source []byte) ([]byte, error) {
	root, bad := parseYAML(source)
	if bad != nil {
		return nil, errors.New(bad.String())
	}
	f := formatter{lines: splitLines(strings.TrimSuffix(string(source), "\n")), shift: map[int]int{}, inside: map[int]bool{}, dashed: map[int]bool{}}
	f.place(root, 1)
	out := []byte(strings.Join(f.write(), "\n") + "\n")
	again, bad := parseYAML(out)
	if bad != nil || !same(root, again) {
		return nil, errors.New("this file is written in a way that cannot be formatted safely")
	}
	return out, nil
}

// A formatter knows how far lines move to the right; lines that begin nothing
// move with the one above.
type formatter struct {
	lines  []string
	shift  map[int]int  // by line number
	inside map[int]bool // lines within a scalar that is written over several
	dashed map[int]bool // lines that begin with the hyphen of a list's item
}

// place moves the block value y to begin at the column col.
func (f *formatter) place(y *yaml.Node, col int) {
	if y.Style&yaml.FlowStyle != 0 {
		f.flow(y)
		return
	}
	switch y.Kind {
	case yaml.MappingNode:
		for i := 0; i+1 < len(y.Content); i += 2 {
			key, value := y.Content[i], y.Content[i+1]
			f.move(key, col)
			f.place(value, col+2)
		}
	case yaml.SequenceNode:
		for _, item := range y.Content {
			f.moveDash(item, col)
			f.place(item, col+2)
		}
	case yaml.ScalarNode:
		f.scalar(y, col)
	}
}

// flow notes the texts in brackets that go on below their first line.
func (f *formatter) flow(y *yaml.Node) {
	if y.Kind == yaml.ScalarNode {
		f.scalar(y, 0)
	}
	for _, c := range y.Content {
		f.flow(c)
	}
}

// move puts the line that y begins at the column; a value that does not begin
// its line moves with it.
func (f *formatter) move(y *yaml.Node, col int) {
	if leading(f.lines[y.Line-1]) == y.Column-1 {
		f.shift[y.Line] = col - y.Column
	}
}

// moveDash puts the line with the hyphen of a list's item at the column, if it
// begins with that one.
func (f *formatter) moveDash(item *yaml.Node, col int) {
	n := item.Line
	before := string([]rune(f.lines[n-1])[:item.Column-1])
	for strings.TrimSpace(before) == "" && n > 1 { // the hyphen is above
		n--
		before = f.lines[n-1]
	}
	before = strings.TrimRight(before, " ")
	if dash := leading(before); before[dash:] == "-" {
		f.shift[n] = col - dash - 1
		f.dashed[n] = true
	}
}

// scalar notes the lines of a text that goes on below its first one. Those of a
// block begin at the column.
func (f *formatter) scalar(y *yaml.Node, col int) {
	n := Node{f: &File{split: f.lines}, y: y}
	if y.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0 {
		f.within(y.Line+1, n.placeIn(len(y.Value)).Line)
		return
	}
	indent, header := n.blockIndent(), n.rest()
	last := y.Line
	for i := y.Line; i < len(f.lines) && (strings.TrimSpace(f.lines[i]) == "" || leading(f.lines[i]) >= max(indent, 1)); i++ {
		if strings.TrimSpace(f.lines[i]) != "" || strings.Contains(header, "+") {
			last = i + 1
		}
	}
	f.within(y.Line+1, last)
	if last > y.Line && !strings.ContainsAny(header, "123456789") {
		f.shift[y.Line+1] = col - 1 - indent
	}
}

func (f *formatter) within(from, to int) {
	for n := from; n <= to; n++ {
		f.inside[n] = true
	}
}

func (f *formatter) write() (out []string) {
	shift := 0
	for i, line := range f.lines {
		n := i + 1
		comment := strings.HasPrefix(strings.TrimSpace(line), "#") && !f.inside[n]
		if s, ok := f.shift[n]; ok {
			shift = s
		} else if comment {
			shift = f.shiftOfComment(n, shift)
		}
		if !f.inside[n] {
			line = strings.TrimRight(line, " \t")
		}
		if line == "" && !f.inside[n] && (len(out) == 0 || out[len(out)-1] == "") {
			continue
		}
		if f.dashed[n] {
			line = oneSpace(line)
		}
		out = append(out, indented(line, shift))
	}
	for len(out) > 0 && strings.TrimSpace(out[len(out)-1]) == "" && !f.inside[len(f.lines)] {
		out = out[:len(out)-1]
	}
	return out
}

// shiftOfComment is how far a comment moves: with the nearest line of its depth,
// below or else above. One at the very left of a file's end stays there.
func (f *formatter) shiftOfComment(n, shift int) int {
	for m := n + 1; m <= len(f.lines); m++ {
		if s, ok := f.shift[m]; ok && !f.inside[m] {
			if leading(f.lines[m-1]) == leading(f.lines[n-1]) {
				return s
			}
			break
		}
	}
	for m := n - 1; m > 0 && leading(f.lines[n-1]) > 0; m-- {
		if s, ok := f.shift[m]; ok && !f.inside[m] && leading(f.lines[m-1]) == leading(f.lines[n-1]) {
			return s
		}
	}
	if leading(f.lines[n-1]) == 0 {
		return 0
	}
	return shift
}

// oneSpace leaves one space after each hyphen that the line begins with.
func oneSpace(line string) string {
	at := leading(line)
	out := line[:at]
	for strings.HasPrefix(line[at:], "- ") {
		out += "- "
		at += 2 + leading(line[at+2:])
	}
	return out + line[at:]
}

func indented(line string, shift int) string {
	if strings.TrimSpace(line) == "" {
		return line
	}
	if shift > 0 {
		return strings.Repeat(" ", shift) + line
	}
	return line[min(-shift, leading(line)):]
}

// same reports whether two values say the same.
func same(a, b *yaml.Node) bool {
	if a.Kind != b.Kind || a.Tag != b.Tag || a.Value != b.Value || a.Anchor != b.Anchor || len(a.Content) != len(b.Content) {
		return false
	}
	for i := range a.Content {
		if !same(a.Content[i], b.Content[i]) {
			return false
		}
	}
	return true
}
