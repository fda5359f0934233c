package lang

import (
	"cmp"
	"slices"
	"strings"
)

// Mistakes are all that is wrong with an expression or template, in the order of
// their places. What cannot be parsed has one: what else is wrong there nobody
// knows.
type Mistakes []*Error

// Error gives one mistake a line.
func (m Mistakes) Error() string {
	lines := make([]string, len(m))
	for i, e := range m {
		lines[i] = e.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives each mistake.
func (m Mistakes) Unwrap() []error {
	all := make([]error, len(m))
	for i, e := range m {
		all[i] = e
	}
	return all
}

// maxMistakes is how many mistakes of one expression or template are told: more
// help nobody, and finding their places costs.
const maxMistakes = 20

// add adds e, unless there are enough.
func (m *Mistakes) add(e *Error) {
	if len(*m) < maxMistakes {
		*m = append(*m, e)
	}
}

// asError is the mistakes in order; nil if there are none.
func (m Mistakes) asError() error {
	if len(m) == 0 {
		return nil
	}
	slices.SortStableFunc(m, func(a, b *Error) int { return cmp.Compare(a.Offset, b.Offset) })
	return m
}
