package lang

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/expr-lang/expr/builtin"
	"github.com/expr-lang/expr/conf"
	"github.com/expr-lang/expr/file"
	"github.com/expr-lang/expr/parser"
	"github.com/expr-lang/expr/parser/lexer"
)

// grammar makes every builtin of expr an ordinary call, but for those with a
// predicate: what can be called is decided here. It is only read.
var grammar = func() *conf.Config {
	config := &conf.Config{MaxNodes: MaxNodes, Disabled: map[string]bool{}}
	for name := range builtin.Index {
		config.Disabled[name] = true
	}
	return config
}()

// parse makes the tree of an expression.
func parse(text string) (*parser.Tree, *source, *Error) {
	tree, err := parser.ParseWithConfig(text, grammar)
	s := newSource(text)
	if err != nil {
		return nil, nil, s.syntax(err)
	}
	return tree, s, nil
}

// syntax says in plain words why an expression can't be parsed.
func (s *source) syntax(err error) *Error {
	fe, ok := errors.AsType[*file.Error](err)
	if !ok {
		return &Error{Len: len(s.text), Message: err.Error()}
	}
	if strings.TrimSpace(s.text) == "" {
		return &Error{Len: len(s.text), Message: "the expression is empty"}
	}
	if len(s.tokens) == 0 {
		return s.unreadable(fe)
	}
	t, message, hint := s.unexpected(fe)
	from := s.offset(t.From)
	return &Error{Offset: from, Len: max(1, s.offset(t.To)-from), Message: message, Hint: hint}
}

// unreadable words what the lexer stumbles over.
func (s *source) unreadable(fe *file.Error) *Error {
	from := s.offset(fe.From)
	e := &Error{Offset: from, Len: max(1, s.offset(fe.To)-from), Message: fe.Message}
	char := s.text[from:min(len(s.text), from+e.Len)]
	switch {
	case fe.Message == "literal not terminated":
		e.Offset, e.Len = openQuote(s.text), 1
		e.Message, e.Hint = "the text that begins here is never closed", "write "+s.text[e.Offset:e.Offset+1]+" at its end"
	case strings.ContainsAny(char, "“”„‘’«»"):
		e.Message, e.Hint = char+" is no quote an expression knows", `write "`
	case strings.HasPrefix(fe.Message, "unrecognized character"):
		e.Message = char + " means nothing here"
	case strings.HasPrefix(fe.Message, "bad number syntax"):
		e.Message, e.Hint = "this is neither a number nor a name", "a number has digits and a point only, a name does not begin with a digit"
	case fe.Message == "invalid char escape":
		e.Message, e.Hint = `\ and this letter stand for nothing`, `write \\ for the character \`
	}
	return e
}

// openQuote is where a text begins that is never closed.
func openQuote(text string) int {
	for i := 0; i < len(text); i++ {
		if c := text[i]; c == '"' || c == '\'' || c == '`' {
			n := quoted(text[i:])
			if n < 0 {
				return i
			}
			i += n - 1
		}
	}
	return 0
}

// unexpected words what the parser stumbles over: a token in the wrong place.
func (s *source) unexpected(fe *file.Error) (at lexer.Token, message, hint string) {
	i := slices.IndexFunc(s.tokens, func(t lexer.Token) bool { return t.From >= fe.From })
	if strings.HasPrefix(fe.Message, "unexpected token EOF") || strings.HasPrefix(fe.Message, "unexpected end") {
		i = len(s.tokens) - 1
	}
	t, before := s.tokens[i], lexer.Token{}
	if i > 0 {
		before = s.tokens[i-1]
	}
	if pipe, ok := s.pipe(i); ok {
		return pipe, "a single | passes a value on to a function", "write || for or; or value | rupiah()"
	}
	if strings.HasPrefix(fe.Message, "invalid integer literal") {
		return before, "the number is too large to be written here", `compare texts: string(x) == "..."`
	}
	message, hint = rejected(fe, t)
	switch {
	case message != "":
	case t.Kind == lexer.EOF:
		return s.endless(t)
	case t.Kind == lexer.Operator:
		message, hint = wrongOperator(before, t, s.tokens[i+1])
	default:
		message, hint = misplaced(before, t)
	}
	return t, message, hint
}

// rejected words what the parser has a message of its own for.
func rejected(fe *file.Error, t lexer.Token) (message, hint string) {
	switch {
	case strings.Contains(fe.Message, "maximum allowed nodes"):
		return fmt.Sprintf("the expression has more than %d parts", MaxNodes), "make it several rules"
	case strings.Contains(fe.Message, "coalesce expressions"):
		return "?? and another operator need parentheses", "write (... ?? ...) " + t.Value
	case strings.HasPrefix(fe.Message, "expected at least"):
		return "a list and a condition are wanted", "such as any(data.items, .qty > 1)"
	}
	return "", ""
}

// pipe is the single | among the two tokens before i.
func (s *source) pipe(i int) (lexer.Token, bool) {
	for _, t := range s.tokens[max(0, i-2):i] {
		if t.Is(lexer.Operator, "|") {
			return t, true
		}
	}
	return lexer.Token{}, false
}

// endless words an expression that ends too early.
func (s *source) endless(end lexer.Token) (at lexer.Token, message, hint string) {
	for i, t := range s.tokens {
		if _, closed := s.matches[i]; t.Kind == lexer.Bracket && !closed {
			return t, t.Value + " is never closed", "write " + map[string]string{"(": ")", "[": "]", "{": "}"}[t.Value]
		}
	}
	for _, t := range s.tokens {
		switch {
		case t.Is(lexer.Operator, "?"):
			return end, "the expression ends too early", `a choice is written: condition ? "this" : "that"`
		case t.Is(lexer.Operator, "let"):
			return end, "the expression ends too early", "after let x = value; write what to do with x"
		}
	}
	return end, "the expression ends too early", ""
}

// wrongOperator words the operators of other languages.
func wrongOperator(before, t, after lexer.Token) (message, hint string) {
	joined := before.To == t.From && before.Kind == lexer.Operator
	switch {
	case t.Value == "=" && joined && (before.Value == "==" || before.Value == "!="):
		return before.Value + "= is no operator here", "write " + before.Value
	case t.Value == ">" && joined && before.Value == "<":
		return "<> is no operator here", "write !="
	case t.Value == "=" && after.From == t.To && (after.Value == ">" || after.Value == "<"):
		return "=" + after.Value + " is no operator here", "write " + after.Value + "="
	case t.Value == "=":
		return "= assigns, it does not compare", "write == to compare"
	case t.Value == "&":
		return "a single & is no operator here", "write && or and"
	case t.Value == ".":
		return "names have no dot before them here", "write the name alone, such as ref_id or data.price"
	case t.Value == "#":
		return "# is an element of a list, and there is none here", "it is known in any(list, ...), filter(list, ...) and their like"
	}
	return t.Value + " is not expected here", ""
}

// misplaced words a name, text or number where none can be.
func misplaced(before, t lexer.Token) (message, hint string) {
	switch lower := strings.ToLower(t.Value); {
	case t.Kind == lexer.Identifier && (lower == "and" || lower == "or" || lower == "not" || lower == "in"):
		return t.Value + " is no operator here", "write " + lower
	case t.Kind == lexer.Identifier && (lower == "is" || lower == "equals" || lower == "eq"):
		return t.Value + " is no operator here", "write =="
	case t.Kind == lexer.Number && strings.HasPrefix(t.Value, "."):
		return "an element of a list has brackets", "write [" + t.Value[1:] + "]"
	case t.Kind == lexer.Bracket && strings.Contains(")]}", t.Value):
		return t.Value + " closes nothing", ""
	case before.Kind == lexer.Identifier || before.Kind == lexer.String || before.Kind == lexer.Number || before.Is(lexer.Bracket, ")", "]"):
		return "an operator is missing before this", "such as ==, and, or, +"
	}
	return "this is not expected here", ""
}
