package main

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"

	"github.com/spf13/cobra"
)

func backupCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "backup FILE",
		Short: "Write a consistent copy of the database, while the daemon works",
		Long: `Write a consistent copy of the database, while the daemon works. FILE must not
exist; - is the standard output. kurir restore brings the copy back.`,
		Example: "  kurir backup kurir.bak\n  kurir backup - | gzip > kurir.bak.gz",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			resp, err := c.client().open(cmd.Context(), http.MethodGet, "/api/backup", nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			if args[0] == "-" {
				_, err := io.Copy(c.out, resp.Body)
				return err
			}
			n, err := writeWhole(args[0], resp.Body)
			if err != nil {
				return fmt.Errorf("backup: %w", err)
			}
			if c.json() {
				return c.printJSON(map[string]any{"file": args[0], "bytes": n})
			}
			fmt.Fprintf(c.out, "%s: %s\n", args[0], size(n))
			return nil
		},
	}
}

// writeWhole writes a new file that is whole and durable, or none.
func writeWhole(path string, from io.Reader) (n int64, err error) {
	if _, err := os.Lstat(path); err == nil {
		return 0, fmt.Errorf("%s exists already", path)
	}
	part := path + ".part"
	f, err := os.OpenFile(part, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return 0, err
	}
	n, err = io.Copy(f, from)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(part, path)
	}
	if err != nil {
		os.Remove(part)
	}
	return n, err
}
