package sinks

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"hash"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
)

type signSettings struct {
	Type      conf.String   `conf:"type" default:"standard-webhooks" doc:"standard-webhooks, or hmac: of the body alone"`
	Secret    []conf.Secret `conf:"secret,required" doc:"the key; for standard-webhooks whsec_ and base64, and several while it changes"`
	Header    string        `conf:"header" default:"X-Signature" doc:"hmac: where the signature goes"`
	Algorithm conf.String   `conf:"algorithm" default:"sha256" doc:"hmac: sha256, sha512, sha1 or md5"`
	Encoding  conf.String   `conf:"encoding" default:"hex" doc:"hmac: hex, base64 or base64url"`
	Prefix    string        `conf:"prefix" doc:"hmac: what stands before the signature, such as sha256="`
}

// A signer adds a signature of a body to the header of the request that carries
// it. id is that of the delivery.
type signer func(h http.Header, id string, now time.Time, body []byte)

var algorithms = map[string]func() hash.Hash{"sha256": sha256.New, "sha512": sha512.New, "sha1": sha1.New, "md5": md5.New}

var encodings = map[string]func([]byte) string{"hex": hex.EncodeToString,
	"base64": base64.StdEncoding.EncodeToString, "base64url": base64.RawURLEncoding.EncodeToString}

// newSigner reports what is wrong with the settings.
func newSigner(set *signSettings) signer {
	for _, s := range set.Secret {
		if strings.TrimSpace(s.Reveal()) == "" {
			s.Node.Problem("the secret is empty")
		}
	}
	switch set.Type.Text {
	case "standard-webhooks":
		return standardWebhooks(set)
	case "hmac":
		return genericHMAC(set)
	}
	set.Type.Node.Unknown("type", set.Type.Text, []string{"standard-webhooks", "hmac"})
	return nil
}

// standardWebhooks signs as https://www.standardwebhooks.com says. The id may
// hold no full stop there, so that of the delivery has an underscore instead.
func standardWebhooks(set *signSettings) signer {
	var keys [][]byte
	for _, s := range set.Secret {
		key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(s.Reveal(), "whsec_"))
		if err != nil {
			s.Node.Report(conf.Problem{Message: "the secret is no base64", Hint: "it looks like whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})
		}
		keys = append(keys, key)
	}
	return func(h http.Header, id string, now time.Time, body []byte) {
		id = strings.ReplaceAll(id, ".", "_")
		ts := strconv.FormatInt(now.Unix(), 10)
		var signatures []string
		for _, key := range keys {
			mac := hmac.New(sha256.New, key)
			mac.Write([]byte(id + "." + ts + "."))
			mac.Write(body)
			signatures = append(signatures, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		}
		h.Set("Webhook-Id", id)
		h.Set("Webhook-Timestamp", ts)
		h.Set("Webhook-Signature", strings.Join(signatures, " "))
	}
}

// genericHMAC signs as most providers do: the body, in a header.
func genericHMAC(set *signSettings) signer {
	algorithm := pick(set.Algorithm, "algorithm", algorithms)
	encode := pick(set.Encoding, "encoding", encodings)
	if len(set.Secret) > 1 {
		set.Secret[1].Node.Problem("hmac signs with one secret")
	}
	if len(set.Secret) != 1 || algorithm == nil || encode == nil {
		return nil
	}
	header, key := set.Header, []byte(set.Secret[0].Reveal())
	return func(h http.Header, _ string, _ time.Time, body []byte) {
		mac := hmac.New(algorithm, key)
		mac.Write(body)
		h.Set(header, set.Prefix+encode(mac.Sum(nil)))
	}
}

// pick gives what goes by the name that s says; the zero value if there is none,
// which is reported.
func pick[T any](s conf.String, what string, all map[string]T) T {
	v, ok := all[s.Text]
	if !ok {
		s.Node.Unknown(what, s.Text, slices.Sorted(maps.Keys(all)))
	}
	return v
}
