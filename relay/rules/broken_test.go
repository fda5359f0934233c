package rules_test

import (
	"flag"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/source"
)

var update = flag.Bool("update", false, "write the golden files and the generated parts of pages")

// samples are three orders, as IsiKuota sends them.
func samples(*source.Source) (cs []relay.Callback) {
	for _, event := range []string{"order.success", "order.failed", "order.sn_received"} {
		cs = append(cs, relay.Callback{Body: []byte(`{"event":"` + event + `","timestamp":"2025-01-15T14:30:00+07:00","data":{
			"order_id":12345,"ref_id":"A-1","status":"Success","product_code":"TSEL10","product_name":"Telkomsel 10.000",
			"customer_number":"081234567890","price":11500,"sn":"12","message":"ok"}}`)})
	}
	return cs
}

// Each file in testdata/broken is a good one but for the mistake it is named
// after. The golden file says what is made of it.
func TestEachMistakeIsDiagnosed(t *testing.T) {
	const dir = "../../testdata/broken"
	files, err := filepath.Glob(dir + "/*.yaml")
	if err != nil || len(files) < 60 {
		t.Fatalf("%d files, %v", len(files), err)
	}
	var all strings.Builder
	for _, path := range files {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		name := filepath.Base(path)
		set, problems := rules.Parse(name, source, rules.Options{Lookup: env, Samples: samples})
		if set != nil {
			set.Close()
		}
		if wants := strings.HasPrefix(name, "warn-"); len(problems) == 0 || wants != (set != nil) && !strings.HasPrefix(name, "value-chat") &&
			!strings.HasPrefix(name, "no-source") && !strings.HasPrefix(name, "rules-empty") && !strings.HasPrefix(name, "yaml-hash") {
			t.Errorf("%s: accepted is %v, problems:\n%v", name, set != nil, problems)
		}
		conf.Render(&all, problems, false)
		all.WriteString("\n")
	}
	golden(t, dir+"/golden.txt", all.String())
}

// golden compares text with a file, or writes it there with -update.
func golden(t *testing.T, path, text string) {
	t.Helper()
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if text == string(want) {
		return
	}
	got, old := strings.Split(text, "\n"), strings.Split(string(want), "\n")
	for i := range min(len(got), len(old)) {
		if got[i] != old[i] {
			t.Fatalf("%s, line %d (go test ./relay/rules -update writes it anew):\ngot  %s\nwant %s", path, i+1, got[i], old[i])
		}
	}
	t.Fatalf("%s has %d lines, not %d", path, len(old), len(got))
}
