package sinks

import (
	"crypto/rand"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
)

// viaHeader lists the relays that a request has been through, oldest first.
const viaHeader = "Kurir-Via"

// maxHops is how many relays a request may have been through: beyond it, relays
// are taken to send it round among themselves.
const maxHops = 8

// instance names this process in Kurir-Via. A loop comes back to the process
// that sent the request, or to one of a few replicas, so it need not outlive it.
var instance = newInstance()

func newInstance() string {
	var b [8]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// RefuseLoop reports whether r was sent by a sink of this very process, or has
// been through too many relays. It has then been answered with 508 and a
// Kurir-Via header, by which the sink that sent it knows that no retry helps.
func RefuseLoop(w http.ResponseWriter, r *http.Request) bool {
	via := hops(r.Header)
	if !slices.Contains(via, instance) && len(via) <= maxHops {
		return false
	}
	w.Header().Set(viaHeader, instance)
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusLoopDetected)
	w.Write([]byte(`{"error":"This relay sends the request to itself"}`))
	return true
}

// looped reports whether an answer is that of RefuseLoop. The status alone does
// not tell: shared hosting answers 508 when an account is over its limits.
func looped(resp *http.Response) bool {
	return resp.StatusCode == http.StatusLoopDetected && resp.Header.Get(viaHeader) != ""
}

// via is the Kurir-Via of a request that is caused by one with the header h.
func via(h http.Header) string { return strings.Join(append(hops(h), instance), ", ") }

func hops(h http.Header) (names []string) {
	for _, line := range h.Values(viaHeader) {
		for name := range strings.SplitSeq(line, ",") {
			names = append(names, strings.TrimSpace(name))
		}
	}
	return names
}
