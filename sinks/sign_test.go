package sinks_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha1"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/internal/npm"
)

// signed is a request as a verifier gets it.
type signed struct {
	Name, Secret string
	Headers      map[string]string
	Body         []byte
	Want         bool
}

const verifier = `
const { Webhook } = require("standardwebhooks");
const cases = JSON.parse(require("fs").readFileSync(0));
console.log(JSON.stringify(cases.map(c => {
  try { new Webhook(c.Secret).verify(Buffer.from(c.Body, "base64").toString(), c.Headers); return true; }
  catch (e) { return false; }
})));`

func TestTheStandardWebhooksLibraryVerifiesASignedForward(t *testing.T) {
	folder := npm.Folder(t, "standardwebhooks@1.0.0")
	const secret, old = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
	url, requests := far(t, nil)
	var cases []signed
	for name, settings := range map[string]string{
		"a raw forward":     `{url: "URL", sign: {secret: ` + secret + `}}`,
		"a body of its own": `{url: "URL", body: {ref: "{{ ref_id }}", note: "{{ data.message }}"}, sign: {type: standard-webhooks, secret: ` + secret + `}}`,
		"two secrets":       `{url: "URL", sign: {secret: [` + old + `, ` + secret + `]}}`,
	} {
		s := open(t, "http", strings.ReplaceAll(settings, "URL", url))
		r := deliver(t, s, parcelOf(t, s, order(`{"event":"order.failed","url":"https:\/\/x"}`), ""), requests)
		headers := map[string]string{}
		for k := range r.header {
			headers[strings.ToLower(k)] = r.header.Get(k)
		}
		cases = append(cases, signed{name, secret, headers, []byte(r.body), true},
			signed{name + ", flipped", secret, headers, append([]byte(r.body[:len(r.body)-1]), ' '), false},
			signed{name + ", another secret", "whsec_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA", headers, []byte(r.body), false})
	}
	in, err := json.Marshal(cases)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "-e", verifier)
	cmd.Dir, cmd.Stdin = folder, bytes.NewReader(in)
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("node: %v", err)
	}
	var verdicts []bool
	if err := json.Unmarshal(out, &verdicts); err != nil || len(verdicts) != len(cases) {
		t.Fatalf("node says %s", out)
	}
	for i, c := range cases {
		if verdicts[i] != c.Want {
			t.Errorf("%s: verified %v, want %v", c.Name, verdicts[i], c.Want)
		}
	}
}

func TestTheWebhookIdIsTheDeliverysOnEveryAttempt(t *testing.T) {
	url, requests := far(t, nil)
	s := open(t, "http", "{url: "+url+", sign: {secret: whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw}}")
	p := parcel(order("{}"), nil)
	first := deliver(t, s, p, requests).header.Get("Webhook-Id")
	p.Attempt = 2
	second := deliver(t, s, p, requests).header.Get("Webhook-Id")
	if first != second || first != strings.ReplaceAll(p.Delivery.ID.String(), ".", "_") {
		t.Errorf("the id is %q, then %q", first, second)
	}
}

func TestGenericSignaturesAreThoseThatProvidersUse(t *testing.T) {
	body := "{\"a\":\"\xff\"}"
	of := func(mac interface {
		Write([]byte) (int, error)
		Sum([]byte) []byte
	}) []byte {
		mac.Write([]byte(body))
		return mac.Sum(nil)
	}
	key := []byte("s3cret")
	for settings, want := range map[string][2]string{
		`{type: hmac, secret: s3cret}`: {"X-Signature", signature("s3cret", []byte(body))},
		`{type: hmac, secret: s3cret, header: X-Hub-Signature, algorithm: sha1, prefix: "sha1="}`: {"X-Hub-Signature", "sha1=" + hex.EncodeToString(of(hmac.New(sha1.New, key)))},
		`{type: hmac, secret: s3cret, header: Signature, algorithm: sha512, encoding: base64}`:    {"Signature", base64.StdEncoding.EncodeToString(of(hmac.New(sha512.New, key)))},
		`{type: hmac, secret: s3cret, header: Signature, algorithm: md5, encoding: base64url}`:    {"Signature", base64.RawURLEncoding.EncodeToString(of(hmac.New(md5.New, key)))},
	} {
		url, requests := far(t, nil)
		r := deliver(t, open(t, "http", "{url: "+url+", sign: "+settings+"}"), parcel(order(body), nil), requests)
		if got := r.header.Get(want[0]); got != want[1] {
			t.Errorf("%s gives %s: %q, want %q", settings, want[0], got, want[1])
		}
	}
}

func TestKurirSaysWhoItIs(t *testing.T) {
	for settings, want := range map[string]string{
		`{url: "http://HOST/", auth: {username: kurir, password: "p:w"}}`: "Basic a3VyaXI6cDp3",
		`{url: "http://HOST/", auth: {bearer: t0ken}}`:                    "Bearer t0ken",
		`{url: "http://kurir:p%3Aw@HOST/"}`:                               "Basic a3VyaXI6cDp3",
		`{url: "http://HOST/", auth: {bearer: "${UNSET:-}"}}`:             "",
	} {
		url, requests := far(t, nil)
		s := open(t, "http", strings.ReplaceAll(settings, "HOST", strings.TrimPrefix(url, "http://")))
		if got := deliver(t, s, parcel(order("{}"), nil), requests).header.Get("Authorization"); got != want {
			t.Errorf("%s: %q, want %q", settings, got, want)
		}
	}
}
