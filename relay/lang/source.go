package lang

import (
	"strings"
	"unicode/utf8"

	"github.com/expr-lang/expr/ast"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser/lexer"
)

// A source is an expression as it was written, with the places of its tokens.
// The parser counts characters; whoever reads a place wants bytes.
type source struct {
	text    string
	tokens  []lexer.Token // none if the text can't be cut into tokens
	byStart map[int]int   // tokens by the character they begin at
	offsets []int         // the byte of each character, if some have more than one
	matches map[int]int   // tokens of brackets, each to its partner
}

func newSource(text string) *source {
	s := &source{text: text, byStart: map[int]int{}, matches: map[int]int{}}
	s.tokens, _ = lexer.Lex(file.NewSource(text))
	if utf8.RuneCountInString(text) != len(text) {
		for i := range text {
			s.offsets = append(s.offsets, i)
		}
	}
	var open []int
	for i, t := range s.tokens {
		s.byStart[t.From] = i
		switch {
		case t.Kind == lexer.Bracket && strings.Contains("([{", t.Value):
			open = append(open, i)
		case t.Kind == lexer.Bracket && len(open) > 0:
			last := open[len(open)-1]
			open = open[:len(open)-1]
			s.matches[i], s.matches[last] = last, i
		}
	}
	return s
}

// offset is the byte of a character.
func (s *source) offset(char int) int {
	if s.offsets == nil {
		return min(char, len(s.text))
	}
	if char >= len(s.offsets) {
		return len(s.text)
	}
	return s.offsets[char]
}

// span is where a node stands, in bytes, with all that belongs to it.
func (s *source) span(n ast.Node) (from, to int) {
	if len(s.tokens) == 0 {
		return 0, len(s.text)
	}
	e := &extent{source: s, first: len(s.tokens), last: -1}
	ast.Walk(&n, e)
	if e.last < 0 {
		return 0, len(s.text)
	}
	e.close()
	return s.offset(s.tokens[e.first].From), s.offset(s.tokens[e.last].To)
}

// of is the text of a node.
func (s *source) of(n ast.Node) string {
	from, to := s.span(n)
	return s.text[from:to]
}

// dotted is the text of a name with the .names that follow it.
func (s *source) dotted(n *ast.IdentifierNode) string {
	i := s.byStart[n.Location().From]
	last := i
	for last+2 < len(s.tokens) && s.tokens[last+1].Is(lexer.Operator, ".") && s.tokens[last+2].Kind == lexer.Identifier {
		last += 2
	}
	return s.text[s.offset(s.tokens[i].From):s.offset(s.tokens[last].To)]
}

// hyphenated is how a member is written whose name has a hyphen before n, such as
// data["product-code"] for data.product-code; "" if there is none.
func (s *source) hyphenated(n *ast.IdentifierNode) string {
	i := s.byStart[n.Location().From]
	if i < 4 || !s.glued(i-3, i) || !s.tokens[i-1].Is(lexer.Operator, "-") || !s.tokens[i-3].Is(lexer.Operator, ".") {
		return ""
	}
	from := i - 4
	for from > 1 && s.glued(from-2, from) && s.tokens[from-1].Is(lexer.Operator, ".") {
		from -= 2
	}
	return s.text[s.offset(s.tokens[from].From):s.offset(s.tokens[i-4].To)] + `["` + s.tokens[i-2].Value + "-" + n.Value + `"]`
}

// glued reports whether nothing stands between tokens, from one to another.
func (s *source) glued(from, to int) bool {
	for i := from; i < to; i++ {
		if s.tokens[i].To != s.tokens[i+1].From {
			return false
		}
	}
	return true
}

// An extent is a range of tokens that grows with every node it visits.
type extent struct {
	*source
	first, last int
}

func (e *extent) Visit(node *ast.Node) {
	loc := (*node).Location()
	i, ok := e.byStart[loc.From]
	if !ok {
		return
	}
	switch n := (*node).(type) {
	case *ast.ConditionalNode, *ast.SequenceNode:
		return // their places are those of their parts, or none
	case *ast.CallNode, *ast.BuiltinNode:
		e.add(i + 1) // the bracket, and so all in it
	case *ast.PointerNode:
		if n.Name != "" {
			e.add(i + 1)
		}
	case *ast.VariableDeclaratorNode:
		e.add(i - 1)
	}
	e.add(i)
}

func (e *extent) add(i int) {
	if i >= 0 && i < len(e.tokens) {
		e.first, e.last = min(e.first, i), max(e.last, i)
	}
}

// close makes the extent have every bracket with its partner.
func (e *extent) close() {
	for i := e.first; i <= e.last; i++ {
		m, ok := e.matches[i]
		if !ok || m >= e.first && m <= e.last {
			continue
		}
		if e.add(m); m < i {
			i = m
		}
	}
}
