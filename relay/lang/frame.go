package lang

import (
	"fmt"
	"reflect"
	"sync"
)

// A frame is what one evaluation works with. It is used by one goroutine.
type frame struct {
	vars   reflect.Value
	work   int     // left to spend
	slots  []any   // what let names
	scopes []scope // the loops it is in, outermost first
}

// A scope is the element a loop is at.
type scope struct {
	item  any
	index int
	acc   any // of reduce
}

var frames = sync.Pool{New: func() any { return new(frame) }}

// frame takes a frame for vars, to be released.
func (e *Env) frame(vars any) (*frame, error) {
	v := reflect.ValueOf(vars)
	if v.Kind() == reflect.Pointer {
		v = v.Elem()
	}
	if !v.IsValid() || v.Type() != e.vars {
		return nil, fmt.Errorf("an expression for %v was given a %T", e.vars, vars)
	}
	f := frames.Get().(*frame)
	f.vars, f.work = v, MaxWork
	return f, nil
}

// reserve makes room for n values of let.
func (f *frame) reserve(n int) {
	if n > len(f.slots) {
		f.slots = make([]any, n)
	}
}

// release gives the frame back, without the payload it worked on.
func (f *frame) release() {
	clear(f.slots)
	clear(f.scopes)
	f.vars, f.scopes = reflect.Value{}, f.scopes[:0]
	frames.Put(f)
}

// A variable is a field of the Env's struct.
type variable struct {
	kind kind
	load func(*frame) any
	text func(*frame) string // if it is a string
}

// field reads a field by its index, as reflect gives it.
func field(index []int) func(*frame) reflect.Value {
	if i := index[0]; len(index) == 1 {
		return func(f *frame) reflect.Value { return f.vars.Field(i) }
	}
	return func(f *frame) reflect.Value { return f.vars.FieldByIndex(index) }
}

// newVariable makes a variable of a field.
func newVariable(f reflect.StructField) variable {
	v := variable{kind: kindOfType(f.Type)}
	get := field(f.Index)
	if f.Type == reflect.TypeFor[*Headers]() {
		v.kind = anObject
		v.load = func(f *frame) any { return get(f).Interface().(*Headers).read() }
		return v
	}
	switch f.Type.Kind() {
	case reflect.String:
		v.text = func(f *frame) string { return get(f).String() }
		v.load = func(f *frame) any { return v.text(f) }
	case reflect.Bool:
		v.load = func(f *frame) any { return get(f).Bool() }
	case reflect.Int:
		v.load = func(f *frame) any { return int(get(f).Int()) }
	default:
		v.load = func(f *frame) any { return normal(get(f).Interface()) }
	}
	return v
}
