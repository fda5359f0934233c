package source_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net/http"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/testdata"
)

// benchRequest is a signed callback of IsiKuota, about 450 bytes.
func benchRequest(b *testing.B) (*source.Source, source.Request) {
	s := parse(b, "shop", "preset: isikuota\nsecret: secret-0123456789abcdef\n")
	r, err := s.Sign(sampleRequest(testdata.Of("isikuota")[0]), time.Unix(1736926200, 0))
	if err != nil {
		b.Fatal(err)
	}
	return s, r
}

// handWritten is the check as people write it.
func handWritten(secret []byte, h http.Header, body []byte) bool {
	mac := hmac.New(sha256.New, secret)
	mac.Write(body)
	got, err := hex.DecodeString(h.Get("X-Signature"))
	return err == nil && hmac.Equal(got, mac.Sum(nil))
}

// payload is what a hand-written handler decodes.
type payload struct {
	Event string
	Data  map[string]any
}

// The promise is that a preset's verification costs at most twice a hand-written
// HMAC check of the same body: "preset/verify" beside "hand/verify". What is
// read of the body then is compared with a handler that decodes it.
func BenchmarkVerification(b *testing.B) {
	s, r := benchRequest(b)
	secret, now := []byte("secret-0123456789abcdef"), time.Unix(1736926200, 0)
	refused := r
	refused.Header = http.Header{"X-Signature": {mac("another", string(r.Body))}}
	run := func(name string, f func() bool) {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if !f() {
					b.Fatal("another verdict")
				}
			}
		})
	}
	run("hand/verify", func() bool { return handWritten(secret, r.Header, r.Body) })
	run("preset/verify", func() bool { return s.Authentic(r, now) })
	run("preset/refuse", func() bool { _, err := s.Verify(refused, now); return err != nil })
	run("hand/verify+decode", func() bool {
		var p payload
		return handWritten(secret, r.Header, r.Body) && json.Unmarshal(r.Body, &p) == nil
	})
	run("preset/verify+read", func() bool { _, err := s.Verify(r, now); return err == nil })
}
