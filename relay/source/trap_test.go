package source_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/source"
)

var trapTime = time.Unix(1736926200, 0)

func mac(secret, text string) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write([]byte(text))
	return hex.EncodeToString(m.Sum(nil))
}

func request(body string, header ...string) source.Request {
	h := http.Header{"Content-Type": {"application/json"}}
	for i := 0; i < len(header); i += 2 {
		h.Add(header[i], header[i+1])
	}
	return source.Request{Method: "POST", URI: "/webhook/shop", Host: "relay.example.com", Scheme: "https", Header: h,
		Body: []byte(body), Remote: netip.MustParseAddr("192.0.2.1")}
}

// status is how a request is answered: 200, or the Denied's status.
func status(t *testing.T, s *source.Source, r source.Request) int {
	t.Helper()
	_, err := s.Verify(r, trapTime)
	if err == nil {
		return 200
	}
	var denied *source.Denied
	if !errors.As(err, &denied) {
		t.Fatalf("the error is no *Denied: %v", err)
	}
	return denied.Status
}

func TestOnlyAWellFormedSignatureOfTheRawBodyIsAccepted(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecret: key\n")
	body := `{"event":"order.success","data":{"ref_id":"T-1","url":"a\/b"}}`
	right := mac("key", body)
	for _, tt := range []struct {
		name   string
		header []string
		want   int
	}{
		{"right", []string{"X-Signature", right}, 200},
		{"upper-case hex", []string{"X-Signature", strings.ToUpper(right)}, 200},
		{"no header", nil, 401},
		{"empty", []string{"X-Signature", ""}, 401},
		{"prefix alone", []string{"X-Signature", "sha256="}, 401},
		{"a prefix that is not asked for", []string{"X-Signature", "sha256=" + right}, 401},
		{"odd length", []string{"X-Signature", right[1:]}, 401},
		{"not hex", []string{"X-Signature", strings.Repeat("zz", 32)}, 401},
		{"half of it", []string{"X-Signature", right[:32]}, 401},
		{"base64", []string{"X-Signature", base64.StdEncoding.EncodeToString([]byte(right))}, 401},
		{"very long", []string{"X-Signature", strings.Repeat("ab", 1<<16)}, 401},
		{"of another secret", []string{"X-Signature", mac("other", body)}, 401},
		{"of the re-serialised JSON", []string{"X-Signature", mac("key", strings.ReplaceAll(body, `\/`, "/"))}, 401},
		{"of MD5", []string{"X-Signature", fmt.Sprintf("%x", md5.Sum([]byte("key"+body)))}, 401},
		{"right, twice", []string{"X-Signature", right, "X-Signature", right}, 401},
		{"right after a wrong one", []string{"X-Signature", mac("no", body), "X-Signature", right}, 401},
	} {
		if got := status(t, s, request(body, tt.header...)); got != tt.want {
			t.Errorf("%s: %d, want %d", tt.name, got, tt.want)
		}
	}
}

func TestAnySecretOfARotationIsAcceptedAndTellsWhenItWasUsed(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecrets: [new, old]\n")
	if got := status(t, s, request("{}", "X-Signature", mac("old", "{}"))); got != 200 {
		t.Errorf("old secret: %d", got)
	}
	if used := s.SecretsUsed(); !used[0].IsZero() || !used[1].Equal(trapTime) {
		t.Errorf("used %v", used)
	}
	s = parse(t, "shop", "preset: isikuota\nsecrets: [new]\n")
	if got := status(t, s, request("{}", "X-Signature", mac("old", "{}"))); got != 401 {
		t.Errorf("removed secret: %d", got)
	}
}

func TestTrap1WhatIsAbsentFromSignedContentFailsClosed(t *testing.T) {
	form := "secret: key\nverify: {type: hmac, signature: 'header(\"X-Signature\")', content: '%s'}\n"
	strict := parse(t, "shop", fmt.Sprintf(form, `header("X-Id") + "." + raw`))
	optional := parse(t, "shop", fmt.Sprintf(form, `(header("X-Id") ?? "") + "." + raw`))
	if got := status(t, strict, request("{}", "X-Signature", mac("key", ".{}"))); got != 401 {
		t.Errorf("an absent header is taken for an empty one: %d", got)
	}
	if got := status(t, optional, request("{}", "X-Signature", mac("key", ".{}"))); got != 200 {
		t.Errorf("a part that may be absent: %d", got)
	}
	alone := parse(t, "shop", fmt.Sprintf(form, `header("X-Id")`))
	if got := status(t, alone, request("{}", "X-Signature", mac("key", ""))); got != 401 {
		t.Errorf("absent content is taken for empty: %d", got)
	}
}

func TestTrap2SignedNumbersKeepTheirCharacters(t *testing.T) {
	s := parse(t, "shop", "secret: key\nverify: {type: hmac, signature: 'header(\"X-Signature\")', content: 'text(\"amount\")'}\n")
	for _, number := range []string{"100000.00", "1e3", "12345678901234567890", "0.10", "-0"} {
		if got := status(t, s, request(`{"amount":`+number+`}`, "X-Signature", mac("key", number))); got != 200 {
			t.Errorf("%s: %d", number, got)
		}
	}
}

func TestTrap3EveryByteOfTheBodyCounts(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecret: key\n")
	for _, body := range []string{"{}\n", "{}\r\n", " {} ", `{"a":"\/\u2013"}`, "\xef\xbb\xbf{}", "{\"a\":\"\xff\xfe\"}", `{"a":"\ud800"}`, "\x00"} {
		if got := status(t, s, request(body, "X-Signature", mac("key", body))); got != 200 {
			t.Errorf("%q: %d", body, got)
		}
		if got := status(t, s, request(body+" ", "X-Signature", mac("key", body))); got != 401 {
			t.Errorf("%q with a space more: %d", body, got)
		}
	}
}

func TestTrap4OneBadCandidateDoesNotAbortTheRestAndVersionsAreExact(t *testing.T) {
	s := parse(t, "shop", "secret: key\nverify: {type: hmac, encoding: base64, prefix: 'v1,', signature: 'split(header(\"Sig\"), \" \")'}\n")
	raw, _ := hex.DecodeString(mac("key", "{}"))
	right := base64.StdEncoding.EncodeToString(raw)
	many := strings.Repeat("v1,AAAA ", 16)
	for sig, want := range map[string]int{
		"v1," + right:            200,
		"v1,%%% v1," + right:     200,
		"v2,x v1," + right:       200,
		"v1a," + right:           401,
		"v2," + right:            401,
		right:                    401,
		many[8:] + "v1," + right: 200,
		many + "v1," + right:     401,
	} {
		if got := status(t, s, request("{}", "Sig", sig)); got != want {
			t.Errorf("%s: %d, want %d", sig, got, want)
		}
	}
}

func TestTrap5MalformedInputIsA401(t *testing.T) {
	stripe := parse(t, "shop", "preset: stripe\nsecret: key\n")
	paddle := parse(t, "shop", "preset: paddle\nsecret: key\n")
	for _, header := range []string{"", "t=,v1=", "t=x,v1=y", "v1=00", "t=1736926200", "=,=", strings.Repeat("t=1,", 5000), "ts=x;h1=y", "\x00"} {
		for name, s := range map[string]*source.Source{"Stripe-Signature": stripe, "Paddle-Signature": paddle} {
			if got := status(t, s, request("{}", name, header)); got != 401 {
				t.Errorf("%s %.40q: %d", name, header, got)
			}
		}
	}
	flip := parse(t, "shop", "preset: flip\nsecret: key\n")
	if got := status(t, flip, request("token=%zz&data=", "Content-Type", "x")); got != 401 {
		t.Errorf("a broken form: %d", got)
	}
}

func TestTrap6EmptySecretsRefuseToLoadForEveryType(t *testing.T) {
	for _, kind := range []string{"hmac", "digest", "token", "basic", "ed25519", "ecdsa", "rsa"} {
		for _, secret := range []string{`secret: ""`, `secret: "  "`, `secret: ${UNSET}`, `secret: ${UNSET:-}`, `secrets: []`, `secrets: [good, ""]`,
			"secret_file: /nonexistent", ""} {
			text := secret + "\nverify: {type: " + kind + ", signature: 'header(\"S\")', content: raw + secret}\n"
			_, problems := tryParse("shop-one", text)
			if len(problems.Errors()) == 0 {
				t.Errorf("%s with %q loads", kind, secret)
			}
		}
	}
	_, problems := tryParse("shop-one", "secret: ' '\npreset: isikuota\n")
	if !strings.Contains(problems.Error(), "shop-one") {
		t.Errorf("the source is not named: %v", problems)
	}
}

func TestTrap7WhatTwoReadersMayReadDifferentlyIsRefused(t *testing.T) {
	isiaja := parse(t, "shop", "preset: isiaja\nsecret: key\n")
	sum := fmt.Sprintf("%x", md5.Sum([]byte("key"+"R-1"+"success")))
	for _, body := range []string{
		`{"data":{"ref_id":"R-1","status":"success","status":"failed"},"signature":"` + sum + `"}`,
		`{"data":{"ref_id":"R-1","status":"success","Status":"failed"},"signature":"` + sum + `"}`,
		`{"data":{"ref_id":"R-2","status":"x"},"data":{"ref_id":"R-1","status":"success"},"signature":"` + sum + `"}`,
	} {
		if got := status(t, isiaja, request(body)); got != 401 {
			t.Errorf("%s: %d", body, got)
		}
	}
	if got := status(t, isiaja, request(`{"data":{"ref_id":"R-1","status":"success"},"signature":"`+sum+`"}`)); got != 200 {
		t.Errorf("without a copy: %d", got)
	}
	duitku := parse(t, "shop", "preset: duitku\nsecret: key\n")
	form := "merchantCode=D&amount=1&merchantOrderId=R&signature=" + mac("key", "D1R")
	if got := status(t, duitku, request(form)); got != 200 {
		t.Errorf("a form: %d", got)
	}
	if got := status(t, duitku, request(form+"&amount=9")); got != 401 {
		t.Errorf("a form with a field twice: %d", got)
	}
}

func TestTrap8TimestampsAreCheckedBothWaysAndOnlyWhereTheyAreSigned(t *testing.T) {
	s := parse(t, "shop", "secret: key\nverify: {type: hmac, signature: 'header(\"S\")', content: 'ts + \".\" + raw', timestamp: {value: 'header(\"T\")', tolerance: 5m}}\n")
	for _, tt := range []struct {
		ts   string
		want int
	}{
		{"1736926200", 200}, {"1736925901", 200}, {"1736926499", 200}, {"1736925899", 401}, {"1736926501", 401},
		{"", 401}, {"now", 401}, {"-1736926200", 401}, {"1736926200000", 401}, {"1736926200.5", 401}, {" 1736926200", 401},
	} {
		if got := status(t, s, request("{}", "T", tt.ts, "S", mac("key", tt.ts+".{}"))); got != tt.want {
			t.Errorf("%q: %d, want %d", tt.ts, got, tt.want)
		}
	}
	if got := status(t, s, request("{}", "S", mac("key", ".{}"))); got != 401 {
		t.Errorf("missing: %d", got)
	}
	old := parse(t, "shop", "preset: isikuota\nsecret: key\n")
	body := `{"timestamp":"2001-01-01T00:00:00Z"}`
	if got := status(t, old, request(body, "X-Signature", mac("key", body))); got != 200 {
		t.Errorf("an old callback of a provider that signs no time: %d", got)
	}
}

func TestTrap9TwiliosJSONIsBoundToItsBody(t *testing.T) {
	for _, v := range vectors(t) {
		if v.Provider == "twilio" && v.ID == "twilio-05" {
			s := parse(t, "shop", "preset: twilio\nsecret: '12345'\n")
			r := v.request()
			r.Body, r.Header = []byte(`{"property": "other"}`), r.Header.Clone()
			if got := status(t, s, r); got != 401 {
				t.Errorf("a swapped body: %d", got)
			}
			r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			if got := status(t, s, r); got != 401 {
				t.Errorf("a swapped body that calls itself a form: %d", got)
			}
			return
		}
	}
	t.Fatal("no vector")
}

func TestTrap10HandshakesAreAnsweredOnlyToWhoTheyAreFor(t *testing.T) {
	slack := presetSource(t, "slack")
	body := `{"type":"url_verification","challenge":"c-123"}`
	sign := "v0=" + mac(secretFor("slack"), "v0:1736926200:"+body)
	r := request(body, "X-Slack-Request-Timestamp", "1736926200", "X-Slack-Signature", sign)
	v, err := slack.Verify(r, trapTime)
	if err != nil || v.Challenge == nil || string(v.Challenge.Body) != "c-123" {
		t.Errorf("slack: %v, %+v", err, v.Challenge)
	}
	if got := status(t, slack, request(body, "X-Slack-Request-Timestamp", "1736926200", "X-Slack-Signature", "v0=00")); got != 401 {
		t.Errorf("slack, unsigned: %d", got)
	}

	zoom := presetSource(t, "zoom")
	body = `{"event":"endpoint.url_validation","payload":{"plainToken":"pt"}}`
	v, err = zoom.Verify(request(body, "x-zm-request-timestamp", "1736926200", "x-zm-signature",
		"v0="+mac(secretFor("zoom"), "v0:1736926200:"+body)), trapTime)
	if err != nil || v.Challenge == nil {
		t.Fatalf("zoom: %v, %+v", err, v.Challenge)
	}
	var answer map[string]string
	if err := json.Unmarshal(v.Challenge.Body, &answer); err != nil || answer["encryptedToken"] != mac(secretFor("zoom"), "pt") || answer["plainToken"] != "pt" {
		t.Errorf("zoom: %v, %s", err, v.Challenge.Body)
	}

	meta := presetSource(t, "meta")
	get := request("")
	get.Method, get.URI = "GET", "/webhook/shop?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=v"
	v, err = meta.Verify(get, trapTime)
	if err != nil || v.Challenge == nil || string(v.Challenge.Body) != "1158201444" {
		t.Errorf("meta: %v, %+v", err, v.Challenge)
	}
	get.URI = "/webhook/shop?hub.mode=subscribe&hub.challenge=1158201444&hub.verify_token=w"
	if got := status(t, meta, get); got != 401 {
		t.Errorf("meta with another token: %d", got)
	}
}

func TestPublicKeySchemes(t *testing.T) {
	public, private, _ := ed25519.GenerateKey(rand.Reader)
	discord := parse(t, "shop", "preset: discord\nsecret: "+hex.EncodeToString(public)+"\n")
	signed := hex.EncodeToString(ed25519.Sign(private, []byte(`1736926200{"type":1}`)))
	v, err := discord.Verify(request(`{"type":1}`, "X-Signature-Timestamp", "1736926200", "X-Signature-Ed25519", signed), trapTime)
	if err != nil || v.Challenge == nil || string(v.Challenge.Body) != `{"type":1}` {
		t.Errorf("discord's ping: %v, %+v", err, v.Challenge)
	}
	if got := status(t, discord, request(`{"type":2}`, "X-Signature-Timestamp", "1736926200", "X-Signature-Ed25519", signed)); got != 401 {
		t.Errorf("discord, another body: %d", got)
	}

	key, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	der, _ := x509.MarshalPKIXPublicKey(&key.PublicKey)
	for name, secret := range map[string]string{"DER in base64": base64.StdEncoding.EncodeToString(der),
		"PEM": string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))} {
		sendgrid := parse(t, "shop", "preset: sendgrid\nsecret: "+quoted(secret)+"\n")
		body := "[{\"event\":\"open\",\"sg_event_id\":\"e1\"}]\r\n"
		sum := sha256.Sum256([]byte("1736926200" + body))
		sig, _ := ecdsa.SignASN1(rand.Reader, key, sum[:])
		r := request(body, "X-Twilio-Email-Event-Webhook-Timestamp", "1736926200", "X-Twilio-Email-Event-Webhook-Signature", base64.StdEncoding.EncodeToString(sig))
		if got := status(t, sendgrid, r); got != 200 {
			t.Errorf("sendgrid, %s: %d", name, got)
		}
	}
	if _, problems := tryParse("shop", "preset: sendgrid\nsecret: nonsense\n"); len(problems) == 0 {
		t.Error("a secret that is no key loads")
	}
}

func TestAddressesOutsideAllowIPsAreForbidden(t *testing.T) {
	s := parse(t, "shop", "allow_ips: [192.0.2.0/28, '2001:db8::1']\nverify: {type: none}\nref_id: query.refid\n")
	for addr, want := range map[string]int{"192.0.2.1": 200, "192.0.2.200": 403, "2001:db8::1": 200, "::ffff:192.0.2.1": 200, "2001:db8::2": 403} {
		r := request("")
		r.Remote = netip.MustParseAddr(addr)
		if got := status(t, s, r); got != want {
			t.Errorf("%s: %d, want %d", addr, got, want)
		}
	}
	if _, problems := tryParse("shop", "verify: {type: none}\n"); len(problems) == 0 {
		t.Error("a source without signature and addresses loads")
	}
}

func TestBasicAuth(t *testing.T) {
	s := parse(t, "shop", "secret: 'user:pass'\nverify: {type: basic}\n")
	if got := status(t, s, request("{}", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("user:pass")))); got != 200 {
		t.Errorf("right: %d", got)
	}
	if got := status(t, s, request("{}", "Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("user:Pass")))); got != 401 {
		t.Errorf("wrong: %d", got)
	}
}

func TestWhatIsReadOfABody(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecret: key\n")
	deep := strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000)
	for _, tt := range []struct {
		body     string
		refID    string
		unparsed bool
	}{
		{`{"event":"e","data":{"ref_id":"R"}}`, "R", false},
		{`{"event":"e","data":{"ref_id":12345678901234567890}}`, "12345678901234567890", false},
		{`{"event":"e","data":{"ref_id":7}}`, "7", false},
		{`{"event":"e","data":{"ref_id":""}}`, "", true},
		{`{"event":"e","data":{"ref_id":null}}`, "", true},
		{`{"event":"e","data":{"ref_id":{"a":1}}}`, "", true},
		{`{"event":"e","data":{}}`, "", true},
		{`{"event":"e","data":{"ref_id":"R","ref_id":"S"}}`, "", true},
		{`{"event":"e","data":{"ref_id":"R","REF_ID":"S"}}`, "", true},
		{`{"event":"e","event":"f","data":{"ref_id":"R"}}`, "", true},
		{"", "", true}, {"null", "", true}, {"[1]", "", true}, {"{}{}", "", true}, {"\xef\xbb\xbf{}", "", true},
		{"{\"event\":NaN}", "", true}, {"// x\n{}", "", true}, {"\x00\x7b", "", true}, {deep, "", true},
		{`{"event":"e","data":{"ref_id":"a\u0000\r\n<script>"}}`, "a\x00\r\n<script>", false},
	} {
		v, err := s.Verify(request(tt.body, "X-Signature", mac("key", tt.body)), trapTime)
		if err != nil || v.Callback.RefID != tt.refID || v.Callback.Unparsed != tt.unparsed {
			t.Errorf("%.60q: ref_id %q, unparsed %v, %v; want %q, %v", tt.body, v.Callback.RefID, v.Callback.Unparsed, err, tt.refID, tt.unparsed)
		}
	}
}

func TestTheDedupeKeyIsWhatMakesTwoCallbacksTheSame(t *testing.T) {
	key := func(text, body string) string {
		s := parse(t, "shop", "preset: isikuota\nsecret: key\n"+text)
		v, err := s.Verify(request(body, "X-Signature", mac("key", body)), trapTime)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(v.Key, "|")
	}
	success, sn := `{"event":"order.success","data":{"ref_id":"R"}}`, `{"event":"order.sn_received","data":{"ref_id":"R"}}`
	if key("", success) == key("", sn) {
		t.Error("order.success and order.sn_received of one order have one key")
	}
	if a, b := key("dedupe: [ref_id]\n", success), key("dedupe: [ref_id]\n", sn); a != b {
		t.Errorf("strict: %s and %s", a, b)
	}
	if key("", `{"event":"e"}`) == key("", `{"event":"e" }`) {
		t.Error("without a ref_id the key is not the body's")
	}
	if key("dedupe: ['text(\"data.nothing\")']\n", success) == key("dedupe: ['text(\"data.nothing\")']\n", sn) {
		t.Error("with an absent part the key is not the body's")
	}
}

func TestAnswersAreTheContractsUnlessTheSourceSaysOtherwise(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecret: key\n")
	for o, want := range map[source.Outcome]string{source.Accepted: `200 {"status":"ok"}`,
		source.Duplicate: `200 {"status":"already_processed"}`, source.Refused: `401 {"error":"Invalid signature"}`} {
		if r := s.Reply(o); fmt.Sprintf("%d %s", r.Status, r.Body) != want {
			t.Errorf("%d %s, want %s", r.Status, r.Body, want)
		}
	}
	tripay := presetSource(t, "tripay")
	for _, o := range []source.Outcome{source.Accepted, source.Duplicate} {
		if r := tripay.Reply(o); string(r.Body) != `{"success":true}` {
			t.Errorf("tripay: %s", r.Body)
		}
	}
}

func TestAStoredCallbackIsReadAgain(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecret: key\n")
	body := `{"event":"order.failed","data":{"ref_id":"R","price":11500}}`
	v, _ := s.Verify(request(body, "X-Signature", mac("key", body)), trapTime)
	stored := v.Callback
	stored.Parsed, stored.Event, stored.RefID = nil, "", ""
	again := s.Read(stored)
	if again.Event != "order.failed" || again.RefID != "R" || again.Parsed == nil || fmt.Sprint(again.Parsed.Data) != fmt.Sprint(v.Callback.Parsed.Data) {
		t.Errorf("%+v", again)
	}
}
