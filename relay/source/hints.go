package source

import (
	"bytes"
	"cmp"
	"crypto"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"
)

// hints tells what would make a signature match that does not: the mistakes
// that cost people an afternoon.
func (c *check) hints(s *Source, r *Request, now time.Time) (hints []string) {
	v := s.newVars(r)
	if c.stamp != nil {
		if hint := c.stamp.hint(v, now); hint != "" {
			hints = append(hints, hint)
		}
	}
	value, err := c.signature.eval(v)
	if err != nil || value == nil {
		return append(hints, c.elsewhere(r)...)
	}
	all := texts(value)
	for _, text := range all[:min(len(all), maxCandidates)] {
		if hint := c.nearMiss(v, text); hint != "" {
			return append(hints, hint)
		}
	}
	return hints
}

// elsewhere names headers that look like the signature that is missing.
func (c *check) elsewhere(r *Request) (hints []string) {
	for name := range r.Header {
		lower := strings.ToLower(name)
		if strings.Contains(lower, "sign") || strings.Contains(lower, "hmac") || strings.Contains(lower, "token") {
			hints = append(hints, "the request has a header "+name)
		}
	}
	slices.Sort(hints)
	return hints
}

// hint tells of a time in another unit.
func (st *stamp) hint(v *vars, now time.Time) string {
	text, ok := st.value.text(v)
	if !ok {
		return ""
	}
	for _, unit := range []string{"s", "ms", "rfc3339"} {
		at, err := parseStamp(text, unit)
		if err == nil && unit != st.unit && now.Sub(at).Abs() <= st.tolerance {
			return "the timestamp would be near with unit: " + unit
		}
	}
	return ""
}

// nearMissBody is the largest body that other ways to sign are tried on.
const nearMissBody = 256 << 10

// nearMiss tries a candidate against other ways to sign the same request, and
// says what would have to be written for it to match; "" if none does.
func (c *check) nearMiss(v *vars, text string) string {
	if c.isToken() {
		for _, k := range c.keys {
			if bare := strings.TrimPrefix(text, c.prefix); bare != string(k.bytes) && strings.TrimSpace(bare) == strings.TrimSpace(string(k.bytes)) {
				return "it would match without the blanks at its ends, or at those of the secret"
			}
		}
	}
	if c.kind != "hmac" && c.kind != "digest" || len(v.r.Body) > nearMissBody {
		return ""
	}
	read := readings(text)
	for _, k := range c.keys {
		for _, content := range c.contents(v, k) {
			for _, key := range c.otherKeys(v, k) {
				if say := c.tryAll(read, content, key); say != "" {
					return "it would match with " + say
				}
			}
		}
	}
	return ""
}

// A variant is bytes that may have been signed, or signed with, and what to
// write for them; "" for those that the check has itself.
type variant struct {
	bytes []byte
	say   string
}

// contents are what may have been signed.
func (c *check) contents(v *vars, k *key) (all []variant) {
	v.Secret = k.secret.text
	if own, ok := c.signedContent(v); ok {
		all = append(all, variant{own, ""})
	}
	body := v.r.Body
	if c.content != nil {
		all = append(all, variant{body, "content: raw"})
	}
	trimmed := bytes.TrimRight(body, "\r\n")
	compact, _ := minify(string(body))
	return append(all,
		variant{trimmed, "the body as it would be without the line break at its end, which something on the way has added"},
		variant{append(slices.Clone(trimmed), '\n'), "the body as it would be with a line break at its end, which something on the way has dropped"},
		variant{[]byte(compact), "content: minify(raw)"},
		variant{bytes.ReplaceAll(body, []byte("/"), []byte(`\/`)), `the body as PHP writes it, with \/ for /: something on the way has written its JSON anew`})
}

// otherKeys are what may have been signed with.
func (c *check) otherKeys(v *vars, k *key) (all []variant) {
	if own, ok := k.ready(c, v); ok {
		all = append(all, variant{own.bytes, ""})
	}
	text := k.secret.text
	all = append(all, variant{[]byte(text), "key: secret"})
	if trimmed := strings.TrimSpace(text); trimmed != text {
		all = append(all, variant{[]byte(trimmed), "the secret as it would be without the blanks at its ends"})
	}
	if b, err := hex.DecodeString(text); err == nil {
		all = append(all, variant{b, "key: unhex(secret)"})
	}
	if b, err := decodeBase64(strings.TrimPrefix(text, "whsec_")); err == nil {
		all = append(all, variant{b, `key: fromBase64(trimPrefix(secret, "whsec_"))`})
	}
	return all
}

// tryAll tries every algorithm on a content and a key.
func (c *check) tryAll(read []reading, content, key variant) string {
	for _, algorithm := range algorithms {
		for _, way := range c.ways(hashes[algorithm], content, key) {
			for _, r := range read {
				if bytes.Equal(r.bytes, way.sum) {
					return c.differences(way, algorithm, r, content, key)
				}
			}
		}
	}
	return ""
}

// A way to make a sum of a content and a key.
type way struct {
	kind    string
	content string // how the content of a digest is written; "" as it is in the check
	sum     []byte
}

func (c *check) ways(h crypto.Hash, content, key variant) []way {
	mac := hmac.New(h.New, key.bytes)
	mac.Write(content.bytes)
	ways := []way{{"hmac", "", mac.Sum(nil)}}
	if c.kind == "digest" && content.say == "" {
		return append(ways, way{"digest", "", sumOf(h, content.bytes)})
	}
	name, ok := strings.CutPrefix(content.say, "content: ")
	if !ok {
		name = cmp.Or(c.content.source(), "raw")
	}
	return append(ways, way{"digest", name + " + secret", sumOf(h, slices.Concat(content.bytes, key.bytes))},
		way{"digest", "secret + " + name, sumOf(h, slices.Concat(key.bytes, content.bytes))})
}

// differences says what a way to sign has that the check has not.
func (c *check) differences(w way, algorithm string, r reading, content, key variant) string {
	var say []string
	add := func(differs bool, what string) {
		if differs && what != "" {
			say = append(say, what)
		}
	}
	add(w.kind != c.kind, "type: "+w.kind)
	add(algorithm != c.algorithm, "algorithm: "+algorithm)
	add(r.encoding != c.encoding, "encoding: "+r.encoding)
	add(r.prefix != c.prefix, fmt.Sprintf("prefix: %q", r.prefix))
	add(w.content != "", "content: "+w.content)
	add(w.content == "" || !strings.HasPrefix(content.say, "content: "), content.say)
	add(w.kind == "hmac", key.say)
	return strings.Join(say, ", ")
}

// A reading is a signature's bytes, as one encoding and prefix has them.
type reading struct {
	bytes            []byte
	encoding, prefix string
}

// readings are all ways to read a signature, with what stands before = , or a
// blank in it as its prefix.
func readings(text string) (all []reading) {
	add := func(prefix, rest string) {
		if b, err := hex.DecodeString(rest); err == nil {
			all = append(all, reading{b, "hex", prefix})
		} else if b, err := decodeBase64(rest); err == nil {
			all = append(all, reading{b, "base64", prefix})
		} else if b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(rest, "=")); err == nil {
			all = append(all, reading{b, "base64url", prefix})
		}
	}
	add("", text)
	if i := strings.IndexAny(text, "=, "); i > 0 && i+1 < len(text) {
		add(text[:i+1], text[i+1:])
	}
	return all
}
