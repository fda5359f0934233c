package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"

	"github.com/mattn/go-isatty"
	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/boltstore"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
)

// The exit codes, beside 0 for done.
const (
	exitFailed      = 1
	exitUsage       = 2
	exitWarnings    = 3 // check --strict found warnings, and nothing worse
	exitUnreachable = 4 // no daemon answers
	exitStore       = 5 // the database is locked or damaged, or can't be trusted
)

// A cli is what all commands share: the global flags, and where to write.
type cli struct {
	config string
	data   string
	admin  string
	output string

	out, err io.Writer
	began    bool // the command line was right, and the command began
}

// What the global flags are if neither they nor the environment say.
const (
	defaultConfig = "rules.yaml"
	defaultData   = "data"
	defaultAdmin  = "127.0.0.1:8081"
)

func (c *cli) root() *cobra.Command {
	root := &cobra.Command{
		Use:   "kurir",
		Short: "Takes callbacks, and sees to it that each of them arrives",
		Long: `Kurir takes a provider's callbacks, verifies and stores them, routes them by
rules.yaml and delivers them to Telegram, email or a system of your own.

Exit codes: 0 done, 1 failed, 2 usage, 3 warnings (check --strict), 4 no daemon answers, 5 database locked or damaged.`,
		Example:           "  kurir run\n  kurir list --since 1h --state dead\n  kurir show ORDER-2025-001",
		SilenceErrors:     true,
		SilenceUsage:      true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error { return c.begin(cmd.Annotations[moreOutput]) },
	}
	f := root.PersistentFlags()
	f.StringVarP(&c.config, "config", "c", cmp.Or(os.Getenv("KURIR_CONFIG"), defaultConfig), "the rules (KURIR_CONFIG)")
	f.StringVar(&c.data, "data", cmp.Or(os.Getenv("KURIR_DATA"), defaultData), "the data directory (KURIR_DATA)")
	f.StringVar(&c.admin, "admin", cmp.Or(os.Getenv("KURIR_ADMIN"), defaultAdmin), "the daemon's admin listener (KURIR_ADMIN)")
	f.StringVarP(&c.output, "output", "o", "text", "text or json")
	root.SetOut(c.out)
	root.SetErr(c.err)
	root.CompletionOptions.HiddenDefaultCmd = true
	for _, command := range []func(*cli) *cobra.Command{
		runCommand, checkCommand, explainCommand, testCommand, sendCommand,
		listCommand, showCommand, tailCommand, replayCommand,
		reloadCommand, pruneCommand, backupCommand, restoreCommand, compactCommand,
		sourcesCommand, sinksCommand, schemaCommand, initCommand, fmtCommand, healthCommand, versionCommand,
	} {
		root.AddCommand(command(c))
	}
	return root
}

// moreOutput is the annotation of a command that knows a further kind of output.
const moreOutput = "output"

// begin is called once the command line is known to be right. A command may know
// one more kind of output.
func (c *cli) begin(more string) error {
	if c.output != "text" && c.output != "json" && (more == "" || c.output != more) {
		return fmt.Errorf("-o %s: there is text and json", c.output)
	}
	c.began = true
	return nil
}

var (
	errUnreachable = errors.New("no daemon answers")
	errUntrusted   = errors.New("the store can't be trusted any more")
	errReported    = errors.New("reported") // what is wrong stands on the terminal already
	errWarnings    = errors.New("there are warnings")
)

// A usageError is a mistake in the command line that only the command itself can
// see.
type usageError struct{ error }

// misused makes a usageError.
func misused(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// isMisuse reports whether an error lies in the command line: the command says so,
// or the daemon does of what the command passed on to it.
func isMisuse(err error) bool {
	if refused, ok := errors.AsType[*apiError](err); ok {
		return refused.status == http.StatusBadRequest
	}
	_, ok := errors.AsType[usageError](err)
	return ok
}

// exit reports an error, and gives the code the process ends with.
func (c *cli) exit(err error) int {
	if err == nil {
		return 0
	}
	if !errors.Is(err, errReported) {
		fmt.Fprintln(c.err, "kurir:", err)
	}
	switch {
	case !c.began, isMisuse(err):
		fmt.Fprintln(c.err, "kurir --help tells how it is used.")
		return exitUsage
	case errors.Is(err, errWarnings):
		return exitWarnings
	case errors.Is(err, errUnreachable):
		return exitUnreachable
	case errors.Is(err, boltstore.ErrLocked), errors.Is(err, boltstore.ErrDamaged), errors.Is(err, boltstore.ErrNewer), errors.Is(err, errUntrusted):
		return exitStore
	}
	return exitFailed
}

// json reports whether -o json was asked for.
func (c *cli) json() bool { return c.output == "json" }

// load reads the rules as the daemon would. What is wrong is reported; the error
// is errReported then.
func (c *cli) load() (*rules.Set, error) {
	set, problems := rules.Load(c.config, c.options(nil))
	c.report(problems)
	if set == nil {
		return nil, errReported
	}
	return set, nil
}

// options are what every command reads the rules with; a nil log is slog's own.
func (c *cli) options(log *slog.Logger) rules.Options {
	return rules.Options{Lookup: c.lookup, Version: version, Console: c.out, Log: log, Samples: sampleCallbacks}
}

// report writes what is wrong with the rules.
func (c *cli) report(problems conf.Problems) {
	conf.Render(c.err, problems, colored(c.err))
}

// colored reports whether w is a terminal that is to have colours.
func colored(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	return ok && isatty.IsTerminal(f.Fd())
}
