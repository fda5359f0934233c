package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/server"
	"github.com/kurir-relay/kurir/relay/source"
)

func sourcesCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "sources",
		Short: "List the sources of the running daemon",
		Long: `List the sources of the running daemon: what a request is verified by, and when
each secret last was used, so that an old one can be retired. kurir sources
presets lists the providers that are known.`,
		Example: "  kurir sources\n  kurir sources presets",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all struct{ Sources []server.SourceStatus }
			return c.ask(cmd.Context(), http.MethodGet, "/api/sources", nil, &all, func() { c.printSources(all.Sources) })
		},
	}
	cmd.AddCommand(&cobra.Command{
		Use:     "presets",
		Short:   "List the providers that are known, for `preset:`",
		Example: "  kurir sources presets",
		Args:    cobra.NoArgs,
		RunE:    func(*cobra.Command, []string) error { return c.printPresets() },
	})
	return cmd
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
	}
}

func used(t time.Time) string {
	if t.Year() < 1970 {
		return "not used since the rules were loaded"
	}
	return "last used " + at(t)
}

func (c *cli) printPresets() error {
	type preset struct {
		Name string   `json:"name"`
		Doc  string   `json:"doc"`
		Vars []string `json:"vars,omitempty"`
	}
	var all []preset
	var t table
	t.add("PRESET", "WHAT IT IS", "NEEDS IN vars")
	for _, p := range source.Presets() {
		all = append(all, preset{p.Name, p.Doc, p.Vars})
		t.add(p.Name, p.Doc, strings.Join(p.Vars, ", "))
	}
	if c.json() {
		return c.printJSON(map[string]any{"presets": all})
	}
	t.print(c)
	return nil
}
