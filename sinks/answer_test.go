package sinks_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"math"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/sinks"
	"github.com/kurir-relay/kurir/sinks/sinktest"
)

func isPermanent(err error) bool { return errors.Is(err, relay.ErrPermanent) }

// asked is the wait that a failure asks for.
func asked(err error) (wait time.Duration, everyone bool) {
	if ra, ok := errors.AsType[*relay.RetryAfterError](err); ok {
		return ra.Wait, ra.Everyone
	}
	return 0, false
}

func TestWhatTheFarSideAnswersDecides(t *testing.T) {
	const day = 24 * time.Hour
	tomorrow := time.Now().Add(day).UTC().Format(http.TimeFormat)
	for name, tt := range map[string]struct {
		status    int
		header    string // Retry-After, or Location of a redirect
		success   string
		ok        bool
		permanent bool
		wait      time.Duration // at least
		everyone  bool
	}{
		"200":                                {status: 200, ok: true},
		"201":                                {status: 201, ok: true},
		"204":                                {status: 204, ok: true},
		"301":                                {status: 301, header: "https://elsewhere.example/"},
		"302":                                {status: 302, header: "/login"},
		"304":                                {status: 304},
		"307":                                {status: 307, header: "//elsewhere.example/"},
		"400":                                {status: 400},
		"401":                                {status: 401},
		"404":                                {status: 404},
		"410":                                {status: 410, permanent: true},
		"500":                                {status: 500},
		"500 with Retry-After":               {status: 500, header: "30", wait: 30 * time.Second},
		"503":                                {status: 503},
		"503 with seconds":                   {status: 503, header: "120", wait: 2 * time.Minute, everyone: true},
		"503 with a date":                    {status: 503, header: tomorrow, wait: day - time.Minute, everyone: true},
		"503 with a date gone by":            {status: 503, header: "Wed, 21 Oct 2015 07:28:00 GMT"},
		"503 with a negative number":         {status: 503, header: "-5"},
		"503 with zero":                      {status: 503, header: "0"},
		"503 with the far future":            {status: 503, header: "99999999999999999999999", wait: math.MaxInt64, everyone: true},
		"503 with nonsense":                  {status: 503, header: "soon"},
		"429 with seconds":                   {status: 429, header: "3", wait: 3 * time.Second, everyone: true},
		"508 of crowded hosting":             {status: 508},
		"a condition that is met":            {status: 302, success: "status == 302", ok: true},
		"a condition that is not":            {status: 200, success: `status == 200 and not (response contains "ERROR")`},
		"a condition and Retry-After":        {status: 200, success: `response == "OK"`, header: "7", wait: 7 * time.Second},
		"a condition on the headers":         {status: 200, success: `headers["x-result"] == "good"`, ok: true},
		"a condition on the attempt":         {status: 500, success: "attempt == 1", ok: true},
		"a condition that 410 does not meet": {status: 410, success: "status == 200", permanent: true},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := far(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("X-Result", "good")
				if tt.status/100 == 3 {
					w.Header().Set("Location", tt.header)
				} else if tt.header != "" {
					w.Header().Set("Retry-After", tt.header)
				}
				w.WriteHeader(tt.status)
				if tt.status != 204 && tt.status != 304 {
					io.WriteString(w, "ERROR")
				}
			})
			settings := "url: " + url
			if tt.success != "" {
				settings += "\nsuccess: " + tt.success
			}
			ans, err := send(t, open(t, "http", settings), parcel(order("{}"), nil))
			wait, everyone := asked(err)
			if (err == nil) != tt.ok || isPermanent(err) != tt.permanent || wait < tt.wait || tt.wait == 0 && wait != 0 || everyone != tt.everyone {
				t.Errorf("error %v (permanent %v, wait %v, everyone %v)", err, isPermanent(err), wait, everyone)
			}
			if ans.Status != tt.status {
				t.Errorf("the status is recorded as %d", ans.Status)
			}
		})
	}
}

func TestARedirectIsAFailureAndNotFollowed(t *testing.T) {
	elsewhere, followed := far(t, nil)
	for _, status := range []int{301, 302, 303, 307, 308} {
		url, _ := far(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere+"/?token=abcd", status) })
		_, err := send(t, open(t, "http", "url: "+url), parcel(order("{}"), nil))
		if err == nil || !strings.Contains(err.Error(), elsewhere) || strings.Contains(err.Error(), "abcd") {
			t.Errorf("%d: %v", status, err)
		}
	}
	if len(followed) > 0 {
		t.Error("a redirect was followed")
	}
}

func TestTheAnswerIsKeptAsTextThatCanBeShown(t *testing.T) {
	for name, tt := range map[string]struct{ answer, want string }{
		"text":               {"oke\r\nbaris dua\t✓", "oke\nbaris dua\t✓"},
		"invalid UTF-8":      {"a\xff\xfeb", "a\uFFFDb"},
		"terminal sequences": {"\x1b[2J\x07\x9b", "␛[2J␇\uFFFD"},
		"NUL":                {"\x00", "␀"},
		"bidi override":      {"a\u202eb\u2066", "a\uFFFDb\uFFFD"},
		"nothing":            {"", ""},
	} {
		t.Run(name, func(t *testing.T) {
			url, _ := far(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, tt.answer) })
			ans, err := send(t, open(t, "http", "url: "+url), parcel(order("{}"), nil))
			if err != nil || ans.Response != tt.want {
				t.Errorf("kept as %q, want %q (%v)", ans.Response, tt.want, err)
			}
		})
	}
}

func TestAnAnswerIsKeptUpTo64KiB(t *testing.T) {
	for _, size := range []int{64<<10 - 1, 64 << 10, 64<<10 + 1, 1 << 20} {
		url, _ := far(t, func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, strings.Repeat("é", size/2)+strings.Repeat("x", size%2))
		})
		ans, err := send(t, open(t, "http", "url: "+url), parcel(order("{}"), nil))
		if err != nil || len(ans.Response) > 64<<10 || !utf8.ValidString(ans.Response) || size <= 64<<10 && len(ans.Response) != size {
			t.Errorf("of %d bytes, %d are kept (%v)", size, len(ans.Response), err)
		}
	}
}

// peer is a far side below HTTP: it speaks on the bare connection, and is left
// with the connection open until the test ends.
func peer(t *testing.T, speak func(net.Conn)) (url string) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			defer c.Close()
			if speak == nil {
				continue
			}
			c.Read(make([]byte, 4096))
			speak(c)
		}
	}()
	t.Cleanup(func() { l.Close(); <-done })
	return "http://" + l.Addr().String()
}

// sendBriefly gives the far side a twentieth of a second.
func sendBriefly(t *testing.T, s sinks.Sink) (relay.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	return s.Send(ctx, []relay.Parcel{parcel(order("{}"), nil)})
}

func TestAFarSideThatRefusesFailsTheAttempt(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	_, err = send(t, open(t, "http", "url: http://"+l.Addr().String()), parcel(order("{}"), nil))
	fails(t, err, "refused")
}

func TestANameThatDoesNotResolveFailsTheAttempt(t *testing.T) {
	resolve(t, nil)
	_, err := send(t, open(t, "http", "url: http://shop.example.com/"), parcel(order("{}"), nil))
	fails(t, err, "shop.example.com")
}

func TestAnExpiredCertificateFailsTheAttempt(t *testing.T) {
	cert, ca := certificate(t, time.Now().Add(-time.Hour))
	url := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	_, err := send(t, open(t, "http", "{url: "+url+", tls: {ca_file: "+ca+"}}"), parcel(order("{}"), nil))
	fails(t, err, "expired")
}

func TestAResetFailsTheAttempt(t *testing.T) {
	for name, said := range map[string]string{"before the answer": "", "inside the answer": "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nok"} {
		t.Run(name, func(t *testing.T) {
			url := peer(t, func(c net.Conn) {
				io.WriteString(c, said)
				c.(*net.TCPConn).SetLinger(0)
				c.Close()
			})
			_, err := send(t, open(t, "http", "url: "+url), parcel(order("{}"), nil))
			fails(t, err, "")
		})
	}
}

func TestAFarSideThatHangsUpIsToldInWords(t *testing.T) {
	url := peer(t, func(c net.Conn) { c.Close() })
	_, err := send(t, open(t, "http", "url: "+url), parcel(order("{}"), nil))
	fails(t, err, "the connection was closed before an answer came")
}

func TestAFarSideThatNeverAnswersFailsTheAttemptAtItsDeadline(t *testing.T) {
	for name, speak := range map[string]func(net.Conn){
		"accepts and says nothing": nil,
		"half a status line":       func(c net.Conn) { io.WriteString(c, "HTTP/1.1 20") },
		"half a header":            func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Le") },
		"a header only":            func(c net.Conn) { io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n") },
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sendBriefly(t, open(t, "http", "url: "+peer(t, speak)))
			fails(t, err, "no whole answer within 15s")
			if !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%v is no deadline", err)
			}
		})
	}
}

func TestAnAnswerThatTricklesFailsTheAttemptAtItsDeadline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := piped(t, func(w http.ResponseWriter, r *http.Request) {
			for tick := time.NewTicker(time.Second); r.Context().Err() == nil; {
				io.WriteString(w, ".")
				http.NewResponseController(w).Flush()
				select {
				case <-tick.C:
				case <-r.Context().Done():
				}
			}
		})
		start := time.Now()
		ans, err := send(t, s, parcel(order("{}"), nil))
		fails(t, err, "no whole answer within 15s")
		if ans.Status != 200 || !strings.HasPrefix(ans.Response, "...............") || time.Since(start) != 15*time.Second {
			t.Errorf("after %v: %+v", time.Since(start), ans)
		}
	})
}

func TestAnAnswerOfTenGigabytesIsLeftUnreadAfter64KiB(t *testing.T) {
	for name, head := range map[string]string{
		"announced": "HTTP/1.1 200 OK\r\nContent-Length: 10737418240\r\n\r\n",
		"endless":   "HTTP/1.1 200 OK\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			url := peer(t, func(c net.Conn) {
				io.WriteString(c, head)
				for chunk := make([]byte, 1<<20); ; {
					if _, err := c.Write(chunk); err != nil {
						return // hung up on
					}
				}
			})
			ans, err := send(t, open(t, "http", "url: "+url), parcel(order("{}"), nil))
			if err != nil || len(ans.Response) > 64<<10 {
				t.Errorf("%d bytes are kept (%v)", len(ans.Response), err)
			}
		})
	}
}

// fails says that an attempt failed in a way that the schedule retries.
func fails(t *testing.T, err error, want string) {
	t.Helper()
	if err == nil || isPermanent(err) || !strings.Contains(err.Error(), want) {
		t.Errorf("got %v, want a failure with %q that is retried", err, want)
	}
}

// piped is a sink whose far side is a handler in memory, so that time in a
// synctest bubble passes at once.
func piped(t *testing.T, h http.HandlerFunc) sinks.Sink {
	pipe := sinktest.NewPipe()
	srv := &http.Server{Handler: h}
	go srv.Serve(pipe)
	s := openAt(t, "http", "url: http://shop.example/", sinks.Place{Timeout: 15 * time.Second, Dial: pipe.Dial, Idle: 1})
	t.Cleanup(func() { srv.Close() })
	return s
}

func TestConnectionsAreReusedAndDontGrowOld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var conns int
		pipe := sinktest.NewPipe()
		srv := &http.Server{Handler: http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}),
			ConnContext: func(ctx context.Context, _ net.Conn) context.Context { conns++; return ctx }}
		go srv.Serve(pipe)
		defer srv.Close()
		s := openAt(t, "http", "url: http://shop.example/", sinks.Place{Timeout: 15 * time.Second, Dial: pipe.Dial, Idle: 1})
		for range 60 { // an hour, a minute each
			if _, err := send(t, s, parcel(order("{}"), nil)); err != nil {
				t.Fatal(err)
			}
			time.Sleep(time.Minute)
		}
		if conns != 12 {
			t.Errorf("%d connections in an hour, want one every five minutes", conns)
		}
	})
}

func TestAsManyIdleConnectionsAreKeptAsTheSinkHasConcurrency(t *testing.T) {
	const concurrency = 8
	url, conns := countingServer(t, concurrency)
	s := openAt(t, "http", "url: "+url, sinks.Place{Timeout: 15 * time.Second, Idle: concurrency})
	for range 5 {
		errs := make(chan error)
		for range concurrency {
			go func() {
				_, err := s.Send(t.Context(), []relay.Parcel{parcel(order("{}"), nil)})
				errs <- err
			}()
		}
		for range concurrency {
			if err := <-errs; err != nil {
				t.Fatal(err)
			}
		}
	}
	if n := conns(); n != concurrency {
		t.Errorf("%d connections for %d at a time", n, concurrency)
	}
}

func TestPrivateAuthoritiesAndClientCertificates(t *testing.T) {
	cert, ca := certificate(t, time.Now().Add(time.Hour))
	dir := t.TempDir()
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	keyFile := write(t, dir, "key.pem", "PRIVATE KEY", key)
	roots := x509.NewCertPool()
	roots.AddCert(cert.Leaf)
	url := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, ClientCAs: roots, ClientAuth: tls.RequireAndVerifyClientCert})
	for _, tt := range []struct{ name, settings, want string }{
		{"trusted both ways", "{ca_file: " + ca + ", cert_file: " + ca + ", key_file: " + keyFile + "}", ""},
		{"an unknown authority", "{cert_file: " + ca + ", key_file: " + keyFile + "}", "unknown authority"},
		{"no client certificate", "{ca_file: " + ca + "}", "certificate required"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := send(t, open(t, "http", "{url: "+url+", tls: "+tt.settings+"}"), parcel(order("{}"), nil))
			if tt.want == "" && err != nil || tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)) {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestOldVersionsOfTLSAreRefused(t *testing.T) {
	cert, ca := certificate(t, time.Now().Add(time.Hour))
	url := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}, MaxVersion: tls.VersionTLS11, MinVersion: tls.VersionTLS10})
	_, err := send(t, open(t, "http", "{url: "+url+", tls: {ca_file: "+ca+"}}"), parcel(order("{}"), nil))
	fails(t, err, "protocol version")
}

func TestACheckSendsNothing(t *testing.T) {
	url, requests := far(t, nil)
	cert, ca := certificate(t, time.Now().Add(time.Hour))
	secure := serveTLS(t, &tls.Config{Certificates: []tls.Certificate{cert}})
	for settings, want := range map[string]string{
		"url: " + url: "",
		"{url: " + secure + ", tls: {ca_file: " + ca + "}}": "",
		"url: " + secure:                                   "unknown authority",
		"url: http://127.0.0.1:1/":                         "refused",
		"{url: https://shop.invalid/, proxy: " + url + "}": "",
	} {
		err := open(t, "http", settings).(sinks.Checker).Check(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%s: %v, want %q", settings, err, want)
		}
	}
	if len(requests) > 0 {
		t.Error("a request was sent")
	}
}

// serveTLS is a far side that takes everything, over TLS.
func serveTLS(t *testing.T, cfg *tls.Config) (url string) {
	t.Helper()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	srv.TLS = cfg
	srv.Config.ErrorLog = quiet
	srv.StartTLS()
	t.Cleanup(srv.Close)
	return srv.URL
}

func write(t *testing.T, dir, name, kind string, der []byte) string {
	t.Helper()
	file := filepath.Join(dir, name)
	if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
