package rules_test

import (
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
)

// Whatever the bytes, the loader ends: with a Set that routes, or with problems
// that have a place in the file.
func FuzzParse(f *testing.F) {
	files, _ := filepath.Glob("../../testdata/broken/*.yaml")
	for _, path := range append(files, "../../rules.example.yaml", "start/rules.yaml") {
		source, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(source)
	}
	f.Add([]byte("a: &a [*a, *a]\nrules: *a\n"))
	f.Add([]byte("rules: [{name: a, to: b, <<: {stop: true}}]\n"))
	f.Fuzz(func(t *testing.T, source []byte) {
		if strings.Contains(string(source), "_file") {
			t.Skip("reads files")
		}
		set, problems := rules.Parse("rules.yaml", source, rules.Options{Lookup: env, Samples: samples, Console: io.Discard, Log: slog.New(slog.DiscardHandler)})
		if (set == nil) != (len(problems.Errors()) > 0) {
			t.Fatalf("a Set is %v, with %v", set != nil, problems)
		}
		lines := strings.Count(string(source), "\n") + strings.Count(string(source), "\r") + 2
		for _, p := range problems {
			if p.Place.Line < 1 || p.Place.Col < 1 || p.Message == "" || p.Place.Line > lines+strings.Count(string(source), "\u0085")+strings.Count(string(source), "\u2028")+strings.Count(string(source), "\u2029") {
				t.Fatalf("%+v", p)
			}
		}
		conf.Render(io.Discard, problems, true)
		conf.Format(source)
		if set == nil {
			return
		}
		defer set.Close()
		set.Explain(order("order.failed", "A", map[string]any{"price": 11500}))
		set.Run(set.Tests(), nil)
	})
}
