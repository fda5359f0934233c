package source_test

import (
	"bytes"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/source"
)

// Each is a way to sign for which a secret suffices, and where the signature goes.
func TestARequestIsSignedWhereverItsSourceReadsTheSignature(t *testing.T) {
	for name, tt := range map[string]struct{ verify, body string }{
		"hmac in a header":    {`type: hmac, signature: 'header("X-S")', prefix: "sha256="`, "{}"},
		"pairs with a time":   {`type: hmac, signature: 'kv(header("X-S"), ";")["h1"]', timestamp: {value: 'kv(header("X-S"), ";").ts[0]'}, content: ts + raw`, "{}"},
		"a list":              {`type: hmac, encoding: base64url, signature: 'split(header("X-S"), " ")', prefix: "v1,"`, "{}"},
		"either header":       {`type: hmac, signature: 'header("X-S") ?? header("X-T")'`, "{}"},
		"a field of the body": {`type: digest, algorithm: md5, signature: 'text("data.sign")', content: 'secret + text("data.id")'`, `{"data":{"sign":"","id":17}}`},
		"a field of a form":   {`type: digest, signature: 'form["data[sign]"]', content: form.id + secret`, "id=1&data%5Bsign%5D="},
		"a form by text":      {`type: digest, signature: 'text("data.sign")', content: text("id") + secret`, "id=1&data%5Bsign%5D="},
		"a query":             {`type: hmac, signature: query.sign`, "{}"},
		"rfc3339":             {`type: hmac, signature: 'header("X-S")', timestamp: {value: 'header("X-Ts")', unit: rfc3339}, content: ts + raw`, "{}"},
		"milliseconds":        {`type: hmac, signature: 'header("X-S")', timestamp: {value: 'header("X-Ts")', unit: ms}, content: ts + raw`, "{}"},
		"token":               {`type: token, signature: 'header("Authorization")', prefix: "Bearer "`, "{}"},
		"basic":               {`type: basic`, "{}"},
		"the second check":    {`any_of: [{type: ed25519, key: 'sha256(secret)[:32]', signature: 'header("X-S")'}, {type: token, signature: 'header("X-T")'}]`, "{}"},
	} {
		s := parse(t, "shop", "secret: user:password\nverify: {"+tt.verify+"}\n")
		before := request(tt.body)
		r, err := s.Sign(before, trapTime)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		if got := status(t, s, r); got != 200 {
			t.Errorf("%s: %d", name, got)
		}
		if len(before.Header) != 1 || string(before.Body) != tt.body {
			t.Errorf("%s: the unsigned request has changed: %v %s", name, before.Header, before.Body)
		}
	}
}

func TestWhatOnlyTheProviderCanSignSaysSo(t *testing.T) {
	s := parse(t, "shop", "secret: "+quoted(rsaPEM(t))+"\nverify: {type: rsa, signature: 'header(\"X-S\")'}\n")
	if _, err := s.Sign(request("{}"), trapTime); err == nil || !strings.Contains(err.Error(), "only the provider can sign") {
		t.Errorf("error %v", err)
	}
	s = parse(t, "shop", "secret: k\nverify: {type: digest, signature: 'header(\"X-S\")', content: 'header(\"X-Id\") + secret'}\n")
	if _, err := s.Sign(request("{}"), trapTime); err == nil || !strings.HasSuffix(err.Error(), `that is signed: it lacks header("X-Id")`) {
		t.Errorf("error %v", err)
	}
	s = parse(t, "shop", "secret: k\nverify: {type: digest, signature: 'text(\"sign\")', content: 'secret'}\n")
	if _, err := s.Sign(request("{}"), trapTime); err == nil || err.Error() != "sign: the body has no such key: write it with any value, to be filled in" {
		t.Errorf("error %v", err)
	}
}

func TestSetJSONChangesOneValueAndNoOtherByte(t *testing.T) {
	body := []byte(`{ "a" : [ 1.00, {"b" : "x\/y"} ] , "c":null}`)
	for _, tt := range []struct{ path, value, want string }{
		{"a.0", "5", `{ "a" : [ 5, {"b" : "x\/y"} ] , "c":null}`},
		{"a.1.b", `"z"`, `{ "a" : [ 1.00, {"b" : "z"} ] , "c":null}`},
		{"c", `{"d":1}`, `{ "a" : [ 1.00, {"b" : "x\/y"} ] , "c":{"d":1}}`},
		{"a", `[]`, `{ "a" : [] , "c":null}`},
	} {
		if got, err := source.SetJSON(body, tt.path, []byte(tt.value)); err != nil || !bytes.Equal(got, []byte(tt.want)) {
			t.Errorf("%s: %s, %v; want %s", tt.path, got, err, tt.want)
		}
	}
	for _, path := range []string{"d", "a.2", "a.x", "c.d", ""} {
		if got, err := source.SetJSON(body, path, []byte("1")); err == nil {
			t.Errorf("%s: no error, but %s", path, got)
		}
	}
}
