package rules_test

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
)

func TestANewSetUpIsWithoutFaultAndItsTestsPass(t *testing.T) {
	dir := t.TempDir()
	for _, f := range rules.Start() {
		write(t, filepath.Join(dir, f.Name), string(f.Content))
	}
	path := filepath.Join(dir, "rules.yaml")
	o := rules.Options{Lookup: env, Samples: samples}
	set, problems := rules.Load(path, o)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	defer set.Close()
	tests, problems := set.ReadTests(path, o)
	if len(problems) > 0 || len(tests) != 2 {
		t.Fatalf("%d tests, %v", len(tests), problems)
	}
	if report := set.Run(tests, nil); report.Failed() > 0 || len(report.Unexercised) > 0 {
		report.Text(os.Stdout, false)
		t.Error("its tests fail")
	}
	for _, f := range rules.Start()[:2] {
		if got, err := conf.Format(f.Content); err != nil || !bytes.Equal(got, f.Content) {
			t.Errorf("%s is not formatted: %v", f.Name, err)
		}
	}
}

// What AsTest writes of a callback passes, and fails once the rules are others.
func TestATestWrittenOfACallbackPasses(t *testing.T) {
	const file = head + `
rules:
  - {name: failed, when: event == "order.failed", to: [ops], text: "gagal {{ ref_id }}\n{{ rupiah(data.price) }}"}
  - {name: all, to: [legacy]}
`
	c := order("order.failed", "A-1", nil)
	c.Parsed, c.Body = nil, []byte(`{"event":"order.failed","data":{"ref_id":"A-1","price":100000.00,"note":"a: #b 'c'"}}`)
	text, err := parse(t, file).AsTest(c)
	if err != nil {
		t.Fatal(err)
	}
	set := parse(t, file+string(text))
	if report := set.Run(set.Tests(), nil); report.Failed() > 0 || len(report.Results) != 1 {
		report.Text(os.Stdout, false)
		t.Errorf("of the test\n%s", text)
	}
	other := parse(t, string(bytes.Replace([]byte(file), []byte("gagal"), []byte("failed"), 1))+string(text))
	if report := other.Run(other.Tests(), nil); report.Failed() != 1 {
		t.Error("other words pass the test")
	}
}
