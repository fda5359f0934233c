package main

import (
	"fmt"
	"io"
	"log/slog"
	"os"
	"runtime/debug"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/server"
)

// runFlags are the flags of `kurir run`: what needs a restart to change.
type runFlags struct {
	listen      string
	adminHosts  []string
	password    string // the file it is in
	makeSecrets bool
	logFormat   string
	logLevel    string
	limits      server.Limits
}

// gcPercent lets garbage grow to three times what is in use, which is some 15 MB.
// With Go's default of once, collecting it takes an eighth of the rate at which
// callbacks are accepted.
const gcPercent = 300

func runCommand(c *cli) *cobra.Command {
	var f runFlags
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Run the daemon",
		Long: `Run the daemon: take callbacks, store them and deliver them.

It prints where it listens and then "Ready.". The rules are read again when the
file changes, on SIGHUP and on ` + "`kurir reload`" + `; a file with mistakes is refused, and
the rules before stay in force. SIGTERM and SIGINT stop it: what was started is
finished, which takes 15 seconds at most; a second signal ends it at once.

The admin listener is for this machine. To bind it elsewhere, set a password in
KURIR_ADMIN_PASSWORD or --admin-password-file, of 12 characters at least, and put
TLS in front of it.`,
		Example: "  kurir run\n  kurir run -c rules.yaml --data /var/lib/kurir --listen 127.0.0.1:8080\n  kurir run --make-secrets",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			log, err := newLogger(c.err, f.logFormat, f.logLevel)
			if err != nil {
				return err
			}
			if min(f.limits.Header, f.limits.Body, f.limits.Idle) < 0 {
				return misused("a timeout can't be negative")
			}
			if os.Getenv("GOGC") == "" {
				debug.SetGCPercent(gcPercent)
			}
			d := &daemon{cli: c, flags: f, log: log}
			return d.run(cmd.Context())
		},
	}
	f.add(cmd)
	return cmd
}

func (f *runFlags) add(cmd *cobra.Command) {
	flags := cmd.Flags()
	flags.StringVar(&f.listen, "listen", ":8080", "where callbacks are taken")
	flags.StringSliceVar(&f.adminHosts, "admin-host", nil, "a further name by which the admin listener may be called")
	flags.StringVar(&f.password, "admin-password-file", "", "the file with the admin password (or KURIR_ADMIN_PASSWORD)")
	flags.BoolVar(&f.makeSecrets, "make-secrets", false, "make the secrets of sources that are not set, and keep them in the data directory")
	flags.StringVar(&f.logFormat, "log-format", "auto", "text, json, or auto: text on a terminal")
	flags.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	flags.DurationVar(&f.limits.Header, "header-timeout", 0, "how long a request's headers may take (default 10s)")
	flags.DurationVar(&f.limits.Body, "body-timeout", 0, "how long a request's body may take (default 30s)")
	flags.DurationVar(&f.limits.Idle, "idle-timeout", 0, "how long a connection may wait for its next request (default 1m)")
}

// newLogger makes the log.
func newLogger(w io.Writer, format, level string) (*slog.Logger, error) {
	var at slog.Level
	if err := at.UnmarshalText([]byte(level)); err != nil {
		return nil, misused("--log-level %s: there is debug, info, warn and error", level)
	}
	if format == "auto" {
		format = "json"
		if isTerminal(w) {
			format = "text"
		}
	}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: at, ReplaceAttr: inMilliseconds})), nil
	case "text":
		return slog.New(slog.NewTextHandler(w, &slog.HandlerOptions{Level: at})), nil
	}
	return nil, misused("--log-format %s: there is auto, text and json", format)
}

// inMilliseconds gives the durations of a JSON line their unit, as the API does:
// "duration_ms": 1.86.
func inMilliseconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		return slog.Float64(a.Key+"_ms", ms(a.Value.Duration()))
	}
	return a
}

// minPassword is how many characters the admin password has at least: who guesses
// has one try a second, and years.
const minPassword = 12

// adminPassword is what the operator set; "" if nothing.
func (f *runFlags) adminPassword() (string, error) {
	password, from := os.Getenv("KURIR_ADMIN_PASSWORD"), "KURIR_ADMIN_PASSWORD"
	if f.password != "" {
		text, err := conf.ReadFile(f.password)
		if err != nil {
			return "", fmt.Errorf("admin password: %s: %w", f.password, err)
		}
		password, from = strings.TrimRight(string(text), "\r\n"), f.password
	}
	switch n := utf8.RuneCountInString(strings.TrimSpace(password)); {
	case n == 0 && f.password != "":
		return "", fmt.Errorf("admin password: %s is empty", from)
	case password != "" && n < minPassword:
		return "", fmt.Errorf("admin password: %s has fewer than %d characters: openssl rand -base64 18 makes a good one", from, minPassword)
	}
	return password, nil
}
