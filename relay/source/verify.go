package source

import (
	"crypto/sha256"
	"crypto/subtle"
	"strings"
	"time"
)

// maxCandidates is how many signatures of one request are tried.
const maxCandidates = 16

// A refusal is why a check does not pass. Its words hold no secret.
type refusal struct {
	stage  stage
	reason string
}

// A stage is how far a check came.
type stage int

const (
	missing stage = iota + 1
	malformed
	untimely
	incomplete
	mismatch
	asserted
	doubtful // more than one thing could be meant: no other check may decide
)

var (
	noSignature  = &refusal{missing, "signature missing"}
	badSignature = &refusal{malformed, "signature malformed"}
	noContent    = &refusal{incomplete, "a part of the signed content is missing"}
	noMatch      = &refusal{mismatch, "signature does not match"}
	notAsserted  = &refusal{asserted, "assertion does not hold"}
	twiceInBody  = &refusal{doubtful, "a key or field stands more than once under a signature"}
)

// run verifies a request by this check; nil is a pass.
func (c *check) run(v *vars, now time.Time) *refusal {
	v.twoHeaders, v.matched = "", nil
	if c.kind == "none" {
		return nil
	}
	if c.inBody && v.ambiguous() {
		return twiceInBody
	}
	no := c.try(v, now)
	if v.twoHeaders != "" {
		return &refusal{doubtful, "header " + v.twoHeaders + " comes twice"}
	}
	return no
}

func (c *check) try(v *vars, now time.Time) *refusal {
	v.Ts = nil
	if c.stamp != nil {
		if no := c.stamp.check(v, now); no != nil {
			return no
		}
	}
	candidates, no := c.candidates(v)
	if no != nil {
		return no
	}
	for _, k := range c.keys {
		v.Secret, v.matched = k.secret.text, k.secret
		if no = c.match(v, k, candidates); no == nil {
			return c.holds(v)
		}
	}
	return no
}

// candidates are the signatures the request brings, decoded. What can't be
// decoded is left out.
func (c *check) candidates(v *vars) (out [][]byte, no *refusal) {
	value, err := c.signature.eval(v)
	if err != nil || value == nil || value == "" {
		return nil, noSignature
	}
	tried := 0
	for _, text := range texts(value) {
		text, ok := c.cutPrefix(text)
		if !ok || text == "" {
			continue
		}
		if tried++; tried > maxCandidates {
			break
		}
		if b, err := c.decode(text); err == nil {
			out = append(out, b)
		}
	}
	if len(out) == 0 {
		return nil, badSignature
	}
	return out, nil
}

// cutPrefix is a candidate without its prefix; the word before a password may be
// in any case (RFC 9110, 11.1).
func (c *check) cutPrefix(text string) (string, bool) {
	if c.kind == "basic" && c.prefix == "" {
		scheme, rest, _ := strings.Cut(text, " ")
		return strings.TrimLeft(rest, " "), strings.EqualFold(scheme, "Basic")
	}
	return strings.CutPrefix(text, c.prefix)
}

// texts are the texts in a value: itself, or those of a list.
func texts(v any) []string {
	switch v := v.(type) {
	case string:
		return []string{v}
	case []string:
		return v
	case []any:
		var out []string
		for _, e := range v {
			if s, ok := e.(string); ok {
				out = append(out, s)
			}
		}
		return out
	}
	if s, ok := scalar(v).(string); ok {
		return []string{s}
	}
	return nil
}

// match compares the candidates with what the key makes of the content, in
// constant time; nil if one is equal.
func (c *check) match(v *vars, k *key, candidates [][]byte) *refusal {
	if c.isToken() {
		return matched(sameText(candidates, k.bytes))
	}
	content, whole := c.signedContent(v)
	k, ready := k.ready(c, v)
	if !whole || !ready {
		return noContent
	}
	switch c.kind {
	case "hmac":
		m := k.macs.Get().(*macState)
		defer k.macs.Put(m)
		return matched(sameSum(candidates, m.of(content)))
	case "digest":
		return matched(sameSum(candidates, sumOf(hashes[c.algorithm], content)))
	}
	for _, signature := range candidates {
		if k.public(content, signature) {
			return nil
		}
	}
	return noMatch
}

// signedContent is what is signed; false if a part of it is absent.
func (c *check) signedContent(v *vars) ([]byte, bool) {
	if c.content == nil {
		return v.r.Body, true
	}
	text, ok := c.content.text(v)
	return []byte(text), ok
}

func matched(same bool) *refusal {
	if same {
		return nil
	}
	return noMatch
}

// sameSum compares hashes of one length, which is no secret.
func sameSum(candidates [][]byte, sum []byte) bool {
	found := 0
	for _, c := range candidates {
		found |= subtle.ConstantTimeCompare(c, sum)
	}
	return found == 1
}

// sameText compares texts by their hashes, so that not even a length shows.
func sameText(candidates [][]byte, want []byte) bool {
	wanted, found := sha256.Sum256(want), 0
	for _, c := range candidates {
		got := sha256.Sum256(c)
		found |= subtle.ConstantTimeCompare(got[:], wanted[:])
	}
	return found == 1
}

// holds evaluates the extra condition.
func (c *check) holds(v *vars) *refusal {
	if c.assert == nil {
		return nil
	}
	if ok, err := c.assert.bool(v); err != nil || !ok {
		return notAsserted
	}
	return nil
}
