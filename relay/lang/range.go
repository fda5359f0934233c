package lang

import "github.com/expr-lang/expr/ast"

// in looks for a value in a list, for a key in an object, or for a whole number
// in a range, which is not made for it.
func (c *compiler) in(n *ast.BinaryNode) code {
	l := c.compile(n.Left)
	if r, ok := n.Right.(*ast.BinaryNode); ok && r.Operator == ".." {
		return c.inRange(n, l, c.compile(r.Left), c.compile(r.Right))
	}
	r := c.compile(n.Right)
	if r.kind.known() && r.kind < aList {
		hint := ""
		switch {
		case r.fixed:
			hint = "a list has brackets: write [" + c.source.of(n.Right) + "]"
		case r.kind == aText:
			hint = "write " + c.source.of(n.Right) + " contains " + c.source.of(n.Left)
		}
		return c.fail(n.Right, hint, "%s is %s: in takes a list or an object", c.source.of(n.Right), r.kind)
	}
	return condition(func(f *frame) (bool, error) {
		v, where, err := both(f, l.eval, r.eval)
		if err != nil || where == nil {
			return false, err
		}
		if kindOf(where) == aList {
			return f.contains(where, v)
		}
		key, isText := text(v)
		found, ok := has(where, key)
		if !ok {
			return false, c.fault(n.Right, "", "%s is %s: in takes a list or an object", c.source.of(n.Right), kindOf(where))
		}
		return found && isText, nil
	})
}

// contains looks for a value in a list.
func (f *frame) contains(list, v any) (bool, error) {
	list, err := f.plain(list)
	if err != nil {
		return false, err
	}
	for _, e := range list.([]any) {
		same, err := f.equal(normal(e), v)
		if same || err != nil {
			return same, err
		}
		if err := f.spend(stepCost); err != nil {
			return false, err
		}
	}
	return false, nil
}

func (c *compiler) inRange(n *ast.BinaryNode, v, from, to code) code {
	return condition(func(f *frame) (bool, error) {
		x, err := v.eval(f)
		if err != nil || !isNumber(x) {
			return false, err
		}
		a, b, err := both(f, from.eval, to.eval)
		if err != nil || a == nil || b == nil {
			return false, err
		}
		if !isNumber(a) || !isNumber(b) {
			return false, c.fault(n.Right, "", "%s is no range of numbers", c.source.of(n.Right))
		}
		w, err := round(x, 0, toZero)
		return err == nil && compareNumbers(w, x) == 0 && compareNumbers(a, x) <= 0 && compareNumbers(x, b) <= 0, nil
	})
}

// span makes the list of whole numbers from one to another.
func (c *compiler) span(n *ast.BinaryNode, from, to code) code {
	if i, j, ok := ints(from.value, to.value); ok && j-i >= MaxRange {
		return c.fail(n, "", "the range has more than %d numbers", MaxRange)
	}
	for _, side := range []code{from, to} {
		if side.kind.known() && side.kind != aNumber {
			return c.fail(n, "", "a range goes from one whole number to another, such as 1..31")
		}
	}
	return code{kind: aList, eval: func(f *frame) (any, error) {
		a, b, err := both(f, from.eval, to.eval)
		if err != nil {
			return nil, err
		}
		i, j, ok := ints(a, b)
		if !ok || j-i >= MaxRange {
			return nil, c.fault(n, "", "%s is no range of at most %d whole numbers", c.source.of(n), MaxRange)
		}
		list := make([]any, 0, max(0, j-i+1))
		for ; i <= j; i++ {
			list = append(list, i)
		}
		return list, f.spend(stepCost * len(list))
	}}
}
