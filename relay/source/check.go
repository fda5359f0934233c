package source

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"hash"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// maxCandidates is how many signatures of one request are tried.
const maxCandidates = 16

// A check is one way in which a request proves who sent it.
type check struct {
	kind      string
	algorithm string
	decode    func(string) ([]byte, error)
	signature *lang.Program
	prefix    string
	content   *lang.Program // nil: the raw body
	assert    *lang.Program
	reads     bool // an expression reads the parsed body or form

	stamp     *lang.Program
	unit      string
	tolerance time.Duration

	keys []key // one for each secret; of type none there is none
	said string
}

// A key verifies with one secret.
type key struct {
	secret *secret
	bytes  []byte
	macs   *sync.Pool // of hash.Hash, keyed
	public publicKey
}

func (c *check) String() string { return c.said }

// readsBody finds the names that need the body parsed.
var readsBody = regexp.MustCompile(`\b(body|form|text|sortedForm)\b`)

// compileChecks compiles `verify`.
func (s *Source) compileChecks(n conf.Node) {
	v := &s.settings.Verify
	all := v.AnyOf
	if v.Type.Text != "" || len(all) == 0 {
		all = append([]checkSettings{v.checkSettings}, all...)
	}
	if v.Type.Text == "" && len(v.AnyOf) == 0 {
		n.Problem("the source %s has no check of who sends: write `preset:` or `verify:`", s.name)
		return
	}
	for i := range all {
		s.checks = append(s.checks, s.compileCheck(n, &all[i]))
	}
}

var checkKinds = []string{"hmac", "digest", "token", "basic", "ed25519", "ecdsa", "rsa", "none"}

func (s *Source) compileCheck(n conf.Node, st *checkSettings) *check {
	c := &check{kind: st.Type.Text, algorithm: cmp.Or(st.Algorithm.Text, "sha256"), prefix: st.Prefix.Text}
	if !oneOf(st.Type.Node, c.kind, checkKinds...) || !oneOf(st.Algorithm.Node, c.algorithm, "md5", "sha1", "sha256", "sha512") {
		return c
	}
	if c.kind == "none" {
		if len(s.settings.AllowIPs) == 0 {
			st.Type.Node.Problem("a source without a signature needs allow_ips: else anyone can send")
		}
		c.said = "address in allow_ips"
		return c
	}
	if len(s.secrets) == 0 {
		n.Problem("the source %s has no secret: write `secret: ${NAME}`", s.name)
		return c
	}
	c.compile(s, st)
	return c
}

func (c *check) compile(s *Source, st *checkSettings) {
	c.decode = decoder(st.Encoding, c.kind)
	signature := st.Signature
	if signature.Text == "" && c.kind == "basic" {
		signature.Text = `header("Authorization")`
		c.prefix = cmp.Or(c.prefix, "Basic ")
	}
	if signature.Text == "" {
		signature.Node.Problem("the check has no signature: write which header or field carries it, such as 'header(\"X-Signature\")'")
		return
	}
	c.signature = compile(signature, lang.Any)
	c.content = compileUnless(st.Content, "raw", lang.Text)
	c.assert = compileUnless(st.Assert, "", lang.Bool)
	c.reads = readsBody.MatchString(signature.Text + " " + st.Content.Text + " " + st.Assert.Text + " " + st.Timestamp.Value.Text)
	c.compileStamp(&st.Timestamp)
	if c.kind == "digest" && c.content == nil {
		st.Content.Node.Problem("a digest needs content with the secret in it, such as `content: raw + secret`")
	}
	for _, k := range s.secrets {
		c.keys = append(c.keys, c.key(s, k, st.Key))
	}
	c.said = c.words(signature.Text, st)
}

func (c *check) words(signature string, st *checkSettings) string {
	what := c.kind
	if c.kind == "hmac" || c.kind == "digest" {
		what += " " + c.algorithm
	}
	what += " in " + signature
	if c.kind != "token" && c.kind != "basic" {
		what += " over " + cmp.Or(st.Content.Text, "raw")
	}
	return what
}

func (c *check) compileStamp(st *timestampSettings) {
	if st.Value.Text == "" {
		return
	}
	c.stamp = compile(st.Value, lang.Text)
	c.unit = cmp.Or(st.Unit.Text, "s")
	c.tolerance = cmp.Or(st.Tolerance, 5*time.Minute)
	oneOf(st.Unit.Node, c.unit, "s", "ms", "rfc3339")
}

// compile compiles an expression and reports what is wrong with it at its place.
func compile(src conf.String, as lang.Type) *lang.Program {
	p, err := env.Compile(src.Text, as)
	if err != nil {
		var at *lang.Error
		if !errors.As(err, &at) {
			at = &lang.Error{Message: err.Error()}
		}
		src.Node.ReportAt(at.Offset, conf.Problem{Len: at.Len, Message: at.Message, Hint: at.Hint})
	}
	return p
}

// compileUnless is nil for no expression and for the one that needs no program.
func compileUnless(src conf.String, plain string, as lang.Type) *lang.Program {
	if src.Text == "" || strings.TrimSpace(src.Text) == plain {
		return nil
	}
	return compile(src, as)
}

func decoder(encoding conf.String, kind string) func(string) ([]byte, error) {
	if kind == "token" {
		return func(s string) ([]byte, error) { return []byte(s), nil }
	}
	word := encoding.Text
	if word == "" {
		word = map[string]string{"basic": "base64", "rsa": "base64", "ecdsa": "base64"}[kind]
	}
	switch word {
	case "", "hex":
		return hex.DecodeString
	case "base64":
		return decodeBase64
	case "base64url":
		return func(s string) ([]byte, error) { return base64.RawURLEncoding.DecodeString(strings.TrimRight(s, "=")) }
	}
	encoding.Node.Unknown("encoding", word, []string{"hex", "base64", "base64url"})
	return hex.DecodeString
}

// key prepares the check for one secret.
func (c *check) key(s *Source, k *secret, expression conf.String) key {
	made := key{secret: k, bytes: []byte(k.text)}
	if p := compileUnless(expression, "secret", lang.Text); p != nil {
		text, ok, err := p.Text(&vars{Secret: k.text, Vars: s.vars})
		if err != nil || !ok || text == "" {
			expression.Node.Problem("the key expression gives nothing for a secret of the source %s: is the secret whole?", s.name)
			return made
		}
		made.bytes = []byte(text)
	}
	switch c.kind {
	case "hmac":
		made.macs = &sync.Pool{New: func() any { return hmac.New(hashes[c.algorithm], made.bytes) }}
	case "ed25519", "ecdsa", "rsa":
		public, err := parseKey(c.kind, made.bytes)
		if err != nil {
			k := s.settings.Secret.Node
			if expression.Text != "" {
				k = expression.Node
			}
			k.Problem("the key of the source %s: %v", s.name, err)
		}
		made.public = public
	}
	return made
}

// run verifies a request by this check. The error says why not, without secrets.
func (c *check) run(s *Source, v *vars, now time.Time) error {
	if c.kind == "none" {
		return nil
	}
	if c.reads {
		if v.parse(); v.twice.Any() || v.doubled {
			return errors.New("a key or field stands more than once under a signature")
		}
	}
	if err := c.timely(v, now); err != nil {
		return err
	}
	candidates, err := c.candidates(v)
	if err != nil {
		return err
	}
	for _, k := range c.keys {
		v.Secret = k.secret.text
		if c.matches(v, k, candidates) {
			k.secret.used.Store(now.UnixNano())
			return c.asserted(v)
		}
	}
	return errors.New("signature does not match")
}

// timely sets ts, and checks it if there is a tolerance.
func (c *check) timely(v *vars, now time.Time) error {
	if c.stamp == nil {
		return nil
	}
	text, ok, err := c.stamp.Text(v)
	if err != nil || !ok {
		return errors.New("timestamp missing")
	}
	v.Ts = text
	at, err := parseStamp(text, c.unit)
	if err != nil {
		return errors.New("timestamp malformed")
	}
	if d := now.Sub(at).Abs(); d > c.tolerance {
		return fmt.Errorf("timestamp off by %v, more than %v", d.Round(time.Second), c.tolerance)
	}
	return nil
}

func parseStamp(text, unit string) (time.Time, error) {
	if unit == "rfc3339" {
		return time.Parse(time.RFC3339, text)
	}
	n, err := strconv.ParseInt(text, 10, 64)
	switch {
	case err != nil || n < 0 || len(text) > 18:
		return time.Time{}, errors.New("not a time")
	case unit == "ms":
		return time.UnixMilli(n), nil
	}
	return time.Unix(n, 0), nil
}

// candidates are the signatures the request brings, decoded. What can't be
// decoded is left out.
func (c *check) candidates(v *vars) (out [][]byte, err error) {
	value, err := c.signature.Eval(v)
	if err != nil || value == nil {
		return nil, errors.New("signature missing")
	}
	for i, text := range texts(value) {
		if i == maxCandidates {
			break
		}
		if text, ok := strings.CutPrefix(text, c.prefix); ok && text != "" {
			if b, err := c.decode(text); err == nil {
				out = append(out, b)
			}
		}
	}
	if len(out) == 0 {
		return nil, errors.New("signature malformed")
	}
	return out, nil
}

// texts are the texts in a value: itself, or those of a list.
func texts(v any) (out []string) {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []string:
		return v
	case []any:
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
	}
	return out
}

// matches compares every candidate with what k makes of the content, in
// constant time.
func (c *check) matches(v *vars, k key, candidates [][]byte) bool {
	if c.kind == "token" || c.kind == "basic" {
		return equalAny(candidates, k.bytes)
	}
	content := v.Raw
	if c.content != nil {
		text, ok, err := c.content.Text(v)
		if err != nil || !ok {
			return false
		}
		content = text
	}
	switch c.kind {
	case "hmac":
		mac := k.macs.Get().(hash.Hash)
		defer k.macs.Put(mac)
		mac.Reset()
		mac.Write([]byte(content))
		return equalAny(candidates, mac.Sum(nil))
	case "digest":
		h := hashes[c.algorithm]()
		h.Write([]byte(content))
		return equalAny(candidates, h.Sum(nil))
	}
	for _, signature := range candidates {
		if k.public != nil && k.public([]byte(content), signature) {
			return true
		}
	}
	return false
}

// equalAny compares hashes of the texts, so that not even a length shows.
func equalAny(candidates [][]byte, want []byte) bool {
	found := 0
	wanted := sha256.Sum256(want)
	for _, c := range candidates {
		got := sha256.Sum256(c)
		found |= subtle.ConstantTimeCompare(got[:], wanted[:])
	}
	return found == 1
}

func (c *check) asserted(v *vars) error {
	if c.assert == nil {
		return nil
	}
	if ok, err := c.assert.Bool(v); err != nil || !ok {
		return errors.New("assertion does not hold")
	}
	return nil
}
