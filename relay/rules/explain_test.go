package rules_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/source"
)

const explained = head + `
rules:
  - name: failed
    when: event == "order.failed" and not (data.price < 10000 or data.test)
    to: [ops]
    text: "gagal {{ ref_id }}"
    stop: true
  - {name: broken, when: 1 / data.zero > 1, to: [owner], text: hi}
  - {name: all, to: [legacy]}
`

func TestExplainShowsEachPartOfEachRule(t *testing.T) {
	set := parse(t, explained)
	var out bytes.Buffer
	set.Explain(order("order.failed", "A-1", map[string]any{"price": 5000, "zero": 0})).Text(&out, false)
	want := `fields
  source       isikuota
  event        "order.failed"
  ref_id       "A-1"
  received_at  2026-01-15 12:00:00 +07:00
  data         {"price":5000,"zero":0}
rules
  · failed → ops
      event == "order.failed" and not (data.price < 10000 or data.test)  false
          event == "order.failed"  true
              event  "order.failed"
          not (data.price < 10000 or data.test)  false
              data.price < 10000 or data.test  true
                  data.price < 10000  true
                      data.price  5000
                  data.test  nil
  ! broken → owner
      1 / data.zero > 1  1 / data.zero: division by zero
          1 / data.zero  1 / data.zero: division by zero
              data.zero  0
      when: 1 / data.zero: division by zero
  ✓ all → legacy
      takes every callback
deliveries
  owner (log, rule broken)
      dead letter: when: 1 / data.zero: division by zero
      to log
      | hi
  legacy (log, rule all)
      to log
      | order.failed A-1
`
	if got := out.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	out.Reset()
	set.Explain(order("order.failed", "A-1", map[string]any{"price": 15000})).Text(&out, true)
	for _, want := range []string{"stop: no rule below is tried", "not tried: a rule above stopped", "\x1b[32m✓\x1b[0m"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("no %q in\n%s", want, out.String())
		}
	}
}

func TestExplainARequestFromItsSignatureOn(t *testing.T) {
	set := parse(t, explained)
	src, _ := set.Source("isikuota")
	r := source.Request{Method: http.MethodPost, URI: "/webhook/isikuota", Scheme: "https", Host: "localhost",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"event":"order.failed","data":{"ref_id":"A-1","price":11500}}`)}
	now := time.Now()
	signed, err := src.Sign(r, now)
	if err != nil {
		t.Fatal(err)
	}
	e, err := set.ExplainRequest("isikuota", signed, now)
	if err != nil || !e.Verify.OK || strings.Join(e.Fired(), " ") != "failed" || len(e.Fields.Key) == 0 {
		t.Errorf("signed: %+v, %v", e, err)
	}
	r.Header.Set("X-Signature", strings.Repeat("0", 64))
	e, err = set.ExplainRequest("isikuota", r, now)
	if err != nil || e.Verify.OK || e.Verify.Reason == "" || strings.Join(e.Fired(), " ") != "failed" {
		t.Errorf("with a wrong signature: %+v, %v", e, err)
	}
	var out bytes.Buffer
	e.Text(&out, false)
	text, err := json.Marshal(e)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range []string{out.String(), string(text)} {
		if strings.Contains(s, "isikuota-secret") || !strings.Contains(s, "refused") && !strings.Contains(s, `"ok":false`) {
			t.Errorf("%s", s)
		}
	}
	var again rules.Explanation
	if err := json.Unmarshal(text, &again); err != nil || again.Rules[0].Parts[0].Of == nil {
		t.Errorf("%v: %s", err, text)
	}
	if _, err := set.ExplainRequest("nobody", r, now); err == nil {
		t.Error("there is no source nobody")
	}
}

func TestExplainObeysNothingInAPayload(t *testing.T) {
	set := parse(t, explained)
	var out bytes.Buffer
	set.Explain(order("order.failed\x1b[2J", "A\u202e1\r\n", map[string]any{"price": "\x1b]0;x\a\u0085"})).Text(&out, false)
	for _, r := range "\x1b\a\r\u0085\u202e" {
		if strings.ContainsRune(out.String(), r) {
			t.Errorf("%q is in\n%q", r, out.String())
		}
	}
}
