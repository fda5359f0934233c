package rules

import "github.com/kurir-relay/kurir/relay/lang"

// A Part is a piece of a condition, with its value for one callback: the whole,
// what and, or and not join in it, and what they compare.
type Part struct {
	Expr  string `json:"expr"`
	Value any    `json:"value"`
	Error string `json:"error,omitempty"`
	Of    []Part `json:"of,omitempty"`
}

// parts gives the pieces of a condition with their values; nil if it cannot be
// taken apart.
func parts(when *lang.Program, vars *lang.Vars) []Part {
	flat, err := when.Parts(vars)
	if err != nil {
		return nil
	}
	all, _ := nest(flat, 0)
	return all
}

// nest makes a tree of parts in which each stands before its own parts. It gives
// those of a depth, and what follows them.
func nest(flat []lang.Part, depth int) (ps []Part, rest []lang.Part) {
	for len(flat) > 0 && flat[0].Depth >= depth {
		p := Part{Expr: flat[0].Text, Value: flat[0].Value}
		if err := flat[0].Err; err != nil {
			p.Error = err.Error()
		}
		p.Of, flat = nest(flat[1:], depth+1)
		ps = append(ps, p)
	}
	return ps, flat
}

// decisive are the comparisons in p that make it what it is.
func (p Part) decisive() (all []Part) {
	for _, of := range p.Of {
		value, condition := of.Value.(bool)
		negated := len(p.Of) == 1 // by not
		if condition && (negated || value == (p.Value == true)) {
			all = append(all, of.decisive()...)
		}
	}
	if all == nil {
		return []Part{p}
	}
	return all
}
