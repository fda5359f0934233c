package lang_test

import (
	"testing"

	"github.com/kurir-relay/kurir/relay/lang"
)

func TestBlankKeepsTheRestInItsPlace(t *testing.T) {
	for src, want := range map[string]string{
		"a {{ b }} c":        "a _______ c",
		`{{ "}}" }}<b>`:      "__________<b>",
		`{{ {"a": {}}.a }}x`: "_________________x",
		"a {{ b":             "a {{ b",
		"no expression":      "no expression",
	} {
		if got := lang.Blank(src, '_'); got != want {
			t.Errorf("Blank(%q) = %q, want %q", src, got, want)
		}
	}
}
