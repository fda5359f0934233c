package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/rules"
)

func initCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "init [DIRECTORY]",
		Short: "Write a first rules.yaml, with a passing test",
		Long: `Write a first rules.yaml with comments, its schema for editors, a passing test, and
.env.example with what to set in the environment. What is there already stays.`,
		Example: "  kurir init\n  kurir init /etc/kurir",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			dir := "."
			if len(args) > 0 {
				dir = args[0]
			}
			return c.start(dir)
		},
	}
}

// start writes the files of a new set-up into a directory, none of them over
// another.
func (c *cli) start(dir string) error {
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	var there []string
	for _, f := range rules.Start() {
		path := filepath.Join(dir, f.Name)
		switch err := writeNew(path, f.Content); {
		case errors.Is(err, os.ErrExist):
			there = append(there, f.Name)
		case err != nil:
			return err
		default:
			fmt.Fprintf(c.out, "wrote %s\n", path)
		}
	}
	if len(there) > 0 {
		return fmt.Errorf("left as they are: %s", strings.Join(there, ", "))
	}
	fmt.Fprintln(c.out, "Next: set ISIKUOTA_SECRET_KEY as .env.example says, then kurir check, kurir test and kurir run.")
	return nil
}

// writeNew writes a file that is not there yet.
func writeNew(path string, content []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Close())
}
