package source_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/source"
)

// A vector is a request with the verdict it must get: published by a provider
// or computed by the rules it published.
type vector struct {
	ID       string
	Provider string
	Method   string
	URL      string
	Headers  map[string]string
	Body     string
	Secret   string
	Now      any
	Expect   string
	Check    struct {
		Type, Alg, Enc, Prefix, Sig, Key, KeyEnc, Format, Sep, SigKey, Split, Ts string
		Tol                                                                      int
		Parts                                                                    []string
		Assert                                                                   string `json:"assert_"`
	}
}

func vectors(t testing.TB) (vs []vector) {
	t.Helper()
	data, err := os.ReadFile("../../testdata/vectors/public.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(data, &vs); err != nil {
		t.Fatal(err)
	}
	return vs
}

func (v vector) request() source.Request {
	u, _ := url.Parse(v.URL)
	h := http.Header{}
	for name, value := range v.Headers {
		h.Set(name, value)
	}
	return source.Request{Method: v.Method, URI: u.RequestURI(), Host: u.Host, Scheme: u.Scheme, Header: h,
		Body: []byte(v.Body), Remote: netip.MustParseAddr("192.0.2.1")}
}

func (v vector) now() time.Time {
	if n, ok := v.Now.(float64); ok {
		return time.Unix(int64(n), 0)
	}
	return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)
}

// parse makes a source of its YAML.
func parse(t testing.TB, name, text string) *source.Source {
	t.Helper()
	s, problems := tryParse(name, text)
	if len(problems.Errors()) > 0 {
		t.Fatalf("%s:\n%s\n%v", name, text, problems)
	}
	return s
}

func tryParse(name, text string) (*source.Source, conf.Problems) {
	f := conf.Parse(name+".yaml", []byte(text), func(string) (string, bool) { return "", false })
	s := source.New(name, f.Root())
	return s, f.Problems()
}

// presetOf names the preset for a vector's provider, with its constants.
var presetOf = map[string]string{
	"isikuota": "isikuota", "digiflazz": "digiflazz", "tripay": "tripay", "midtrans": "midtrans", "duitku": "duitku",
	"vip-reseller": "vip-reseller", "tokovoucher": "tokovoucher", "isiaja": "isiaja", "xendit": "xendit", "flip": "flip",
	"snap-bi": "snap-bi", "github": "github", "bitbucket-cloud": "bitbucket", "stripe": "stripe",
	"standard-webhooks": "standard-webhooks", "svix": "svix", "gitlab-signing": "gitlab", "slack": "slack",
	"twilio": "twilio", "shopify": "shopify", "telegram": "telegram",
}

func TestEveryVectorGetsItsVerdictByPreset(t *testing.T) {
	tried := 0
	for _, v := range vectors(t) {
		preset, ok := presetOf[v.Provider]
		if !ok || v.Check.Type == "ed25519" {
			continue
		}
		tried++
		s := parse(t, "shop", fmt.Sprintf("preset: %s\nsecret: %s\nvars: {member: M001, username: u, api_id: \"\"}\n", preset, quoted(v.Secret)))
		judge(t, "preset "+preset, s, v)
	}
	if tried < 50 {
		t.Errorf("only %d vectors have a preset", tried)
	}
}

func TestEveryVectorGetsItsVerdictByTheGenericForm(t *testing.T) {
	for _, v := range vectors(t) {
		judge(t, "generic", parse(t, "shop", v.generic()), v)
	}
}

func judge(t *testing.T, form string, s *source.Source, v vector) {
	t.Helper()
	_, err := s.Verify(v.request(), v.now())
	var denied *source.Denied
	if err != nil && (!errors.As(err, &denied) || denied.Status != 401) {
		t.Errorf("%s %s: error %v is no 401", v.ID, form, err)
	}
	if valid := err == nil; valid != (v.Expect == "valid") {
		t.Errorf("%s %s: want %s, got error %v", v.ID, form, v.Expect, err)
	}
}

func quoted(s string) string {
	q, _ := json.Marshal(s)
	return string(q)
}

// generic writes the vector's check as a user would.
func (v vector) generic() string {
	c := v.Check
	signature := field(c.Sig)
	switch {
	case c.Format == "kv":
		signature = fmt.Sprintf("kv(%s, %q)[%q]", signature, c.Sep, c.SigKey)
	case c.Split != "":
		signature = fmt.Sprintf("split(%s, %q)", signature, c.Split)
	}
	var parts []string
	for _, p := range c.Parts {
		parts = append(parts, field(p))
	}
	lines := []string{"secret: " + quoted(v.Secret), "verify:", "  type: " + c.Type, "  signature: " + quoted(signature)}
	add := func(key, value string) {
		if value != "" {
			lines = append(lines, "  "+key+": "+value)
		}
	}
	add("algorithm", c.Alg)
	add("encoding", c.Enc)
	if c.Prefix != "" {
		add("prefix", quoted(c.Prefix))
	}
	if len(parts) > 0 {
		add("content", quoted(strings.Join(parts, " + ")))
	}
	switch {
	case c.Key == "whsec":
		add("key", quoted(`fromBase64(trimPrefix(secret, "whsec_"))`))
	case c.KeyEnc == "whpk":
		add("key", quoted(`fromBase64(trimPrefix(secret, "whpk_"))`))
	}
	if c.Ts != "" {
		value := field(c.Ts)
		if name, ok := strings.CutPrefix(c.Ts, "kv:"); ok {
			value = fmt.Sprintf("kv(%s, %q)[%q][0]", field(c.Sig), c.Sep, name)
		}
		add("timestamp", fmt.Sprintf("{value: %s, unit: s, tolerance: %ds}", quoted(value), c.Tol))
	}
	if query, ok := strings.CutPrefix(c.Assert, "body_sha256_eq_query:"); ok {
		add("assert", quoted("sha256(raw) == query."+query))
	}
	return strings.Join(lines, "\n") + "\n"
}

// field is the expression for a part of a vector's signed content.
func field(part string) string {
	kind, name, _ := strings.Cut(part, ":")
	switch kind {
	case "header":
		return fmt.Sprintf("header(%q)", name)
	case "json":
		return fmt.Sprintf("text(%q)", name)
	case "form":
		return "form." + name
	case "lit":
		return quoted(name)
	}
	return map[string]string{"body": "raw", "ts": "ts", "url": "url", "secret": "secret", "method": "method", "path": "path",
		"sorted_form": "sortedForm(form)", "body_min_sha256_hex": "sha256(minify(raw))"}[part]
}
