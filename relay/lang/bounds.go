package lang

import (
	"encoding/json"
	"fmt"
)

// What an expression may be, checked when it is compiled.
const (
	MaxSource   = 16 << 10 // bytes of an expression
	MaxTemplate = 64 << 10 // bytes of a text with expressions in it
	MaxNodes    = 1000     // names, values, operators and calls of an expression
	MaxNesting  = 2        // any, filter, map, ... within one another
	MaxRange    = 10_000   // numbers in a range such as 1..31
	MaxPattern  = 1000     // instructions of a compiled regular expression
)

// MaxWork is how much one evaluation may do before it ends with an error: about
// one unit a byte of text or list it makes, or a nanosecond it takes. It bounds
// an evaluation to some ten milliseconds and MiB, whatever the payload.
const MaxWork = 16 << 20

// stepCost is the work of one node of an expression in a loop, or of an element
// of a list.
const stepCost = 20

// callCost is the work of a function and an argument, and of numbers that an int
// can't hold; a text costs its length besides.
const callCost = 400

// matchCost is the work of one instruction of a pattern on one byte, in the worst
// case.
const matchCost = 40

// digitCost is the work of a digit of a number that an int can't hold.
const digitCost = 20

// size is how long it takes to read a value that is not a list or an object.
func size(v any) int {
	switch v := v.(type) {
	case string:
		return len(v)
	case json.Number:
		return len(v)
	}
	return 0
}

func tooLong(what, src string, most int) *Error {
	return &Error{Len: len(src), Message: fmt.Sprintf("%s has %d bytes, more than the %d it may have", what, len(src), most)}
}

var errWork = &Error{Message: "the expression has too much work to do on this payload"}

// spend takes n off the work that is left.
func (f *frame) spend(n int) error {
	if f.work -= n; f.work < 0 {
		return errWork
	}
	return nil
}
