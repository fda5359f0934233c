package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/server"
)

func reloadCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon read its rules again",
		Long: `Make the daemon read its rules again. It does so by itself when the file
changes; this waits for the result and says what changed. A file with mistakes
is refused, and the rules before stay in force.`,
		Example: "  kurir reload",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var r server.Reload
			return c.ask(cmd.Context(), http.MethodPost, "/api/reload", nil, &r, func() {
				fmt.Fprintf(c.out, "%s: %s\n", r.Rules, r.Summary)
			})
		},
	}
}
