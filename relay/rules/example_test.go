package rules_test

import (
	"os"
	"testing"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
)

func TestTheExampleIsWithoutFaultAndItsTestsPass(t *testing.T) {
	set, problems := rules.Load("../../rules.example.yaml", rules.Options{Lookup: env})
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	defer set.Close()
	report := set.Run(set.Tests(), nil)
	if report.Failed() > 0 || len(report.Unexercised) > 0 || len(report.Results) < 6 {
		report.Text(os.Stdout, false)
		t.Error("not all of its tests pass, or some rules have none")
	}
}

func TestTheExampleIsFormatted(t *testing.T) {
	source, err := os.ReadFile("../../rules.example.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := conf.Format(source); err != nil || string(got) != string(source) {
		t.Errorf("%v\n%s", err, got)
	}
}
