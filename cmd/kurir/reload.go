package main

import (
	"cmp"
	"fmt"
	"net/http"
	"strings"

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
		Example: "  kurir reload\n  kurir reload -c new.yaml --what-if\n  kurir reload -c new.yaml --what-if 7d",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 && whatIf == "" {
				return misused("reload takes no file: the daemon reads its own again, --what-if -c FILE compares another")
			}
			if whatIf != "" {
				whatIf = cmp.Or(strings.Join(args, ""), whatIf) // --what-if 7d, beside --what-if=7d
				out, err := c.compare(cmd.Context(), whatIf)
				if err != nil {
					return err
				}
				return c.printComparison(out)
			}
			var r server.Reload
			return c.ask(cmd.Context(), http.MethodPost, "/api/reload", nil, &r, func() {
				c.report(r.Warnings)
				fmt.Fprintf(c.out, "%s: %s\n", r.Rules, r.Summary)
			})
		},
	}
	cmd.Flags().StringVar(&whatIf, "what-if", "", "only say what would change, by the callbacks of this time")
	cmd.Flags().Lookup("what-if").NoOptDefVal = "24h"
	return cmd
}
