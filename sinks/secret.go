package sinks

import (
	"errors"
	"net/url"
	"regexp"
	"slices"
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

// hideIn gives err with a text that shows no secret, nor the address that
// net/http puts into it. What is wrapped in it is found as before.
func (s secrets) hideIn(err error) error {
	if err == nil {
		return nil
	}
	text := err.Error()
	if ue, ok := errors.AsType[*url.Error](err); ok {
		text = strings.ReplaceAll(text, ue.Error(), ue.Err.Error())
	}
	if text = s.hide(text); text != err.Error() {
		return &cleanError{text, err}
	}
	return err
}

type cleanError struct {
	text string
	err  error
}

func (e *cleanError) Error() string { return e.text }
func (e *cleanError) Unwrap() error { return e.err }

var secretWord = regexp.MustCompile(`(?i)token|secret|passw|auth|cookie|credential|apikey|[-_]key$|^(key|pass|pwd|pin)$`)

// secretName reports whether what goes by this name, in a header, query or form,
// is likely to be a secret.
func secretName(name string) bool {
	return secretWord.MatchString(name) && !strings.EqualFold(name, "Idempotency-Key")
}

// namedSecret gives what goes by a secret's name, without a word such as Bearer
// before it. What is short is hardly one, and would be hidden wherever it stands.
func namedSecret(name, text string) []string {
	word := lastWord(text)
	if !secretName(name) || len(word) < 6 || strings.Contains(text, "{{") {
		return nil
	}
	return []string{word}
}

// lastWord is the secret in a header such as "Bearer 1234".
func lastWord(text string) string { return text[strings.LastIndex(text, " ")+1:] }

// urlSecrets are the password in an address, and parameters that go by a
// secret's name.
func urlSecrets(u *url.URL) (texts []string) {
	if u == nil {
		return nil
	}
	if password, ok := u.User.Password(); ok {
		texts = append(texts, password, lastWord(basic(u.User.Username(), password)))
	}
	for name, values := range u.Query() {
		for _, value := range values {
			texts = append(texts, namedSecret(name, value)...)
		}
	}
	return texts
}

var keyLike = regexp.MustCompile(`^[A-Za-z0-9_:-]*([0-9][A-Za-z_:-]|[A-Za-z_:-][0-9])[A-Za-z0-9_:-]*$`)

// pathKeys are the parts of a path that look like keys: the addresses of chat
// services have them.
func pathKeys(path string) []string {
	return slices.DeleteFunc(strings.FieldsFunc(path, func(r rune) bool { return strings.ContainsRune("/?#", r) }),
		func(part string) bool { return len(part) < 20 || !keyLike.MatchString(part) })
}

// showURL is u for the eyes of people: without password, and without the values
// of parameters that go by a secret's name.
func showURL(u *url.URL) string {
	v := url.URL{Scheme: u.Scheme, Host: u.Host, Path: u.Path, RawPath: u.RawPath}
	if u.RawQuery == "" {
		return v.String()
	}
	return v.String() + "?" + showQuery(u.RawQuery)
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
