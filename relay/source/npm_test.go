package source_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/internal/npm"
	"github.com/kurir-relay/kurir/relay/source"
)

// signers are the providers' own libraries, as they are published.
var signers = []string{"stripe@23.1.0", "@octokit/webhooks-methods@6.0.0", "standardwebhooks@1.1.1", "twilio@6.2.0"}

// signScript signs one body in each way, with the libraries themselves.
const signScript = `
import Stripe from "stripe";
import { sign } from "@octokit/webhooks-methods";
import { Webhook } from "standardwebhooks";
import twilio from "twilio";

const { body, secret, whsec, now, url, form } = JSON.parse(process.argv[2]);
const at = new Date(now * 1000);
console.log(JSON.stringify({
  stripe: { "Stripe-Signature": Stripe.webhooks.generateTestHeaderString({ payload: body, secret, timestamp: now }) },
  github: { "X-Hub-Signature-256": await sign(secret, body), "X-GitHub-Event": "push", "X-GitHub-Delivery": "d-1" },
  "standard-webhooks": { "webhook-id": "msg_1", "webhook-timestamp": String(now), "webhook-signature": new Webhook(whsec).sign("msg_1", at, body) },
  twilio: { "X-Twilio-Signature": twilio.getExpectedTwilioSignature(secret, url, form) },
}));
`

// What the providers' own libraries sign is accepted, and with one byte flipped
// it is refused.
func TestTheProvidersOwnLibrariesSignWhatIsAccepted(t *testing.T) {
	folder := npm.Folder(t, signers...)
	now := time.Now().Truncate(time.Second)
	const body = "{\"id\": \"evt_1\",\"note\":\"caf\u00e9 \\/ \\u2013 100000.00\"}\n"
	form := map[string]string{"MessageSid": "SM1", "MessageStatus": "delivered", "To": "+62 812", "Body": "a&b=c é"}
	url := "https://relay.example.com/webhook/twilio?shop=1"
	headers := signed(t, folder, map[string]any{"body": body, "secret": secretFor("stripe"), "whsec": secretFor("standard-webhooks"),
		"now": now.Unix(), "url": url, "form": form})
	for preset, header := range headers {
		r := request(body)
		r.Header = http.Header{}
		if preset == "twilio" {
			r = request(encoded(form))
			r.URI, r.Header = "/webhook/twilio?shop=1", http.Header{"Content-Type": {"application/x-www-form-urlencoded"}}
		}
		for name, value := range header {
			r.Header.Set(name, value)
		}
		s := presetSource(t, preset)
		if _, err := s.Verify(r, now); err != nil {
			t.Errorf("%s: what the library signs is refused: %v\n%+v", preset, err, s.Inspect(r, now))
		}
		for i := range r.Body {
			if flipped := flippedAt(r, i); !refuses(s, flipped, now) {
				t.Errorf("%s: accepted with byte %d flipped: %q", preset, i, flipped.Body)
			}
		}
	}
	if len(headers) != len(signers) {
		t.Errorf("%d libraries have signed", len(headers))
	}
}

func flippedAt(r source.Request, i int) source.Request {
	r.Body = slices.Clone(r.Body)
	r.Body[i] ^= 1
	return r
}

func refuses(s *source.Source, r source.Request, now time.Time) bool {
	_, err := s.Verify(r, now)
	return err != nil
}

func encoded(form map[string]string) string {
	var pairs []string
	for name, value := range form {
		pairs = append(pairs, name+"="+strings.NewReplacer("+", "%2B", " ", "+", "&", "%26", "=", "%3D", "é", "%C3%A9").Replace(value))
	}
	slices.Sort(pairs)
	return strings.Join(pairs, "&")
}

// signed runs the libraries, and gives the headers of each preset.
func signed(t *testing.T, folder string, input any) (headers map[string]map[string]string) {
	t.Helper()
	script := filepath.Join(folder, fmt.Sprintf("sign-%d.mjs", os.Getpid()))
	if err := os.WriteFile(script, []byte(signScript), 0o600); err != nil {
		t.Fatal(err)
	}
	defer os.Remove(script)
	text, _ := json.Marshal(input)
	out, err := exec.Command("node", script, string(text)).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, stderr(err))
	}
	if err := json.Unmarshal(out, &headers); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return headers
}

func stderr(err error) []byte {
	if e, ok := err.(*exec.ExitError); ok {
		return e.Stderr
	}
	return nil
}
