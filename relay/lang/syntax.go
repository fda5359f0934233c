package lang

import (
	"errors"
	"fmt"
	"regexp"
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
	if at := strings.Index(s.text, "{{"); at >= 0 && strings.TrimSpace(s.text[:at]) == "" {
		return &Error{Offset: at, Len: 2, Message: "there are no braces around an expression here", Hint: "write " + strings.Trim(s.text, "{} \t\n")}
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
	_, err := lexer.Lex(file.NewSource(s.text))
	if unreadable, ok := errors.AsType[*file.Error](err); ok {
		fe = unreadable // the parser may have stopped before it
	}
	from := s.offset(fe.From)
	e := &Error{Offset: from, Len: max(1, s.offset(fe.To)-from), Message: fe.Message}
	char := s.text[from:min(len(s.text), from+e.Len)]
	switch {
	case fe.Message == "literal not terminated":
		e.Offset, e.Len = openQuote(s.text), 1
		e.Message, e.Hint = "the text that begins here is never closed", "write "+s.text[e.Offset:e.Offset+1]+" at its end"
	case strings.ContainsAny(char, "“”„‘’«»"):
		e.Message, e.Hint = char+" is no quote an expression knows", `write "`
	case strings.HasPrefix(fe.Message, "unrecognized character") && char == "~":
		e.Message, e.Hint = "~ means nothing here", `write matches "..."`
	case strings.HasPrefix(fe.Message, "unrecognized character"):
		e.Message = char + " means nothing here"
	case strings.HasPrefix(fe.Message, "bad number syntax") && elementByDot.MatchString(s.text):
		e.Message, e.Hint = "an element of a list has brackets", "write ["+elementByDot.FindStringSubmatch(s.text)[1]+"]"
	case strings.HasPrefix(fe.Message, "bad number syntax"):
		e.Message, e.Hint = "this is neither a number nor a name", "a number has digits and a point only, a name does not begin with a digit"
	case fe.Message == "invalid char escape":
		e.Message, e.Hint = `\ and this letter stand for nothing`, `write \\ for the character \`
	}
	return e
}

var elementByDot = regexp.MustCompile(`[\w\])]\.([0-9]+)\.[A-Za-z_]`)

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
	if i < 0 || strings.HasPrefix(fe.Message, "unexpected token EOF") || strings.HasPrefix(fe.Message, "unexpected end") {
		i = len(s.tokens) - 1
	}
	t, before := s.tokens[i], lexer.Token{}
	if i > 0 {
		before = s.tokens[i-1]
	}
	if pipe, ok := s.pipe(i); ok {
		if name := s.token(s.byStart[pipe.From] + 1); isFunction(name.Value) {
			return name, name.Value + " is a function", "write " + name.Value + "()"
		}
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
	case t.Is(lexer.Operator, ","):
		message, hint = s.comma(i)
	case t.Kind == lexer.Operator:
		message, hint = wrongOperator(before, t, s.token(i+1))
	default:
		message, hint = misplaced(before, t, s.token(i+1))
	}
	return t, message, hint
}

// token is the i-th, or the end that comes after all.
func (s *source) token(i int) lexer.Token { return s.tokens[min(i, len(s.tokens)-1)] }

// comma words a comma where none can be, token i.
func (s *source) comma(i int) (message, hint string) {
	if i > 0 && s.tokens[i-1].Kind == lexer.Number && s.token(i+1).Kind == lexer.Number && s.glued(i-1, i+1) {
		return "a number has no commas", "write " + s.tokens[i-1].Value + s.token(i+1).Value
	}
	for j := i; j > 0; j-- {
		if s.tokens[j].Is(lexer.Bracket, "(") && s.tokens[j-1].Is(lexer.Operator, "in") {
			return "a list has brackets, not parentheses", `write in ["...", "..."]`
		}
	}
	return "a comma joins no conditions", `write and, or or; one of several is written event in ["...", "..."]`
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
		case t.Is(lexer.Operator, "if"):
			return t, "a condition stands alone", "leave if out"
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
	case t.Value == ">" && joined && before.Value == "-":
		return "-> is no operator here", "write ."
	case textOperators[strings.ToLower(t.Value)] != "":
		return t.Value + " stands between two texts", `write ref_id ` + t.Value + ` "..."`
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

// foreignOperators are operators of other languages that are words.
var foreignOperators = map[string]string{"is": "write ==", "equals": "write ==", "eq": "write ==", "ne": "write !=", "gt": "write >", "gte": "write >=",
	"lt": "write <", "lte": "write <=", "like": "write contains, startsWith, endsWith or matches", "between": "write x >= 1000 and x <= 5000",
	"dan": "write and", "atau": "write or", "bukan": "write not", "tidak": "write not",
	"then": "leave it out: what is done stands under to and text"}

// isFunction reports whether every Env has a function of the name.
func isFunction(name string) bool {
	return slices.ContainsFunc(Reference(), func(f Func) bool { return f.Name == name })
}

// misplaced words a name, text or number where none can be.
func misplaced(before, t, after lexer.Token) (message, hint string) {
	switch lower := strings.ToLower(t.Value); {
	case t.Kind == lexer.Identifier && lower == "is" && after.Value == "not":
		return "is not is no operator here", "write !="
	case t.Kind == lexer.Identifier && foreignOperators[lower] != "":
		return t.Value + " is no operator here", foreignOperators[lower]
	case before.Is(lexer.Operator, "not") && foreignWords[t.Value] == "nil":
		return "not is followed by a condition", "write != nil"
	case before.Kind == lexer.Identifier && isFunction(before.Value):
		return before.Value + " is a function", "write " + before.Value + "(...)"
	case t.Kind == lexer.Identifier && (lower == "and" || lower == "or" || lower == "not" || lower == "in"):
		return t.Value + " is no operator here", "write " + lower
	case t.Kind == lexer.Number && money.MatchString(before.Value):
		return "an amount is written as a number alone", "write " + strings.ReplaceAll(before.Value+t.Value, ".", "")[2:]
	case t.Kind == lexer.Number && before.Kind == lexer.Number:
		return "a number is written in one piece, without thousands", "write " + strings.ReplaceAll(before.Value+t.Value, ".", "")
	case t.Kind == lexer.Number && strings.HasPrefix(t.Value, "."):
		return "an element of a list has brackets", "write [" + t.Value[1:] + "]"
	case t.Kind == lexer.Bracket && strings.Contains(")]}", t.Value):
		return t.Value + " closes nothing", ""
	case before.Kind == lexer.Identifier || before.Kind == lexer.String || before.Kind == lexer.Number || before.Is(lexer.Bracket, ")", "]"):
		return "an operator is missing before this", "such as ==, and, or, +"
	}
	return "this is not expected here", ""
}
