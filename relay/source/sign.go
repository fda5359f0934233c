package source

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Sign gives r with what the provider would put into it: a time, and a signature
// with the first secret. That can be done where a secret suffices: for hmac,
// digest, token and basic. The result verifies at now; r is left as it is.
func (s *Source) Sign(r Request, now time.Time) (Request, error) {
	first := errors.New("the source has no check")
	for i, c := range s.checks {
		signed, err := c.signed(s, r, now)
		if err == nil {
			return signed, nil
		}
		if i == 0 {
			first = err
		}
	}
	return r, first
}

// signed is r signed for this check.
func (c *check) signed(s *Source, r Request, now time.Time) (Request, error) {
	if r.Header = r.Header.Clone(); r.Header == nil {
		r.Header = http.Header{}
	}
	if c.kind == "none" {
		return r, nil
	}
	if c.stamp != nil {
		if err := c.stamp.value.put(&r, c.stamp.write(now)); err != nil {
			return r, err
		}
	}
	signature, err := c.sign(s, &r)
	if err != nil {
		return r, err
	}
	if err := c.signature.put(&r, signature); err != nil {
		return r, err
	}
	if no := c.run(s.newVars(&r), now); no != nil {
		return r, errors.New("what was signed would be refused: " + no.reason)
	}
	return r, nil
}

// sign makes the signature, as text with its prefix.
func (c *check) sign(s *Source, r *Request) (string, error) {
	v := s.newVars(r)
	v.Secret = c.keys[0].secret.text
	k, ok := c.keys[0].ready(c, v)
	if !ok {
		return "", errors.New("the request has not all that the key is made of")
	}
	switch {
	case c.kind == "basic" && c.prefix == "":
		return "Basic " + c.encode(k.bytes), nil
	case c.isToken():
		return c.prefix + c.encode(k.bytes), nil
	}
	if c.stamp != nil {
		v.Ts, _ = c.stamp.value.text(v)
	}
	content, ok := c.signedContent(v)
	if !ok {
		return "", fmt.Errorf("the request has not all that is signed: it lacks %s", strings.Join(c.absent(v), " and "))
	}
	switch c.kind {
	case "hmac":
		return c.prefix + c.encode(k.macs.Get().(*macState).of(content)), nil
	case "digest":
		return c.prefix + c.encode(sumOf(hashes[c.algorithm], content)), nil
	}
	return "", fmt.Errorf("only the provider can sign for a check of type %s: it has the private key", c.kind)
}

// absent are the parts of the signed content that are nil, or all of it.
func (c *check) absent(v *vars) (parts []string) {
	for _, p := range c.contentParts(v) {
		if p.Value == nil {
			parts = append(parts, p.Expr)
		}
	}
	if len(parts) == 0 {
		return []string{c.content.source()}
	}
	return parts
}

var inPair = regexp.MustCompile(`^kv\(.*,\s*"([^"]+)"\)(?:\["([^"]+)"\]|\.(\w+))`)

// put writes a value where the expression reads it first.
func (e *expression) put(r *Request, value string) (err error) {
	src := e.source()
	switch {
	case len(e.reads.headers) > 0 && e.reads.headers[0] != "":
		name := e.reads.headers[0]
		if pair := inPair.FindStringSubmatch(src); pair != nil {
			value = pair[2] + pair[3] + "=" + value
			if before := r.Header.Get(name); before != "" {
				value = before + pair[1] + value
			}
		}
		r.Header.Set(name, value)
		return nil
	case len(e.reads.query) > 0:
		r.URI, err = setQuery(r.URI, e.reads.query[0], value)
		return err
	case len(e.reads.form) == 0:
		return fmt.Errorf("can't tell where to write what %s reads", src)
	case looksLikeForm(r.Body) || e.reads.has("form"):
		r.Body, err = setForm(r.Body, e.reads.form[0], value)
		return err
	}
	text, _ := json.Marshal(value)
	r.Body, err = SetJSON(r.Body, e.reads.form[0], text)
	if errors.Is(err, errNoKey) {
		return fmt.Errorf("%s: %w", e.reads.form[0], errNoPlace)
	}
	return err
}

func setQuery(uri, name, value string) (string, error) {
	path, query, _ := strings.Cut(uri, "?")
	set, err := setForm([]byte(query), name, value)
	return path + "?" + string(set), err
}

// setForm sets the field at a path.
func setForm(body []byte, path, value string) ([]byte, error) {
	form, err := url.ParseQuery(string(body))
	first, rest, nested := strings.Cut(path, ".")
	if nested {
		first += "[" + strings.ReplaceAll(rest, ".", "][") + "]"
	}
	form.Set(first, value)
	return []byte(form.Encode()), err
}

// SetJSON replaces the value at a path such as "data.price" in a JSON text by
// another JSON value, and leaves every other byte as it is.
func SetJSON(body []byte, path string, value []byte) ([]byte, error) {
	d := json.NewDecoder(bytes.NewReader(body))
	from, to, err := find(d, strings.Split(path, "."))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	from += int64(len(body[from:]) - len(bytes.TrimLeft(body[from:], " \t\r\n:,")))
	return append(append(append([]byte(nil), body[:from]...), value...), body[to:]...), nil
}

var errNoKey = errors.New("the body has no such key")

// errNoPlace says what to do about a signature that belongs into a body.
var errNoPlace = errors.New("the body has no such key: write it with any value, to be filled in")

// find gives the bytes at which the value at path begins, at the latest, and ends.
func find(d *json.Decoder, path []string) (from, to int64, err error) {
	if len(path) == 0 {
		from = d.InputOffset()
		var skipped json.RawMessage
		err = d.Decode(&skipped)
		return from, d.InputOffset(), err
	}
	open, err := d.Token()
	if err != nil || open != json.Delim('{') && open != json.Delim('[') {
		return 0, 0, errNoKey
	}
	for i := 0; d.More(); i++ {
		name := any(strconv.Itoa(i))
		if open == json.Delim('{') {
			if name, err = d.Token(); err != nil {
				return 0, 0, err
			}
		}
		if name == any(path[0]) {
			return find(d, path[1:])
		}
		var skipped json.RawMessage
		if err := d.Decode(&skipped); err != nil {
			return 0, 0, err
		}
	}
	return 0, 0, errNoKey
}
