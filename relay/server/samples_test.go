package server_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/server"
)

func TestSamplesAreAFewCallbacksOfEachEvent(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	for i := range 25 {
		h.good(fmt.Sprintf("A-%d", i))
	}
	var got server.Samples
	if status := h.api("GET", "/api/samples?since=1h", "", &got); status != 200 || len(got.Samples) != 20 {
		t.Fatalf("got %d, %d samples", status, len(got.Samples))
	}
	s := got.Samples[0]
	if s.Source != "shop" || s.Method != "POST" || s.URI != "/webhook/shop" || !strings.Contains(string(s.Body), `"A-24"`) {
		t.Errorf("the first one is %+v %s", s, s.Body)
	}
	if status := h.api("GET", "/api/samples?since=soon", "", nil); status != 400 {
		t.Errorf("of no time: got %d", status)
	}
}
