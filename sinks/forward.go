package sinks

import (
	"net/http"
	"slices"
	"strings"
)

// hopHeaders are those of a received request that are not passed on: what is
// between two neighbours only (RFC 9110, section 7.6.1), what is made anew for
// each request, and Accept-Encoding and Expect, which ask for an answer in a
// form that the sender understands.
var hopHeaders = []string{
	"Connection", "Keep-Alive", "Proxy-Authenticate", "Proxy-Authorization", "Proxy-Connection", "Te", "Trailer",
	"Transfer-Encoding", "Upgrade", "Host", "Content-Length", "Idempotency-Key", "Accept-Encoding", "Expect",
}

// forwardHeader is the header of a received request as it is passed on: names
// and values as they came, without those that end here. It shares the values.
func forwardHeader(in http.Header) http.Header {
	out := make(http.Header, len(in)+6)
	for k, vs := range in {
		if !slices.Contains(hopHeaders, k) && !strings.HasPrefix(k, "Kurir-") {
			out[k] = vs
		}
	}
	for _, line := range in["Connection"] {
		for name := range strings.SplitSeq(line, ",") {
			out.Del(strings.TrimSpace(name))
		}
	}
	return out
}
