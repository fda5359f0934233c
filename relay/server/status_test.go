package server_test

import (
	"testing"

	"github.com/kurir-relay/kurir/relay/server"
)

// A file is saved without anybody waiting for an answer: what came of it is seen
// afterwards.
func TestStatsSayWhatTheLastReadingOfTheRulesDid(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	for _, tt := range []struct {
		add, changes string
		problems     int
		refused      bool
	}{
		{"", "", 0, false},
		{"  - {name: more, when: event == \"x\", to: [log]}\n", "rules +more", 0, false},
		{"  - {name: more, when: evnt == \"x\", to: [lgo]}\n", "", 2, true},
	} {
		h.write(yaml + tt.add)
		h.api("POST", "/api/reload", "", nil)
		var got server.Stats
		h.api("GET", "/api/stats", "", &got)
		if got.RulesChanges != tt.changes || len(got.RulesProblems) != tt.problems || got.RulesRefused != tt.refused || got.RulesReadAt.IsZero() {
			t.Errorf("with %q: %+v", tt.add, got)
		}
	}
}
