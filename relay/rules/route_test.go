package rules_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
)

// env is the environment that the files of these tests see.
func env(name string) (string, bool) {
	v, ok := map[string]string{"ISIKUOTA_SECRET_KEY": "isikuota-secret", "EMPTY": ""}[name]
	return v, ok
}

// head begins every file here: one source, and sinks that need no address.
const head = `
timezone: Asia/Jakarta
sources:
  isikuota: {preset: isikuota, secret: "${ISIKUOTA_SECRET_KEY}"}
sinks:
  ops: {log: {}}
  owner: {log: {}}
  legacy: {log: {}}
`

// parse reads a file that must be without errors.
func parse(t testing.TB, src string) *rules.Set {
	t.Helper()
	set, problems := rules.Parse("rules.yaml", []byte(src), rules.Options{Lookup: env})
	if set == nil {
		t.Fatalf("refused:\n%v", problems)
	}
	t.Cleanup(set.Close)
	return set
}

// order is a callback of an order, at noon in Jakarta.
func order(event, ref string, data map[string]any) relay.Callback {
	return relay.Callback{Source: "isikuota", Event: event, RefID: ref, Method: http.MethodPost,
		ReceivedAt: time.Date(2026, 1, 15, 12, 0, 0, 0, time.FixedZone("WIB", 7*3600)),
		Parsed:     &relay.Parsed{Data: data, Body: map[string]any{"event": event, "data": data}}}
}

// brief writes targets as "rule>sink", with ! for a dead one, + for a fallback.
func brief(ts []relay.Target) string {
	var parts []string
	for _, t := range ts {
		s := t.Rule + ">" + t.Sink
		if t.Error != "" {
			s += "!"
		}
		if t.Fallback != "" {
			s += "+" + t.Fallback
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, " ")
}

func TestEveryMatchingRuleFiresInOrder(t *testing.T) {
	set := parse(t, head+`
rules:
  - {name: failed, when: event == "order.failed", to: [ops, owner], text: "gagal {{ ref_id }}"}
  - {name: big, when: data.price >= 10000, to: [ops], text: "besar {{ ref_id }}"}
  - {name: drop, when: ref_id startsWith "TEST-", stop: true}
  - {name: all, to: legacy}
`)
	for _, tt := range []struct {
		name      string
		c         relay.Callback
		want      string
		unmatched bool
	}{
		{"one rule, two sinks", order("order.failed", "A", map[string]any{"price": 5}), "failed>ops failed>owner all>legacy", false},
		{"all that match", order("order.failed", "A", map[string]any{"price": 20000}), "failed>ops failed>owner big>ops all>legacy", false},
		{"a missing field is not more than a number", order("order.success", "A", nil), "all>legacy", false},
		{"stop ends it, and takes the callback", order("order.success", "TEST-1", nil), "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			targets, unmatched := set.Route(tt.c)
			if got := brief(targets); got != tt.want || unmatched != tt.unmatched {
				t.Errorf("got %q, unmatched %v; want %q, %v", got, unmatched, tt.want, tt.unmatched)
			}
		})
	}
}

func TestASinkGetsTheSameWordsOnce(t *testing.T) {
	set := parse(t, head+`
rules:
  - {name: a, to: [ops, ops], text: "{{ ref_id }}"}
  - {name: b, to: [ops], text: "{{ ref_id }}"}
  - {name: c, to: [ops, owner], text: "{{ ref_id }}!"}
`)
	targets, _ := set.Route(order("order.success", "A", nil))
	if got := brief(targets); got != "a>ops c>ops c>owner" {
		t.Error(got)
	}
}

func TestWhatNoRuleTakesIsUnmatched(t *testing.T) {
	const rule = "rules:\n  - {name: failed, when: event == 'order.failed', to: [ops]}\n"
	for in, want := range map[string]string{
		rule:                            "",
		rule + "unmatched: log\n":       "",
		rule + "unmatched: owner\n":     "unmatched>owner",
		"unmatched: owner\nrules: []\n": "unmatched>owner",
		"rules: []\n":                   "",
	} {
		targets, unmatched := parse(t, head+in).Route(order("order.success", "A", nil))
		if got := brief(targets); got != want || !unmatched {
			t.Errorf("%s: got %q, unmatched %v; want %q", in, got, unmatched, want)
		}
	}
}

func TestARuleThatFailsIsADeadDeliveryAndOthersFire(t *testing.T) {
	set := parse(t, strings.Replace(head, "ops: {log: {}}", "ops: {log: {}, fallback: owner}", 1)+`
rules:
  - {name: condition, when: "1 / data.zero > 1", to: [ops], text: "x {{ ref_id }}"}
  - {name: text, to: [ops], text: "{{ 1 / data.zero }}"}
  - {name: silent, when: "1 / data.zero > 1", stop: true}
  - {name: all, to: [legacy]}
`)
	targets, unmatched := set.Route(order("order.success", "A", map[string]any{"zero": 0}))
	want := "condition>ops! condition>owner+ops text>ops! text>owner+ops silent>! all>legacy"
	if got := brief(targets); got != want || unmatched {
		t.Errorf("got %q, unmatched %v; want %q", got, unmatched, want)
	}
	for _, dead := range []relay.Target{targets[0], targets[2]} {
		if dead.Payload == nil || !strings.Contains(dead.Error, "zero") {
			t.Errorf("%s: payload %q, error %q", dead.Rule, dead.Payload, dead.Error)
		}
	}
}

func TestOneOrderIsOneLane(t *testing.T) {
	set := parse(t, strings.Replace(head, "owner: {log: {}}", "owner: {log: {}, ordered: false}", 1)+`
rules:
  - {name: all, to: [ops, owner]}
`)
	long := strings.Repeat("9", 10_000)
	for ref, want := range map[string]string{"A": "isikuota/A", "": "", long: "isikuota/sha256:"} {
		targets, _ := set.Route(order("order.success", ref, nil))
		if got := targets[0].Lane; !strings.HasPrefix(got, want) || (want == "") != (got == "") || len(got) > 200 {
			t.Errorf("ref_id %.10q: lane %q", ref, got)
		}
		if targets[1].Lane != "" {
			t.Errorf("ref_id %.10q: an unordered sink has lane %q", ref, targets[1].Lane)
		}
		if later, _ := set.Route(order("order.sn_received", ref, nil)); later[0].Lane != targets[0].Lane {
			t.Errorf("ref_id %.10q: a later event has lane %q, not %q", ref, later[0].Lane, targets[0].Lane)
		}
	}
}

func TestQuietHoursHoldUntilTheyEnd(t *testing.T) {
	set := parse(t, strings.NewReplacer(
		"ops: {log: {}}", `ops: {log: {}, quiet: {from: "22:00", to: "06:00", mode: hold}}`,
		"owner: {log: {}}", `owner: {log: {}, quiet: {from: 12:00, to: 13:30, mode: hold}}`).Replace(head)+`
rules:
  - {name: calm, to: [ops, owner]}
  - {name: urgent, to: [ops, owner], urgent: true, text: now}
`)
	for _, tt := range []struct{ at, ops, owner string }{
		{"2026-01-15 21:59", "", ""},
		{"2026-01-15 22:00", "2026-01-16 06:00", ""},
		{"2026-01-15 05:59", "2026-01-15 06:00", ""},
		{"2026-01-15 06:00", "", ""},
		{"2026-01-15 12:00", "", "2026-01-15 13:30"},
		{"2026-01-31 23:00", "2026-02-01 06:00", ""},
	} {
		c := order("order.success", "A", nil)
		c.ReceivedAt, _ = time.ParseInLocation("2006-01-02 15:04", tt.at, set.Location())
		c.ReceivedAt = c.ReceivedAt.UTC()
		targets, _ := set.Route(c)
		for i, want := range []string{tt.ops, tt.owner, "", ""} {
			got := ""
			if nb := targets[i].NotBefore; !nb.IsZero() {
				got = nb.In(set.Location()).Format("2006-01-02 15:04")
			}
			if got != want {
				t.Errorf("%s: %s to %s: not before %q, want %q", tt.at, targets[i].Rule, targets[i].Sink, got, want)
			}
		}
		if passes := targets[0].Lane != targets[2].Lane; passes != (tt.ops != "") || targets[2].Lane == "" {
			t.Errorf("%s: what is urgent has the lane %q, what is not %q", tt.at, targets[2].Lane, targets[0].Lane)
		}
	}
}

// What is held rings when its time has come; what goes at once in quiet hours
// does not, unless it is urgent.
func TestQuietHoursKeepASinkFromRinging(t *testing.T) {
	for mode, want := range map[string]string{
		"hold":   "held ringing, now ringing",
		"silent": "now silent, now ringing",
	} {
		set := parse(t, strings.Replace(head, "ops: {log: {}}", `ops: {telegram: {token: a, chat: 7}, quiet: {from: "22:00", to: "06:00", mode: `+mode+`}}`, 1)+`
rules:
  - {name: calm, to: [ops], text: pelan}
  - {name: urgent, to: [ops], urgent: true, text: cepat}
`)
		c := order("order.failed", "A", nil)
		c.ReceivedAt = time.Date(2026, 1, 15, 23, 0, 0, 0, set.Location())
		targets, _ := set.Route(c)
		var got []string
		for _, tgt := range targets {
			when, how := "now", "ringing"
			if !tgt.NotBefore.IsZero() {
				when = "held"
			}
			if strings.Contains(string(tgt.Payload), `"silent":true`) {
				how = "silent"
			}
			got = append(got, when+" "+how)
		}
		if strings.Join(got, ", ") != want {
			t.Errorf("%s: %q, want %q", mode, got, want)
		}
	}
}

// If an urgent rule says the same as one that is held, it is not held.
func TestTheSameWordsAreUrgentIfOneRuleIs(t *testing.T) {
	for _, ranked := range []string{"calm, urgent", "urgent, calm"} {
		rules := map[string]string{"calm": "\n  - {name: calm, to: [ops]}", "urgent": "\n  - {name: urgent, to: [ops], urgent: true}"}
		first, second, _ := strings.Cut(ranked, ", ")
		set := parse(t, strings.Replace(head, "ops: {log: {}}", `ops: {log: {}, quiet: {from: "22:00", to: "06:00", mode: hold}}`, 1)+"rules:"+rules[first]+rules[second]+"\n")
		c := order("order.failed", "A", nil)
		c.ReceivedAt = time.Date(2026, 1, 15, 23, 0, 0, 0, set.Location())
		targets, _ := set.Route(c)
		if len(targets) != 1 || !targets[0].NotBefore.IsZero() || !strings.HasPrefix(targets[0].Lane, "!") {
			t.Errorf("%s: %+v", ranked, targets)
		}
	}
}

func TestADeadLetterGoesToTheFallback(t *testing.T) {
	set := parse(t, strings.NewReplacer("ops: {log: {}}", "ops: {log: {}, fallback: owner}",
		"owner: {log: {}}", "owner: {log: {}, fallback: legacy}").Replace(head)+`
rules:
  - {name: failed, to: [ops], text: "gagal {{ ref_id }}"}
`)
	c := order("order.failed", "A", nil)
	targets, _ := set.Route(c)
	f, ok := set.Fallback(c, relay.Delivery{Target: targets[0], Error: "chat not found"})
	if !ok || f.Sink != "owner" || f.Fallback != "ops" || f.Rule != "failed" || f.Lane != "isikuota/A" {
		t.Fatalf("got %+v, %v", f, ok)
	}
	for _, word := range []string{"gagal A", "ops", "chat not found"} {
		if !strings.Contains(string(f.Payload), word) {
			t.Errorf("%s: no %q", f.Payload, word)
		}
	}
	next, ok := set.Fallback(c, relay.Delivery{Target: f, Error: "no mailbox"})
	if !ok || next.Sink != "legacy" || next.Fallback != "owner" {
		t.Errorf("got %+v, %v", next, ok)
	}
	for _, word := range []string{"gagal A", "owner", "no mailbox"} {
		if !strings.Contains(string(next.Payload), word) {
			t.Errorf("after two sinks: %s: no %q", next.Payload, word)
		}
	}
	if _, ok := set.Fallback(c, relay.Delivery{Target: next}); ok {
		t.Error("legacy has no fallback")
	}
	if f, ok := set.Fallback(c, relay.Delivery{Target: relay.Target{Rule: "gone", Sink: "ops"}}); !ok || f.Payload == nil {
		t.Errorf("of a rule that is gone: %+v, %v", f, ok)
	}
}

// What every sink and source may be asked about, in one look at the example.
func TestASetTellsItsContents(t *testing.T) {
	set := parse(t, head+`
rules:
  - {name: a, to: [ops]}
  - {name: b, to: [owner]}
log: {keep: 1w, prune: "0 4 * * *"}
`)
	got := fmt.Sprintln(set.Rules(), set.SinkNames(), set.Log(), set.Location(), len(set.Sources()), set.Kind("ops"), set.Kind("x"))
	want := fmt.Sprintln([]string{"a", "b"}, []string{"ops", "owner", "legacy"},
		rules.Log{Keep: 168 * time.Hour, KeepKeys: 400 * 24 * time.Hour, Prune: "0 4 * * *"}, "Asia/Jakarta", 1, "log", "")
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d, ok := set.Destination("ops")
	if !ok || d.Timeout != 15*time.Second || d.Concurrency != relay.DefaultConcurrency || len(d.Retry) != 9 {
		t.Errorf("%+v, %v", d, ok)
	}
	if _, ok := set.Destination("none"); ok {
		t.Error("there is no sink none")
	}
}

var _ interface {
	relay.Router
	relay.Destinations
} = (*rules.Set)(nil)

func TestAConditionIsFalseBeforeItFails(t *testing.T) {
	set := parse(t, head+`
rules:
  - {name: other-event, when: event == "x" and 1 / data.zero > 1, to: [ops]}
  - {name: other-source, when: source == "x" and event == "order.failed", to: [ops]}
  - {name: no-event, when: event == "", to: [ops]}
  - {name: this, when: event == "order.failed" and source == "isikuota", to: [owner]}
  - {name: either, when: event == "x" or ref_id == "A", to: [legacy]}
`)
	targets, _ := set.Route(order("order.failed", "A", map[string]any{"zero": 0}))
	if got := brief(targets); got != "this>owner either>legacy" {
		t.Error(got)
	}
}
