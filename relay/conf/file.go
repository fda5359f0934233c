// Package conf reads a YAML file of settings into structs and knows the place
// of every value in it, so that whatever is wrong is reported where it stands:
// all of it at once, as file:line:col.
package conf

import (
	"cmp"
	"fmt"
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
	root     *yaml.Node
}

// MaxSize is the largest file Parse takes, in bytes.
const MaxSize = 4 << 20

// Parse reads a document. ${NAME} in its values is looked up with lookup, which
// is os.LookupEnv in the program. What is wrong is among Problems.
func Parse(name string, source []byte, lookup func(string) (string, bool)) *File {
	f := &File{Name: name, source: source, lookup: lookup}
	if len(source) > MaxSize {
		f.add(Problem{Place: Place{1, 1}, Message: fmt.Sprintf("the file has %d bytes, more than the %d it may have", len(source), MaxSize)})
		return f
	}
	var doc yaml.Node
	if err := yaml.Unmarshal(source, &doc); err != nil {
		f.addSyntax(err)
		return f
	}
	if len(doc.Content) == 0 {
		f.add(Problem{Place: Place{1, 1}, Message: "the file is empty"})
		return f
	}
	f.root = doc.Content[0]
	return f
}

func (f *File) addSyntax(err error) {
	line := 1
	msg := strings.TrimPrefix(err.Error(), "yaml: ")
	if n, rest, ok := strings.Cut(msg, ": "); ok {
		if _, err := fmt.Sscanf(n, "line %d", &line); err == nil {
			msg = rest
		}
	}
	f.add(Problem{Place: Place{line, 1}, Message: msg})
}

// Root is the whole document; it is absent if the file could not be read.
func (f *File) Root() Node { return Node{f: f, y: f.root} }

// Problems lists what was found so far, in the order of places, each once.
func (f *File) Problems() Problems {
	ps := slices.Clone(f.problems)
	slices.SortStableFunc(ps, func(a, b Problem) int {
		return cmp.Or(cmp.Compare(a.Place.Line, b.Place.Line), cmp.Compare(a.Place.Col, b.Place.Col))
	})
	return slices.Compact(ps)
}

func (f *File) add(p Problem) {
	p.File = f.Name
	f.problems = append(f.problems, p)
}
