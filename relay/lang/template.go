package lang

import (
	"strings"

	"github.com/kurir-relay/kurir/relay/near"
)

// A Template is a text with {{ expr }} in it, compiled. It is immutable.
//
// An expression may hold texts and braces of its own, so }} inside a quoted
// text or a nested brace does not end it. {{ "{{" }} writes two braces.
type Template struct {
	env      *Env
	literals []string // one more than programs
	programs []*Program
	starts   []int // the byte at which each program's source begins
	escape   Escape
}

// Template checks and compiles a text. The error is Mistakes, those of all its
// expressions, with their places in the whole text.
func (e *Env) Template(src string, escape Escape) (*Template, error) {
	if len(src) > MaxTemplate {
		return nil, Mistakes{tooLong("the text", src, MaxTemplate)}
	}
	t := &Template{env: e, escape: escape}
	var mistakes Mistakes
	at := 0
	for open := opening(src, at); open >= 0 && len(mistakes) < maxMistakes; open = opening(src, at) {
		end, mistake := closing(src, open)
		if mistake != nil {
			mistakes.add(mistake)
			if at = resume(src, mistake.Offset); at < 0 {
				break
			}
			continue
		}
		t.literals = append(t.literals, escape.literal(src[at:open]))
		t.programs = append(t.programs, e.insertion(src[open+2:end], open+2, &mistakes))
		t.starts = append(t.starts, open+2)
		at = end + 2
	}
	if err := mistakes.asError(); err != nil {
		return nil, err
	}
	t.literals = append(t.literals, escape.literal(src[at:]))
	return t, nil
}

// opening is where the next expression begins, or -1.
func opening(src string, at int) int {
	if i := strings.Index(src[at:], "{{"); i >= 0 {
		return at + i
	}
	return -1
}

// resume is where what stands after an expression without an end is looked at
// again: on the next line, or -1.
func resume(src string, at int) int {
	if i := strings.IndexByte(src[at:], '\n'); i >= 0 {
		return at + i
	}
	return -1
}

// insertion compiles what stands between {{ and }}, from byte at.
func (e *Env) insertion(src string, at int, mistakes *Mistakes) *Program {
	if mistake := e.notExpr(src, at); mistake != nil {
		mistakes.add(mistake)
		return nil
	}
	p, err := e.Compile(src, Any)
	wrong, _ := err.(Mistakes)
	for _, mistake := range wrong {
		mistake.Offset += at
		mistakes.add(mistake)
	}
	return p
}

// notExpr words the mistakes of those who know other template languages.
func (e *Env) notExpr(src string, at int) *Error {
	word := strings.TrimSpace(src)
	start := at + strings.Index(src, word)
	if word == "" {
		return &Error{Offset: at - 2, Len: len(src) + 4, Message: "{{ }} has nothing in it",
			Hint: `write a name, such as {{ ref_id }}; two braces are written {{ "{{" }}`}
	}
	if word[0] == '.' {
		return &Error{Offset: start, Len: len(word), Message: "names have no dot before them here", Hint: "write {{ " + e.undotted(word) + " }}"}
	}
	if key, rest, _ := strings.Cut(word, " "); blockWords[key] && !strings.Contains(rest, "{") {
		return &Error{Offset: start, Len: len(key), Message: "a text has no " + key + " blocks",
			Hint: `choose with {{ condition ? "this" : "that" }}`}
	}
	if strings.HasPrefix(src, "- ") || strings.HasSuffix(src, " -") {
		return &Error{Offset: start, Len: len(word), Message: "{{- and -}} trim nothing here", Hint: "write {{ " + strings.Trim(word, "- ") + " }}"}
	}
	return nil
}

// undotted is a value of a Go template, such as .RefID or .Price | rupiah, as it
// is written here: by the name it is like, or as a field of data.
func (e *Env) undotted(word string) string {
	path, pipe, piped := strings.Cut(strings.TrimLeft(word, "."), "|")
	first, rest, more := strings.Cut(strings.TrimSpace(path), ".")
	names := make([]string, len(e.docs))
	for i, n := range e.docs {
		names[i] = n.Name
	}
	name := near.Nearest(first, names)
	switch {
	case name == "" && !more:
		name = "data." + strings.ToLower(first)
	case name == "":
		name = first
	}
	if more {
		name += "." + strings.ToLower(rest)
	}
	if f := strings.TrimSpace(pipe); piped && isFunction(f) {
		return f + "(" + name + ")"
	}
	return name
}

var blockWords = map[string]bool{"if": true, "else": true, "end": true, "range": true, "with": true, "for": true, "endif": true, "endfor": true}

// closing finds the }} that ends the expression opened at open.
func closing(src string, open int) (int, *Error) {
	depth := 0
	for i := open + 2; i < len(src); {
		switch c := src[i]; {
		case c == '"' || c == '\'' || c == '`':
			n := quoted(src[i:])
			if n < 0 {
				return 0, unclosed(src, open, i)
			}
			i += n
			continue
		case c == '{':
			depth++
		case c == '}' && depth > 0:
			depth--
		case strings.HasPrefix(src[i:], "}}"):
			return i, nil
		}
		i++
	}
	return 0, unclosed(src, open, len(src))
}

// unclosed tells whether it is the quote or the {{ before it that has no end.
func unclosed(src string, open, quote int) *Error {
	line, _, _ := strings.Cut(src[quote:], "\n")
	if strings.Contains(line, "}}") && !strings.Contains(src[open+2:quote], "{{") {
		return &Error{Offset: quote, Len: 1, Message: "the text that begins here is never closed", Hint: "write " + src[quote:quote+1] + " at its end"}
	}
	return &Error{Offset: open, Len: 2, Message: "{{ is never closed", Hint: `write }} after the expression; two braces are written {{ "{{" }}`}
}

// quoted is the length of the quoted text that src begins with, or -1 if it has
// no end: "..." and '...' end on their line and know \", in `...` a quote is doubled.
func quoted(src string) int {
	quote := src[0]
	for i := 1; i < len(src); i++ {
		switch {
		case src[i] == quote && quote == '`' && i+1 < len(src) && src[i+1] == '`':
			i++
		case src[i] == quote:
			return i + 1
		case quote == '`':
		case src[i] == '\\':
			i++
		case src[i] == '\n':
			return -1
		}
	}
	return -1
}

// Render gives the text for vars, as Program.Eval takes them; together its
// expressions may do as much work as one.
func (t *Template) Render(vars any) (string, error) {
	f, err := t.env.frame(vars)
	if err != nil {
		return "", err
	}
	defer f.release()
	var b strings.Builder
	for i, p := range t.programs {
		b.WriteString(t.literals[i])
		s, err := t.print(f, p)
		if err != nil {
			return "", shifted(err, t.starts[i])
		}
		b.WriteString(s)
	}
	b.WriteString(t.literals[len(t.programs)])
	return b.String(), nil
}

func (t *Template) print(f *frame, p *Program) (string, error) {
	v, err := p.eval(f)
	if err != nil {
		return "", err
	}
	raw, isRaw := v.(Raw)
	s, err := f.print(v)
	if isRaw && t.escape != Line {
		return string(raw), err
	}
	return t.escape.Text(s), err
}

// shifted gives an error of an expression its place in the whole text.
func shifted(err error, by int) error {
	e, ok := err.(*Error)
	if !ok {
		return err
	}
	moved := *e
	moved.Offset += by
	return &moved
}
