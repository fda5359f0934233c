// Command kurir is the notification relay: the daemon, and the commands that
// look after it. Each command has a file of its own.
package main

import (
	"context"
	"io"
	"os"
)

func main() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) }

// run is the whole program: it gives the exit code. When ctx ends, what runs is
// stopped as by SIGTERM.
func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	c := &cli{out: stdout, err: stderr}
	root := c.root()
	root.SetArgs(args)
	return c.exit(root.ExecuteContext(ctx))
}
