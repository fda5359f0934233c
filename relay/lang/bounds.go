package lang

import "fmt"

// What an expression may be, checked when it is compiled.
const (
	MaxSource   = 16 << 10 // bytes of an expression
	MaxTemplate = 64 << 10 // bytes of a text with expressions in it
)

func tooLong(what, src string, most int) *Error {
	return &Error{Len: len(src), Message: fmt.Sprintf("%s has %d bytes, more than the %d it may have", what, len(src), most)}
}
