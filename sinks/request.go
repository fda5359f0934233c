package sinks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// request makes the request of an attempt.
func (s *httpSink) request(ctx context.Context, p relay.Parcel) (*http.Request, error) {
	r, err := s.plan.read(p.Delivery.Payload)
	if err != nil {
		return nil, err
	}
	u, err := s.plan.url(r, p.Callback)
	if err != nil {
		return nil, err
	}
	if r.Raw && p.Callback.Damaged {
		return nil, relay.Permanent(errors.New("the stored callback is damaged: its bytes are not sent"))
	}
	content := r.content(p.Callback)
	req, err := http.NewRequestWithContext(ctx, r.method(p.Callback), "/", bytes.NewReader(content))
	if err != nil {
		return nil, err
	}
	req.URL, req.Host = u, u.Host
	s.setHeader(req, r, p)
	if s.sign != nil {
		s.sign(req.Header, p.Delivery.ID.String(), time.Now(), content)
	}
	mark(req.Header, p)
	return req, nil
}

// read gives the stored payload back. A delivery without one is a bare forward,
// whatever the plan says now.
func (pl *plan) read(payload []byte) (rendered, error) {
	if len(payload) == 0 {
		return rendered{Raw: true, Method: pl.method}, nil
	}
	var r rendered
	if err := json.Unmarshal(payload, &r); err != nil {
		return r, relay.Permanent(fmt.Errorf("the stored request cannot be read: %w", err))
	}
	return r, nil
}

func (r rendered) content(c relay.Callback) []byte {
	if r.Raw {
		return c.Body
	}
	return []byte(r.Body)
}

func (r rendered) method(c relay.Callback) string {
	if r.Raw {
		return cmp.Or(r.Method, c.Method, http.MethodPost)
	}
	return cmp.Or(r.Method, http.MethodPost)
}

// url is the address in force, with what was rendered of its path, and all
// queries after each other: the url's own, that of the callback on a raw
// forward, then what `query` adds.
func (pl *plan) url(r rendered, c relay.Callback) (*url.URL, error) {
	u := pl.base
	u.User = nil
	if pl.target != nil {
		if r.Target == "" {
			return nil, errors.New("the url has got templates since the callback was routed: they cannot be filled in now")
		}
		t, err := url.Parse("http://host" + r.Target)
		if err != nil {
			return nil, relay.Permanent(errors.New("the stored path cannot be read"))
		}
		u.Path, u.RawPath = t.Path, t.RawPath
		u.RawQuery = cmp.Or(t.RawQuery, u.RawQuery)
	}
	fixed, err := renderPairs(pl.query.fixed, httpVars{})
	if err != nil {
		return nil, err
	}
	var own string
	if r.Raw {
		_, own, _ = strings.Cut(c.URI, "?")
	}
	for _, q := range []string{own, fixed, r.Query} {
		if u.RawQuery != "" && q != "" {
			u.RawQuery += "&"
		}
		u.RawQuery += q
	}
	return &u, nil
}

// setHeader sets what was received or is due to the body, then what the sink's
// settings say: the settings win.
func (s *httpSink) setHeader(req *http.Request, r rendered, p relay.Parcel) {
	if r.Raw {
		req.Header = forwardHeader(p.Callback.Header)
	} else if r.Type != "" {
		req.Header.Set("Content-Type", r.Type)
	}
	if req.Header.Get("User-Agent") == "" {
		req.Header.Set("User-Agent", strings.TrimSuffix("Kurir/"+s.place.Version, "/"))
	}
	if s.auth != "" {
		req.Header.Set("Authorization", s.auth)
	}
	for _, h := range s.plan.header.fixed {
		override(req, h.name, h.text)
	}
	for name, value := range r.Header {
		override(req, name, value)
	}
}

func override(req *http.Request, name, value string) {
	value = headerValue(value)
	switch {
	case name == "Host":
		req.Host = value
	case value == "":
		req.Header.Del(name)
	default:
		req.Header.Set(name, value)
	}
}

// mark sets what tells one delivery from another.
func mark(h http.Header, p relay.Parcel) {
	id := p.Delivery.ID.String()
	h.Set("Idempotency-Key", id)
	h.Set("Kurir-Delivery-Id", id)
	h.Set("Kurir-Callback-Id", p.Callback.ID.String())
	h.Set("Kurir-Attempt", strconv.Itoa(p.Attempt))
	h.Set(viaHeader, via(p.Callback.Header))
	if p.Replay {
		h.Set("Kurir-Replay", "1")
	}
	if p.Delivery.Fallback != "" {
		h.Set("Kurir-Fallback", headerValue(p.Delivery.Fallback))
	}
}

// headerValue is text without what may not stand in a header's value.
func headerValue(text string) string {
	return strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, text))
}

// Preview shows the request of an attempt, with secrets hidden.
func (s *httpSink) Preview(p relay.Parcel) Preview {
	v := Preview{To: s.secrets.hide(showURL(&s.plan.base))}
	req, err := s.request(context.Background(), p)
	if err != nil {
		v.Text = s.secrets.hide(err.Error())
		return v
	}
	content, err := io.ReadAll(req.Body)
	if err != nil {
		v.Text = err.Error()
		return v
	}
	v.Method, v.Body, v.Headers = req.Method, s.secrets.hide(string(content)), map[string]string{}
	switch {
	case req.URL.Host != "":
		v.URL = s.secrets.hide(showURL(req.URL))
	case req.URL.RawQuery != "":
		v.URL = s.secrets.hide("?" + showQuery(req.URL.RawQuery))
	}
	for name, values := range req.Header {
		v.Headers[name] = s.secrets.hide(strings.Join(values, ", "))
		if secretName(name) {
			v.Headers[name] = hidden
		}
	}
	return v
}
