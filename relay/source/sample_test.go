package source_test

import (
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/testdata"
)

// presetSource is a source of a preset with a secret that suits it.
func presetSource(t testing.TB, preset string) *source.Source {
	t.Helper()
	return parse(t, "shop", "preset: "+preset+"\nsecret: "+secretFor(preset)+
		"\nvars: {member: M001, username: user, api_id: A1, verify_token: v}\n")
}

func secretFor(preset string) string {
	if preset == "standard-webhooks" || preset == "svix" {
		return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	}
	return presetSecret
}

func sampleRequest(s testdata.Sample) source.Request {
	return source.Request{Method: "POST", URI: "/webhook/shop", Host: "relay.example.com", Scheme: "https",
		Header: s.Header.Clone(), Body: s.Body, Remote: netip.MustParseAddr("192.0.2.1")}
}

func TestEverySampleIsSignedAsItsPresetVerifiesIt(t *testing.T) {
	now := time.Unix(1736926200, 0)
	presets := map[string]bool{}
	for _, sample := range testdata.Samples() {
		presets[sample.Preset] = true
		s := presetSource(t, sample.Preset)
		r, err := s.Sign(sampleRequest(sample), now)
		if err != nil {
			t.Errorf("%s %s: %v", sample.Preset, sample.Event, err)
			continue
		}
		v, err := s.Verify(r, now)
		if err != nil {
			t.Errorf("%s %s: signed, and refused: %v", sample.Preset, sample.Event, err)
			continue
		}
		if c := v.Callback; c.Unparsed || c.RefID == "" || !strings.EqualFold(c.Event, sample.Event) && !strings.HasPrefix(sample.Preset, "xendit") {
			t.Errorf("%s %s: event %q, ref_id %q, unparsed %v", sample.Preset, sample.Event, c.Event, c.RefID, c.Unparsed)
		}
		flip(&r)
		if _, err := s.Verify(r, now); err == nil && coversBody[sample.Preset] {
			t.Errorf("%s %s: accepted with a flipped byte", sample.Preset, sample.Event)
		}
	}
	if len(presets) < 9 {
		t.Errorf("samples of %d presets only", len(presets))
	}
}

// coversBody are the presets whose signature covers every byte of the body.
var coversBody = map[string]bool{"isikuota": true, "digiflazz": true, "tripay": true, "doku": true, "moota": true,
	"github": true, "stripe": true, "standard-webhooks": true, "hmac-sha256": true}

func flip(r *source.Request) {
	body := append([]byte(nil), r.Body...)
	body[len(body)/2] ^= 1
	r.Body = body
}

func TestPresetsLoadAndSayWhatTheyCheck(t *testing.T) {
	for _, p := range source.Presets() {
		secret := secretFor(p.Name)
		switch p.Name {
		case "snap-bi", "sendgrid", "discord":
			continue // their secret is a public key: see the vectors and the tests of keys
		}
		s := parse(t, "shop", "preset: "+p.Name+"\nsecret: "+secret+"\nvars: {member: m, username: u, api_id: a, verify_token: v}\n")
		if len(s.Checks()) == 0 || s.Preset() != p.Name {
			t.Errorf("%s: checks %q", p.Name, s.Checks())
		}
	}
}

func TestAPresetThatNeedsAConstantSaysSo(t *testing.T) {
	_, problems := tryParse("shop", "preset: tokovoucher\nsecret: x\n")
	if len(problems.Errors()) != 1 || !strings.Contains(problems.Error(), "member") {
		t.Errorf("problems %v", problems)
	}
}

func TestAKeyBesideAPresetReplacesThatKeyWhole(t *testing.T) {
	s := parse(t, "shop", "preset: isikuota\nsecret: k\nverify: {type: token, signature: 'header(\"X-Callback-Token\")'}\nevent: '\"fixed\"'\n")
	v, err := s.Verify(source.Request{Method: "POST", Header: http.Header{"X-Callback-Token": {"k"}},
		Body: []byte(`{"event":"e","data":{"ref_id":"R"}}`)}, time.Now())
	if err != nil || v.Callback.Event != "fixed" || v.Callback.RefID != "R" {
		t.Errorf("%v, %+v", err, v.Callback)
	}
}
