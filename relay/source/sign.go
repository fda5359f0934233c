package source

import (
	"bytes"
	"crypto/hmac"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// Sign puts into r what the provider would: a time and a signature with the
// first secret. That can be done where a secret suffices, so for hmac, digest,
// token and basic. It changes r's header.
func (s *Source) Sign(r Request, now time.Time) (Request, error) {
	if len(s.checks) == 0 {
		return r, errors.New("the source has no check")
	}
	c := s.checks[0]
	if c.kind == "none" {
		return r, nil
	}
	if err := c.putStamp(&r, now); err != nil {
		return r, err
	}
	signature, err := c.sign(s, &r)
	if err != nil {
		return r, err
	}
	return r, put(&r, c.signature.Source(), c.prefix+signature)
}

func (c *check) putStamp(r *Request, now time.Time) error {
	if c.stamp == nil {
		return nil
	}
	text := strconv.FormatInt(now.Unix(), 10)
	switch c.unit {
	case "ms":
		text = strconv.FormatInt(now.UnixMilli(), 10)
	case "rfc3339":
		text = now.Format(time.RFC3339)
	}
	return put(r, c.stamp.Source(), text)
}

// sign makes the encoded signature.
func (c *check) sign(s *Source, r *Request) (string, error) {
	k := c.keys[0]
	v := s.newVars(r)
	v.Secret = k.secret.text
	if c.reads {
		v.parse()
	}
	if c.stamp != nil {
		v.Ts, _, _ = c.stamp.Text(v)
	}
	content, ok := v.Raw, true
	if c.content != nil {
		var err error
		if content, ok, err = c.content.Text(v); err != nil || !ok {
			return "", fmt.Errorf("the signed content is absent: does the sample have all that %s names?", c.content.Source())
		}
	}
	switch c.kind {
	case "token":
		return string(k.bytes), nil
	case "basic":
		return base64.StdEncoding.EncodeToString(k.bytes), nil
	case "hmac":
		mac := hmac.New(hashes[c.algorithm], k.bytes)
		mac.Write([]byte(content))
		return c.encode(mac.Sum(nil)), nil
	case "digest":
		h := hashes[c.algorithm]()
		h.Write([]byte(content))
		return c.encode(h.Sum(nil)), nil
	}
	return "", fmt.Errorf("a check of type %s needs the provider's private key to sign", c.kind)
}

// encode is the inverse of decode.
func (c *check) encode(b []byte) string {
	for _, text := range []string{hex.EncodeToString(b), base64.StdEncoding.EncodeToString(b), base64.URLEncoding.EncodeToString(b)} {
		if back, err := c.decode(text); err == nil && bytes.Equal(back, b) {
			return text
		}
	}
	return ""
}

var (
	inHeader = regexp.MustCompile(`header\("([^"]+)"\)`)
	inPair   = regexp.MustCompile(`^kv\(.*,\s*"([^"]+)"\)\["([^"]+)"\]`)
	inText   = regexp.MustCompile(`^text\("([^"]+)"\)$`)
	inForm   = regexp.MustCompile(`^form\.(\w+)$`)
)

// put writes a value where an expression would read it.
func put(r *Request, expression, value string) (err error) {
	expression = strings.TrimSpace(expression)
	if m := inText.FindStringSubmatch(expression); m != nil {
		r.Body, err = SetJSON(r.Body, m[1], []byte(strconv.Quote(value)))
		return err
	}
	if m := inForm.FindStringSubmatch(expression); m != nil {
		form, err := url.ParseQuery(string(r.Body))
		form.Set(m[1], value)
		r.Body = []byte(form.Encode())
		return err
	}
	m := inHeader.FindStringSubmatch(expression)
	if m == nil {
		return fmt.Errorf("can't tell where to write what %s reads", expression)
	}
	if pair := inPair.FindStringSubmatch(expression); pair != nil {
		value = pair[2] + "=" + value
		if before := r.Header.Get(m[1]); before != "" {
			value = before + pair[1] + value
		}
	}
	r.Header.Set(m[1], value)
	return nil
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
