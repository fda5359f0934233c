package server

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// TokenFile holds the token of the admin API, in the data directory.
const TokenFile = "admin.token"

// Token gives the token of the admin API, and makes one if there is none.
func Token(dir string) (string, error) {
	path := filepath.Join(dir, TokenFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		token := rand.Text()
		return token, writeToken(path, token)
	}
	if err != nil {
		return "", fmt.Errorf("admin token: %w", err)
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
	case !a.admits(r):
		w.Header().Set("WWW-Authenticate", `Bearer realm="kurir"`)
		answer(w, http.StatusUnauthorized, `{"error":"send the token in <data>/admin.token as: Authorization: Bearer <token>"}`)
		return
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

// admits compares what the request brings with the token and the password.
func (a *access) admits(r *http.Request) bool {
	brought, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	if _, password, basic := r.BasicAuth(); basic {
		brought, ok = password, true
	}
	return ok && (same(brought, a.token) || a.password != "" && same(brought, a.password))
}

// same compares in constant time; not even the length shows.
func same(a, b string) bool {
	ha, hb := sha256.Sum256([]byte(a)), sha256.Sum256([]byte(b))
	return subtle.ConstantTimeCompare(ha[:], hb[:]) == 1
}
