package source

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/relay/lang"
)

// An Inspection shows how a request was judged. It holds no secret: where one
// stood, it says [secret].
type Inspection struct {
	Accepted  bool              `json:"accepted"`
	Challenge bool              `json:"challenge,omitempty"` // a handshake, which is answered and not stored
	Status    int               `json:"status,omitempty"`    // of the refusal
	Reason    string            `json:"reason,omitempty"`
	Checks    []CheckInspection `json:"checks,omitempty"` // none if its address may not send
}

// A CheckInspection is how one check of `verify` judged a request.
type CheckInspection struct {
	Check     string `json:"check"` // in words
	OK        bool   `json:"ok"`
	Reason    string `json:"reason,omitempty"`
	Secret    int    `json:"secret,omitempty"`    // which of the secrets matched, from 1
	Timestamp string `json:"timestamp,omitempty"` // as the request has it

	Signed string `json:"signed,omitempty"` // the expression of the signed content
	Parts  []Part `json:"parts,omitempty"`  // what it is made of
	// Content is the signed content, shortened after ContentBytes.
	Content      string `json:"content,omitempty"`
	ContentBytes int    `json:"content_bytes,omitempty"`

	Expected   string      `json:"expected,omitempty"` // what a signature must look like
	Candidates []Candidate `json:"candidates,omitempty"`
	Hints      []string    `json:"hints,omitempty"` // what would make it match, or is likely wrong
}

// A Part is a piece of signed content: nil if the request does not have it.
type Part struct {
	Expr  string  `json:"expr"`
	Value *string `json:"value"`
}

// A Candidate is a signature that the request brings.
type Candidate struct {
	Text   string `json:"text"` // of a token or password only how long it is
	Reason string `json:"reason,omitempty"`
}

// shownContent is how much of a signed content is shown, in bytes.
const shownContent = 2 << 10

// Inspect judges a request as Verify does, and shows how. A secret that matches
// does not count as used.
func (s *Source) Inspect(r Request, now time.Time) Inspection {
	verified, err := s.judge(s.newVars(&r), now)
	i := Inspection{Accepted: err == nil, Challenge: verified.Challenge != nil}
	if denied, ok := err.(*Denied); ok {
		i.Status, i.Reason = denied.Status, denied.Reason
	}
	if !s.allowed(r.Remote) {
		return i
	}
	for _, c := range s.checks {
		i.Checks = append(i.Checks, c.inspect(s, &r, now))
	}
	return i
}

func (c *check) inspect(s *Source, r *Request, now time.Time) CheckInspection {
	i := CheckInspection{Check: c.said}
	v := s.newVars(r)
	no := c.run(v, now)
	if i.OK = no == nil; no != nil {
		i.Reason = no.reason
	}
	if c.kind == "none" {
		return i
	}
	for n, secret := range s.secrets {
		if i.OK && secret.text == v.Secret {
			i.Secret = n + 1
		}
	}
	if c.stamp != nil {
		i.Timestamp, _ = c.stamp.value.text(v)
	}
	i.Expected = c.shape()
	c.inspectCandidates(&i, v)
	if !c.isToken() {
		c.inspectContent(&i, s, r)
	}
	if !i.OK {
		i.Hints = c.hints(s, r, now)
	}
	s.mask(&i)
	return i
}

// shape says what a signature must look like.
func (c *check) shape() string {
	size := map[string]int{"ed25519": 64}[c.kind]
	if c.kind == "hmac" || c.kind == "digest" {
		size = hashes[c.algorithm].Size()
	}
	shape := "a signature in " + c.encoding
	switch {
	case c.kind == "basic" && c.prefix == "":
		return "the word Basic, a blank, and user:password in base64"
	case c.isToken():
		shape = "the secret itself"
	case size > 0 && c.encoding == "hex":
		shape = fmt.Sprintf("%d hexadecimal digits", 2*size)
	case size > 0:
		shape = fmt.Sprintf("%d characters of %s", len(c.encode(make([]byte, size))), c.encoding)
	}
	if c.prefix != "" {
		shape = strconv.Quote(c.prefix) + " and " + shape
	}
	return shape
}

func (c *check) inspectCandidates(i *CheckInspection, v *vars) {
	value, err := c.signature.eval(v)
	if err != nil || value == nil {
		return
	}
	for _, text := range texts(value) {
		if len(i.Candidates) > maxCandidates {
			return
		}
		shown := Candidate{Text: shorten(text, 200)}
		rest, ok := c.cutPrefix(text)
		decoded, err := c.decode(rest)
		switch {
		case rest == "" && ok:
			shown.Reason = "it is empty"
		case !ok:
			shown.Reason = "it does not begin with " + strconv.Quote(cmp.Or(c.prefix, "Basic "))
		case err != nil:
			shown.Reason = "it is no " + c.encoding
		case (c.kind == "hmac" || c.kind == "digest") && len(decoded) != hashes[c.algorithm].Size():
			shown.Reason = fmt.Sprintf("it has %d bytes, and %s gives %d", len(decoded), c.algorithm, hashes[c.algorithm].Size())
		case !i.OK:
			shown.Reason = "it does not match"
		}
		if c.isToken() {
			shown.Text = fmt.Sprintf("(%d characters)", utf8.RuneCountInString(text))
		}
		i.Candidates = append(i.Candidates, shown)
	}
}

// inspectContent shows what is signed, with [secret] for the secret.
func (c *check) inspectContent(i *CheckInspection, s *Source, r *Request) {
	v := s.newVars(r)
	v.Secret = masked
	if c.stamp != nil {
		if text, ok := c.stamp.value.text(v); ok {
			v.Ts = text
		}
	}
	i.Signed = cmp.Or(c.content.source(), "raw")
	if content, ok := c.signedContent(v); ok {
		i.Content, i.ContentBytes = shorten(string(content), shownContent), len(content)
	}
	if c.content == nil {
		return
	}
	i.Parts = c.contentParts(v)
}

// contentParts are the parts of the signed content with their values.
func (c *check) contentParts(v *vars) (parts []Part) {
	for _, src := range summands(c.content.source()) {
		program, err := env.Compile(src, lang.Any)
		if err != nil {
			continue
		}
		p, e := Part{Expr: src}, expression{program: program, reads: readsOf(src)}
		if text, ok := e.text(v); ok {
			p.Value = new(shorten(text, 200))
		}
		parts = append(parts, p)
	}
	return parts
}

// summands are the operands of an expression's outermost +, without texts.
func summands(src string) (parts []string) {
	depth, from := 0, 0
	add := func(part string) {
		if part = strings.TrimSpace(part); literal(part) == "" || quotedLen(part) < len(part) {
			parts = append(parts, part)
		}
	}
	for i := 0; i < len(src); i++ {
		switch c := src[i]; {
		case strings.IndexByte("\"'`", c) >= 0:
			i += quotedLen(src[i:]) - 1
		case strings.IndexByte("([{", c) >= 0:
			depth++
		case strings.IndexByte(")]}", c) >= 0:
			depth--
		case c == '+' && depth == 0:
			add(src[from:i])
			from = i + 1
		}
	}
	add(src[from:])
	return parts
}

const masked = "[secret]"

// mask hides every secret that a request or its content happens to hold.
func (s *Source) mask(i *CheckInspection) {
	for _, k := range s.secrets {
		hide := func(text string) string { return strings.ReplaceAll(text, k.text, masked) }
		i.Content, i.Timestamp = hide(i.Content), hide(i.Timestamp)
		for n := range i.Candidates {
			i.Candidates[n].Text = hide(i.Candidates[n].Text)
		}
		for n := range i.Parts {
			if i.Parts[n].Value != nil {
				*i.Parts[n].Value = hide(*i.Parts[n].Value)
			}
		}
	}
}

func shorten(text string, most int) string {
	if len(text) <= most {
		return text
	}
	return strings.ToValidUTF8(text[:most], "") + "…"
}

// Lines writes the inspection for people.
func (i *Inspection) Lines() (lines []string) {
	for _, c := range i.Checks {
		lines = append(lines, c.lines()...)
	}
	if len(i.Checks) == 0 {
		lines = append(lines, i.Reason)
	}
	return lines
}

func (c *CheckInspection) lines() []string {
	lines := []string{c.Check}
	add := func(name, format string, args ...any) {
		lines = append(lines, fmt.Sprintf("  %-9s %s", name, fmt.Sprintf(format, args...)))
	}
	if c.OK {
		add("passes", "with secret %d", c.Secret)
	} else {
		add("fails", "%s", c.Reason)
	}
	add("wants", "%s", c.Expected)
	for _, s := range c.Candidates {
		add("found", "%s", strings.TrimSuffix(visible(s.Text)+": "+s.Reason, ": "))
	}
	if c.Timestamp != "" {
		add("time", "%s", visible(c.Timestamp))
	}
	for _, p := range c.Parts {
		value := "nil: the request does not have it"
		if p.Value != nil {
			value = visible(*p.Value)
		}
		add("part", "%s = %s", p.Expr, value)
	}
	if c.Content != "" {
		add("signed", "%d bytes: %s", c.ContentBytes, visible(c.Content))
	}
	for _, h := range c.Hints {
		add("hint", "%s", h)
	}
	return lines
}

// visible has a sign for each control character, such as ␊ for a line break, and
// none that would turn the text around.
func visible(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r < ' ':
			return 0x2400 + r
		case r == 0x7f, r >= 0x80 && r < 0xa0, r >= 0x202a && r <= 0x202e, r >= 0x2066 && r <= 0x2069:
			return utf8.RuneError
		}
		return r
	}, s)
}
