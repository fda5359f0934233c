package source_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/source"
)

// Each is a source with a mistake, and what is said about it.
func TestEveryMistakeIsNamedAtItsPlace(t *testing.T) {
	const hmac = "secret: k\nverify: {type: hmac, signature: 'header(\"X-Signature\")'"
	for _, tt := range []struct{ in, want string }{
		{"secret: k\n", "1:1: the source shop has no check of who sends: write `preset:`, or `verify:` with a type"},
		{"preset: isikota\nsecret: k\n", `1:9: unknown preset "isikota": did you mean "isikuota"?`},
		{"preset: isikuota\n", "1:1: the source shop has no secret: write `secret: ${NAME}`"},
		{"preset: isikuota\nsecret: '  '\n", "2:9: a secret of the source shop is empty"},
		{"preset: isikuota\nsecrets: [a, '']\n", "2:14: a secret of the source shop is empty"},
		{"preset: isikuota\nsecret: $${SHOP}\n", "2:9: a secret of the source shop is still the name of a variable"},
		{"preset: isikuota\nsecret: ${SHOP:-}\n", "2:9: a secret of the source shop is empty"},
		{"preset: isikuota\nsecret: k\nmethods: [FETCH]\n", `3:11: unknown method "FETCH": there is GET, POST, PUT, PATCH`},
		{"preset: isikuota\nsecret: k\nbody: xml\n", `3:7: unknown way to read a body "xml": there is auto, json, form, text`},
		{"preset: isikuota\nsecret: k\non_conflict: drop\n", `3:14: unknown word "drop": there is keep, route`},
		{"preset: isikuota\nsecret: k\nallow_ips: [10.0.0.0/33]\n", `3:13: "10.0.0.0/33" is no address and no range such as 192.0.2.0/24`},
		{"preset: isikuota\nsecret: k\npublic_url: relay.example.com\n", "3:13: public_url must be an address such as https://relay.example.com/webhook/shop, without a query"},
		{"preset: isikuota\nsecret: k\nmax_body: 1GB\n", `3:11: "1GB" is no size: write a number of bytes up to 1 GiB, such as 64KiB or 1MiB`},
		{"preset: isikuota\nsecret: k\nrespond: {ok: {status: 99}}\n", `3:24: "99" is no status of an answer: write one from 200 to 599`},
		{"preset: isikuota\nsecret: k\nevent: secret\n", "3:8: secret can't be used here: it would show in the log"},
		{"preset: isikuota\nsecret: k\nref_id: event\n", "3:9: ref_id and event are known in dedupe only"},
		{"preset: isikuota\nsecret: k\ndedupe: [ref_id, ts]\n", "3:18: ts is the value of timestamp, and there is none"},
		{"preset: isikuota\nsecret: k\nchallenge: {when: 'true', reply: secret}\n", "3:34: secret can't be used here: it would show in the log"},
		{hmac + ", algorithm: sha265}\n", `unknown algorithm "sha265": did you mean "sha256"?`},
		{hmac + ", encoding: base46}\n", `unknown encoding "base46": did you mean "base64"?`},
		{hmac + ", content: ts + raw}\n", "ts is the value of timestamp, and there is none"},
		{hmac + ", content: 'raw + vars.member'}\n", "vars has no member: write it under vars"},
		{hmac + ", content: 'rew'}\n", `2:68: unknown name rew: did you mean "raw"?`},
		{hmac + ", timestamp: {value: raw, unit: m}}\n", `unknown unit "m": did you mean "s"?`},
		{hmac + ", timestamp: {value: raw, tolerance: 0}}\n", "a timestamp's tolerance must be more than 0, such as 5m"},
		{hmac + ", any_of: [{type: token, signature: raw}]}\n", "2:10: any_of stands alone: write type in each of its checks"},
		{"secret: k\nverify: {type: hnac, signature: raw}\n", `2:16: unknown type "hnac": did you mean "hmac"?`},
		{"secret: k\nverify: {signature: raw}\n", "1:1: a check of the source shop has no type"},
		{"secret: k\nverify: {type: hmac}\n", "2:9: a check of the source shop has no signature: write where it is, such as signature: 'header(\"X-Signature\")'"},
		{"secret: k\nverify: {type: digest, signature: raw}\n", "a digest has no key: its content must hold the secret, such as content: raw + secret"},
		{"secret: k\nverify: {type: basic}\n", "1:9: the secret of the source shop: it must be user:password"},
		{"secret: k\nverify: {type: rsa, signature: raw}\n", "1:9: the secret of the source shop: it must be a public key"},
		{"verify: {type: none}\n", "1:16: the source shop has no signature, so it needs allow_ips: else anyone can send"},
		{"preset: standard-webhooks\nsecret: whsec_!\n", "2:9: the secret of the source shop is not of the form it needs: fromBase64(trimPrefix(secret, \"whsec_\")) makes no key of it"},
		{"preset: iak\nsecret: k\n", "1:9: the preset iak: vars has no username: write it under vars"},
		{"preset: iak\nsecret: k\nvars: {username: u}\n", "1:9: warning: the signature of iak does not cover what happened: who saw one callback can forge the next; set allow_ips"},
	} {
		_, problems := tryParse("shop", tt.in)
		found := false
		for _, p := range problems {
			found = found || strings.Contains(p.String(), tt.want)
		}
		if !found {
			t.Errorf("%s: got\n%v\nwant %s", tt.in, problems, tt.want)
		}
	}
}

func TestAProblemNeverHoldsASecret(t *testing.T) {
	for _, check := range []string{"{type: rsa, signature: raw}", "{type: basic}", "{type: ed25519, signature: raw, key: unhex(secret)}"} {
		_, problems := tryParse("shop", "secret: hunter2hunter2\nverify: "+check+"\n")
		if len(problems) == 0 || strings.Contains(problems.Error(), "hunter2") {
			t.Errorf("%s: %v", check, problems)
		}
	}
}

func TestASecretOfAFileLosesItsLastLineBreak(t *testing.T) {
	file := filepath.Join(t.TempDir(), "secret")
	if err := os.WriteFile(file, []byte("key\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s := parse(t, "shop", "preset: isikuota\nsecret_file: "+file+"\n")
	if got := status(t, s, request("{}", "X-Signature", mac("key", "{}"))); got != 200 {
		t.Errorf("status %d", got)
	}
	_, problems := tryParse("shop", "preset: isikuota\nsecret_file: "+file+".not\n")
	if len(problems.Errors()) == 0 {
		t.Error("a secret file that is not there is no problem")
	}
}

func TestTheUseOfASecretIsKnownAfterAReload(t *testing.T) {
	before := parse(t, "shop", "preset: isikuota\nsecrets: [new, old]\n")
	status(t, before, request("{}", "X-Signature", mac("old", "{}")))
	after := parse(t, "shop", "preset: isikuota\nsecrets: [newest, old]\n")
	after.Succeed(before)
	if used := after.SecretsUsed(); !used[0].IsZero() || !used[1].Equal(trapTime) {
		t.Errorf("used %v", used)
	}
}

func TestASecretThatDidNotDecideIsNotUsed(t *testing.T) {
	s := parse(t, "shop", "secret: key\nallow_ips: [192.0.2.1]\nverify: {any_of: [{type: token, signature: 'header(\"X-T\")'}, {type: none}]}\n")
	if got := status(t, s, request("{}", "X-T", "another")); got != 200 || !s.SecretsUsed()[0].IsZero() {
		t.Errorf("%d, used %v", got, s.SecretsUsed())
	}
}

func TestAKeyMayBeMadeOfTheRequest(t *testing.T) {
	s := parse(t, "shop", "secret: key\nverify: {type: hmac, signature: 'header(\"X-Signature\")', key: 'secret + header(\"X-Day\")'}\n")
	if got := status(t, s, request("{}", "X-Day", "17", "X-Signature", mac("key17", "{}"))); got != 200 {
		t.Errorf("right: %d", got)
	}
	if got := status(t, s, request("{}", "X-Signature", mac("key", "{}"))); got != 401 {
		t.Errorf("without a part of the key: %d", got)
	}
}

// Only the body and what is signed may make two callbacks of one: who replays a
// request under another header or with a query makes no new one.
func TestAReplayUnderOtherHeadersIsTheSameCallback(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecret: key\n")
	body := `{"event":"order.success","data":{"ref_id":"T-1"}}`
	key := func(r source.Request) string {
		v, err := s.Verify(r, trapTime)
		if err != nil {
			t.Fatal(err)
		}
		return strings.Join(v.Key, "|")
	}
	want := key(request(body, "X-Signature", mac("key", body)))
	for _, contentType := range []string{"", "text/plain", "application/x-www-form-urlencoded"} {
		r := request(body, "X-Signature", mac("key", body))
		r.Header.Set("Content-Type", contentType)
		r.URI += "?data=1&data=2&event=x&event=y"
		if got := key(r); got != want {
			t.Errorf("%q: key %s, want %s", contentType, got, want)
		}
	}
}

func TestAFormIsReadAsPHPReadsIt(t *testing.T) {
	s := parse(t, "shop", "preset: token\nsecret: k\nref_id: text(\"data.trxid\")\nevent: form[\"data[status]\"]\ndata: body.data\n")
	v, err := s.Verify(request("data%5Btrxid%5D=T-1&data%5Bstatus%5D=success&items%5B%5D=a&items%5B%5D=b", "X-Callback-Token", "k"), trapTime)
	if err != nil {
		t.Fatal(err)
	}
	c := v.Callback
	data, _ := c.Parsed.Data.(map[string]any)
	items, _ := c.Parsed.Body.(map[string]any)["items"].([]any)
	if c.RefID != "T-1" || c.Event != "success" || data["status"] != "success" || len(items) != 2 || c.Unparsed {
		t.Errorf("%+v, %+v", c, c.Parsed)
	}
}

// What stands twice is never routed by one of its copies, and what is not read
// may stand as often as it likes.
func TestWhatStandsTwiceIsUnparsedWhereItIsRead(t *testing.T) {
	for _, tt := range []struct {
		keys, body string
		unparsed   bool
	}{
		{"", `{"event":"e","data":{"ref_id":"R","sn":1,"sn":2}}`, false},
		{"", `{"event":"e","data":{"ref_id":"R","ref_id":"S"}}`, true},
		{"", `{"event":"e","data":{"ref_id":"R","REF_ID":"S"}}`, true},
		{"", `{"event":"e","data":{"ref_id":"R"},"Data":{}}`, true},
		{"", `{"event":"e","EVENT":"f","data":{"ref_id":"R"}}`, true},
		{"ref_id: text(\"data.ref_id\")\n", `{"event":"e","data":{"ref_id":"R","ref_id":"S"}}`, true},
		{"dedupe: [body.id]\n", `{"event":"e","id":1,"id":2,"data":{"ref_id":"R"}}`, true},
		{"dedupe: ['let b = body; b.id']\n", `{"event":"e","id":1,"data":{"ref_id":"R","x":1,"x":2}}`, true},
		{"dedupe: ['body[\"\\x69d\"]']\n", `{"event":"e","id":1,"id":2,"data":{"ref_id":"R"}}`, true},
		{"dedupe: ['body?.a?.b[0]']\n", `{"event":"e","a":{"b":[1],"b":[2]},"data":{"ref_id":"R"}}`, true},
		{"dedupe: ['body[\"a\"] . b']\n", `{"event":"e","a":{"b":1,"b":2},"data":{"ref_id":"R"}}`, true},
		{"dedupe: ['get(body, \"id\")']\n", `{"event":"e","id":1,"id":2,"data":{"ref_id":"R"}}`, true},
		{"dedupe: ['text(\"a.\" + \"b\")']\n", `{"event":"e","a":{"b":1,"b":2},"data":{"ref_id":"R"}}`, true},
		{"dedupe: ['text(\"list.0.id\")']\n", `{"event":"e","list":[{"id":1,"id":2}],"data":{"ref_id":"R"}}`, true},
		{"dedupe: ['body.id']\n", `{"event":"e","id":1,"other":{"id":1,"id":2},"data":{"ref_id":"R"}}`, false},
		{"ref_id: form.ref\nevent: form.event\n", "ref=R&event=e&sn=1&sn=2", false},
		{"ref_id: form.ref\nevent: form.event\n", "ref=R&event=e&ref=S", true},
		{"ref_id: form.ref\nevent: form.event\n", "ref=R&event=e&Ref=S", true},
		{"ref_id: fromJSON(form.data).id\nevent: '\"e\"'\n", `data=%7B%22id%22%3A1%2C%22id%22%3A2%7D`, true},
		{"ref_id: query.ref\nevent: '\"e\"'\n", `{}`, true},
	} {
		s := parse(t, "shop", "preset: token\nsecret: k\n"+tt.keys)
		r := request(tt.body, "X-Callback-Token", "k")
		r.URI += "?ref=A&ref=B"
		v, err := s.Verify(r, trapTime)
		if err != nil {
			t.Fatal(err)
		}
		if c := v.Callback; c.Unparsed != tt.unparsed || tt.unparsed && (c.RefID != "" || c.Event != "" || c.Parsed.Body != nil || len(v.Key) != 2) {
			t.Errorf("%s%s: unparsed %v, key %q, event %q", tt.keys, tt.body, c.Unparsed, v.Key, c.Event)
		}
	}
}
