package rules_test

import (
	"bytes"
	"encoding/xml"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/rules"
)

const tested = head + `
rules:
  - {name: failed, when: event == "order.failed" and data.price >= 10000, to: [ops], text: "gagal {{ ref_id }} {{ rupiah(data.price) }}"}
  - {name: broken, when: "data.zero == 0 and 1 / data.zero > 1", to: [owner]}
  - {name: never, when: event == "order.gone", to: [owner]}
  - {name: all, to: [legacy]}
`

func TestATestSaysWhatIsOtherwiseAndWhy(t *testing.T) {
	for _, tt := range []struct{ name, test, want string }{
		{"all is well", `{name: a, body: {event: order.failed, data: {ref_id: A, price: 11500}}, expect: {rules: [failed, all], sinks: [legacy, ops], unmatched: false, text: {ops: {contains: [gagal, Rp11.500], lacks: sukses}, legacy: {equals: order.failed A}}}}`, ""},
		{"a rule did not match", `{name: a, body: {event: order.failed, data: {ref_id: A, price: 1500}}, expect: {rules: [failed, all]}}`,
			"rule failed did not match:\n    data.price >= 10000 is false, with data.price = 1500"},
		{"a rule matched", `{name: a, body: {event: order.failed, data: {ref_id: A, price: 11500}}, expect: {rules: [all]}}`,
			"rule failed matched:\n    event == \"order.failed\" is true, with event = \"order.failed\"\n    data.price >= 10000 is true, with data.price = 11500"},
		{"the order is another", `{name: a, body: {event: order.failed, data: {ref_id: A, price: 11500}}, expect: {rules: [all, failed]}}`,
			"the rules matched in the order failed and all"},
		{"a rule fails", `{name: a, body: {event: x, data: {zero: 0}}, expect: {rules: [all]}}`, "rule broken failed: when: 1 / data.zero: division by zero"},
		{"a sink gets nothing", `{name: a, body: {event: x}, expect: {sinks: [ops, legacy]}}`, "sink ops gets nothing"},
		{"a sink gets something", `{name: a, body: {event: x}, expect: {sinks: []}}`, "sink legacy gets something, by rule all"},
		{"it is not unmatched", `{name: a, body: {event: x}, expect: {unmatched: true}}`, "unmatched is false, not true: all matched"},
		{"a text lacks a part", `{name: a, body: {event: order.failed, data: {ref_id: A, price: 11500}}, expect: {text: {ops: Rp12.000}}}`,
			"the text for ops lacks \"Rp12.000\"; it is\n    | gagal A Rp11.500"},
		{"a text has a part", `{name: a, body: {event: order.failed, data: {ref_id: A, price: 11500}}, expect: {text: {ops: {lacks: gagal}}}}`,
			"the text for ops has \"gagal\"; it is\n    | gagal A Rp11.500"},
		{"a text is another", `{name: a, body: {event: order.failed, data: {ref_id: A, price: 11500}}, expect: {text: {ops: {equals: x}}}}`,
			"the text for ops is not\n    | x\nit is\n    | gagal A Rp11.500"},
		{"there is no text", `{name: a, body: {event: x}, expect: {text: {ops: x}}}`, "sink ops gets nothing, so there is no text"},
		{"a text that is no JSON", `{name: a, body: "not json", expect: {rules: [all]}}`, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set := parse(t, tested+"tests:\n  - "+tt.test+"\n")
			r := set.Run(set.Tests(), nil)
			if got := strings.Join(r.Results[0].Differences, "\n"); got != tt.want {
				t.Errorf("got\n%s\nwant\n%s", got, tt.want)
			}
		})
	}
}

func TestAReportNamesRulesThatNoTestReaches(t *testing.T) {
	set := parse(t, tested+`
tests:
  - {name: one, body: {event: order.failed, data: {ref_id: A, price: 11500}}, expect: {rules: [failed, all]}}
  - {name: two, body: {event: order.failed, data: {ref_id: A, price: 11500}}, expect: {rules: [all]}}
`)
	r := set.Run(set.Tests(), nil)
	var out bytes.Buffer
	r.Text(&out, false)
	want := `ok   one
FAIL two (rules.yaml:18)
     rule failed matched:
         event == "order.failed" is true, with event = "order.failed"
         data.price >= 10000 is true, with data.price = 11500
no test for: broken and never
2 tests, 1 failed
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	if some := set.Run(set.Tests(), regexp.MustCompile("^one")); len(some.Results) != 1 || some.Failed() != 0 || some.Unexercised != nil {
		t.Errorf("%+v", some)
	}
}

func TestAReportIsJUnitForBuildServers(t *testing.T) {
	set := parse(t, tested+"tests:\n  - {name: a <b>, body: {event: x}, expect: {unmatched: true}}\n")
	var out bytes.Buffer
	if err := set.Run(set.Tests(), nil).JUnit(&out); err != nil {
		t.Fatal(err)
	}
	var suite struct {
		Tests    int `xml:"tests,attr"`
		Failures int `xml:"failures,attr"`
		Case     []struct {
			Name    string `xml:"name,attr"`
			Failure struct {
				Message string `xml:"message,attr"`
			} `xml:"failure"`
		} `xml:"testcase"`
	}
	if err := xml.Unmarshal(out.Bytes(), &suite); err != nil || suite.Tests != 1 || suite.Failures != 1 || suite.Case[0].Name != "a <b>" ||
		suite.Case[0].Failure.Message != "unmatched is false, not true: all matched" {
		t.Errorf("%v\n%s", err, out.String())
	}
}

func TestTestsBesideTheFileAreReadToo(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "rules.yaml")
	write(t, path, tested)
	write(t, filepath.Join(dir, "a_test.yaml"), "tests:\n  - {name: a, body: {event: x}, expect: {rules: [all]}}\n")
	write(t, filepath.Join(dir, "b_test.yaml"), "tests:\n  - {name: b, body: {event: x}, expect: {rules: [al]}}\n  - {name: b, body: {event: x}, expect: {sinks: []}}\n")
	o := rules.Options{Lookup: env}
	set, problems := rules.Load(path, o)
	if set == nil {
		t.Fatal(problems)
	}
	defer set.Close()
	tests, problems := set.ReadTests(path, o)
	want := filepath.Join(dir, "b_test.yaml") + `:2:50: unknown rule "al": did you mean "all"?
` + filepath.Join(dir, "b_test.yaml") + `:3:12: two tests are called "b"`
	if problems.Error() != want || len(tests) != 3 || tests[0].File != filepath.Join(dir, "a_test.yaml") {
		t.Errorf("%d tests, got\n%v\nwant\n%s", len(tests), problems, want)
	}
}
