package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/rules"
)

func checkCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "check [FILE]",
		Short: "Find every mistake in the rules",
		Long: `Find every mistake in the rules, all of them in one go: each with its place, the
line, and what to write instead. The file is checked as the daemon would read it.`,
		Example: "  kurir check\n  kurir check -c /etc/kurir/rules.yaml -o json",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				c.config = args[0]
			}
			set, problems := rules.Load(c.config, rules.Options{Lookup: c.lookup, Version: version, Console: c.out})
			if c.json() {
				if err := c.printJSON(map[string]any{"ok": set != nil, "problems": problems}); err != nil {
					return err
				}
			} else {
				c.report(problems)
			}
			if set == nil {
				return errReported
			}
			if !c.json() {
				fmt.Fprintf(c.out, "%s: %s, %s, %s\n", c.config, count(len(set.Sources()), "source"), count(len(set.SinkNames()), "sink"), count(len(set.Rules()), "rule"))
			}
			return nil
		},
	}
}
