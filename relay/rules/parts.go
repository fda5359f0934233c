package rules

import (
	"maps"
	"slices"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/parser"

	"github.com/kurir-relay/kurir/relay/lang"
)

// A Part is a piece of a condition, with its value for one callback.
type Part struct {
	Expr  string `json:"expr"`
	Value any    `json:"value"`
	Error string `json:"error,omitempty"`
	Of    []Part `json:"of,omitempty"` // what it compares
}

// parts gives the pieces that and, or and not join in a condition, each with
// the values it compares.
func parts(when string, env any) (ps []Part) {
	tree, err := parser.Parse(when)
	if err != nil {
		return nil
	}
	for _, n := range conditions(tree.Node) {
		p := value(n, env)
		for _, o := range operands(n) {
			p.Of = append(p.Of, value(o, env))
		}
		ps = append(ps, p)
	}
	return ps
}

// value evaluates a node on its own.
func value(n ast.Node, env any) Part {
	p := Part{Expr: n.String()}
	program, err := lang.Message.Compile(p.Expr, lang.Any)
	if err == nil {
		p.Value, err = program.Eval(env)
	}
	if err != nil {
		p.Error = err.Error()
	}
	return p
}

// conditions are what a condition is joined of.
func conditions(n ast.Node) []ast.Node {
	switch n := n.(type) {
	case *ast.BinaryNode:
		switch n.Operator {
		case "and", "or", "&&", "||":
			return append(conditions(n.Left), conditions(n.Right)...)
		}
	case *ast.UnaryNode:
		if n.Operator == "not" || n.Operator == "!" {
			return conditions(n.Node)
		}
	}
	return []ast.Node{n}
}

// operands are the operands and arguments of a piece that are no constants.
func operands(n ast.Node) (ns []ast.Node) {
	var all []ast.Node
	switch n := n.(type) {
	case *ast.BinaryNode:
		all = []ast.Node{n.Left, n.Right}
	case *ast.CallNode:
		all = n.Arguments
	case *ast.BuiltinNode:
		all = n.Arguments
	case *ast.ConditionalNode:
		all = []ast.Node{n.Cond}
	}
	for _, o := range all {
		switch o.(type) {
		case *ast.StringNode, *ast.IntegerNode, *ast.FloatNode, *ast.BoolNode, *ast.NilNode, *ast.ConstantNode, *ast.PredicateNode:
		default:
			ns = append(ns, o)
		}
	}
	return ns
}

func sortedKeys[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
