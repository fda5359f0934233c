package source_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/testdata"
)

// call calls a function of the expressions.
func call(t *testing.T, name string, args ...any) any {
	t.Helper()
	for _, f := range source.Functions() {
		if f.Name == name {
			v, err := f.Call(args...)
			if err != nil {
				t.Fatal(err)
			}
			return v
		}
	}
	t.Fatalf("no function %s", name)
	return nil
}

func FuzzKVNeverInventsAValue(f *testing.F) {
	for _, s := range []string{"t=1,v1=a,v1=b", "", "=", "a", "a=b=c,,", " t = 1 , v1=x", "ts=1;h1=2", strings.Repeat("a=b,", 100)} {
		f.Add(s, ",")
		f.Add(s, ";")
	}
	f.Fuzz(func(t *testing.T, header, separator string) {
		pairs, _ := call(t, "kv", header, separator).(map[string]any)
		n := 0
		for name, values := range pairs {
			for _, v := range values.([]any) {
				if n++; !strings.Contains(header, name+"="+v.(string)) {
					t.Errorf("%q is not in %q", name+"="+v.(string), header)
				}
			}
		}
		if n > 64 {
			t.Errorf("%d values", n)
		}
	})
}

func FuzzMinifyDropsOnlyBlanksBetweenValues(f *testing.F) {
	for _, s := range []string{`{"a" : 1.00, "b":" \" \\" }`, "[ 1 , 2\n]", "", `"`, `"\`, `{"a":"\/"}`, "\xff {"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		got := call(t, "minify", text).(string)
		if again := call(t, "minify", got).(string); again != got {
			t.Errorf("twice gives %q, once %q", again, got)
		}
		var want bytes.Buffer
		if json.Compact(&want, []byte(text)) == nil && got != want.String() {
			t.Errorf("%q, want %q", got, want.String())
		}
	})
}

// The text of a value is what encoding/json finds there, unless a key on the way
// stands twice: then there is none.
func FuzzTextIsExactlyWhatTheBodySays(f *testing.F) {
	for _, s := range []string{`{"a":{"b":[{"c":100000.00}]}}`, `{"a":{"b":["x",{"c":"\u2013\/"}]}}`, `{"a":1,"A":2}`, `{"a":{"b":[{"c":1,"c":2}]}}`,
		`[1e3]`, `null`, `{"a":{"b":[{"c":-0}]}}`, `{"a":{"b":[{"c":true}]}}`, `{"a":{"b":[{"c":12345678901234567890}]}}`, "\xef\xbb\xbf{}"} {
		f.Add([]byte(s))
	}
	s := parse(f, "shop", "preset: token\nsecret: k\nbody: json\nref_id: text(\"a.b.0.c\")\n")
	f.Fuzz(func(t *testing.T, body []byte) {
		c := s.Read(relay.Callback{Method: "POST", Body: body})
		var v struct{ A struct{ B []struct{ C any } } }
		d := json.NewDecoder(bytes.NewReader(body))
		d.UseNumber()
		if c.RefID == "" || !utf8.Valid(body) || bytes.Contains(body, []byte(`\u`)) || d.Decode(&v) != nil {
			return
		}
		if len(v.A.B) == 0 || fmt.Sprint(v.A.B[0].C) != c.RefID {
			t.Errorf("%q, but encoding/json reads %+v", c.RefID, v)
		}
	})
}

// A header with a time and several signatures is accepted if, and only if, one
// of its first 16 v1 is right and its first t is near.
func FuzzSignatureHeader(f *testing.F) {
	const body = `{"id":"evt_1"}`
	s := parse(f, "shop", "preset: stripe\nsecret: key\n")
	t0 := strconv.FormatInt(trapTime.Unix(), 10)
	right := mac("key", t0+"."+body)
	for _, h := range []string{"t=" + t0 + ",v1=" + right, "t=" + t0 + ",v1=zz,v1=" + strings.ToUpper(right), "v1=" + right, "t=" + t0 + ",v0=" + right,
		"t=" + t0 + ",v1a=" + right, "t=-1,v1=" + right, "t=" + t0 + ", v1=" + right, "t=" + t0 + "," + strings.Repeat("v1=00,", 16) + "v1=" + right, "ts=x;h1=y"} {
		f.Add(h)
	}
	f.Fuzz(func(t *testing.T, header string) {
		_, err := s.Verify(request(body, "Stripe-Signature", header), trapTime)
		if accepted := err == nil; accepted != rightStripe(header, body) {
			t.Errorf("%q: accepted %v", header, accepted)
		}
	})
}

func rightStripe(header, body string) bool {
	var at []string
	var signatures []string
	for i, pair := range strings.Split(header, ",") {
		if i == 64 {
			break
		}
		switch name, value, ok := strings.Cut(strings.TrimSpace(pair), "="); {
		case ok && name == "t":
			at = append(at, value)
		case ok && name == "v1" && value != "":
			signatures = append(signatures, value)
		}
	}
	if len(at) == 0 {
		return false
	}
	n, err := strconv.ParseUint(at[0], 10, 62)
	if off := trapTime.Sub(time.Unix(int64(n), 0)).Abs(); err != nil || len(at[0]) > 16 || off > 5*time.Minute {
		return false
	}
	right, _ := hex.DecodeString(mac("key", at[0]+"."+body))
	for i, text := range signatures {
		if got, err := hex.DecodeString(text); i < 16 && err == nil && bytes.Equal(got, right) {
			return true
		}
	}
	return false
}

// Whatever comes, a verdict is a pass or a *Denied, a pass has the right MAC,
// and the bytes stay what they were.
func FuzzVerify(f *testing.F) {
	var all []*source.Source
	for _, p := range source.Presets() {
		s, problems := tryParse("shop", "preset: "+p.Name+"\nsecret: "+secretFor(p.Name)+"\nvars: {member: m, username: u, api_id: a, verify_token: v}\n")
		if len(problems.Errors()) == 0 {
			all = append(all, s)
		}
	}
	for _, sample := range testdata.Samples() {
		s := presetSource(f, sample.Preset)
		r, err := s.Sign(sampleRequest(sample), trapTime)
		if err != nil {
			f.Fatal(err)
		}
		var header strings.Builder
		r.Header.Write(&header)
		f.Add(r.URI, header.String(), r.Body)
	}
	f.Add("/webhook/shop?a=1&a=2&%zz", "Content-Type: application/x-www-form-urlencoded\nX-Signature: 00", []byte("a[b]=1&a=2&=%&[]=&a[][]=3"))
	f.Fuzz(func(t *testing.T, uri, header string, body []byte) {
		for _, s := range all {
			r := source.Request{Method: "POST", URI: uri, Host: "h", Scheme: "https", Header: headerOf(header), Body: bytes.Clone(body)}
			v, err := s.Verify(r, trapTime)
			if denied := (*source.Denied)(nil); err != nil && !errors.As(err, &denied) {
				t.Errorf("%s: %v", s.Preset(), err)
			}
			if !bytes.Equal(r.Body, body) || err == nil && v.Challenge == nil && (!bytes.Equal(v.Callback.Body, body) || len(v.Key) < 2) {
				t.Errorf("%s: the body changed, or there is no key: %v", s.Preset(), v.Key)
			}
			right, _ := hex.DecodeString(mac(secretFor(s.Preset()), string(body)))
			if got, _ := hex.DecodeString(r.Header.Get("X-Signature")); err == nil && s.Preset() == "isikuota" && !bytes.Equal(got, right) {
				t.Errorf("accepted with the signature %x", got)
			}
		}
		one := all[len(body)%len(all)]
		one.Inspect(source.Request{Method: "POST", URI: uri, Header: headerOf(header), Body: body}, trapTime)
	})
}

func headerOf(text string) http.Header {
	h := http.Header{}
	for line := range strings.Lines(text) {
		if name, value, ok := strings.Cut(strings.TrimRight(line, "\r\n"), ":"); ok {
			h.Add(name, strings.TrimSpace(value))
		}
	}
	return h
}
