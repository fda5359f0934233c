package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/conf"
)

func fmtCommand(c *cli) *cobra.Command {
	var check bool
	cmd := &cobra.Command{
		Use:   "fmt [FILE...]",
		Short: "Format rules.yaml: two spaces for each level, comments and order as they are",
		Long: `Format rules files in place: two spaces for each level, no blanks at line ends, no
two empty lines in a row. Comments, order, quotes and texts stay as they are.`,
		Example: "  kurir fmt\n  kurir fmt --check rules.yaml rules_test.yaml\n  kurir fmt - < rules.yaml",
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				args = []string{c.config}
			}
			return c.format(args, check)
		},
	}
	cmd.Flags().BoolVar(&check, "check", false, "change nothing, name the files that are not formatted, and fail if there are any")
	return cmd
}

// format formats files; "-" goes from the standard input to the standard output.
func (c *cli) format(paths []string, check bool) error {
	bad := false
	for _, path := range paths {
		source, err := readBody(path)
		if err != nil {
			return err
		}
		out, err := conf.Format(source)
		if err != nil {
			return fmt.Errorf("%s%w", path, err)
		}
		switch changed := !bytes.Equal(source, out); {
		case path == "-" && !check:
			_, err = c.out.Write(out)
		case changed && check:
			bad = true
			fmt.Fprintln(c.out, path)
		case changed:
			fmt.Fprintln(c.out, path)
			err = replace(path, out)
		}
		if err != nil {
			return err
		}
	}
	if bad {
		return errReported
	}
	return nil
}

// replace puts a file in another's place, as a whole, with its mode. A symbolic
// link stays one.
func replace(path string, content []byte) error {
	path, err := filepath.EvalSymlinks(path)
	if err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // gone already if all went well
	_, err = f.Write(content)
	if err = errors.Join(err, f.Chmod(info.Mode().Perm()), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
