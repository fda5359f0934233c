package lang

import (
	"maps"
	"slices"
	"strings"

	"github.com/expr-lang/expr/ast"

	"github.com/kurir-relay/kurir/relay/near"
)

// A Part is a part of a condition: an operand of and, or or not, a comparison,
// or an operand of one.
type Part struct {
	Text  string // as it is written
	Depth int    // 0 is the whole condition
	Value any
	Err   error
}

type part struct {
	text  string
	depth int
	eval  func(*frame) (any, error)
}

// Parts evaluates every part of a condition for vars, whether or not another
// part has decided already: the whole first, then each part before its own parts.
// Literals are left out.
func (p *Program) Parts(vars any) ([]Part, error) {
	f, err := p.env.frame(vars)
	if err != nil {
		return nil, err
	}
	defer f.release()
	f.reserve(p.slots)
	parts := make([]Part, len(p.parts))
	for i, part := range p.parts {
		f.work = MaxWork
		v, err := part.eval(f)
		parts[i] = Part{part.text, part.depth, v, err}
	}
	return parts, nil
}

// parts lists the parts of a condition.
func (c *compiler) parts(root ast.Node) (parts []part) {
	var visit func(n ast.Node, depth int)
	visit = func(n ast.Node, depth int) {
		code, ok := c.codes[n]
		if !ok || code.fixed {
			return
		}
		parts = append(parts, part{c.source.of(n), depth, code.eval})
		for _, m := range operands(n) {
			visit(m, depth+1)
		}
	}
	visit(root, 0)
	return parts
}

// operands are the nodes whose values tell why a condition is what it is.
func operands(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.UnaryNode:
		return []ast.Node{n.Node}
	case *ast.BinaryNode:
		if junctions[n.Operator] {
			return append(joined(n.Left, n.Operator), joined(n.Right, n.Operator)...)
		}
		return []ast.Node{n.Left, n.Right}
	case *ast.ConditionalNode:
		return []ast.Node{n.Cond, n.Exp1, n.Exp2}
	case *ast.VariableDeclaratorNode:
		return []ast.Node{n.Value, n.Expr}
	case *ast.CallNode:
		return n.Arguments
	case *ast.BuiltinNode:
		return n.Arguments[:1]
	}
	return nil
}

var junctions = map[string]bool{"and": true, "&&": true, "or": true, "||": true}

// joined are the operands of a row of and, or of or, from left to right.
func joined(n ast.Node, operator string) []ast.Node {
	if b, ok := n.(*ast.BinaryNode); ok && b.Operator == operator {
		return append(joined(b.Left, operator), joined(b.Right, operator)...)
	}
	return []ast.Node{n}
}

// Requires gives texts that names must be equal to for the condition to be true,
// such as event: "order.failed": those compared before anything that could fail.
// So where one differs, the condition is false, and not an error.
func (p *Program) Requires() map[string]string { return maps.Clone(p.requires) }

func requires(n ast.Node) map[string]string {
	needs := map[string]string{}
	collect(n, needs)
	return needs
}

// collect reports whether n is nothing but comparisons of names with texts.
func collect(n ast.Node, needs map[string]string) bool {
	b, ok := n.(*ast.BinaryNode)
	if !ok {
		return false
	}
	switch b.Operator {
	case "and", "&&":
		return collect(b.Left, needs) && collect(b.Right, needs)
	case "==":
		name, isName := b.Left.(*ast.IdentifierNode)
		value, isText := b.Right.(*ast.StringNode)
		if !isName {
			name, isName = b.Right.(*ast.IdentifierNode)
			value, isText = b.Left.(*ast.StringNode)
		}
		if isName && isText {
			if _, ok := needs[name.Value]; !ok {
				needs[name.Value] = value.Value
			}
		}
		return isName && isText
	}
	return false
}

// Compares gives the texts that a name is compared with by ==, != or in, in order.
func (p *Program) Compares(name string) []string { return slices.Clone(p.compares[name]) }

// comparisons collects the texts that names are compared with.
type comparisons map[string][]string

func (c comparisons) Visit(n *ast.Node) {
	b, ok := (*n).(*ast.BinaryNode)
	if !ok || !slices.Contains([]string{"==", "!=", "in"}, b.Operator) {
		return
	}
	for _, sides := range [][2]ast.Node{{b.Left, b.Right}, {b.Right, b.Left}} {
		name, ok := sides[0].(*ast.IdentifierNode)
		if !ok {
			continue
		}
		others := []ast.Node{sides[1]}
		if list, ok := sides[1].(*ast.ArrayNode); ok {
			others = list.Nodes
		}
		for _, other := range others {
			if text, ok := other.(*ast.StringNode); ok {
				c[name.Value] = append(c[name.Value], text.Value)
			}
		}
	}
}

// Fields lists the payload fields the expression reads, in order: "data.price",
// "data.items[].sku" (of every element), or "data" if it is used as a whole.
func (p *Program) Fields() []string { return slices.Clone(p.fields) }

// Fields lists the payload fields the text reads, as Program.Fields does.
func (t *Template) Fields() []string {
	var all []string
	for _, p := range t.programs {
		all = append(all, p.fields...)
	}
	return fields(all)
}

// fields drops what only leads to another field.
func fields(reads []string) []string {
	reads = slices.Compact(slices.Sorted(slices.Values(reads)))
	return slices.DeleteFunc(slices.Clone(reads), func(path string) bool {
		return slices.ContainsFunc(reads, func(r string) bool { return r != path && within(r, path) })
	})
}

// A MissingField is a field that no sample has, and the one it may have meant.
type MissingField struct{ Field, Near string }

// Missing gives those of fields, as Fields names them, that none of the samples
// has; a sample holds the values of names, such as data and body. What would be
// in an empty list, in nil or in a name that no sample has is taken as known.
func Missing(fields []string, samples ...map[string]any) (missing []MissingField) {
	for _, field := range fields {
		if t := follow(field, samples); t.missing != "" {
			missing = append(missing, MissingField{field, t.near(samples)})
		}
	}
	return missing
}

// A trail is how far a field can be followed.
type trail struct {
	found    []string // the keys that exist
	missing  string   // the key that does not; "" if all exist, or nobody knows
	siblings []string // the keys that stand where it is missing
}

// follow walks down all samples at once, key by key.
func follow(field string, samples []map[string]any) (t trail) {
	values := make([]any, len(samples))
	for i, s := range samples {
		values[i] = s
	}
	for key := range strings.SplitSeq(strings.ReplaceAll(field, "[]", ".[]"), ".") {
		next, siblings := step(values, key)
		switch {
		case len(next) > 0:
		case key == "[]" || len(t.found) == 0 || slices.Contains(values, nil):
			return trail{}
		default:
			return trail{t.found, key, siblings}
		}
		values, t.found = next, append(t.found, key)
	}
	return trail{}
}

// step gives the values that a key leads to, and the keys that lead elsewhere.
func step(values []any, key string) (next []any, siblings []string) {
	for _, v := range values {
		if list, ok := asList(v); ok && key == "[]" {
			next = append(next, list...)
		}
		m, _ := asObject(v)
		if v, ok := m[key]; ok {
			next = append(next, v)
		}
		siblings = slices.AppendSeq(siblings, maps.Keys(m))
	}
	slices.Sort(siblings)
	return next, siblings
}

// near finds what was meant: a key beside the missing one, or one of its very
// name elsewhere.
func (t trail) near(samples []map[string]any) string {
	if key := near.Nearest(t.missing, t.siblings); key != "" {
		return dotted(append(t.found, key))
	}
	for _, s := range samples {
		if _, ok := s[t.missing]; ok {
			return t.missing
		}
	}
	for _, s := range samples {
		for _, root := range slices.Sorted(maps.Keys(s)) {
			if found, _ := has(s[root], t.missing); found {
				return root + "." + t.missing
			}
		}
	}
	return ""
}
