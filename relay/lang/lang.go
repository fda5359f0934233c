// Package lang is the one language of rules.yaml: conditions and values in expr,
// and texts with {{ expr }} in them.
package lang

import (
	"fmt"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/vm"
)

// An Error is a mistake in an expression or template, with its place in the source.
type Error struct {
	Offset  int // bytes from the start of the source
	Len     int // bytes it spans; 0 is unknown
	Message string
	Hint    string // what to write instead; may be empty
}

func (e *Error) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + ": " + e.Hint
}

// A Type is what an expression must yield.
type Type int

// The types of an expression's value. A Text may be nil: that is the absent text.
const (
	Any Type = iota
	Bool
	Text
)

// A Func is a function that expressions may call. It is pure.
type Func struct {
	Name    string
	Doc     string // one line for the reference page
	Example string // an expression that uses it ...
	Yields  string // ... and what it yields, as JSON
	Types   []any  // its signatures, as new(func(...) ...)
	Call    func(args ...any) (any, error)
}

// An Env is what an expression may name: the fields of a struct, by their tag
// `expr:"name"`, and functions. It is immutable.
type Env struct {
	vars  any
	funcs []Func
}

// NewEnv makes an Env of a struct value of the type that Programs will be run
// with, and of functions beside those every Env has.
func NewEnv(vars any, funcs ...Func) *Env { return &Env{vars: vars, funcs: funcs} }

// A Program is a compiled expression. It is immutable.
type Program struct {
	src string
	vm  *vm.Program
}

// Compile checks and compiles an expression. The error is an *Error.
func (e *Env) Compile(src string, as Type) (*Program, error) {
	if len(src) > MaxSource {
		return nil, tooLong("the expression", src, MaxSource)
	}
	opts := []expr.Option{expr.Env(e.vars)}
	if as == Bool {
		opts = append(opts, expr.AsBool())
	}
	for _, f := range e.funcs {
		opts = append(opts, expr.Function(f.Name, f.Call, f.Types...))
	}
	p, err := expr.Compile(src, opts...)
	if err != nil {
		return nil, compileError(src, err)
	}
	return &Program{src: src, vm: p}, nil
}

func compileError(src string, err error) *Error {
	if fe, ok := err.(*file.Error); ok {
		return &Error{Offset: fe.From, Len: fe.To - fe.From, Message: fe.Message}
	}
	return &Error{Message: err.Error()}
}

// Source is the expression as it was written.
func (p *Program) Source() string { return p.src }

// Eval gives the expression's value for vars, a value of the Env's struct type.
func (p *Program) Eval(vars any) (any, error) { return expr.Run(p.vm, vars) }

// Bool gives a condition's value.
func (p *Program) Bool(vars any) (bool, error) {
	v, err := p.Eval(vars)
	if err != nil {
		return false, err
	}
	b, ok := v.(bool)
	if !ok {
		return false, fmt.Errorf("%s is no condition: it gives %v", p.src, v)
	}
	return b, nil
}

// Text gives the value as text; ok is false if it is nil.
func (p *Program) Text(vars any) (s string, ok bool, err error) {
	v, err := p.Eval(vars)
	if err != nil || v == nil {
		return "", false, err
	}
	return Print(v), true, nil
}

// Print is how a value looks in a text: nil is "", integers keep every digit.
func Print(v any) string {
	if v == nil {
		return ""
	}
	return fmt.Sprint(v)
}
