package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/boltstore"
)

func restoreCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "restore FILE",
		Short: "Put a backup into a data directory that has no database",
		Long: `Put a backup into the data directory, which must not have a database: nothing is
ever overwritten. To go back to a backup, stop the daemon, move the old data
directory away, and restore into a new one.`,
		Example: "  kurir restore kurir.bak --data /var/lib/kurir",
		Args:    cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if err := boltstore.Restore(c.data, args[0]); err != nil {
				return err
			}
			if c.json() {
				return c.printJSON(map[string]string{"data": c.data})
			}
			fmt.Fprintf(c.out, "restored into %s\n", c.data)
			return nil
		},
	}
}
