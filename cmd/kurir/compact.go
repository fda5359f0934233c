package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/boltstore"
)

func compactCommand(c *cli) *cobra.Command {
	var to string
	cmd := &cobra.Command{
		Use:   "compact",
		Short: "Give back the space that the database does not need any more",
		Long: `Give back the space that the database does not need any more. The daemon must
not run: pruning makes space that is used again, so this is only for a database
that was much larger once.

With --to, what can be read is written into a new file and the database stays as
it is: that is how to save what is left of a damaged one. kurir restore puts the
new file into a data directory.`,
		Example: "  kurir compact --data /var/lib/kurir\n  kurir compact --to saved.db",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			before, after, err := boltstore.CompactIn(c.data, to)
			if err != nil {
				return err
			}
			if c.json() {
				return c.printJSON(map[string]int64{"before": before, "after": after})
			}
			fmt.Fprintf(c.out, "%s before, %s after\n", size(before), size(after))
			return nil
		},
	}
	cmd.Flags().StringVar(&to, "to", "", "write into this new file instead of the database's place")
	return cmd
}
