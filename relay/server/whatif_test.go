package server_test

import (
	"encoding/json"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
)

func TestWhatIfComparesWithoutChangingAnything(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.good("A")
	h.good("B")
	h.settled()
	ask := func(rules string) string {
		req, _ := json.Marshal(server.WhatIf{Rules: rules, Since: "1h"})
		return string(req)
	}
	before := h.live.Set()
	var c rules.Comparison
	other := strings.Replace(yaml, "to: [log]", `when: ref_id == "A", to: [log], text: "baru {{ ref_id }}"`, 1)
	if status := h.api("POST", "/api/what-if", ask(other), &c); status != 200 || c.Callbacks != 2 || c.Changed != 2 ||
		len(c.Sinks) != 1 || c.Sinks[0].Loses != 1 || c.Sinks[0].Rewords != 1 {
		t.Errorf("got %d %+v", status, c)
	}
	var refused struct {
		Error    string
		Problems []struct{ Line int }
	}
	if status := h.api("POST", "/api/what-if", ask(yaml+"unmatched: lgo\n"), &refused); status != 422 || len(refused.Problems) != 1 {
		t.Errorf("of a bad file: got %d %+v", status, refused)
	}
	if h.live.Set() != before || len(h.entries()) != 2 {
		t.Error("something changed")
	}
}
