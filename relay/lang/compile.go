package lang

import (
	"cmp"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/kurir-relay/kurir/relay/near"
)

// An eval gives a node's value, a cond what it is as a condition: nil is false.
// These are what code runs by: closures that took the whole of it along would
// be spread over five times the memory.
type (
	eval func(*frame) (any, error)
	cond func(*frame) (bool, error)
)

// code is a compiled node.
type code struct {
	kind  kind
	eval  eval
	cond  cond
	text  func(*frame) string // of a variable that is a string
	value any                 // of a literal
	fixed bool                // it is a literal
	path  string              // of a payload field, such as data.price; "" if it is none
	wrong bool                // it stands for a mistake
}

// A compiler turns a tree into code. It goes on after a mistake, with code of
// which nothing is known, so that one mistake does not make another.
type compiler struct {
	env      *Env
	source   *source
	mistakes Mistakes
	lets     []let
	slots    int
	loops    []string // the path of the elements of each loop around, "" if unknown
	reads    []string // the paths that are read
	codes    map[ast.Node]code
}

// A let is a name that let gave.
type let struct {
	name string
	slot int
	code code
}

// fault makes an error at a node.
func (c *compiler) fault(n ast.Node, hint, format string, args ...any) *Error {
	from, to := c.source.span(n)
	return &Error{Offset: from, Len: to - from, Message: fmt.Sprintf(format, args...), Hint: hint}
}

// fail records a mistake at a node.
func (c *compiler) fail(n ast.Node, hint, format string, args ...any) code {
	if len(c.mistakes) < maxMistakes {
		c.mistakes = append(c.mistakes, c.fault(n, hint, format, args...))
	}
	return code{wrong: true, eval: func(*frame) (any, error) { return nil, nil }}
}

// compile compiles a node and remembers its code.
func (c *compiler) compile(n ast.Node) code {
	got := c.node(n)
	if got.cond == nil {
		got.cond = c.truth(n, got.eval)
	}
	c.codes[n] = got
	return got
}

func (c *compiler) node(n ast.Node) code {
	switch n := n.(type) {
	case *ast.NilNode:
		return literal(nil)
	case *ast.BoolNode:
		return literal(n.Value)
	case *ast.StringNode:
		return literal(n.Value)
	case *ast.BytesNode:
		return literal(string(n.Value))
	case *ast.IntegerNode:
		return literal(n.Value)
	case *ast.FloatNode:
		return literal(c.fraction(n))
	case *ast.IdentifierNode:
		return c.identifier(n)
	case *ast.UnaryNode:
		return c.unary(n)
	case *ast.BinaryNode:
		return c.binary(n)
	case *ast.ConditionalNode:
		return c.choice(n)
	case *ast.ChainNode:
		return c.compile(n.Node)
	case *ast.MemberNode:
		return c.member(n)
	case *ast.SliceNode:
		return c.slice(n)
	case *ast.CallNode:
		return c.call(n)
	case *ast.BuiltinNode:
		return c.loop(n)
	case *ast.PredicateNode:
		return c.compile(n.Node)
	case *ast.PointerNode:
		return c.pointer(n)
	case *ast.VariableDeclaratorNode:
		return c.let(n)
	case *ast.SequenceNode:
		c.compileAll(n.Nodes)
		return c.fail(n, "write one expression", "; stands between let x = ... and the expression only")
	case *ast.ArrayNode:
		return c.array(n)
	case *ast.MapNode:
		return c.object(n)
	}
	return c.fail(n, "", "this is no expression")
}

func unknown(eval eval) code { return code{eval: eval} }

func literal(v any) code {
	return code{kind: kindOf(v), eval: func(*frame) (any, error) { return v, nil }, value: v, fixed: true}
}

// condition is code that yields true or false.
func condition(cond cond) code {
	return code{kind: aBool, cond: cond, eval: func(f *frame) (any, error) {
		b, err := cond(f)
		return b, err
	}}
}

// truth makes a condition of any code.
func (c *compiler) truth(n ast.Node, value eval) cond {
	return func(f *frame) (bool, error) {
		v, err := value(f)
		if err != nil || v == nil {
			return false, err
		}
		b, ok := v.(bool)
		if !ok {
			return false, c.fault(n, "write a comparison, such as ==", "%s is %s, not true or false", c.source.of(n), kindOf(v))
		}
		return b, nil
	}
}

// want checks that the whole expression can yield what is asked of it.
func (c *compiler) want(n ast.Node, got code, as Type) {
	switch {
	case as == Bool && got.kind != aBool && got.kind != anything:
		hint := "write a comparison, such as == or >"
		if got.fixed {
			hint = "leave it out if every callback is meant"
		}
		c.fail(n, hint, "this is no condition: it is %s", got.kind)
	case as == Text && got.kind >= aList:
		c.fail(n, "", "a text is wanted, and this is %s", got.kind)
	}
}

// fraction is a number as it is written, without the underscores.
func (c *compiler) fraction(n *ast.FloatNode) any {
	v, ok := parseNumber(strings.ReplaceAll(c.source.of(n), "_", ""))
	if !ok {
		return ofFloat(n.Value)
	}
	return v
}

func (c *compiler) identifier(n *ast.IdentifierNode) code {
	for _, l := range slices.Backward(c.lets) {
		if l.name == n.Value {
			slot := l.slot
			return code{kind: l.code.kind, path: l.code.path, eval: func(f *frame) (any, error) { return f.slots[slot], nil }}
		}
	}
	v, ok := c.env.names[n.Value]
	if !ok {
		return c.noName(n)
	}
	got := code{kind: v.kind, text: v.text, eval: func(f *frame) (any, error) { return v.load(f), nil }}
	if v.kind == anything || v.kind == anObject {
		got.path = n.Value
		c.read(got)
	}
	return got
}

// noName says what else a name could be.
func (c *compiler) noName(n *ast.IdentifierNode) code {
	name := n.Value
	if _, ok := c.env.funcs[name]; ok || loops[name].run != nil {
		return c.fail(n, "write "+name+"(...)", "%s is a function", name)
	}
	if word, ok := foreignWords[name]; ok {
		return c.fail(n, "write "+word, "%s is unknown here", name)
	}
	if name == "$env" {
		return c.fail(n, "write the name alone", "$env is unknown here")
	}
	hint := cmp.Or(meant(name, c.names()), c.otherwise(n))
	return c.fail(n, hint, "unknown name %s", name)
}

var foreignWords = map[string]string{"null": "nil", "None": "nil", "undefined": "nil", "NULL": "nil", "Null": "nil",
	"True": "true", "TRUE": "true", "yes": "true", "always": "true", "False": "false", "FALSE": "false", "no": "false", "never": "false"}

var (
	lowerName = regexp.MustCompile(`^[a-z][a-z0-9_]*$`)
	money     = regexp.MustCompile(`^Rp([0-9]+)$`)
)

// otherwise is what to write instead of a name that is like no other: a field of
// the payload, or a text.
func (c *compiler) otherwise(n *ast.IdentifierNode) string {
	whole := c.source.dotted(n)
	_, hasData := c.env.names["data"]
	switch amount := money.FindStringSubmatch(whole); {
	case whole == "now":
		return refused[whole]
	case amount != nil:
		return "write " + amount[1]
	case strings.HasPrefix(whole, "$"):
		return "names have no $"
	case c.source.hyphenated(n) != "":
		return "write " + c.source.hyphenated(n) + " if that is one name"
	case hasData && lowerName.MatchString(whole):
		return fmt.Sprintf("write data.%s if it is a field of the payload, %q if it is a text", whole, whole)
	}
	return fmt.Sprintf("a text has quotes: %q", whole)
}

// meant is a hint for a misspelt name, or "".
func meant(name string, known []string) string {
	if found := near.Nearest(name, known); found != "" {
		return fmt.Sprintf("did you mean %q?", found)
	}
	return ""
}

// names are all names that have a value here, in order.
func (c *compiler) names() (names []string) {
	for _, d := range c.env.docs {
		if _, ok := c.env.names[d.Name]; ok {
			names = append(names, d.Name)
		}
	}
	for _, l := range c.lets {
		names = append(names, l.name)
	}
	return names
}

// read notes that a payload field is read.
func (c *compiler) read(of code) {
	if of.path != "" {
		c.reads = append(c.reads, of.path)
	}
}

func (c *compiler) member(n *ast.MemberNode) code {
	of, at := c.compile(n.Node), c.compile(n.Property)
	if of.kind.known() && of.kind != anObject && of.kind != aList {
		return c.fail(n, memberHint[of.kind], "%s is %s and has no members", c.source.of(n.Node), of.kind)
	}
	got, value, place := code{}, of.eval, at.eval
	switch key, isText := at.value.(string); {
	case at.fixed && isText:
		got = unknown(func(f *frame) (any, error) {
			v, err := value(f)
			return member(v, key), err
		})
		got.path = below(of.path, "."+key)
	default:
		got = unknown(func(f *frame) (any, error) {
			v, i, err := both(f, value, place)
			if err != nil {
				return nil, err
			}
			return element(v, i), nil
		})
		if at.kind == aNumber {
			got.path = below(of.path, "[]")
		}
	}
	c.read(got)
	return got
}

var memberHint = map[kind]string{aTime: "date(...) and time(...) give its parts as texts"}

// below extends the path of a payload field.
func below(path, by string) string {
	if path == "" {
		return ""
	}
	return path + by
}

// both evaluates two operands, left before right.
func both(f *frame, l, r eval) (a, b any, err error) {
	if a, err = l(f); err != nil {
		return nil, nil, err
	}
	b, err = r(f)
	return a, b, err
}

func (c *compiler) choice(n *ast.ConditionalNode) code {
	cond, yes, no := c.compile(n.Cond), c.compile(n.Exp1), c.compile(n.Exp2)
	c.needBool(n.Cond, cond)
	got := unknown(func(f *frame) (any, error) {
		hit, err := cond.cond(f)
		if err != nil {
			return nil, err
		}
		if hit {
			return yes.eval(f)
		}
		return no.eval(f)
	})
	got.kind = either(yes.kind, no.kind)
	return got
}

// either is the kind of a value that is one of two.
func either(a, b kind) kind {
	if a == b {
		return a
	}
	return anything
}

// needBool checks that code can be a condition.
func (c *compiler) needBool(n ast.Node, of code) {
	if of.kind.known() && of.kind != aBool {
		c.fail(n, "write a comparison, such as == or >", "%s is %s, not true or false", c.source.of(n), of.kind)
	}
}

func (c *compiler) let(n *ast.VariableDeclaratorNode) code {
	value := c.compile(n.Value)
	_, isName := c.env.names[n.Name]
	_, isFunc := c.env.funcs[n.Name]
	if isName || isFunc || loops[n.Name].run != nil {
		value = c.fail(n.Value, "give it another name", "%s is a name already", n.Name)
	}
	slot := c.slots
	c.slots++
	c.lets = append(c.lets, let{n.Name, slot, value})
	body := c.compile(n.Expr)
	c.lets = c.lets[:len(c.lets)-1]
	got := body
	got.eval = func(f *frame) (any, error) {
		v, err := value.eval(f)
		if err != nil {
			return nil, err
		}
		f.slots[slot] = v
		return body.eval(f)
	}
	got.cond, got.text, got.fixed, got.path = nil, nil, false, ""
	return got
}

func (c *compiler) array(n *ast.ArrayNode) code {
	items := c.compileAll(n.Nodes)
	eval := func(f *frame) (any, error) {
		list := make([]any, len(items))
		for i, item := range items {
			v, err := item.eval(f)
			if err != nil {
				return nil, err
			}
			list[i] = v
		}
		return list, f.spend(16 * len(items))
	}
	if slices.ContainsFunc(items, func(c code) bool { return !c.fixed }) {
		return code{kind: aList, eval: eval}
	}
	list, _ := eval(&frame{work: MaxWork})
	return literal(list)
}

func (c *compiler) compileAll(ns []ast.Node) []code {
	codes := make([]code, len(ns))
	for i, n := range ns {
		codes[i] = c.compile(n)
	}
	return codes
}

func (c *compiler) object(n *ast.MapNode) code {
	var keys, values []code
	for _, pair := range n.Pairs {
		p := pair.(*ast.PairNode)
		keys, values = append(keys, c.compile(p.Key)), append(values, c.compile(p.Value))
	}
	return code{kind: anObject, eval: func(f *frame) (any, error) {
		m := make(map[string]any, len(keys))
		for i := range keys {
			k, v, err := both(f, keys[i].eval, values[i].eval)
			if err != nil {
				return nil, err
			}
			key, err := f.print(k)
			if err != nil {
				return nil, err
			}
			m[key] = v
		}
		return m, f.spend(64 * len(keys))
	}}
}

func (c *compiler) slice(n *ast.SliceNode) code {
	of := c.compile(n.Node)
	from, to := literal(0), literal(nil)
	if n.From != nil {
		from = c.compile(n.From)
	}
	if n.To != nil {
		to = c.compile(n.To)
	}
	if of.kind.known() && of.kind != aList && of.kind != aText {
		return c.fail(n, "", "%s is %s and has no parts", c.source.of(n.Node), of.kind)
	}
	return code{kind: of.kind, path: of.path, eval: func(f *frame) (any, error) {
		v, err := of.eval(f)
		if err != nil || v == nil {
			return nil, err
		}
		i, j, err := both(f, from.eval, to.eval)
		if err != nil {
			return nil, err
		}
		if v, err = f.plain(v); err != nil {
			return nil, err
		}
		part, ok := cutOut(v, i, j)
		if err = f.spend(4 * size(v)); err == nil && !ok {
			err = c.fault(n, "", "%s is %s, or what stands in the brackets is no whole number", c.source.of(n.Node), kindOf(v))
		}
		return part, err
	}}
}

// cutOut is the part of a text, counted in characters, or of a list from one
// place to before another; places below 0 count from the end, nil is the end.
func cutOut(v, from, to any) (any, bool) {
	i, ok1 := from.(int)
	j, ok2 := to.(int)
	if !ok1 || !ok2 && to != nil {
		return nil, false
	}
	if s, ok := text(v); ok {
		r := []rune(s)
		i, j = bounds(len(r), i, j, to == nil)
		return string(r[i:j]), true
	}
	list, ok := v.([]any)
	if !ok {
		return nil, false
	}
	i, j = bounds(len(list), i, j, to == nil)
	return list[i:j:j], true
}

func bounds(n, i, j int, open bool) (int, int) {
	if i < 0 {
		i += n
	}
	if open {
		j = n
	} else if j < 0 {
		j += n
	}
	j = max(0, min(j, n))
	return max(0, min(i, j)), j
}
