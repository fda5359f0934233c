package sinks

// What the tests reach into.
var (
	RefusedAddress = refusedAddress
	RetryAfter     = retryAfter
	ForwardHeader  = forwardHeader
	Printable      = printable
)
