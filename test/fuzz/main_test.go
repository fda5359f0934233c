package main

import "testing"

func TestOnlyABareDeadlineIsNoFinding(t *testing.T) {
	for _, tt := range []struct {
		out  string
		want bool
	}{
		{"fuzz: elapsed: 6s\n--- FAIL: FuzzX (6.02s)\n    context deadline exceeded\nFAIL\nexit status 1\nFAIL\tp\t6.027s\n", true},
		{"--- FAIL: FuzzX (1s)\n    --- FAIL: FuzzX (0.00s)\n        context deadline exceeded\n    Failing input written to testdata/fuzz/FuzzX/1\nFAIL\n", false},
		{"--- FAIL: FuzzX (1s)\n    fuzzing process hung or terminated unexpectedly: exit status 2\nFAIL\n", false},
		{"panic: context deadline exceeded\nFAIL\tp\t1s\n", false},
		{"FAIL\tp [build failed]\n", false},
	} {
		if got := timeWasUp([]byte(tt.out)); got != tt.want {
			t.Errorf("%q: %v", tt.out, got)
		}
	}
}
