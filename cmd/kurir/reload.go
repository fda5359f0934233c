package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/server"
)

func reloadCommand(c *cli) *cobra.Command {
	var whatIf string
	cmd := &cobra.Command{
		Use:   "reload",
		Short: "Make the daemon read its rules again",
		Long: `Make the daemon read its rules again. It does so by itself when the file
changes; this waits for the result and says what changed. A file with mistakes
is refused, and the rules before stay in force.

With --what-if nothing is reloaded: the daemon routes the callbacks of that time by
its own rules and by those of --config, and says what each sink would gain and lose.`,
		Example: "  kurir reload\n  kurir reload -c new.yaml --what-if 24h",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if whatIf != "" {
				out, err := c.compare(cmd.Context(), whatIf)
				if err != nil {
					return err
				}
				return c.printComparison(out)
			}
			var r server.Reload
			return c.ask(cmd.Context(), http.MethodPost, "/api/reload", nil, &r, func() {
				fmt.Fprintf(c.out, "%s: %s\n", r.Rules, r.Summary)
			})
		},
	}
	cmd.Flags().StringVar(&whatIf, "what-if", "", "only say what would change, by the callbacks of this time, such as 24h")
	return cmd
}
