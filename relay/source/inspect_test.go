package source_test

import (
	"crypto/hmac"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/source"
)

// inspect judges a request, and makes sure that no secret is told.
func inspect(t *testing.T, text, secret string, r source.Request) source.Inspection {
	t.Helper()
	i := parse(t, "shop", text).Inspect(r, trapTime)
	all, err := json.Marshal(i)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(all), secret) {
		t.Errorf("the secret shows: %s", all)
	}
	return i
}

func TestAnInspectionShowsTheSignedContentWithoutTheSecret(t *testing.T) {
	text := "preset: midtrans\nsecret: s3cr3t-key\n"
	body := `{"order_id":"A-1","status_code":"200","gross_amount":"100000.00","signature_key":"00"}`
	i := inspect(t, text, "s3cr3t-key", request(body))
	if i.Accepted || i.Status != 401 || len(i.Checks) != 1 {
		t.Fatalf("%+v", i)
	}
	c := i.Checks[0]
	if c.Content != "A-1200100000.00[secret]" || c.ContentBytes != len(c.Content) || c.Signed == "" {
		t.Errorf("content %q of %d bytes, signed %q", c.Content, c.ContentBytes, c.Signed)
	}
	var parts []string
	for _, p := range c.Parts {
		parts = append(parts, p.Expr+"="+*p.Value)
	}
	want := `text("order_id")=A-1 text("status_code")=200 text("gross_amount")=100000.00 secret=[secret]`
	if got := strings.Join(parts, " "); got != want {
		t.Errorf("parts %s, want %s", got, want)
	}
	if c.Expected != "128 hexadecimal digits" || len(c.Candidates) != 1 || c.Candidates[0].Reason != "it has 1 bytes, and sha512 gives 64" {
		t.Errorf("expected %q, candidates %+v", c.Expected, c.Candidates)
	}
}

func TestAnInspectionNamesThePartThatIsMissing(t *testing.T) {
	text := "secret: s3cr3t-key\nverify: {type: hmac, signature: 'header(\"X-Signature\")', content: 'header(\"X-Id\") + \".\" + raw'}\n"
	c := inspect(t, text, "s3cr3t-key", request("{}", "X-Signature", mac("s3cr3t-key", ".{}"))).Checks[0]
	if c.Reason != "a part of the signed content is missing" || len(c.Parts) != 2 || c.Parts[0].Value != nil || *c.Parts[1].Value != "{}" {
		t.Errorf("%+v", c)
	}
}

func TestAnInspectionTellsWhichSecretMatched(t *testing.T) {
	i := inspect(t, "preset: isikuota\nsecrets: [new-key, old-key]\n", "old-key", request("{}", "X-Signature", mac("old-key", "{}")))
	if !i.Accepted || !i.Checks[0].OK || i.Checks[0].Secret != 2 || len(i.Checks[0].Hints) != 0 {
		t.Errorf("%+v", i)
	}
}

func TestAnInspectionUsesNoSecret(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecret: key\n")
	if s.Inspect(request("{}", "X-Signature", mac("key", "{}")), trapTime); !s.SecretsUsed()[0].IsZero() {
		t.Error("an inspected request counts as a use of its secret")
	}
}

func TestATokenIsNeverShown(t *testing.T) {
	c := inspect(t, "preset: token\nsecret: s3cr3t-key\n", "s3cr3t-key", request("{}", "X-Callback-Token", "s3cr3t-key ")).Checks[0]
	if len(c.Candidates) != 1 || c.Candidates[0].Text != "(11 characters)" || fmt.Sprint(c.Hints) != "[it would match without the blanks at its ends, or at those of the secret]" {
		t.Errorf("%+v", c)
	}
}

func TestASecretThatARequestHoldsIsMasked(t *testing.T) {
	body := `{"note":"s3cr3t-key"}`
	c := inspect(t, "preset: isikuota\nsecret: s3cr3t-key\n", "s3cr3t-key", request(body, "X-Signature", "s3cr3t-key")).Checks[0]
	if c.Content != `{"note":"[secret]"}` || c.Candidates[0].Text != "[secret]" {
		t.Errorf("%+v", c)
	}
}

// Each is a mistake that is easily made, and what is said about it.
func TestHintsSayWhatWouldMatch(t *testing.T) {
	const key = "s3cr3t-key"
	body := `{"a": "x/y"}` + "\n"
	sum1 := hmac.New(sha1.New, []byte(key))
	sum1.Write([]byte(body))
	right, _ := hex.DecodeString(mac(key, body))
	form := "secret: " + key + "\nverify: {type: hmac, signature: 'header(\"X-Signature\")'%s}\n"
	for _, tt := range []struct{ verify, header, want string }{
		{"", hex.EncodeToString(sum1.Sum(nil)), "it would match with algorithm: sha1"},
		{"", base64.StdEncoding.EncodeToString(right), "it would match with encoding: base64"},
		{"", "sha256=" + hex.EncodeToString(right), `it would match with prefix: "sha256="`},
		{`, prefix: "sha256="`, hex.EncodeToString(right), `it would match with prefix: ""`},
		{"", mac(key, strings.TrimSpace(body)), "it would match with the body as it would be without the line break at its end, which something on the way has added"},
		{"", mac(key, `{"a":"x/y"}`), "it would match with content: minify(raw)"},
		{`, content: 'minify(raw)'`, hex.EncodeToString(right), "it would match with content: raw"},
		{"", mac(key, strings.ReplaceAll(body, "/", `\/`)), `it would match with the body as PHP writes it, with \/ for /: something on the way has written its JSON anew`},
		{", key: toBase64(secret)", hex.EncodeToString(right), "it would match with key: secret"},
		{"", sha(body + key), "it would match with type: digest, content: raw + secret"},
		{"", sha(key + body), "it would match with type: digest, content: secret + raw"},
		{"", mac("another", body), ""},
		{"", strings.Repeat("0", 64), ""},
	} {
		c := inspect(t, fmt.Sprintf(form, tt.verify), key, request(body, "X-Signature", tt.header)).Checks[0]
		if got := strings.Join(c.Hints, "; "); got != tt.want || c.OK {
			t.Errorf("%s with %s: %q, want %q", tt.verify, tt.header, got, tt.want)
		}
	}
}

func TestHintsNameAHeaderThatLooksLikeTheMissingSignature(t *testing.T) {
	c := inspect(t, "preset: isikuota\nsecret: s3cr3t-key\n", "s3cr3t-key", request("{}", "X-Callback-Signature", "00")).Checks[0]
	if fmt.Sprint(c.Hints) != "[the request has a header X-Callback-Signature]" || c.Reason != "signature missing" {
		t.Errorf("%+v", c)
	}
}

func TestHintsNameTheUnitOfATimestamp(t *testing.T) {
	text := "secret: s3cr3t-key\nverify: {type: hmac, signature: 'header(\"X-Signature\")', timestamp: {value: 'header(\"X-Ts\")'}, content: ts + raw}\n"
	ts := fmt.Sprint(trapTime.UnixMilli())
	c := inspect(t, text, "s3cr3t-key", request("{}", "X-Ts", ts, "X-Signature", mac("s3cr3t-key", ts+"{}"))).Checks[0]
	if fmt.Sprint(c.Hints) != "[the timestamp would be near with unit: ms]" || c.Timestamp != ts {
		t.Errorf("%+v", c)
	}
}

func TestAnInspectionIsWrittenForPeople(t *testing.T) {
	text := "preset: midtrans\nsecret: s3cr3t-key\n"
	body := `{"order_id":"A-1","status_code":"200","signature_key":"00"}`
	i := inspect(t, text, "s3cr3t-key", request(body))
	want := `SHA512 over text("order_id") + text("status_code") + text("gross_amount") + secret, as hex in text("signature_key")
  fails     a part of the signed content is missing
  wants     128 hexadecimal digits
  found     00: it has 1 bytes, and sha512 gives 64
  part      text("order_id") = A-1
  part      text("status_code") = 200
  part      text("gross_amount") = nil: the request does not have it
  part      secret = [secret]`
	if got := strings.Join(i.Lines(), "\n"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestAnAddressThatMayNotSendIsNotInspectedFurther(t *testing.T) {
	i := inspect(t, "preset: isikuota\nsecret: s3cr3t-key\nallow_ips: [198.51.100.1]\n", "s3cr3t-key", request("{}"))
	if i.Accepted || i.Status != 403 || len(i.Checks) != 0 {
		t.Errorf("%+v", i)
	}
}

func sha(text string) string {
	sum := sha256.Sum256([]byte(text))
	return hex.EncodeToString(sum[:])
}
