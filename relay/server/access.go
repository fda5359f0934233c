package server

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"hash/maphash"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/kurir-relay/kurir/relay/conf"
)

// TokenFile holds the token of the admin API, in the data directory.
const TokenFile = "admin.token"

// Token gives the token of the admin API, and makes one if there is none.
func Token(dir string) (string, error) {
	path := filepath.Join(dir, TokenFile)
	text, err := conf.ReadFile(path) // which no pipe holds up
	if errors.Is(err, fs.ErrNotExist) {
		token := rand.Text()
		return token, writeToken(path, token)
	}
	if err != nil {
		return "", fmt.Errorf("admin token: %s: %w", path, err)
	}
	if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
		if err := os.Chmod(path, 0o600); err != nil { // whoever reads it may replay and prune
			return "", fmt.Errorf("admin token: %w", err)
		}
	}
	token := strings.TrimSpace(string(text))
	if len(token) < 16 {
		return "", fmt.Errorf("admin token: %s is empty or cut off; remove it, and a new one is made", path)
	}
	return token, nil
}

func writeToken(path, token string) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err == nil {
		_, err = f.WriteString(token + "\n")
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("admin token: %w", err)
	}
	return nil
}

// IsLoopback reports whether a listener at addr is reached from this machine only.
func IsLoopback(addr net.Addr) bool {
	tcp, ok := addr.(*net.TCPAddr)
	return ok && tcp.IP.IsLoopback()
}

// access decides who may use the admin listener.
type access struct {
	token    string
	password string   // "" if the operator set none
	hosts    []string // names by which it may be called, in lower case
	open     bool     // metrics need no token: the listener is on loopback
	inner    http.Handler

	metrics *Metrics
	log     *slog.Logger
	flood   *flood
	guesses *guesses
}

// securityHeaders make a browser treat what the listener says with suspicion.
var securityHeaders = map[string]string{
	"Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
	"X-Content-Type-Options":  "nosniff",
	"X-Frame-Options":         "DENY",
	"Referrer-Policy":         "no-referrer",
	"Cache-Control":           "no-store",

	"Cross-Origin-Opener-Policy":   "same-origin",
	"Cross-Origin-Resource-Policy": "same-origin",
}

func (a *access) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	for name, value := range securityHeaders {
		w.Header().Set(name, value)
	}
	switch {
	case strings.HasPrefix(r.URL.Path, "/-/"):
	case !a.called(r.Host):
		answer(w, http.StatusForbidden, `{"error":"this name is not known here: call it localhost, or allow the name with --admin-host"}`)
		return
	case r.URL.Path == "/" || r.URL.Path == "/metrics" && a.open:
	default:
		if status := a.admits(r); status != http.StatusOK {
			refuse(w, status)
			return
		}
	}
	a.inner.ServeHTTP(w, r)
}

// called reports whether the listener may be called by this name. A page of
// another site that gets its own name resolved to this address is kept out so.
func (a *access) called(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	return slices.Contains(a.hosts, host)
}

// admits compares what the request brings with the token and the password, and
// gives the status of the answer: 200 if it is one of them.
func (a *access) admits(r *http.Request) (status int) {
	brought, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, password, basic := r.BasicAuth(); basic {
		brought, ok = password, true
	}
	if ok && same(brought, a.token) {
		return http.StatusOK
	}
	status = http.StatusUnauthorized
	from, _, _ := net.SplitHostPort(r.RemoteAddr)
	if ok && a.password != "" {
		status = a.guesses.check(from, func() bool { return same(brought, a.password) })
	}
	if ok && status != http.StatusOK {
		a.denied(from, status)
	}
	return status
}

// refuse answers who is not admitted.
func refuse(w http.ResponseWriter, status int) {
	if status == http.StatusTooManyRequests {
		w.Header().Set("Retry-After", "1")
		answer(w, status, `{"error":"too many wrong passwords: wait, or send the token in <data>/admin.token"}`)
		return
	}
	w.Header().Set("WWW-Authenticate", `Bearer realm="kurir"`)
	answer(w, status, `{"error":"send the token in <data>/admin.token as: Authorization: Bearer <token>"}`)
}

// denied counts and logs a request that brought what is no token or password, or
// one that was not looked at.
func (a *access) denied(from string, status int) {
	a.metrics.denied.Inc()
	if unlogged, say := a.flood.line(time.Now()); say {
		a.log.Warn("admin request denied", "address", from, "status", status, "unlogged", unlogged)
	}
}

// guesses bound how fast a password can be guessed. An address has 20 wrong ones,
// and one more a second; addresses share 64 places, so that what is remembered has
// an end. The token is too long to be guessed: it is always taken.
type guesses struct {
	mu     sync.Mutex
	seed   maphash.Seed
	places [64]*rate.Limiter
}

func newGuesses() *guesses {
	g := &guesses{seed: maphash.MakeSeed()}
	for i := range g.places {
		g.places[i] = rate.NewLimiter(1, 20)
	}
	return g
}

// check asks whether a password is right, and gives the status of the answer. Of
// an address that guessed too often it does not ask.
func (g *guesses) check(from string, right func() bool) (status int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	place := g.places[maphash.String(g.seed, from)%uint64(len(g.places))]
	switch {
	case place.Tokens() < 1:
		return http.StatusTooManyRequests
	case right():
		return http.StatusOK
	}
	place.Allow()
	return http.StatusUnauthorized
}

// same compares in constant time; not even the length shows.
func same(a, b string) bool {
	ha, hb := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(ha[:], hb[:]) == 1
}
