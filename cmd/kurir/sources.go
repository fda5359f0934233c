package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/server"
	"github.com/kurir-relay/kurir/relay/source"
)

func sourcesCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "sources",
		Short: "List the sources of the running daemon, and the providers that are known",
		Long: `List the sources of the running daemon: what a request is verified by, and when
each secret was last used, so that an old one can be retired. Then the presets:
the providers that are known. Without a daemon, the presets alone.`,
		Example: "  kurir sources\n  kurir sources -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			running := c.runningSources(cmd.Context())
			if c.json() {
				return c.printJSON(map[string]any{"sources": running, "presets": knownPresets()})
			}
			c.printSources(running)
			c.printPresets(knownPresets())
			return nil
		},
	}
}

// runningSources asks the daemon; without one there are none.
func (c *cli) runningSources(ctx context.Context) []server.SourceStatus {
	all := struct{ Sources []server.SourceStatus }{Sources: []server.SourceStatus{}}
	answer, err := c.client().call(ctx, http.MethodGet, "/api/sources", nil)
	if err == nil {
		err = json.Unmarshal(answer, &all)
	}
	if err != nil {
		fmt.Fprintln(c.err, "Without the sources of the daemon:", err)
	}
	return all.Sources
}

func (c *cli) printSources(all []server.SourceStatus) {
	for _, s := range all {
		name := s.Name
		if s.Preset != "" && s.Preset != s.Name {
			name += " (" + s.Preset + ")"
		}
		fmt.Fprintf(c.out, "%s  %s /webhook/%s\n", c.paint(bold, name), strings.Join(s.Methods, ", "), s.Name)
		for _, check := range s.Checks {
			fmt.Fprintf(c.out, "  %s\n", check)
		}
		for i, t := range s.SecretsUsed {
			fmt.Fprintf(c.out, "  secret %d: %s\n", i+1, used(t))
		}
		fmt.Fprintln(c.out)
	}
}

func used(t time.Time) string {
	if t.Year() < 1970 {
		return "not used since the daemon began"
	}
	return "last used " + at(t)
}

// A preset is one that rules may name.
type preset struct {
	Name     string   `json:"name"`
	Provider string   `json:"provider"`
	Checks   []string `json:"checks"` // what a request is verified by, in words
	Doc      string   `json:"doc,omitempty"`
	Vars     []string `json:"vars,omitempty"` // constants it needs
	Weak     bool     `json:"weak,omitempty"` // the signature does not cover what happened
}

func knownPresets() (all []preset) {
	for _, p := range source.Presets() {
		all = append(all, preset{p.Name, p.Provider, checksOf(p.Name), p.Doc, p.Vars, p.Weak})
	}
	return all
}

// checksOf asks a source of the preset, whose secret does not matter.
func checksOf(name string) []string {
	file := conf.Parse(name, []byte("{preset: "+name+", secret: any}"), func(string) (string, bool) { return "", false })
	return source.New(name, file.Root()).Checks()
}

func (c *cli) printPresets(all []preset) {
	var t table
	t.add("PRESET", "PROVIDER", "VERIFIES", "")
	for _, p := range all {
		var notes []string
		if len(p.Vars) > 0 {
			notes = append(notes, "needs vars: "+strings.Join(p.Vars, ", "))
		}
		if p.Weak {
			notes = append(notes, "does not cover what happened, so use allow_ips")
		}
		t.add(p.Name, p.Provider, shortened(strings.Join(p.Checks, " or "), 90), strings.Join(notes, "; "))
	}
	t.print(c)
}
