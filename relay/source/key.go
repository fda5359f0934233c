package source

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"hash"
	"regexp"
	"slices"
	"sync"

	"github.com/kurir-relay/kurir/relay/lang"
)

// A key verifies with one secret.
type key struct {
	secret *secret
	bytes  []byte
	made   *expression // not nil: the bytes are made anew for each request
	macs   *sync.Pool  // of *macState with the bytes as their key
	public publicKey
}

var requestNames = []string{"raw", "body", "form", "query", "header", "text", "fromJSON", "method", "path", "url"}

// compileKeys prepares the check for each secret.
func (c *check) compileKeys(s *Source, st *checkSettings) {
	expr := compileUnless(st.Key, "secret", lang.Text, noFields, noStamp)
	expr.needVars(s.vars)
	perRequest := expr != nil && expr.reads.has(requestNames...)
	c.inBody = c.inBody || perRequest && expr.reads.inBody()
	for _, secret := range s.secrets {
		k := &key{secret: secret, bytes: []byte(secret.text)}
		c.keys = append(c.keys, k)
		if perRequest {
			k.made = expr
			continue
		}
		if expr != nil {
			k.bytes = s.keyBytes(expr, secret)
		}
		if err := k.prepare(c); err != nil {
			secret.node.Problem("the secret of the source %s: %v", s.name, err)
		}
	}
}

// keyBytes is what the key expression makes of a secret.
func (s *Source) keyBytes(expr *expression, secret *secret) []byte {
	text, ok := expr.text(&vars{s: s, r: &Request{}, Secret: secret.text, Vars: s.vars})
	if !ok || text == "" {
		secret.node.Problem("the secret of the source %s is not of the form it needs: %s makes no key of it", s.name, expr.source())
		return []byte(secret.text)
	}
	return []byte(text)
}

// ready is k itself, or the key that its expression takes from the request.
func (k *key) ready(c *check, v *vars) (*key, bool) {
	if k.made == nil {
		return k, true
	}
	text, ok := k.made.text(v)
	if !ok || text == "" {
		return nil, false
	}
	made := &key{secret: k.secret, bytes: []byte(text)}
	return made, made.prepare(c) == nil
}

func (k *key) prepare(c *check) (err error) {
	switch c.kind {
	case "hmac":
		k.macs = &sync.Pool{New: func() any { return &macState{mac: hmac.New(hashes[c.algorithm].New, k.bytes)} }}
	case "basic":
		if !slices.Contains(k.bytes, ':') {
			return errors.New("it must be user:password")
		}
	case "ed25519", "ecdsa", "rsa":
		k.public, err = parseKey(c.kind, hashes[c.algorithm], k.bytes)
	}
	return err
}

// A macState is a keyed hash that is used again and again.
type macState struct {
	mac hash.Hash
	sum []byte
}

// of is the MAC of content, until the next call.
func (m *macState) of(content []byte) []byte {
	m.mac.Reset()
	m.mac.Write(content)
	m.sum = m.mac.Sum(m.sum[:0])
	return m.sum
}

// A publicKey verifies a signature over content.
type publicKey func(content, signature []byte) bool

// parseKey reads a public key: PEM, or its DER in base64 or as it is; for
// ed25519 the 32 raw bytes as well.
func parseKey(kind string, h crypto.Hash, text []byte) (publicKey, error) {
	if kind == "ed25519" && len(text) == ed25519.PublicKeySize {
		return edKey(text), nil
	}
	public, err := parseDER(derOf(text))
	if err != nil {
		return nil, err
	}
	switch public := public.(type) {
	case ed25519.PublicKey:
		if kind == "ed25519" {
			return edKey(public), nil
		}
	case *ecdsa.PublicKey:
		if kind == "ecdsa" {
			return func(content, signature []byte) bool { return ecdsa.VerifyASN1(public, sumOf(h, content), signature) }, nil
		}
	case *rsa.PublicKey:
		if kind == "rsa" {
			return func(content, signature []byte) bool {
				return rsa.VerifyPKCS1v15(public, h, sumOf(h, content), signature) == nil
			}, nil
		}
	}
	return nil, errors.New("it is a key of another type than " + kind)
}

func edKey(public []byte) publicKey {
	return func(content, signature []byte) bool {
		return len(signature) == ed25519.SignatureSize && ed25519.Verify(public, content, signature)
	}
}

func sumOf(h crypto.Hash, content []byte) []byte {
	sum := h.New()
	sum.Write(content)
	return sum.Sum(nil)
}

var pemLines = regexp.MustCompile(`-----[A-Z ]+-----|\\n|\s`)

// derOf finds the DER in a key. The line breaks of PEM may have become blanks
// or \n on their way through an environment.
func derOf(text []byte) []byte {
	if block, _ := pem.Decode(text); block != nil {
		return block.Bytes
	}
	if der, err := decodeBase64(pemLines.ReplaceAllString(string(text), "")); err == nil {
		return der
	}
	return text
}

// parseDER reads a public key, or the one in a certificate.
func parseDER(der []byte) (any, error) {
	if public, err := x509.ParsePKIXPublicKey(der); err == nil {
		return public, nil
	}
	if public, err := x509.ParsePKCS1PublicKey(der); err == nil {
		return public, nil
	}
	if cert, err := x509.ParseCertificate(der); err == nil {
		return cert.PublicKey, nil
	}
	return nil, errors.New("it must be a public key: PEM, or its DER in base64; for ed25519 also 32 bytes, such as key: unhex(secret)")
}
