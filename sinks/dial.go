package sinks

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"sync"
	"syscall"
	"time"
)

// errGuarded is the failure to reach an address that only a cloud's own machines
// have business with.
var errGuarded = errors.New("link-local and metadata addresses are refused")

// guarded are the addresses at which clouds keep the credentials of a machine,
// beside the link-local ones: AWS (its IPv6 services), Alibaba, Oracle, Google
// and Azure.
var guarded = []netip.Prefix{
	netip.MustParsePrefix("fd00:ec2::/32"),
	netip.MustParsePrefix("100.100.100.200/32"),
	netip.MustParsePrefix("192.0.0.192/32"),
	netip.MustParsePrefix("fd20:ce::254/128"),
	netip.MustParsePrefix("168.63.129.16/32"),
}

// embedding are prefixes whose addresses carry an IPv4 address, and the byte at
// which it begins: NAT64 (RFC 6052, RFC 8215), IPv4-compatible, IPv4-translated
// (RFC 2765), and 6to4.
var embedding = []struct {
	netip.Prefix
	at int
}{
	{netip.MustParsePrefix("64:ff9b::/96"), 12},
	{netip.MustParsePrefix("64:ff9b:1::/48"), 12},
	{netip.MustParsePrefix("::/96"), 12},
	{netip.MustParsePrefix("::ffff:0:0:0/96"), 12},
	{netip.MustParsePrefix("2002::/16"), 2},
}

// refusedAddress reports whether a sink may not speak to ip. Private addresses
// are fine: that is where a shop's other systems live.
func refusedAddress(ip netip.Addr) bool {
	ip = ip.Unmap().WithZone("")
	if ip.IsLinkLocalUnicast() || ip.IsMulticast() {
		return true
	}
	for _, p := range guarded {
		if p.Contains(ip) {
			return true
		}
	}
	for _, e := range embedding {
		if e.Contains(ip) {
			b := ip.As16()
			return refusedAddress(netip.AddrFrom4([4]byte(b[e.at : e.at+4])))
		}
	}
	return false
}

// guard is a dialer's Control: it sees the address that is dialled, after every
// name and spelling is resolved.
func guard(_, address string, _ syscall.RawConn) error {
	ap, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %s", errGuarded, address)
	}
	if refusedAddress(ap.Addr()) {
		return errGuarded
	}
	return nil
}

// maxConnAge is how long connections are used, so that a far side that moved to
// another address is followed.
const maxConnAge = 5 * time.Minute

// A pool is a transport whose connections don't grow old.
type pool struct {
	settings transport

	mu   sync.Mutex
	http *http.Transport
	born time.Time
}

// transport is what a pool's connections are made by.
type transport struct {
	tls   *tls.Config
	proxy *url.URL // nil is none, whatever the environment says
	idle  int
	dial  dialFunc // nil is one that is guarded
}

type dialFunc func(ctx context.Context, network, addr string) (net.Conn, error)

func (t transport) dialer() dialFunc {
	if t.dial != nil {
		return t.dial
	}
	return (&net.Dialer{Control: guard}).DialContext
}

func (t transport) new() *http.Transport {
	h := &http.Transport{
		DialContext:            t.dialer(),
		TLSClientConfig:        t.tls,
		MaxIdleConnsPerHost:    max(t.idle, 1),
		IdleConnTimeout:        90 * time.Second,
		DisableCompression:     true, // the answer is shown as it is
		MaxResponseHeaderBytes: maxAnswer,
		Protocols:              new(http.Protocols),
	}
	h.Protocols.SetHTTP1(true)
	if t.proxy != nil {
		h.Proxy = http.ProxyURL(t.proxy)
	}
	return h
}

// RoundTrip follows no redirect and heeds no proxy of the environment.
func (p *pool) RoundTrip(r *http.Request) (*http.Response, error) {
	return p.current(time.Now()).RoundTrip(r)
}

// current is the transport for a request made now. An old one is replaced; what
// is under way on it may finish, and its connections end with that.
func (p *pool) current(now time.Time) *http.Transport {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.http == nil || now.Sub(p.born) >= maxConnAge {
		if p.http != nil {
			p.http.CloseIdleConnections()
		}
		p.http, p.born = p.settings.new(), now
	}
	return p.http
}

func (p *pool) close() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.http != nil {
		p.http.CloseIdleConnections()
	}
}

var defaultPorts = map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}

// reach makes a connection to the host of u, or to the proxy that leads there,
// and ends it.
func (t transport) reach(ctx context.Context, u *url.URL) error {
	if t.proxy != nil {
		u = t.proxy
	}
	port := cmp.Or(u.Port(), defaultPorts[u.Scheme])
	conn, err := t.dialer()(ctx, "tcp", net.JoinHostPort(u.Hostname(), port))
	if err != nil {
		return err
	}
	defer conn.Close()
	if u.Scheme != "https" {
		return nil
	}
	cfg := t.tls.Clone()
	if cfg.ServerName == "" {
		cfg.ServerName = u.Hostname()
	}
	return tls.Client(conn, cfg).HandshakeContext(ctx)
}
