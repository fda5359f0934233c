package sinks_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/dns/dnsmessage"

	"github.com/kurir-relay/kurir/sinks"
)

func TestLinkLocalAndMetadataAddressesAreRefusedInEverySpelling(t *testing.T) {
	for _, spelling := range []string{
		"169.254.169.254", "169.254.170.2", "169.254.0.1", "100.100.100.200", "192.0.0.192", "168.63.129.16",
		"fe80::1", "fe80::1%lo", "febf::1", "fd00:ec2::254", "fd20:ce::254", "ff02::1", "224.0.0.1",
		"::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "::a9fe:a9fe", "64:ff9b::a9fe:a9fe", "64:ff9b::169.254.169.254",
		"64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "::ffff:100.100.100.200", "::ffff:0:169.254.169.254", "64:ff9b::6464:64c8",
	} {
		if !sinks.RefusedAddress(netip.MustParseAddr(spelling)) {
			t.Errorf("%s is let through", spelling)
		}
	}
	for _, spelling := range []string{
		"127.0.0.1", "::1", "10.0.0.1", "172.16.4.2", "192.168.1.10", "100.64.0.1", "fd12:3456::1", "8.8.8.8", "2606:4700::1111",
		"::ffff:192.168.1.10", "::ffff:0:192.168.1.10", "64:ff9b::c0a8:010a", "169.253.255.255", "169.255.0.0", "100.100.100.201", "fec0::1",
	} {
		if sinks.RefusedAddress(netip.MustParseAddr(spelling)) {
			t.Errorf("%s is refused", spelling)
		}
	}
}

func TestARefusedAddressIsNotDialled(t *testing.T) {
	resolve(t, map[string]string{"metadata.example.com.": "169.254.169.254", "six.example.com.": "fd00:ec2::254", "nat64.example.com.": "64:ff9b::a9fe:a9fe"})
	for _, host := range []string{"metadata.example.com", "six.example.com", "nat64.example.com"} {
		_, err := send(t, open(t, "http", "url: http://"+host+"/latest/meta-data"), parcel(order("{}"), nil))
		fails(t, err, "link-local and metadata addresses are refused")
	}
	for _, host := range []string{"2852039166", "0xa9fea9fe", "0xA9.0xFE.0xA9.0xFE", "0251.0376.0251.0376", "025177524776", "169.16689662"} {
		_, err := send(t, open(t, "http", "url: http://"+host+"/latest/meta-data"), parcel(order("{}"), nil))
		fails(t, err, "")
	}
}

func TestAProxyIsGuardedToo(t *testing.T) {
	_, err := send(t, open(t, "http", "{url: http://shop.example.com/, proxy: http://169.254.169.254:3128}"), parcel(order("{}"), nil))
	fails(t, err, "link-local and metadata addresses are refused")
}

// resolve makes names resolve to the addresses given, and no others.
func resolve(t *testing.T, names map[string]string) {
	t.Helper()
	conn, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFrom(buf)
			if err != nil {
				return
			}
			conn.WriteTo(reply(buf[:n], names), from)
		}
	}()
	old := net.DefaultResolver
	net.DefaultResolver = &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "udp", conn.LocalAddr().String())
	}}
	t.Cleanup(func() { net.DefaultResolver = old; conn.Close(); <-done })
}

// reply answers a DNS query for one name.
func reply(query []byte, names map[string]string) []byte {
	var m dnsmessage.Message
	if err := m.Unpack(query); err != nil || len(m.Questions) != 1 {
		return nil
	}
	q := m.Questions[0]
	m.Response, m.Additionals = true, nil
	ip, known := names[q.Name.String()]
	if !known {
		m.RCode = dnsmessage.RCodeNameError
	} else if a := netip.MustParseAddr(ip); a.Is4() == (q.Type == dnsmessage.TypeA) {
		r := dnsmessage.Resource{Header: dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class, TTL: 1}}
		if a.Is4() {
			r.Body = &dnsmessage.AResource{A: a.As4()}
		} else {
			r.Body = &dnsmessage.AAAAResource{AAAA: a.As16()}
		}
		m.Answers = []dnsmessage.Resource{r}
	}
	out, _ := m.Pack()
	return out
}

var quiet = log.New(io.Discard, "", 0)

// certificate makes one that signs itself for 127.0.0.1, for servers and
// clients, and writes it to a file.
func certificate(t *testing.T, until time.Time) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: until.Add(-24 * time.Hour), NotAfter: until, IsCA: true, BasicConstraintsValid: true,
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}, write(t, t.TempDir(), "cert.pem", "CERTIFICATE", der)
}

// countingServer counts connections. It answers when n requests are there.
func countingServer(t *testing.T, n int) (url string, conns func() int) {
	t.Helper()
	var mu sync.Mutex
	var opened, waiting int
	gate := make(chan struct{})
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		mu.Lock()
		waiting++
		mine := gate
		if waiting == n {
			close(gate)
			gate, waiting = make(chan struct{}), 0
		}
		mu.Unlock()
		<-mine
	}))
	srv.Config.ConnState = func(_ net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		if s == http.StateNew {
			opened++
		}
	}
	srv.Start()
	t.Cleanup(srv.Close)
	return srv.URL, func() int { mu.Lock(); defer mu.Unlock(); return opened }
}

func TestALoopIsNoticedAndStopped(t *testing.T) {
	var srv *httptest.Server
	var s sinks.Sink
	var rounds int
	srv = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if sinks.RefuseLoop(w, r) {
			return
		}
		rounds++
		c := order("{}")
		c.Header = r.Header
		if ans, err := send(t, s, parcel(c, nil)); !isPermanent(err) || ans.Status != 508 || !strings.Contains(err.Error(), "leads back to this relay") {
			t.Errorf("the relay's own answer: %v %+v", err, ans)
		}
	}))
	defer srv.Close()
	s = open(t, "http", "url: "+srv.URL)
	resp, err := http.Post(srv.URL, "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != 200 || rounds != 1 {
		t.Errorf("the provider got %d, the callback went %d rounds", resp.StatusCode, rounds)
	}
}

func TestRelaysThatSendToEachOtherStop(t *testing.T) {
	for hops, refused := range map[int]bool{0: false, 1: false, 8: false, 9: true, 1000: true} {
		r := httptest.NewRequest("POST", "/", nil)
		if hops > 0 {
			r.Header.Set("Kurir-Via", strings.TrimSuffix(strings.Repeat("0123456789abcdef,", hops), ","))
		}
		w := httptest.NewRecorder()
		if sinks.RefuseLoop(w, r) != refused || refused != (w.Code == 508) {
			t.Errorf("after %d relays: refused %v with %d", hops, !refused, w.Code)
		}
	}
}
