package lang

import (
	"errors"
	"regexp"
	"regexp/syntax"
	"strings"

	"github.com/expr-lang/expr/ast"
)

func (c *compiler) unary(n *ast.UnaryNode) code {
	of := c.compile(n.Node)
	if n.Operator == "!" || n.Operator == "not" {
		if of.kind.known() && of.kind != aBool {
			return c.fail(n.Node, "write not (...) around the whole comparison", "%s is %s, not true or false", c.source.of(n.Node), of.kind)
		}
		value := of.cond
		return condition(func(f *frame) (bool, error) {
			b, err := value(f)
			return !b, err
		})
	}
	op := operation{n.Operator, operations[n.Operator]}
	if of.fixed && of.kind == aNumber {
		v, _ := op.do(0, of.value)
		return literal(v)
	}
	return c.arithmetic(n, op, n.Node, n.Node, literal(0), of)
}

func (c *compiler) binary(n *ast.BinaryNode) code {
	switch n.Operator {
	case "in":
		return c.in(n)
	case "matches":
		return c.match(n)
	}
	l, r := c.compile(n.Left), c.compile(n.Right)
	switch n.Operator {
	case "==", "!=":
		return c.equality(n, l, r)
	case "<", "<=", ">", ">=":
		return c.ordering(n, l, r)
	case "and", "&&", "or", "||":
		return c.junction(n, l, r)
	case "contains", "startsWith", "endsWith":
		return c.search(n, l, r)
	case "??":
		return c.coalesce(l, r)
	case "..":
		return c.span(n, l, r)
	}
	return c.arithmetic(n, operation{n.Operator, operations[n.Operator]}, n.Left, n.Right, l, r)
}

func (c *compiler) junction(n *ast.BinaryNode, l, r code) code {
	c.needBool(n.Left, l)
	c.needOperand(n, r)
	enough := n.Operator == "or" || n.Operator == "||"
	left, right := l.cond, r.cond
	return condition(func(f *frame) (bool, error) {
		if b, err := left(f); err != nil || b == enough {
			return b, err
		}
		return right(f)
	})
}

// needOperand checks that the right side can be a condition. After a comparison
// somebody may think that its left side still counts, and that or gives a value.
func (c *compiler) needOperand(n *ast.BinaryNode, r code) {
	left := n.Left
	if b, ok := left.(*ast.BinaryNode); ok && junctions[b.Operator] {
		left = b.Right
	}
	compared, ok := left.(*ast.BinaryNode)
	hint := ""
	switch {
	case !r.fixed || r.kind == aBool:
	case ok && (compared.Operator == "==" || compared.Operator == "!="):
		hint = "write " + c.source.of(compared.Left) + " " + compared.Operator + " " + c.source.of(n.Right)
	case !ok && (n.Operator == "or" || n.Operator == "||"):
		hint = "write " + c.source.of(n.Left) + " ?? " + c.source.of(n.Right) + " if it may be missing"
	}
	if hint == "" {
		c.needBool(n.Right, r)
		return
	}
	c.fail(n.Right, hint, "%s is %s, not true or false", c.source.of(n.Right), r.kind)
}

// thousands matches amounts as people write them.
var thousands = regexp.MustCompile(`^[1-9][0-9]{0,2}(\.[0-9]{3})+$`)

// noThousands refuses to compare with 10.000, which is ten and was hardly meant.
func (c *compiler) noThousands(side ast.Node) {
	if _, ok := side.(*ast.FloatNode); !ok {
		return
	}
	if text := c.source.of(side); thousands.MatchString(text) {
		c.fail(side, "write "+strings.ReplaceAll(text, ".", "")+", or "+text+"0 if a fraction is meant", "the point in %s begins a fraction, not thousands", text)
	}
}

func (c *compiler) equality(n *ast.BinaryNode, l, r code) code {
	c.noThousands(n.Left)
	c.noThousands(n.Right)
	if l.kind.known() && r.kind.known() && l.kind != r.kind {
		hint := ""
		if l.kind == aText && r.fixed && r.kind == aNumber {
			hint = `write "` + Print(r.value) + `"`
		}
		return c.fail(n, hint, "%s is %s and %s is %s: they are never equal", c.source.of(n.Left), l.kind, c.source.of(n.Right), r.kind)
	}
	want := n.Operator == "=="
	if s, ok := r.value.(string); ok && l.text != nil {
		text := l.text
		return condition(func(f *frame) (bool, error) { return (text(f) == s) == want, nil })
	}
	left, right := l.eval, r.eval
	return condition(func(f *frame) (bool, error) {
		a, b, err := both(f, left, right)
		if err != nil {
			return false, err
		}
		same, err := f.equal(a, b)
		return same == want, err
	})
}

func (c *compiler) ordering(n *ast.BinaryNode, l, r code) code {
	c.noThousands(n.Left)
	c.noThousands(n.Right)
	if !ordered(l.kind, r.kind) {
		return c.fail(n, comparisonHint(c.source.of(n.Left), l.kind, c.source.of(n.Right), r.kind),
			"%s is %s and %s is %s: they have no order", c.source.of(n.Left), l.kind, c.source.of(n.Right), r.kind)
	}
	less, same := strings.HasPrefix(n.Operator, "<"), strings.HasSuffix(n.Operator, "=")
	left, right := l.eval, r.eval
	return condition(func(f *frame) (bool, error) {
		a, b, err := both(f, left, right)
		if err != nil || a == nil || b == nil {
			return false, err
		}
		if err := f.spend(size(a) + size(b)); err != nil {
			return false, err
		}
		cmp, ok := order(a, b)
		if !ok {
			s, t := c.source.of(n.Left), c.source.of(n.Right)
			return false, c.fault(n, comparisonHint(s, kindOf(a), t, kindOf(b)),
				"%s is %s and %s is %s: they have no order", s, kindOf(a), t, kindOf(b))
		}
		return cmp == 0 && same || cmp != 0 && (cmp < 0) == less, nil
	})
}

// ordered reports whether values of two kinds may have an order.
func ordered(l, r kind) bool {
	if !l.known() || !r.known() {
		return l < aList && l != aBool && r < aList && r != aBool
	}
	return l == r && (l == aNumber || l == aText || l == aTime)
}

// comparisonHint says how to compare a text with a number.
func comparisonHint(left string, l kind, right string, r kind) string {
	switch {
	case l == aText && r == aNumber:
		return asNumberHint(left)
	case l == aNumber && r == aText:
		return asNumberHint(right)
	case l == aTime && r == aText:
		return "write time(" + left + ")"
	}
	return ""
}

// asNumberHint says how to write a text as a number.
func asNumberHint(src string) string {
	if bare := strings.Trim(src, `"'`+"`"); bare != src {
		if _, ok := parseNumber(bare); ok {
			return "write " + bare + ", without quotes"
		}
	}
	return "write float(" + src + ") if it holds a number"
}

func (c *compiler) coalesce(l, r code) code {
	got := unknown(func(f *frame) (any, error) {
		v, err := l.eval(f)
		if err != nil || v != nil {
			return v, err
		}
		return r.eval(f)
	})
	got.kind = either(l.kind, r.kind)
	return got
}

// An operation computes with two numbers.
type operation struct {
	sign string
	do   func(a, b any) (any, error)
}

var operations = map[string]func(a, b any) (any, error){"+": add, "-": subtract, "*": multiply, "/": divide, "%": modulo, "**": power, "^": power}

// arithmetic computes with two numbers, or joins two texts.
func (c *compiler) arithmetic(n ast.Node, op operation, left, right ast.Node, l, r code) code {
	joins := op.sign == "+"
	l, r = c.summand(left, op.sign, l), c.summand(right, op.sign, r)
	if l.kind.known() && r.kind.known() && l.kind != r.kind {
		return c.fail(n, "write string(...) around the number", "%s is %s and %s is %s: + takes two of a kind",
			c.source.of(left), l.kind, c.source.of(right), r.kind)
	}
	got := unknown(func(f *frame) (any, error) {
		a, b, err := both(f, l.eval, r.eval)
		if err != nil {
			return nil, err
		}
		if isNumber(a) && isNumber(b) {
			return c.compute(f, n, op, a, b)
		}
		if s, t, ok := texts(a, b); ok && joins {
			return s + t, f.spend(len(s) + len(t))
		}
		return nil, c.misfit(op.sign, left, right, a, b)
	})
	switch {
	case l.wrong || r.wrong: // who knows what it was to be
	case joins:
		got.kind = either(l.kind, r.kind)
	default:
		got.kind = aNumber
	}
	return got
}

// summand checks that an operand can be computed with, or, by +, joined.
func (c *compiler) summand(n ast.Node, sign string, of code) code {
	if k := of.kind; k.known() && k != aNumber && !(sign == "+" && k == aText) {
		return c.fail(n, numberHint(c.source.of(n), k), "%s is %s: %s takes numbers", c.source.of(n), k, sign)
	}
	return of
}

func (c *compiler) compute(f *frame, n ast.Node, op operation, a, b any) (any, error) {
	if err := f.spend(size(a) + size(b)); err != nil {
		return nil, err
	}
	v, err := op.do(a, b)
	if err != nil {
		return nil, c.fault(n, "", "%s: %v", c.source.of(n), err)
	}
	if _, _, ok := ints(a, b); ok {
		return v, nil
	}
	return v, f.spend(callCost + digitCost*size(v))
}

// texts gives both values if both are texts.
func texts(a, b any) (s, t string, ok bool) {
	if s, ok = text(a); ok {
		t, ok = text(b)
	}
	return s, t, ok
}

// misfit names the operand that can't be computed with.
func (c *compiler) misfit(sign string, left, right ast.Node, a, b any) error {
	n, v := left, a
	if joins := sign == "+"; isNumber(a) && !(joins && kindOf(b) == aText) || joins && kindOf(a) == aText {
		n, v = right, b
	}
	if isLiteral(n) { // what came is the other one
		n, v = left, a
		if isLiteral(left) {
			n, v = right, b
		}
	}
	s, k := c.source.of(n), kindOf(v)
	switch {
	case sign != "+":
		return c.fault(n, numberHint(s, k), "%s is %s: %s takes numbers", s, k, sign)
	case k == aNumber:
		return c.fault(n, "write string("+s+")", "%s is a number: + takes two numbers or two texts", s)
	}
	return c.fault(n, numberHint(s, k), "%s is %s: + takes two numbers or two texts", s, k)
}

func isLiteral(n ast.Node) bool {
	switch n.(type) {
	case *ast.IntegerNode, *ast.FloatNode, *ast.StringNode, *ast.BoolNode:
		return true
	}
	return false
}

// numberHint says how to make a number of an operand.
func numberHint(s string, k kind) string {
	switch k {
	case aNil:
		return "write (" + s + " ?? 0) if it may be missing"
	case aText:
		return asNumberHint(s)
	}
	return ""
}

func (c *compiler) search(n *ast.BinaryNode, l, r code) code {
	c.needText(n, n.Left, l, "texts")
	c.needText(n, n.Right, r, "texts")
	found := map[string]func(s, t string) bool{"contains": strings.Contains, "startsWith": strings.HasPrefix, "endsWith": strings.HasSuffix}[n.Operator]
	return condition(func(f *frame) (bool, error) {
		a, b, err := both(f, l.eval, r.eval)
		if err != nil || a == nil || b == nil {
			return false, err
		}
		s, t, ok := texts(a, b)
		if !ok {
			return false, c.fault(n, searchHint(kindOf(a), c.source, n), "%s is %s and %s is %s: %s takes texts",
				c.source.of(n.Left), kindOf(a), c.source.of(n.Right), kindOf(b), n.Operator)
		}
		return found(s, t), f.spend(len(s) / 8)
	})
}

// needText checks that an operand of n can be a text.
func (c *compiler) needText(n *ast.BinaryNode, side ast.Node, of code, takes string) {
	if of.kind.known() && of.kind != aText {
		c.fail(side, searchHint(of.kind, c.source, n), "%s is %s: %s takes %s", c.source.of(side), of.kind, n.Operator, takes)
	}
}

func searchHint(k kind, s *source, n *ast.BinaryNode) string {
	_, listed := n.Right.(*ast.ArrayNode)
	switch {
	case k == aList && listed:
		return "write any(" + s.of(n.Right) + ", " + s.of(n.Left) + " " + n.Operator + " #)"
	case k == aList:
		return "write " + s.of(n.Right) + " in " + s.of(n.Left)
	case k == aNumber:
		return "write string(" + s.of(n.Left) + ")"
	}
	return ""
}

// match compiles the pattern once: it is a text in quotes, for RE2.
func (c *compiler) match(n *ast.BinaryNode) code {
	l := c.compile(n.Left)
	c.needText(n, n.Left, l, "a text")
	pattern, ok := n.Right.(*ast.StringNode)
	if !ok {
		c.compile(n.Right)
		return c.fail(n.Right, "use contains, startsWith or endsWith for other texts", "the pattern after matches is a text in quotes")
	}
	re, cost, err := compilePattern(pattern.Value)
	if err != nil {
		return c.fail(n.Right, "", "%v", err)
	}
	return condition(func(f *frame) (bool, error) {
		v, err := l.eval(f)
		if err != nil || v == nil {
			return false, err
		}
		s, ok := text(v)
		if !ok {
			return false, c.fault(n, searchHint(kindOf(v), c.source, n), "%s is %s: matches takes a text", c.source.of(n.Left), kindOf(v))
		}
		if err := f.spend(len(s) * cost); err != nil {
			return false, err
		}
		return re.MatchString(s), nil
	})
}

var errPattern = errors.New("the pattern is too long, or repeats too much")

// compilePattern also gives the work of matching one byte, which the number of
// instructions bounds.
func compilePattern(s string) (*regexp.Regexp, int, error) {
	re, err := regexp.Compile(s)
	if err != nil {
		return nil, 0, err
	}
	tree, err := syntax.Parse(s, syntax.Perl)
	if err != nil {
		return nil, 0, err
	}
	prog, err := syntax.Compile(tree.Simplify())
	if err != nil {
		return nil, 0, err
	}
	if len(prog.Inst) > MaxPattern {
		return nil, 0, errPattern
	}
	return re, matchCost * len(prog.Inst), nil
}
