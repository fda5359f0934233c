// Package conf reads a YAML file of settings into structs and knows the place
// of every value in it, so that whatever is wrong is reported where it stands:
// all of it at once, as file:line:col.
package conf

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
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
	dec := yaml.NewDecoder(bytes.NewReader(source))
	var doc, second yaml.Node
	if err := dec.Decode(&doc); err != nil && err != io.EOF {
		f.addSyntax(err)
		return f
	}
	if len(doc.Content) == 0 || doc.Content[0].Tag == "!!null" {
		f.add(Problem{Place: Place{1, 1}, Message: "the file is empty"})
		return f
	}
	if err := dec.Decode(&second); err != io.EOF {
		f.add(Problem{Place: Place{max(1, second.Line), 1}, Message: "a second document begins here: one file is one document"})
		return f
	}
	f.take(doc.Content[0])
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
	file, err := os.Open(path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the file: %w", errors.Unwrap(err))
	}
	defer file.Close()
	if info, err := file.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("this is no file: %w", cmp.Or(err, errors.ErrUnsupported))
	}
	return io.ReadAll(io.LimitReader(file, MaxSize+1))
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

// Source is the file's bytes.
func (f *File) Source() []byte { return f.source }

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
	if f == nil {
		return
	}
	p.File = f.Name
	f.problems = append(f.problems, p)
}
