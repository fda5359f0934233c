package near_test

import (
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/near"
)

func TestTheNearestNameIsFound(t *testing.T) {
	known := []string{"event", "ref_id", "rupiah", "source", "to"}
	for name, want := range map[string]string{
		"evnt": "event", "evetn": "event", "EVENT": "event", "refid": "ref_id", "rupiyah": "rupiah", "ot": "to",
		"price": "", "x": "", "": "", strings.Repeat("event", 100): "",
	} {
		if got := near.Nearest(name, known); got != want {
			t.Errorf("%.20s: got %q, want %q", name, got, want)
		}
	}
}
