package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/server"
)

func pruneCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "prune",
		Short: "Forget what is older than the rules keep",
		Long: `Forget callbacks that are older than log.keep of the rules and owe nothing any
more, and dedupe keys older than log.keep_keys. The daemon does so by itself, at
the times of log.prune.`,
		Example: "  kurir prune",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var n server.PruneResult
			return c.ask(cmd.Context(), http.MethodPost, "/api/prune", nil, &n, func() {
				fmt.Fprintf(c.out, "forgot %s and %s\n", count(n.Callbacks, "callback"), count(n.Keys, "dedupe key"))
			})
		},
	}
}
