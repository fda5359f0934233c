// Package conf reads a YAML file of settings into structs and knows the place
// of every value in it, so that whatever is wrong is reported where it stands:
// all of it at once, as file:line:col.
package conf

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// A Place is a spot in a file, both numbers from 1; Col counts characters.
type Place struct{ Line, Col int }

// A Problem is something wrong at a place of a file.
type Problem struct {
	File    string
	Place   Place
	Len     int    // characters it spans, for a caret line; 0 is unknown
	Message string // what is wrong
	Hint    string // what to write instead; may be empty
	Warning bool   // works, but hardly as meant

	text     string // the line it is on
	file     *File
	value    Place // where the value begins that the problem is in
	unusable bool  // the value cannot be read: what else is said of it follows from that
}

// String gives "file:line:col: message: hint".
func (p Problem) String() string {
	s := fmt.Sprintf("%s:%d:%d: ", p.File, p.Place.Line, p.Place.Col)
	if p.Warning {
		s += "warning: "
	}
	s += p.Message
	if p.Hint != "" {
		s += ": " + p.Hint
	}
	return s
}

// Problems are what is wrong with a file, in the order of their places. As an
// error it prints one a line.
type Problems []Problem

func (ps Problems) Error() string {
	lines := make([]string, len(ps))
	for i, p := range ps {
		lines[i] = p.String()
	}
	return strings.Join(lines, "\n")
}

// MarshalJSON writes what an editor needs: file, line, column (both from 1),
// length, severity ("error" or "warning"), message and hint.
func (p Problem) MarshalJSON() ([]byte, error) {
	severity := "error"
	if p.Warning {
		severity = "warning"
	}
	return json.Marshal(problemJSON{p.File, p.Place.Line, p.Place.Col, p.Len, severity, p.Message, p.Hint})
}

// UnmarshalJSON reads what MarshalJSON writes: all but the line itself.
func (p *Problem) UnmarshalJSON(text []byte) error {
	var j problemJSON
	if err := json.Unmarshal(text, &j); err != nil {
		return err
	}
	*p = Problem{File: j.File, Place: Place{j.Line, j.Column}, Len: j.Length, Message: j.Message, Hint: j.Hint, Warning: j.Severity == "warning"}
	return nil
}

type problemJSON struct {
	File     string `json:"file"`
	Line     int    `json:"line"`
	Column   int    `json:"column"`
	Length   int    `json:"length,omitempty"`
	Severity string `json:"severity"`
	Message  string `json:"message"`
	Hint     string `json:"hint,omitempty"`
}

// Errors are the problems that are no warnings.
func (ps Problems) Errors() Problems {
	return slices.DeleteFunc(slices.Clone(ps), func(p Problem) bool { return p.Warning })
}

// A File is one YAML document with what was found wrong in it so far.
type File struct {
	Name string

	source   []byte
	lookup   func(string) (string, bool)
	problems Problems
	told     int // mistakes
	warned   int
	root     *yaml.Node
	split    []string // see lines
}

// MaxSize is the largest file Parse takes, in bytes.
const MaxSize = 4 << 20

// Parse reads a document. ${NAME} in its values is looked up with lookup, which
// is os.LookupEnv in the program. What is wrong is among Problems.
func Parse(name string, source []byte, lookup func(string) (string, bool)) *File {
	f := &File{Name: name, source: source, lookup: lookup}
	if len(source) > MaxSize {
		f.add(Problem{Place: Place{1, 1}, Message: fmt.Sprintf("the file is larger than the %d bytes it may have", MaxSize)})
		return f
	}
	y, bad := parseYAML(source)
	if bad != nil {
		f.add(*bad)
		return f
	}
	f.take(y)
	return f
}

// take makes y the root, unless it is too large once its aliases are written out.
func (f *File) take(y *yaml.Node) {
	n, bad := weigh(y, 1, map[*yaml.Node]int{})
	switch {
	case bad != nil:
		f.add(Problem{Place: Place{bad.Line, bad.Column}, Message: fmt.Sprintf("nested deeper than %d levels, or in itself", MaxDepth)})
	case n > MaxNodes:
		f.add(Problem{Place: Place{1, 1}, Message: fmt.Sprintf("the file has more than %d values, aliases written out", MaxNodes)})
	default:
		f.root = y
		f.lint(y)
	}
}

// lint finds what YAML reads in another way than it looks.
func (f *File) lint(y *yaml.Node) {
	n := Node{f: f, y: y}
	switch {
	case y.Kind == yaml.MappingNode && strings.HasPrefix(n.rest(), "{{"):
		n.Report(Problem{Len: 2, Message: "a value that begins with {{ is a mapping to YAML", Hint: quoteIt + ", such as '{{ ref_id }}'"})
		*y = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Line: y.Line, Column: y.Column}
	case y.Kind != yaml.AliasNode && strings.HasPrefix(n.rest(), "!") && !strings.HasPrefix(n.rest(), "!!"):
		n.Report(Problem{Len: 1, Message: "! begins a tag to YAML", Hint: quoteIt + ", or write `not` instead of !", unusable: true})
		y.Tag = "!!str"
	case y.Kind == yaml.ScalarNode && y.Style == 0:
		n.lintComment()
		n.lintLines()
	}
	if y.Kind == yaml.ScalarNode {
		n.lintName()
	}
	for i, c := range y.Content {
		if y.Kind == yaml.MappingNode && i%2 == 0 && c.Kind != yaml.ScalarNode {
			Node{f: f, y: c}.Problem("a key must be a text")
			continue
		}
		f.lint(c)
	}
}

// rest is the line from where the value begins.
func (n Node) rest() string {
	if n.y.Column > maxColumn {
		return ""
	}
	return dropRunes(n.f.line(n.y.Line), n.y.Column-1)
}

// maxColumn is how far into a line its writing is looked at: nobody writes by
// hand beyond it, and a file in one line would cost the square of its length.
const maxColumn = 2000

var cutByComment = regexp.MustCompile(`^[ \t]+#([0-9{"'$]|(and|or|not|&&|\|\|)[ (]|.*\{\{.*\}\})`)

// lintComment finds a text that ends before a # that was meant to be in it.
func (n Node) lintComment() {
	rest, ok := strings.CutPrefix(n.rest(), n.y.Value)
	open := strings.Count(n.y.Value, `"`)%2 == 1 || more(n.y.Value, "{{", "}}") || more(n.y.Value, "(", ")")
	if !ok || !cutByComment.MatchString(rest) && !(open && strings.HasPrefix(strings.TrimLeft(rest, " \t"), "#")) {
		return
	}
	blanks := leading(rest)
	n.reportRaw(len(n.y.Value), Problem{Len: 1, Message: "# begins a comment here: the value ends before it", Hint: quoteIt, Warning: true})
	n.f.problems[len(n.f.problems)-1].Place.Col += blanks
}

// lintLines finds a text over several lines that is one line to YAML.
func (n Node) lintLines() {
	if n.y.Column <= maxColumn && strings.Contains(n.y.Value, "{{") && n.placeIn(len(n.y.Value)).Line > n.y.Line {
		n.Report(Problem{Message: "the lines of this text become one", Hint: "write | after the colon to keep them", Warning: true})
	}
}

var (
	bareName   = regexp.MustCompile(`^\$([A-Za-z_]\w*|\([A-Za-z_]\w*\))$`)
	nameOpened = regexp.MustCompile(`(?:^|[^$])(\$\{[^}]*\}?)`)
)

// lintName finds what looks like a name of the environment and is none. The value
// may be a secret, so it is not quoted.
func (n Node) lintName() {
	if n.y.Column > maxColumn {
		return
	}
	const hint = "write ${NAME}, or ${NAME:-default}"
	if bareName.MatchString(n.y.Value) {
		n.Report(Problem{Message: "this is taken as it stands: it is no name of the environment", Hint: hint, Warning: true})
	}
	for _, m := range nameOpened.FindAllStringSubmatchIndex(n.y.Value, -1) {
		if !reference.MatchString(n.y.Value[m[2]:m[3]]) {
			n.reportRaw(m[2], Problem{Len: 2, Message: "what follows ${ is no name of the environment", Hint: hint + "; a text has {{ data.price }}", Warning: true})
			return
		}
	}
}

// Read reads the file at path, as Parse does.
func Read(path string, lookup func(string) (string, bool)) *File {
	source, err := ReadFile(path)
	if err != nil {
		f := &File{Name: path}
		f.add(Problem{Place: Place{1, 1}, Message: err.Error()})
		return f
	}
	return Parse(path, source, lookup)
}

// ReadFile gives the bytes of the file at path, but hardly more than MaxSize.
func ReadFile(path string) ([]byte, error) {
	file, err := open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", cause(err))
	}
	defer file.Close()
	if info, err := file.Stat(); err == nil && info.IsDir() {
		return nil, errors.New("this is a directory, not a file")
	}
	text, err := readUpTo(file, MaxSize)
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", err)
	}
	return text, nil
}

func more(s, open, closed string) bool { return strings.Count(s, open) > strings.Count(s, closed) }

// Source is the file's bytes.
func (f *File) Source() []byte { return f.source }

// Root is the whole document; it is absent if the file could not be read.
func (f *File) Root() Node { return Node{f: f, y: f.root} }

// Problems lists what was found so far, in the order of places, each once. What
// else is wrong with a value that cannot be read at all is left out.
func (f *File) Problems() Problems {
	unusable := map[Place]bool{}
	for _, p := range f.problems {
		unusable[p.value] = unusable[p.value] || p.unusable
	}
	ps := slices.DeleteFunc(slices.Clone(f.problems), func(p Problem) bool { return unusable[p.value] && !p.unusable })
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Col, b.Place.Col))
	})
	return slices.Compact(ps)
}

// maxProblems is how many mistakes of a file are told, and how many warnings: more
// help nobody, and finding their places costs.
const maxProblems = 200

func (f *File) add(p Problem) {
	if f == nil {
		return
	}
	told := &f.told
	if p.Warning {
		told = &f.warned
	}
	*told++
	switch {
	case *told > maxProblems+1:
		return
	case *told > maxProblems:
		p = Problem{Place: p.Place, Warning: p.Warning, Message: fmt.Sprintf("these are %d problems already, and there are more: mend some first", maxProblems)}
	}
	p.value = cmp.Or(p.value, p.Place)
	p.File, p.text, p.file = f.Name, f.line(p.Place.Line), f
	if strings.Contains(p.text, "\x00") {
		p.text = "" // no text at all
	}
	f.problems = append(f.problems, p)
}
