package lang

import (
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"
)

// A function is a Func as calls are checked against it.
type function struct {
	name        string
	least, most int    // how many arguments; most is -1 if there is no limit
	takes       []kind // of each; the last is of all further ones
	yields      kind
	call        func(f *frame, args []any) (any, error)
	own         bool // its lists and objects are of any
	also        string
}

func newFunction(f Func) *function {
	fn := &function{name: f.Name, most: -1, call: f.within, own: f.within != nil, also: f.also}
	if fn.call == nil {
		fn.call = func(_ *frame, args []any) (any, error) { return f.Call(args...) }
	}
	for i, t := range f.Types {
		typ := reflect.TypeOf(t)
		if typ.Kind() == reflect.Pointer {
			typ = typ.Elem()
		}
		fn.widen(signature(typ), i == 0)
	}
	return fn
}

func signature(t reflect.Type) *function {
	s := &function{least: t.NumIn(), most: t.NumIn()}
	for i := range t.NumIn() {
		in := t.In(i)
		if t.IsVariadic() && i == t.NumIn()-1 {
			s.least, s.most, in = i, -1, in.Elem()
		}
		s.takes = append(s.takes, kindOfType(in))
	}
	if t.NumOut() > 0 {
		s.yields = kindOfType(t.Out(0))
	}
	return s
}

// widen makes fn take what s takes.
func (fn *function) widen(s *function, first bool) {
	if first {
		fn.least, fn.most, fn.takes, fn.yields = s.least, s.most, s.takes, s.yields
		return
	}
	fn.least = min(fn.least, s.least)
	if fn.most = max(fn.most, s.most); s.most < 0 {
		fn.most = -1
	}
	for i, k := range s.takes {
		if i == len(fn.takes) {
			fn.takes = append(fn.takes, k)
		}
		fn.takes[i] = either(fn.takes[i], k)
	}
	fn.yields = either(fn.yields, s.yields)
}

// wants is the kind of an argument.
func (fn *function) wants(i int) kind {
	if len(fn.takes) == 0 {
		return anything
	}
	return fn.takes[min(i, len(fn.takes)-1)]
}

// fieldFunction calls the func in a field of the Env's struct.
func fieldFunction(name string, f reflect.StructField) *function {
	fn := signature(f.Type)
	fn.name = name
	get := field(f.Index)
	fn.call = func(fr *frame, args []any) (any, error) {
		v := get(fr)
		if call, ok := v.Interface().(func(string) any); ok && call != nil && args[0] != nil {
			return call(args[0].(string)), nil
		}
		return callAny(v, args)
	}
	return fn
}

// callAny calls a func of any type. An argument that is nil, or does not fit,
// makes the result nil: what is absent stays absent.
func callAny(fn reflect.Value, args []any) (any, error) {
	if fn.IsNil() {
		return nil, nil
	}
	t := fn.Type()
	in := make([]reflect.Value, len(args))
	for i, a := range args {
		want := t.In(min(i, t.NumIn()-1))
		if t.IsVariadic() && i >= t.NumIn()-1 {
			want = want.Elem()
		}
		if a == nil || !reflect.TypeOf(a).ConvertibleTo(want) || kindOfType(want).known() && kindOfType(want) != kindOf(a) {
			return nil, nil
		}
		in[i] = reflect.ValueOf(a).Convert(want)
	}
	out := fn.Call(in)
	if len(out) == 2 && !out[1].IsNil() {
		return nil, out[1].Interface().(error)
	}
	return out[0].Interface(), nil
}

func (c *compiler) call(n *ast.CallNode) code {
	callee, ok := n.Callee.(*ast.IdentifierNode)
	if !ok {
		return c.noMethod(n)
	}
	fn, ok := c.env.funcs[callee.Value]
	if !ok {
		return c.noFunction(n, callee.Value)
	}
	args := c.compileAll(n.Arguments)
	c.checkArguments(n, fn, args)
	all := args
	if v, ok := c.env.names[fn.also]; ok {
		all = append(slices.Clone(args), unknown(func(f *frame) (any, error) { return v.load(f), nil }))
	}
	return code{kind: fn.yields, eval: func(f *frame) (any, error) {
		values, err := c.arguments(f, n, fn, all)
		if err != nil {
			return nil, err
		}
		v, err := fn.call(f, values)
		if err != nil {
			return nil, c.called(n, fn, err)
		}
		return normal(v), nil
	}}
}

// checkArguments checks number and kinds as far as they are known.
func (c *compiler) checkArguments(n *ast.CallNode, fn *function, args []code) {
	if len(args) < fn.least || fn.most >= 0 && len(args) > fn.most {
		c.fail(n, "", "%s takes %s, not %d", fn.name, fn.arity(), len(args))
		return
	}
	for i, a := range args {
		if want := fn.wants(i); a.kind.known() && want.known() && a.kind != want {
			c.fail(n.Arguments[i], "", "%s is %s: %s takes %s here", c.source.of(n.Arguments[i]), a.kind, fn.name, want)
		}
	}
}

// arity says how many arguments a function takes.
func (fn *function) arity() string {
	switch {
	case fn.most < 0:
		return fmt.Sprintf("%d or more values", fn.least)
	case fn.least != fn.most:
		return fmt.Sprintf("%d to %d values", fn.least, fn.most)
	case fn.most == 1:
		return "1 value"
	}
	return fmt.Sprintf("%d values", fn.most)
}

// arguments evaluates them, at their cost.
func (c *compiler) arguments(f *frame, n *ast.CallNode, fn *function, args []code) ([]any, error) {
	values := make([]any, len(args))
	for i, a := range args {
		v, err := a.eval(f)
		if err != nil {
			return nil, err
		}
		if s, ok := v.(Raw); ok {
			v = string(s)
		}
		if err := f.spend(callCost + 4*size(v)); err != nil {
			return nil, err
		}
		if i < len(n.Arguments) { // else it is what the function also needs
			err = c.fits(n.Arguments[i], fn, fn.wants(i), v)
		}
		if fn.own && err == nil {
			v, err = f.plain(v)
		}
		if err != nil {
			return nil, err
		}
		values[i] = v
	}
	return values, nil
}

// fits checks the kind of an argument; nil fits everywhere.
func (c *compiler) fits(n ast.Node, fn *function, want kind, v any) error {
	if v == nil || !want.known() || kindOf(v) == want {
		return nil
	}
	s := c.source.of(n)
	return c.fault(n, argumentHint(s, want), "%s is %s: %s takes %s here", s, kindOf(v), fn.name, want)
}

func argumentHint(s string, want kind) string {
	switch want {
	case aText:
		return "write string(" + s + ")"
	case aNumber:
		return "write float(" + s + ") if it holds a number"
	}
	return ""
}

// called gives the error of a function its place.
func (c *compiler) called(n *ast.CallNode, fn *function, err error) error {
	if err == errWork {
		return err
	}
	e := c.fault(n, "", "%s: %v", fn.name, err)
	e.cause = err
	return e
}

// noFunction says what else a function could be.
func (c *compiler) noFunction(n *ast.CallNode, name string) code {
	c.compileAll(n.Arguments)
	hint := refused[name]
	if _, ok := c.env.names[name]; ok {
		return c.fail(n, "write it without ( )", "%s is no function", name)
	}
	if hint == "" {
		hint = c.asOperator(name, n.Arguments)
	}
	if hint == "" {
		known := slices.Collect(maps.Keys(c.env.funcs))
		known = slices.AppendSeq(known, maps.Keys(loops))
		slices.Sort(known)
		hint = meant(name, known)
	}
	return c.fail(n, hint, "unknown function %s", name)
}

// textOperators are operators that other languages have as functions.
var textOperators = map[string]string{"startswith": "startsWith", "endswith": "endsWith", "contains": "contains", "includes": "contains", "matches": "matches"}

// asOperator says how to write a call as an operator between its two values.
func (c *compiler) asOperator(name string, args []ast.Node) string {
	op, ok := textOperators[strings.ToLower(strings.ReplaceAll(name, "_", ""))]
	if !ok || len(args) != 2 {
		return ""
	}
	return "write " + c.source.of(args[0]) + " " + op + " " + c.source.of(args[1])
}

// noMethod words a call such as name.lower().
func (c *compiler) noMethod(n *ast.CallNode) code {
	c.compileAll(n.Arguments)
	m, ok := n.Callee.(*ast.MemberNode)
	if !ok {
		return c.fail(n, "", "only functions can be called")
	}
	if _, isName := m.Node.(*ast.IdentifierNode); !isName {
		c.compile(m.Node)
	}
	hint := ""
	if name, ok := m.Property.(*ast.StringNode); ok {
		hint = "functions take their value in brackets, such as lower(" + c.source.of(m.Node) + ")"
		if op := c.asOperator(name.Value, append([]ast.Node{m.Node}, n.Arguments...)); op != "" {
			hint = op
		} else if refused[strings.ToLower(name.Value)] != "" {
			hint = refused[strings.ToLower(name.Value)]
		} else if _, ok := c.env.funcs[name.Value]; ok {
			hint = "write " + name.Value + "(" + c.source.of(m.Node) + ")"
		}
	}
	return c.fail(n, hint, "values have no functions of their own")
}
