package conf

import (
	"bytes"
	"fmt"
	"io"
	"regexp"
	"strings"
	"unicode/utf8"

	"gopkg.in/yaml.v3"
)

// parseYAML reads the one document of a source. What is wrong is a Problem with
// its true place: yaml.v3 often names an earlier line, or none.
func parseYAML(source []byte) (*yaml.Node, *Problem) {
	if p := badBytes(source); p != nil {
		return nil, p
	}
	dec := yaml.NewDecoder(bytes.NewReader(source))
	var doc, second yaml.Node
	err := dec.Decode(&doc)
	if err != nil && err != io.EOF {
		return nil, syntaxProblem(source, err)
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		return nil, &Problem{Place: Place{1, 1}, Message: "the file is empty"}
	}
	switch err := dec.Decode(&second); {
	case err == io.EOF:
		return doc.Content[0], nil
	case err != nil:
		return nil, syntaxProblem(source, err)
	}
	return nil, &Problem{Place: Place{max(1, second.Line), 1}, Message: "a second document begins here", Hint: "a file has one: remove the --- above"}
}

// badBytes finds what is no text at all.
func badBytes(source []byte) *Problem {
	if bytes.HasPrefix(source, []byte("\xff\xfe")) || bytes.HasPrefix(source, []byte("\xfe\xff")) {
		return &Problem{Place: Place{1, 1}, Message: "the file is UTF-16", Hint: "save it as UTF-8"}
	}
	for i, line := range bytes.Split(source, []byte("\n")) {
		for at, r := range string(line) {
			bad := ""
			switch {
			case r == utf8.RuneError && !bytes.HasPrefix(line[at:], []byte("\ufffd")):
				bad = "this byte is no UTF-8"
			case r < ' ' && r != '\t' && r != '\r', r == 0x7f:
				bad = "a control character stands here"
			default:
				continue
			}
			return &Problem{Place: Place{i + 1, utf8.RuneCount(line[:at]) + 1}, Len: 1, Message: bad, Hint: "save the file as plain UTF-8 text"}
		}
	}
	return nil
}

// syntaxProblem puts what yaml.v3 says into words, at the line it is about.
func syntaxProblem(source []byte, err error) *Problem {
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	said := 1
	if n, rest, ok := strings.Cut(msg, ": "); ok {
		if _, err := fmt.Sscanf(n, "line %d", &said); err == nil {
			msg = rest
		}
	}
	l := syntaxLine{lines: splitLines(string(source)), yaml: msg}
	l.n = l.firstBad(len(source), said)
	for _, look := range []func() *Problem{l.tab, l.foreignBlank, l.braces, l.quoted, l.brackets, l.indicator, l.colon, l.noColon, l.indentation} {
		if p := look(); p != nil {
			return p
		}
	}
	return &Problem{Place: Place{l.n, 1 + leading(l.text())}, Message: "this is no YAML: " + msg}
}

// foreignBlanks look like spaces, and come with what is copied from a page or chat.
const foreignBlanks = "\u00a0\u2007\u202f\u3000\u200b\ufeff"

// foreignBlank finds a line that is indented with what only looks like spaces: it
// goes on with the value above, so that the line after it may be the first bad one.
func (l syntaxLine) foreignBlank() *Problem {
	for n := l.n; n > max(0, l.n-2); n-- {
		line := l.lines[n-1]
		if rest := strings.TrimLeft(line, " "); rest != strings.TrimLeft(rest, foreignBlanks) {
			return &Problem{Place: Place{n, 1 + leading(line)}, Len: 1, Message: "this looks like a space and is none", Hint: "type the spaces at the beginning of the line anew"}
		}
	}
	return nil
}

// A syntaxLine is the first line of a source that YAML can't be read with.
type syntaxLine struct {
	lines []string
	n     int    // from 1
	yaml  string // what yaml.v3 says
}

func (l syntaxLine) text() string { return l.lines[l.n-1] }

// maxSearch is up to which size a source is parsed again and again, in bytes.
const maxSearch = 256 << 10

// firstBad is the line after the longest run of lines that parses. A line that
// only opens something, such as [, parses again once it is closed.
func (l syntaxLine) firstBad(size, said int) int {
	if size > maxSearch {
		return min(said, len(l.lines))
	}
	good := 0
	for again := true; again; {
		bad := len(l.lines)
		for good+1 < bad {
			if mid := (good + bad) / 2; l.parses(mid) {
				good = mid
			} else {
				bad = mid
			}
		}
		again = false
		for k := bad + 1; k < min(bad+40, len(l.lines)) && !again; k++ {
			if l.parses(k) {
				good, again = k, true
			}
		}
	}
	for good+1 < len(l.lines) && strings.TrimSpace(l.lines[good]) == "" {
		good++
	}
	return good + 1
}

func (l syntaxLine) parses(n int) bool {
	dec := yaml.NewDecoder(strings.NewReader(strings.Join(l.lines[:n], "\n") + "\n"))
	for {
		var doc yaml.Node
		if err := dec.Decode(&doc); err != nil {
			return err == io.EOF
		}
	}
}

// at is a problem at the byte offset of the line.
func (l syntaxLine) at(offset, length int, message, hint string) *Problem {
	return &Problem{Place: Place{l.n, 1 + utf8.RuneCountInString(l.text()[:offset])}, Len: length, Message: message, Hint: hint}
}

// tab finds a tab that indents.
func (l syntaxLine) tab() *Problem {
	text := l.text()
	blank := text[:len(text)-len(strings.TrimLeft(text, " \t"))]
	if i := strings.IndexByte(blank, '\t'); i >= 0 {
		return l.at(i, 1, "a tab stands here", "indent with spaces, two for each level")
	}
	return nil
}

var keyForm = regexp.MustCompile(`^\s*(?:- +)*(?:(?:[^\s"'{}\[\]#&*!|>%@` + "`" + `,:-]|-\S)[^:#]*?|"[^"]*"|'[^']*'):(?:\s+|$)`)

var dashForm = regexp.MustCompile(`^\s*(?:- +)+`)

// value is where the value begins that the line gives a key or a list.
func (l syntaxLine) value() int {
	if at := keyForm.FindStringIndex(l.text()); at != nil {
		return at[1]
	}
	if at := dashForm.FindStringIndex(l.text()); at != nil {
		return at[1]
	}
	return leading(l.text())
}

const quoteIt = "put the whole value in quotes"

// braces finds a template that YAML takes for a mapping.
func (l syntaxLine) braces() *Problem {
	if v := l.value(); v > leading(l.text()) && strings.HasPrefix(l.text()[v:], "{{") {
		return l.at(v, 2, "a value that begins with {{ is a mapping to YAML", quoteIt+", such as '{{ ref_id }}'")
	}
	return nil
}

// quoted looks at a value that begins with a quote.
func (l syntaxLine) quoted() *Problem {
	v := l.value()
	text := l.text()[v:]
	if text == "" || text[0] != '"' && text[0] != '\'' {
		return nil
	}
	end, bad := quoteEnd(text)
	switch {
	case bad > 0:
		return l.at(v+bad, 2, fmt.Sprintf("in double quotes, %s is no escape", text[bad:min(bad+2, len(text))]), `write \\ for a backslash, or use single quotes`)
	case end < 0:
		return l.at(v, 1, "the quote that begins here is not closed", "end the value with the same quote")
	case text[0] == '\'' && strings.TrimSpace(text[end:]) != "":
		return l.at(v+end-1, 1, "the text ends at this quote", "write '' for a ' in single quotes, or put the whole in double quotes")
	case strings.TrimSpace(text[end:]) != "":
		return l.at(v+end-1, 1, "the text ends at this quote", `write \" for a " in double quotes, or put the whole in single quotes`)
	}
	return nil
}

// quoteEnd is where the scalar that text begins with is over: after its quote,
// or -1. bad is the offset of an escape that is none.
func quoteEnd(text string) (end, bad int) {
	for i := 1; i < len(text); i++ {
		switch {
		case text[0] == '\'' && strings.HasPrefix(text[i:], "''"):
			i++
		case text[i] == text[0]:
			return i + 1, 0
		case text[0] == '"' && text[i] == '\\':
			if i+1 < len(text) && !strings.ContainsRune("0abt\tnvfre \"/\\N_LPxuU", rune(text[i+1])) {
				return -1, i
			}
			i++
		}
	}
	return -1, 0
}

// brackets looks for a bracket that has no partner, on this line or below.
func (l syntaxLine) brackets() *Problem {
	v := l.value()
	if text := l.text()[v:]; text == "" || text[0] != '[' && text[0] != '{' {
		return nil
	}
	var stack []bracket
	for n := l.n; n == l.n || n <= len(l.lines) && len(stack) > 0; n++ {
		here := syntaxLine{lines: l.lines, n: n}
		if p := here.pair(v, &stack); p != nil {
			return p
		}
		v = 0
	}
	switch {
	case len(stack) > 0:
		o := stack[0]
		return syntaxLine{lines: l.lines, n: o.line}.at(o.at, 1, fmt.Sprintf("%c is not closed", o.with), fmt.Sprintf("add %c", o.with+2))
	case within.MatchString(l.text()[l.value():]):
		at := l.value() + within.FindStringIndex(l.text()[l.value():])[1] - 1
		return l.at(at, 1, "a bracket stands in a value that is not in quotes", quoteIt)
	case strings.Contains(l.yaml, "','") || strings.Contains(l.yaml, "node content"):
		return l.at(l.value(), 1, "something is wrong between these brackets", "separate values with commas, and put texts in quotes")
	}
	return nil
}

// within matches a bracket that opens in the middle of a value.
var within = regexp.MustCompile(`[^\s,:\[{"'][ \t]*[\[{]`)

// A bracket that is open.
type bracket struct {
	line, at int
	with     byte
}

// pair follows the brackets of the line from the byte offset v on.
func (l syntaxLine) pair(v int, stack *[]bracket) *Problem {
	text := l.text()
	for i := v; i < len(text); i++ {
		switch c := text[i]; c {
		case '"', '\'':
			if i == 0 || !strings.ContainsRune(" [{,", rune(text[i-1])) {
				continue // an apostrophe
			}
			end, _ := quoteEnd(text[i:])
			if end < 0 {
				return l.at(i, 1, "the quote that begins here is not closed", "end the value with the same quote")
			}
			i += end - 1
		case '[', '{':
			*stack = append(*stack, bracket{l.n, i, c})
		case ']', '}':
			last := len(*stack) - 1
			if last < 0 || (*stack)[last].with != c-2 {
				return l.at(i, 1, fmt.Sprintf("%c closes nothing that is open", c), "")
			}
			*stack = (*stack)[:last]
		}
	}
	return nil
}

// indicator looks at a value that begins with what YAML keeps for itself.
func (l syntaxLine) indicator() *Problem {
	v := l.value()
	text := l.text()[v:]
	switch {
	case text == "":
		return nil
	case strings.Contains("@`%,]}", text[:1]):
		return l.at(v, 1, fmt.Sprintf("a value cannot begin with %s", text[:1]), quoteIt)
	case text[0] == '*':
		return l.at(v, 1, "* begins an alias, and there is no anchor of this name", quoteIt+" if it is a text")
	case strings.HasPrefix(text, "- "):
		return l.at(v, 1, "a list cannot begin on the line of its key", "put each item on a line of its own")
	case text[0] == '|' || text[0] == '>':
		return l.at(v, 1, "after "+text[:1]+", the text begins on the next line", "")
	}
	return nil
}

var twoColons = regexp.MustCompile(`:(?: |$)`)

// colon finds a second colon in a value that is not in quotes, and a line that
// is deeper than the value above it allows.
func (l syntaxLine) colon() *Problem {
	if !strings.HasPrefix(l.yaml, "mapping values are not allowed") {
		return nil
	}
	v := l.value()
	if at := twoColons.FindStringIndex(l.text()[v:]); at != nil && v > leading(l.text()) {
		return l.at(v+at[0], 1, "a second colon in a value that is not in quotes", quoteIt)
	}
	above := l
	for above.n--; above.n > 1 && strings.TrimSpace(above.text()) == ""; above.n-- {
	}
	if above.n > 0 && !keyForm.MatchString(above.text()) {
		return above.noColon()
	}
	return l.at(leading(l.text()), 0, "this line is indented deeper than the one above allows, which has a value already", "indent keys of one mapping alike")
}

var colonGlued = regexp.MustCompile(`^\s*(?:- +)*[A-Za-z_]+:\S`)

// noColon finds a line that is no key.
func (l syntaxLine) noColon() *Problem {
	start := leading(l.text())
	if at := dashForm.FindStringIndex(l.text()); at != nil {
		start = at[1]
	}
	switch {
	case colonGlued.MatchString(l.text()):
		return l.at(colonGlued.FindStringIndex(l.text())[1]-2, 1, "there is no space after the colon", "write one")
	case start == leading(l.text()) && strings.HasPrefix(l.yaml, "did not find expected '-'"):
		return nil
	case !strings.Contains(l.text(), ":"):
		return l.at(start, 0, "here a key with a colon is due", "write `key: value`, or indent the line deeper if it goes on with the text above")
	}
	return nil
}

// indentation finds a line that fits none above.
func (l syntaxLine) indentation() *Problem {
	if !strings.HasPrefix(l.yaml, "did not find expected") {
		return nil
	}
	text := l.text()
	if strings.HasPrefix(strings.TrimSpace(text), "- ") {
		return l.at(leading(text), 1, "a list item does not fit here", "indent the items of one list alike, and keys of a mapping without a hyphen")
	}
	return l.at(leading(text), 0, fmt.Sprintf("this line is indented by %d, which fits none above", leading(text)), "indent keys of one mapping alike, two spaces for each level")
}
