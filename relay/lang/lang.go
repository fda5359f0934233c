// Package lang is the one language of rules.yaml: conditions and values in expr,
// and texts with {{ expr }} in them.
//
// Expressions are parsed by github.com/expr-lang/expr. What they mean is decided
// here, because a payload is written by strangers and a condition that fails in
// silence costs money:
//
//   - What is absent is nil. A member of nil, or of a value that has no members,
//     is nil; nil is neither less nor greater than anything, contains and matches
//     nothing, and is false as a condition. It prints as an empty text.
//   - Numbers are exact decimals of any size, and print as they came. To compute
//     with nil or with a text is an error, and so is a division by zero.
//   - == of different kinds is false; <, <=, > and >= of different kinds are an
//     error, so that a price sent as the text "11500" is noticed: float(data.price)
//     makes it a number.
//   - Everything is pure: the same values give the same result at any time.
//   - Whatever the payload, an evaluation ends within MaxWork.
//
// A mistake is found when an expression is compiled, as far as that can be, and
// has its place in the source.
package lang

import (
	"reflect"
	"slices"

	"github.com/expr-lang/expr/ast"
)

// An Error is a mistake in an expression or template, with its place in the
// source: found when it is compiled, or when it is evaluated on certain values.
// It quotes the source and never a value.
type Error struct {
	Offset  int // bytes from the start of the source
	Len     int // bytes it spans; 0 is unknown
	Message string
	Hint    string // what to write instead; may be empty

	cause error // of a Func
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + ": " + e.Hint
}

// Unwrap is the error a Func returned, if that is what happened.
func (e *Error) Unwrap() error { return e.cause }

// A Type is what an expression must yield.
type Type int

// The types of an expression's value.
const (
	Any  Type = iota
	Bool      // a condition; nil is false
	Text      // a text, number, time or truth value, for Program.Text; nil is the absent text
)

// A Func is a function that expressions may call. It is pure.
type Func struct {
	Name    string
	Doc     string // one line for the reference page
	Example string // an expression that uses it ...
	Yields  string // ... and what it yields, as JSON
	Types   []any  // its signatures, as new(func(...) ...)

	// Call gets the arguments of a call, as many as a signature allows, each nil
	// or of the kind the signature says: bool, string, int or json.Number (both
	// are numbers), time.Time, a list or an object.
	Call func(args ...any) (any, error)

	within func(f *frame, args []any) (any, error) // instead of Call: spends work
	also   string                                  // the name of a value that is passed after the arguments, if the Env has it
	only   bool                                    // and without which there is no such function
}

// A Name is a value that expressions may name, for the reference page.
type Name struct{ Name, Doc string }

// An Env is what an expression may name: the fields of a struct, by their tag
// `expr:"name"`, and functions. A field that is a func is a function of the value
// at hand. It is immutable.
type Env struct {
	vars  reflect.Type
	names map[string]variable
	funcs map[string]*function
	docs  []Name
}

// NewEnv makes an Env of a struct value of the type that Programs will be run
// with, and of functions beside those every Env has; of two with one name the
// given one counts, and a name of the struct hides both.
func NewEnv(vars any, funcs ...Func) *Env {
	e := &Env{vars: reflect.TypeOf(vars), names: map[string]variable{}, funcs: map[string]*function{}}
	for _, f := range reflect.VisibleFields(e.vars) {
		name := f.Tag.Get("expr")
		if name == "" || name == "-" {
			continue
		}
		e.docs = append(e.docs, Name{name, f.Tag.Get("doc")})
		if f.Type.Kind() == reflect.Func {
			e.funcs[name] = fieldFunction(name, f)
		} else {
			e.names[name] = newVariable(f)
		}
	}
	for _, f := range slices.Concat(common, funcs) {
		if !e.hides(f) {
			e.funcs[f.Name] = newFunction(f)
		}
	}
	return e
}

// hides reports whether the struct has f's name, or lacks what f needs.
func (e *Env) hides(f Func) bool {
	_, has := e.names[f.also]
	return f.only && !has || slices.ContainsFunc(e.docs, func(n Name) bool { return n.Name == f.Name })
}

// Names lists the values that expressions may name, in the order of the struct.
func (e *Env) Names() []Name { return slices.Clone(e.docs) }

// A Program is a compiled expression. It is immutable.
type Program struct {
	env      *Env
	src      string
	slots    int // values that let names
	code     code
	parts    []part
	fields   []string
	requires map[string]string
	compares comparisons
}

// Compile checks and compiles an expression. The error is Mistakes.
func (e *Env) Compile(src string, as Type) (*Program, error) {
	if len(src) > MaxSource {
		return nil, Mistakes{tooLong("the expression", src, MaxSource)}
	}
	tree, text, mistake := parse(src)
	if mistake != nil {
		return nil, Mistakes{mistake}
	}
	c := &compiler{env: e, source: text, codes: map[ast.Node]code{}}
	root := c.compile(tree.Node)
	c.want(tree.Node, root, as)
	if err := c.mistakes.asError(); err != nil {
		return nil, err
	}
	p := &Program{env: e, src: src, slots: c.slots, code: root, fields: fields(c.reads), requires: requires(tree.Node), compares: comparisons{}}
	ast.Walk(&tree.Node, p.compares)
	if as == Bool {
		p.parts = c.parts(tree.Node)
	}
	return p, nil
}

// Source is the expression as it was written.
func (p *Program) Source() string { return p.src }

// Eval gives the expression's value for vars, a value of the Env's struct type
// or, cheaper, a pointer to one: nil, bool, string, Raw, int, json.Number,
// time.Time, or a list or an object, usually []any or map[string]any. An error
// is an *Error, unless a function returned it.
func (p *Program) Eval(vars any) (any, error) {
	f, err := p.env.frame(vars)
	if err != nil {
		return nil, err
	}
	defer f.release()
	return p.eval(f)
}

func (p *Program) eval(f *frame) (any, error) {
	f.reserve(p.slots)
	return p.code.eval(f)
}

// Bool gives a condition's value. It is an error if that is neither true, false
// nor nil.
func (p *Program) Bool(vars any) (bool, error) {
	f, err := p.env.frame(vars)
	if err != nil {
		return false, err
	}
	defer f.release()
	f.reserve(p.slots)
	return p.code.cond(f)
}

// Text gives the value as Print shows it; ok is false if it is nil. A list or an
// object is an error: it is no text.
func (p *Program) Text(vars any) (s string, ok bool, err error) {
	v, err := p.Eval(vars)
	if err != nil || v == nil {
		return "", false, err
	}
	if k := kindOf(v); k >= aList || k == anything {
		return "", false, &Error{Len: len(p.src), Message: p.src + " is " + k.String() + ", not a text"}
	}
	return Print(v), true, nil
}
