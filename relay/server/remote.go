package server

import (
	"net/http"
	"net/netip"
	"slices"
	"strings"
)

// origin says where a request comes from: the peer or, if the peer is one of the
// trusted proxies, who that says it is. It is the zero Addr if a trusted proxy
// says what is no address. The scheme is what the provider used, as far as a
// trusted proxy tells.
func origin(r *http.Request, trusted []netip.Prefix) (from netip.Addr, scheme string) {
	scheme = "http"
	peer, _ := netip.ParseAddrPort(r.RemoteAddr)
	from = peer.Addr().Unmap().WithZone("")
	if !isTrusted(from, trusted) {
		return from, scheme
	}
	if strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https") {
		scheme = "https"
	}
	hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
	for _, hop := range slices.Backward(hops) {
		if hop = strings.TrimSpace(hop); hop == "" {
			continue
		}
		addr, err := netip.ParseAddr(hop)
		if err != nil {
			return netip.Addr{}, scheme
		}
		if from = addr.Unmap().WithZone(""); !isTrusted(from, trusted) {
			return from, scheme
		}
	}
	return from, scheme
}

func isTrusted(a netip.Addr, trusted []netip.Prefix) bool {
	return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a) })
}
