package lang

import (
	"slices"

	"github.com/expr-lang/expr/ast"
)

// A loopKind is a builtin of expr that looks at each element of a list, which it
// calls #; .name is the element's own.
type loopKind struct {
	Func
	run     func(l *loop, f *frame) (any, error)
	yields  kind // of the whole
	decides bool // what is evaluated for each element is a condition
}

var loopKinds = []loopKind{
	{Func{Name: "any", Doc: "Whether the condition is true for an element.", Example: "any([1, 5], # > 4)", Yields: "true"}, (*loop).any, aBool, true},
	{Func{Name: "all", Doc: "Whether the condition is true for every element.", Example: "all([1, 5], # > 4)", Yields: "false"}, (*loop).all, aBool, true},
	{Func{Name: "none", Doc: "Whether the condition is true for no element.", Example: "none([1, 5], # > 9)", Yields: "true"}, (*loop).none, aBool, true},
	{Func{Name: "one", Doc: "Whether the condition is true for exactly one element.", Example: "one([1, 5], # > 4)", Yields: "true"}, (*loop).one, aBool, true},
	{Func{Name: "count", Doc: "The number of elements for which the condition is true.", Example: "count([1, 5, 6], # > 4)", Yields: "2"}, (*loop).count, aNumber, true},
	{Func{Name: "filter", Doc: "The elements for which the condition is true.", Example: "filter([1, 5, 6], # > 4)", Yields: "[5,6]"}, (*loop).filter, aList, true},
	{Func{Name: "find", Doc: "The first element for which the condition is true.", Example: "find([1, 5, 6], # > 4)", Yields: "5"}, (*loop).find, anything, true},
	{Func{Name: "findLast", Doc: "The last element for which the condition is true.", Example: "findLast([1, 5, 6], # > 4)", Yields: "6"}, (*loop).findLast, anything, true},
	{Func{Name: "findIndex", Doc: "The place of the first element for which the condition is true.", Example: "findIndex([1, 5, 6], # > 4)", Yields: "1"}, (*loop).findIndex, anything, true},
	{Func{Name: "findLastIndex", Doc: "The place of the last element for which the condition is true.", Example: "findLastIndex([1, 5, 6], # > 4)", Yields: "2"}, (*loop).findLastIndex, anything, true},
	{Func{Name: "map", Doc: "What the expression gives for each element.", Example: "map([1, 5], # * 2)", Yields: "[2,10]"}, (*loop).mapped, aList, false},
	{Func{Name: "sum", Doc: "The sum of the numbers, or of what the expression gives for each element; nil is passed over.",
		Example: `sum([{"qty": 2}, {"qty": 3}], .qty)`, Yields: "5"}, (*loop).sum, aNumber, false},
	{Func{Name: "sortBy", Doc: `The elements in the order of what the expression gives for each; "desc" is the falling order.`,
		Example: `sortBy([{"n": 2}, {"n": 1}], .n)`, Yields: `[{"n":1},{"n":2}]`}, (*loop).sortBy, aList, false},
	{Func{Name: "groupBy", Doc: "Lists of elements by what the expression gives for each, as it prints.",
		Example: `groupBy([{"s": "a", "n": 1}], .s)`, Yields: `{"a":[{"n":1,"s":"a"}]}`}, (*loop).groupBy, anObject, false},
	{Func{Name: "reduce", Doc: "What the expression makes of the result so far, #acc, and each element in turn; the third argument is the first result.",
		Example: "reduce([1, 5], #acc * 10 + #, 0)", Yields: "15"}, (*loop).reduce, anything, false},
}

// loops are loopKinds by name.
var loops = func() map[string]loopKind {
	m := map[string]loopKind{}
	for _, k := range loopKinds {
		m[k.Name] = k
	}
	return m
}()

// A loop is a compiled one.
type loop struct {
	list code
	body code
	more *code // the third argument, if any
	cost int   // the work of one round

	fault func(hint, format string, args ...any) *Error
	of    func() string // the list as it is written
}

// item is what a loop without an expression of its own looks at: the element.
func item(depth int) code {
	return unknown(func(f *frame) (any, error) { return f.scopes[depth].item, nil })
}

func (c *compiler) loop(n *ast.BuiltinNode) code {
	k, ok := loops[n.Name]
	if !ok {
		return c.fail(n, "", "%s is unknown here", n.Name)
	}
	args := n.Arguments
	l := &loop{list: c.compile(args[0]), fault: func(hint, format string, args ...any) *Error { return c.fault(n, hint, format, args...) },
		of: func() string { return c.source.of(args[0]) }}
	if l.list.kind.known() && l.list.kind != aList {
		l.list = c.fail(args[0], "", "%s is %s: %s takes a list", l.of(), l.list.kind, n.Name)
	}
	if len(c.loops) == MaxNesting {
		return c.fail(n, "look at each list in a rule of its own", "loops are nested deeper than %d", MaxNesting)
	}
	c.loops = append(c.loops, below(l.list.path, "[]"))
	l.body = c.body(n, k)
	c.loops = c.loops[:len(c.loops)-1]
	if len(args) > 2 {
		more := c.compile(args[2])
		l.more = &more
	}
	l.cost = stepCost * countNodes(args[min(1, len(args)-1)])
	got := code{kind: k.yields, eval: func(f *frame) (any, error) { return k.run(l, f) }}
	switch n.Name {
	case "filter", "sortBy":
		got.path = l.list.path
	case "find", "findLast":
		got.path = below(l.list.path, "[]")
	}
	return got
}

// body compiles what is evaluated for each element.
func (c *compiler) body(n *ast.BuiltinNode, k loopKind) code {
	if len(n.Arguments) < 2 {
		body := item(len(c.loops) - 1)
		body.cond = c.truth(n.Arguments[0], body.eval)
		return body
	}
	inner := n.Arguments[1]
	if n.Name == "reduce" {
		c.refuseGrowth(n)
	}
	body := c.compile(inner)
	if k.decides {
		c.needBool(inner, body)
	}
	return body
}

// refuseGrowth refuses a reduce that makes an ever longer text.
func (c *compiler) refuseGrowth(n *ast.BuiltinNode) {
	grows := &growth{}
	ast.Walk(&n.Arguments[1], grows)
	if len(n.Arguments) > 2 {
		_, ok := n.Arguments[2].(*ast.StringNode)
		grows.text = grows.text || ok
	}
	if grows.text && grows.acc {
		c.fail(n, `join the texts: join(map(list, .name), ", ")`, "reduce does not build texts")
	}
}

// growth looks for #acc in a sum that has a text in it.
type growth struct{ text, acc bool }

func (g *growth) Visit(n *ast.Node) {
	if p, ok := (*n).(*ast.PointerNode); ok && p.Name == "acc" {
		g.acc = true
	}
	b, ok := (*n).(*ast.BinaryNode)
	if !ok || b.Operator != "+" {
		return
	}
	for _, side := range []ast.Node{b.Left, b.Right} {
		if _, ok := side.(*ast.StringNode); ok {
			g.text = true
		}
	}
}

// countNodes is the number of nodes in a tree.
func countNodes(n ast.Node) int {
	var count counter
	ast.Walk(&n, &count)
	return int(count)
}

type counter int

func (c *counter) Visit(*ast.Node) { *c++ }

// pointer is the element that the innermost loop is at, its number, or the
// result so far of reduce.
func (c *compiler) pointer(n *ast.PointerNode) code {
	depth := len(c.loops) - 1
	if depth < 0 {
		return c.fail(n, "it is known in any(list, ...), filter(list, ...) and their like", "# is an element of a list, and there is none here")
	}
	switch n.Name {
	case "":
		got := item(depth)
		got.path = c.loops[depth]
		c.read(got)
		return got
	case "index":
		return code{kind: aNumber, eval: func(f *frame) (any, error) { return f.scopes[depth].index, nil }}
	case "acc":
		return unknown(func(f *frame) (any, error) { return f.scopes[depth].acc, nil })
	}
	return c.fail(n, "# is the element, #index its number", "#%s is unknown here", n.Name)
}

// items evaluates the list; nil is an empty one.
func (l *loop) items(f *frame) ([]any, error) {
	v, err := l.list.eval(f)
	if err != nil || v == nil {
		return nil, err
	}
	if v, err = f.plain(v); err != nil {
		return nil, err
	}
	items, ok := v.([]any)
	if !ok {
		return nil, l.fault("", "%s is %s, not a list", l.of(), kindOf(v))
	}
	return items, nil
}

// each evaluates body in the scope of every item, until yield says stop.
func (l *loop) each(f *frame, items []any, yield func(f *frame, i int) (stop bool, err error)) error {
	depth := len(f.scopes)
	f.scopes = append(f.scopes, scope{})
	defer func() {
		f.scopes[depth] = scope{}
		f.scopes = f.scopes[:depth]
	}()
	for i, v := range items {
		if err := f.spend(l.cost); err != nil {
			return err
		}
		f.scopes[depth].item, f.scopes[depth].index = normal(v), i
		if stop, err := yield(f, i); stop || err != nil {
			return err
		}
	}
	return nil
}

// search is the place of the first item for which the body is want, or -1.
func (l *loop) search(f *frame, want bool) (items []any, at int, err error) {
	if items, err = l.items(f); err != nil {
		return nil, 0, err
	}
	at = -1
	err = l.each(f, items, func(f *frame, i int) (bool, error) {
		hit, err := l.body.cond(f)
		if hit == want && err == nil {
			at = i
		}
		return at >= 0, err
	})
	return items, at, err
}

// hits are the places of the items for which the body is true.
func (l *loop) hits(f *frame) (items []any, at []int, err error) {
	if items, err = l.items(f); err != nil {
		return nil, nil, err
	}
	err = l.each(f, items, func(f *frame, i int) (bool, error) {
		hit, err := l.body.cond(f)
		if hit && err == nil {
			at = append(at, i)
		}
		return false, err
	})
	return items, at, err
}

func (l *loop) all(f *frame) (any, error) {
	_, at, err := l.search(f, false)
	return at < 0, err
}

func (l *loop) none(f *frame) (any, error) {
	_, at, err := l.search(f, true)
	return at < 0, err
}

func (l *loop) any(f *frame) (any, error) {
	_, at, err := l.search(f, true)
	return at >= 0, err
}

func (l *loop) one(f *frame) (any, error) {
	_, at, err := l.hits(f)
	return len(at) == 1, err
}

func (l *loop) count(f *frame) (any, error) {
	_, at, err := l.hits(f)
	return len(at), err
}

func (l *loop) filter(f *frame) (any, error) {
	items, at, err := l.hits(f)
	list := make([]any, len(at))
	for i, place := range at {
		list[i] = items[place]
	}
	return list, err
}

func (l *loop) find(f *frame) (any, error) {
	items, at, err := l.search(f, true)
	if err != nil || at < 0 {
		return nil, err
	}
	return normal(items[at]), nil
}

func (l *loop) findIndex(f *frame) (any, error) {
	_, at, err := l.search(f, true)
	if err != nil || at < 0 {
		return nil, err
	}
	return at, nil
}

func (l *loop) findLast(f *frame) (any, error) {
	items, at, err := l.hits(f)
	if err != nil || len(at) == 0 {
		return nil, err
	}
	return normal(items[at[len(at)-1]]), nil
}

func (l *loop) findLastIndex(f *frame) (any, error) {
	_, at, err := l.hits(f)
	if err != nil || len(at) == 0 {
		return nil, err
	}
	return at[len(at)-1], nil
}

// values evaluates the body for every item.
func (l *loop) values(f *frame) (items, values []any, err error) {
	if items, err = l.items(f); err != nil {
		return nil, nil, err
	}
	values = make([]any, 0, len(items))
	err = l.each(f, items, func(f *frame, _ int) (bool, error) {
		v, err := l.body.eval(f)
		values = append(values, v)
		return false, err
	})
	return items, values, err
}

func (l *loop) mapped(f *frame) (any, error) {
	_, values, err := l.values(f)
	return values, err
}

// sum passes over what is nil.
func (l *loop) sum(f *frame) (any, error) {
	_, values, err := l.values(f)
	if err != nil {
		return nil, err
	}
	var total any = 0
	for _, v := range values {
		switch v = normal(v); {
		case v == nil:
		case !isNumber(v):
			return nil, l.fault("", "an element is %s: sum takes numbers", kindOf(v))
		default:
			if total, err = add(total, v); err != nil {
				return nil, l.fault("", "%v", err)
			}
		}
	}
	return total, nil
}

func (l *loop) sortBy(f *frame) (any, error) {
	items, keys, err := l.values(f)
	if err != nil {
		return nil, err
	}
	down := false
	if l.more != nil {
		how, err := l.more.eval(f)
		if err != nil {
			return nil, err
		}
		if down = how == "desc"; !down && how != "asc" {
			return nil, l.fault(`write "asc" or "desc"`, "sortBy does not know this order")
		}
	}
	return sorted(f, items, keys, down)
}

func (l *loop) groupBy(f *frame) (any, error) {
	items, keys, err := l.values(f)
	if err != nil {
		return nil, err
	}
	groups := map[string]any{}
	for i, k := range keys {
		name, err := f.print(k)
		if err != nil {
			return nil, err
		}
		group, _ := groups[name].([]any)
		groups[name] = append(group, items[i])
	}
	return groups, nil
}

// reduce begins with the first item, unless it is told with what.
func (l *loop) reduce(f *frame) (acc any, err error) {
	items, err := l.items(f)
	if err != nil {
		return nil, err
	}
	first := 0
	if l.more != nil {
		acc, err = l.more.eval(f)
	} else if len(items) > 0 {
		acc, first = normal(items[0]), 1
	}
	if err != nil {
		return nil, err
	}
	err = l.each(f, items[first:], func(f *frame, i int) (bool, error) {
		s := &f.scopes[len(f.scopes)-1]
		s.acc, s.index = acc, i+first
		acc, err = l.body.eval(f)
		return false, err
	})
	return acc, err
}

// sorted puts items in the order of their keys, equal ones as they were; what
// has no order among each other keeps its place.
func sorted(f *frame, items, keys []any, down bool) ([]any, error) {
	if err := f.spend(16 * stepCost * len(items)); err != nil {
		return nil, err
	}
	places := make([]int, len(items))
	for i := range places {
		places[i] = i
	}
	slices.SortStableFunc(places, func(i, j int) int {
		c, _ := order(normal(keys[i]), normal(keys[j]))
		if down {
			return -c
		}
		return c
	})
	list := make([]any, len(items))
	for i, place := range places {
		list[i] = items[place]
	}
	return list, nil
}
