package source

import (
	"slices"
	"strings"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// An expression is a compiled one, with what it reads of a request.
type expression struct {
	program *lang.Program
	reads   reads
	from    conf.String
}

// The names that mean nothing outside some expressions, and why.
const (
	noSecret = "secret can't be used here: it would show in the log"
	noFields = "ref_id and event are known in dedupe only"
	noStamp  = "ts is the value of timestamp, and there is none"
)

// compile compiles an expression and reports what is wrong with it at its place.
// Of the reasons why a name can't be used, those that forbid lists apply.
func compile(src conf.String, as lang.Type, forbid ...string) *expression {
	p, err := env.Compile(src.Text, as)
	mistakes, _ := err.(lang.Mistakes)
	for _, at := range mistakes {
		src.Node.ReportAt(at.Offset, conf.Problem{Len: at.Len, Message: at.Message, Hint: at.Hint})
	}
	if err != nil {
		return nil
	}
	e := &expression{program: p, reads: readsOf(src.Text), from: src}
	e.forbid("secret", noSecret, forbid)
	e.forbid("ref_id", noFields, forbid)
	e.forbid("event", noFields, forbid)
	e.forbid("ts", noStamp, forbid)
	return e
}

func (e *expression) forbid(name, why string, forbid []string) {
	if e.reads.has(name) && slices.Contains(forbid, why) {
		e.from.Node.ReportAt(max(0, strings.Index(e.from.Text, name)), conf.Problem{Len: len(name), Message: why})
	}
}

// needVars reports constants that the source does not have.
func (e *expression) needVars(vars map[string]any) {
	if e == nil {
		return
	}
	for _, name := range e.reads.vars {
		if _, ok := vars[name]; name != "" && !ok {
			e.from.Node.ReportAt(max(0, strings.Index(e.from.Text, name)),
				conf.Problem{Len: len(name), Message: "vars has no " + name, Hint: "write it under vars"})
		}
	}
}

// source is the expression as it was written; "" if there is none.
func (e *expression) source() string {
	if e == nil {
		return ""
	}
	return strings.TrimSpace(e.from.Text)
}

func (e *expression) eval(v *vars) (any, error) {
	v.load(&e.reads)
	return e.program.Eval(v)
}

func (e *expression) bool(v *vars) (bool, error) {
	v.load(&e.reads)
	return e.program.Bool(v)
}

// text is false for what is absent, and for what is no text.
func (e *expression) text(v *vars) (string, bool) {
	v.load(&e.reads)
	text, ok, err := e.program.Text(v)
	return text, ok && err == nil
}

// scalar is an expression's text; nil if it is absent, fails, or is no single value.
func (e *expression) scalar(v *vars) any {
	value, err := e.eval(v)
	if err != nil {
		return nil
	}
	return scalar(value)
}
