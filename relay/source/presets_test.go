package source_test

import (
	"crypto/hmac"
	"crypto/md5"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"hash"
	"strings"
	"testing"
)

func hexOf(h hash.Hash, text string) string {
	h.Write([]byte(text))
	return hex.EncodeToString(h.Sum(nil))
}

func base64Of(h hash.Hash, text string) string {
	h.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(h.Sum(nil))
}

// presetSecret is the secret of presets in tests, where nothing else is due.
const presetSecret = "secret-0123456789abcdef"

const (
	mootaBody = `[{"mutation_id":"m-1","amount":50123}]`
	metaBody  = `{"object":"whatsapp_business_account","entry":[{"id":"e-1","changes":[{"field":"messages","value":{"messages":[{"id":"wamid.1"}]}}]}]}`
)

func keyed() hash.Hash { return hmac.New(sha256.New, []byte(presetSecret)) }

// The presets that no published vector is about, signed here by what their
// providers' pages say and by nothing of this package: what is accepted, what
// the rules see of it, and what the dedupe key is made of. With another byte in
// what is signed it is refused.
func TestPresetsWithoutAVectorCheckWhatTheirProvidersSign(t *testing.T) {
	for preset, tt := range map[string]struct {
		body    string // %s is the signature
		signed  string // a part of the body that the signature covers
		headers []string
		sign    func(body string) string
		header  string // where the signature goes; "" is the body
		want    string // event, ref_id and dedupe key
	}{
		"midtrans-iris": {body: `{"reference_no":"P-1","status":"completed","amount":"100000.00"}`, signed: "100000.00",
			sign: func(b string) string { return hexOf(sha512.New(), b+presetSecret) }, header: "Iris-Signature",
			want: "payout.completed P-1 [P-1 completed]"},
		"doku": {body: `{"order":{"invoice_number":"INV-1"},"transaction":{"status":"SUCCESS"}}`, signed: "SUCCESS",
			headers: []string{"Client-Id", "MCH-1", "Request-Id", "req-1", "Request-Timestamp", "2026-01-15T07:30:00Z"},
			sign: func(b string) string {
				return "HMACSHA256=" + base64Of(keyed(), "Client-Id:MCH-1\nRequest-Id:req-1\nRequest-Timestamp:2026-01-15T07:30:00Z\nRequest-Target:/webhook/shop\nDigest:"+base64Of(sha256.New(), b))
			}, header: "Signature", want: "payment.success INV-1 [req-1]"},
		"apigames": {body: `{"merchant_id":"M-1","trx_id":"T-1","ref_id":"A-1","status":"Sukses"}`, signed: "A-1",
			sign: func(string) string { return hexOf(md5.New(), "M-1:"+presetSecret+":A-1") }, header: "X-Apigames-Authorization",
			want: "transaction.sukses A-1 [T-1 transaction.sukses]"},
		"iak": {body: `{"data":{"ref_id":"A-1","status":"1","message":"SUCCESS","sign":"%s"}}`, signed: "A-1",
			sign: func(string) string { return hexOf(md5.New(), "user"+presetSecret+"A-1") },
			want: "transaction.success A-1 [A-1 1]"},
		"moota": {body: mootaBody, signed: "50123",
			sign: func(b string) string { return hexOf(keyed(), b) }, header: "Signature",
			want: "mutation.received m-1 [" + hexOf(sha256.New(), mootaBody) + "]"},
		"gitea": {body: `{"ref":"refs/heads/main"}`, signed: "main", headers: []string{"X-Gitea-Event", "push", "X-Gitea-Delivery", "d-1"},
			sign: func(b string) string { return hexOf(keyed(), b) }, header: "X-Gitea-Signature", want: "push d-1 [d-1]"},
		"meta": {body: metaBody, signed: "wamid.1",
			sign: func(b string) string { return "sha256=" + hexOf(keyed(), b) }, header: "X-Hub-Signature-256",
			want: "whatsapp_business_account.messages wamid.1 [" + hexOf(sha256.New(), metaBody) + "]"},
		"zoom": {body: `{"event":"meeting.ended","event_ts":7,"payload":{"object":{"uuid":"u-1"}}}`, signed: "ended",
			headers: []string{"x-zm-request-timestamp", "1736926200"},
			sign:    func(b string) string { return "v0=" + hexOf(keyed(), "v0:1736926200:"+b) }, header: "x-zm-signature",
			want: "meeting.ended u-1 [meeting.ended 7 u-1]"},
		"square": {body: `{"type":"payment.updated","event_id":"ev-1","data":{"id":"pay-1"}}`, signed: "pay-1",
			sign: func(b string) string { return base64Of(keyed(), "https://relay.example.com/webhook/shop"+b) }, header: "x-square-hmacsha256-signature",
			want: "payment.updated pay-1 [ev-1]"},
		"paddle": {body: `{"event_type":"transaction.completed","event_id":"evt-1","data":{"id":"txn-1"}}`, signed: "txn-1",
			sign: func(b string) string { return "ts=1736926200;h1=" + hexOf(keyed(), "1736926200:"+b) }, header: "Paddle-Signature",
			want: "transaction.completed txn-1 [evt-1]"},
	} {
		s := presetSource(t, preset)
		body, headers := tt.body, tt.headers
		if tt.header == "" {
			body = fmt.Sprintf(tt.body, tt.sign(tt.body))
		} else {
			headers = append(headers, tt.header, tt.sign(tt.body))
		}
		v, err := s.Verify(request(body, headers...), trapTime)
		if err != nil {
			t.Errorf("%s: %v", preset, err)
			continue
		}
		if got := fmt.Sprintf("%s %s %v", v.Callback.Event, v.Callback.RefID, []string(v.Key[1:])); got != tt.want {
			t.Errorf("%s: %s, want %s", preset, got, tt.want)
		}
		if forged := strings.Replace(body, tt.signed, "x"+tt.signed, 1); status(t, s, request(forged, headers...)) != 401 {
			t.Errorf("%s: accepted with %q changed", preset, tt.signed)
		}
	}
}
