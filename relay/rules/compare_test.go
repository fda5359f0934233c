package rules_test

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
)

// raw is a stored callback: its payload was not read yet.
func raw(event, ref string, price int) relay.Callback {
	c := order("", "", nil)
	c.Event, c.RefID, c.Parsed = event, ref, nil
	c.Body = fmt.Appendf(nil, `{"event":%q,"data":{"ref_id":%q,"price":%d}}`, event, ref, price)
	return c
}

func TestCompareSaysWhatEachSinkGainsAndLoses(t *testing.T) {
	before := parse(t, head+`
rules:
  - {name: failed, when: event == "order.failed", to: [ops], text: "gagal {{ ref_id }}"}
  - {name: all, to: [legacy]}
`)
	after := parse(t, head+`
rules:
  - {name: failed, when: event == "order.failed" and data.price >= 10000, to: [ops], text: "GAGAL {{ ref_id }}"}
  - {name: owner, when: data.price > 100000, to: [owner], text: "besar {{ ref_id }}"}
  - {name: broken, when: event == "order.success", to: [legacy], text: "{{ 1 / data.zero }}"}
  - {name: all, when: event != "order.success", to: [legacy]}
`)
	var all []relay.Callback
	for i := range 10 {
		all = append(all, raw("order.failed", fmt.Sprintf("F-%d", i), 5000*(i+1)))
	}
	all = append(all, raw("order.success", "S-1", 200_000))
	c := rules.Compare(before, after, slices.Values(all))
	got := fmt.Sprint(c.Callbacks, c.Changed)
	for _, s := range c.Sinks {
		got += fmt.Sprintf(" %s +%d -%d ~%d !%d (%d)", s.Sink, s.Gains, s.Loses, s.Rewords, s.Fails, len(s.Examples))
	}
	if want := "11 11 ops +0 -1 ~9 !0 (4) owner +1 -0 ~0 !0 (1) legacy +0 -0 ~0 !1 (1)"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	var text bytes.Buffer
	c.Text(&text, false)
	for _, want := range []string{"loses    1", "rewords  9", "- gagal F-1", "+ GAGAL F-1", "gains    1", "+ besar S-1", "11 callbacks, 11 of them otherwise"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("no %q in\n%s", want, text.String())
		}
	}
	if same := rules.Compare(before, before, slices.Values(all)); same.Changed != 0 || len(same.Sinks) != 0 {
		t.Errorf("the same rules differ: %+v", same)
	}
}
