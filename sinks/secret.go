package sinks

import (
	"errors"
	"net/url"
	"regexp"
	"strings"
)

// hidden stands where a secret stood.
const hidden = "[secret]"

// secrets are texts that must not show in what a sink reports.
type secrets []string

// newSecrets takes those worth hiding: a text of less than four bytes would
// hide half of every sentence.
func newSecrets(texts ...string) (s secrets) {
	for _, t := range texts {
		if len(t) >= 4 {
			s = append(s, t, url.QueryEscape(t))
		}
	}
	return s
}

// hide replaces every secret in text.
func (s secrets) hide(text string) string {
	for _, t := range s {
		text = strings.ReplaceAll(text, t, hidden)
	}
	return text
}

// hideIn gives err with a text that shows no secret. What is wrapped in it is
// found as before.
func (s secrets) hideIn(err error) error {
	if err == nil {
		return nil
	}
	if ue, ok := errors.AsType[*url.Error](err); ok {
		err = ue.Err // its URL is what must not show
	}
	if text := err.Error(); s.hide(text) != text {
		return &cleanError{s.hide(text), err}
	}
	return err
}

type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }

var secretWord = regexp.MustCompile(`(?i)token|secret|passw|auth|cookie|credential|api[-_]?key|^(key|pass|pwd|pin)$`)

// secretName reports whether what goes by this name, in a header, query or form,
// is likely to be a secret.
func secretName(name string) bool { return secretWord.MatchString(name) }

var longWord = regexp.MustCompile(`^[A-Za-z0-9_:-]*([0-9][A-Za-z_:-]|[A-Za-z_:-][0-9])[A-Za-z0-9_:-]*$`)

// showURL is u for the eyes of people: without password, without the values of
// parameters that go by a secret's name, and without path segments that look
// like keys, as the addresses of chat services have them.
func showURL(u *url.URL) string {
	v := url.URL{Scheme: u.Scheme, Host: u.Host}
	segments := strings.Split(u.EscapedPath(), "/")
	for i, s := range segments {
		if len(s) >= 20 && longWord.MatchString(s) {
			segments[i] = hidden
		}
	}
	shown := v.String() + strings.Join(segments, "/")
	if u.RawQuery == "" {
		return shown
	}
	return shown + "?" + showQuery(u.RawQuery)
}

// showQuery hides values in a query or form; it keeps the rest as it is.
func showQuery(query string) string {
	pairs := strings.Split(query, "&")
	for i, pair := range pairs {
		if name, value, ok := strings.Cut(pair, "="); ok && value != "" && secretName(name) {
			pairs[i] = name + "=" + hidden
		}
	}
	return strings.Join(pairs, "&")
}
