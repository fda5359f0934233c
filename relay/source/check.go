package source

import (
	"cmp"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// A check is one way in which a request proves who sent it.
type check struct {
	kind      string
	algorithm string
	encoding  string
	prefix    string
	signature *expression
	content   *expression // nil: the raw body
	assert    *expression
	stamp     *stamp
	inBody    bool // it depends on how the body is parsed

	keys []*key // one for each secret; of type none there is none
	said string
}

// String says in words what is checked.
func (c *check) String() string { return c.said }

var (
	checkKinds = []string{"hmac", "digest", "token", "basic", "ed25519", "ecdsa", "rsa", "none"}
	algorithms = []string{"md5", "sha1", "sha256", "sha512"}
	encodings  = []string{"hex", "base64", "base64url"}
)

// compileChecks compiles `verify`.
func (s *Source) compileChecks(n conf.Node) {
	v := &s.settings.Verify
	if v.Type.Text == "" && len(v.AnyOf) == 0 && !n.Get("verify").Present() {
		n.Problem("the source %s has no check of who sends: write `preset:`, or `verify:` with a type", s.name)
		return
	}
	all := v.checks()
	for _, e := range n.Get("verify").Entries() {
		if len(v.AnyOf) > 0 && e.Name() != "any_of" {
			e.Key.Problem("any_of stands alone: write %s in each of its checks", e.Name())
		}
	}
	for i := range all {
		if c := s.compileCheck(n, &all[i]); c != nil {
			s.checks = append(s.checks, c)
		}
	}
}

func (s *Source) compileCheck(n conf.Node, st *checkSettings) *check {
	known := oneOf("type", st.Type, checkKinds...)
	known = oneOf("algorithm", st.Algorithm, algorithms...) && known
	known = oneOf("encoding", st.Encoding, encodings...) && known
	c := &check{kind: st.Type.Text, algorithm: cmp.Or(st.Algorithm.Text, "sha256"), prefix: st.Prefix.Text}
	c.encoding = cmp.Or(st.Encoding.Text, map[string]string{"basic": "base64", "rsa": "base64", "ecdsa": "base64"}[c.kind], "hex")
	switch {
	case c.kind == "":
		n.Problem("a check of the source %s has no type: write one of %s", s.name, strings.Join(checkKinds, ", "))
		return nil
	case !known:
		return nil
	case c.kind == "none":
		if len(s.settings.AllowIPs) == 0 {
			st.Type.Node.Problem("the source %s has no signature, so it needs allow_ips: else anyone can send", s.name)
		}
		c.said = "address in allow_ips"
		return c
	case len(s.settings.Secrets) == 0 && !n.Get("secret").Present() && !n.Get("secret_file").Present():
		n.Problem("the source %s has no secret: write `secret: ${NAME}`", s.name)
		return nil
	}
	c.compile(s, st)
	return c
}

func (c *check) compile(s *Source, st *checkSettings) {
	signature := st.Signature
	if signature.Text == "" && c.kind == "basic" {
		signature.Text = `header("Authorization")`
	}
	if signature.Text == "" {
		signature.Node.Problem("a check of the source %s has no signature: write where it is, such as signature: 'header(\"X-Signature\")'", s.name)
		return
	}
	forbid := []string{noFields}
	if st.Timestamp == nil {
		forbid = append(forbid, noStamp)
	} else {
		c.stamp = compileStamp(st.Timestamp)
	}
	c.signature = compile(signature, lang.Any, noFields, noSecret, noStamp)
	c.content = compileUnless(st.Content, "raw", lang.Text, forbid...)
	c.assert = compileUnless(st.Assert, "", lang.Bool, forbid...)
	for _, e := range []*expression{c.signature, c.content, c.assert} {
		e.needVars(s.vars)
		c.inBody = c.inBody || e != nil && e.reads.inBody()
	}
	c.inBody = c.inBody || c.stamp != nil && c.stamp.value != nil && c.stamp.value.reads.inBody()
	if c.kind == "digest" && (c.content == nil || !c.content.reads.has("secret", "vars")) {
		st.Content.Node.Problem("a digest has no key: its content must hold the secret, such as content: raw + secret")
	}
	c.compileKeys(s, st)
	c.said = c.words(strings.TrimSpace(st.Key.Text))
}

// compileUnless is nil for no expression and for the one that needs no program.
func compileUnless(src conf.String, plain string, as lang.Type, forbid ...string) *expression {
	if src.Text == "" || strings.TrimSpace(src.Text) == plain {
		return nil
	}
	return compile(src, as, forbid...)
}

// words says what is checked, as `kurir sources` lists it.
func (c *check) words(key string) string {
	algorithm := strings.ToUpper(c.algorithm)
	what := map[string]string{"hmac": "HMAC-" + algorithm, "digest": algorithm, "token": "token", "basic": "user and password",
		"ed25519": "Ed25519", "ecdsa": "ECDSA with " + algorithm, "rsa": "RSA with " + algorithm}[c.kind]
	if !c.isToken() {
		what += " over " + cmp.Or(c.content.source(), "raw") + ", as " + c.encoding
	}
	what += " in " + c.signature.source()
	if c.prefix != "" {
		what += " after " + strconv.Quote(c.prefix)
	}
	if key != "" && key != "secret" {
		what += ", key " + key
	}
	if c.stamp != nil {
		what += ", time within " + strings.TrimSuffix(strings.TrimSuffix(c.stamp.tolerance.String(), "0s"), "0m")
	}
	if c.assert != nil {
		what += ", if " + c.assert.source()
	}
	return what
}

// isToken reports whether the request brings the secret itself.
func (c *check) isToken() bool { return c.kind == "token" || c.kind == "basic" }

// decode reads a signature.
func (c *check) decode(text string) ([]byte, error) {
	switch {
	case c.kind == "token":
		return []byte(text), nil
	case c.encoding == "base64":
		return decodeBase64(text)
	case c.encoding == "base64url":
		return base64.RawURLEncoding.DecodeString(strings.TrimRight(text, "="))
	}
	return hex.DecodeString(text)
}

// encode is the inverse of decode.
func (c *check) encode(b []byte) string {
	switch {
	case c.kind == "token":
		return string(b)
	case c.encoding == "base64":
		return base64.StdEncoding.EncodeToString(b)
	case c.encoding == "base64url":
		return base64.RawURLEncoding.EncodeToString(b)
	}
	return hex.EncodeToString(b)
}
