package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"sync"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/sinks"
)

// checkFlags say how much is to be checked.
type checkFlags struct {
	strict  bool
	online  bool
	against string
}

func checkCommand(c *cli) *cobra.Command {
	var f checkFlags
	cmd := &cobra.Command{
		Use:   "check [FILE]",
		Short: "Find every mistake in the rules",
		Long: `Find every mistake in the rules, all of them in one go: each with its place, the
line, and what to write instead. The file is checked as the daemon would read it.

With --online each sink's far side is asked whether it would let Kurir in; nothing
is sent to it. With --against the running daemon routes the callbacks of that time
by its own rules and by these, and says what each sink would gain and lose; the
fields of these callbacks are known then, beside those of the samples.

Exit codes: 0 no mistakes, 1 mistakes, 3 warnings with --strict.`,
		Example: "  kurir check\n  kurir check -c /etc/kurir/rules.yaml -o json\n  kurir check new.yaml --against 24h",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) > 0 {
				c.config = args[0]
			}
			return c.check(cmd.Context(), f)
		},
	}
	flags := cmd.Flags()
	flags.BoolVar(&f.strict, "strict", false, "fail on warnings, with exit code 3")
	flags.BoolVar(&f.online, "online", false, "ask Telegram, mail servers and HTTP systems too")
	flags.StringVar(&f.against, "against", "", "compare with the running rules over the callbacks of this time, such as 24h")
	return cmd
}

// A checked is what a check found.
type checked struct {
	OK       bool              `json:"ok"`
	Problems conf.Problems     `json:"problems"`
	Online   []onlineCheck     `json:"online,omitempty"`
	Against  *rules.Comparison `json:"against,omitempty"`
}

// An onlineCheck is what a sink's far side said.
type onlineCheck struct {
	Sink  string `json:"sink"`
	OK    bool   `json:"ok"`
	Error string `json:"error,omitempty"`
}

func (c *cli) check(ctx context.Context, f checkFlags) error {
	options, unasked := c.knowing(ctx, f.against)
	set, problems := rules.Load(c.config, options)
	out := checked{OK: set != nil, Problems: append(conf.Problems{}, problems...)}
	if set != nil {
		defer set.Close()
		if f.online {
			out.Online = askSinks(ctx, set)
			out.OK = !slices.ContainsFunc(out.Online, func(o onlineCheck) bool { return !o.OK })
		}
	}
	if f.against != "" && set != nil && unasked == nil {
		out.Against, unasked = c.compare(ctx, f.against)
	}
	if err := c.printChecked(out, set); err != nil {
		return err
	}
	switch {
	case !out.OK:
		return errReported
	case unasked != nil:
		return unasked
	case f.strict && len(problems) > 0:
		return errWarnings
	}
	return nil
}

// knowing are the options with which the callbacks in the daemon's log since a
// time are known beside the samples. If it can't be asked, they are good without.
func (c *cli) knowing(ctx context.Context, since string) (rules.Options, error) {
	options := c.options(nil)
	if since == "" {
		return options, nil
	}
	stored, err := c.storedCallbacks(ctx, since)
	options.Samples = func(s *source.Source) []relay.Callback { return append(sampleCallbacks(s), stored[s.Name()]...) }
	return options, err
}

// askSinks asks every sink that can be asked, all at once.
func askSinks(ctx context.Context, set *rules.Set) []onlineCheck {
	names := set.SinkNames()
	all := make([]onlineCheck, len(names))
	var asking sync.WaitGroup
	for i, name := range names {
		asking.Go(func() { all[i] = askSink(ctx, set, name) })
	}
	asking.Wait()
	return slices.DeleteFunc(all, func(o onlineCheck) bool { return o.Sink == "" })
}

// askSink asks one sink; of one that can't be asked, the check is empty.
func askSink(ctx context.Context, set *rules.Set, name string) onlineCheck {
	sink, _ := set.Sink(name)
	checker, ok := sink.(sinks.Checker)
	if !ok {
		return onlineCheck{}
	}
	dest, _ := set.Destination(name)
	ctx, cancel := context.WithTimeout(ctx, dest.Timeout)
	defer cancel()
	switch err := checker.Check(ctx); {
	case errors.Is(err, errors.ErrUnsupported):
		return onlineCheck{}
	case err != nil:
		return onlineCheck{Sink: name, Error: err.Error()}
	}
	return onlineCheck{Sink: name, OK: true}
}

func (c *cli) printChecked(out checked, set *rules.Set) error {
	if c.json() {
		return c.printJSON(out)
	}
	conf.Render(c.out, out.Problems, colored(c.out))
	if set == nil {
		return nil
	}
	for _, o := range out.Online {
		if o.OK {
			fmt.Fprintf(c.out, "%s %s answers\n", c.paint(green, "✓"), o.Sink)
		} else {
			fmt.Fprintf(c.out, "%s %s: %s\n", c.paint(red, "✗"), o.Sink, printable(o.Error))
		}
	}
	if out.Against != nil {
		out.Against.Text(c.out, colored(c.out))
	}
	fmt.Fprintf(c.out, "%s: %s, %s, %s\n", c.config, count(len(set.Sources()), "source"), count(len(set.SinkNames()), "sink"), count(len(set.Rules()), "rule"))
	return nil
}

// compare asks the daemon what the file would change.
func (c *cli) compare(ctx context.Context, since string) (*rules.Comparison, error) {
	text, err := os.ReadFile(c.config)
	if err != nil {
		return nil, err
	}
	answer, err := c.client().call(ctx, http.MethodPost, "/api/what-if", server.WhatIf{Rules: string(text), Name: c.config, Since: since})
	if err != nil {
		return nil, err
	}
	var out rules.Comparison
	return &out, json.Unmarshal(answer, &out)
}

func (c *cli) printComparison(out *rules.Comparison) error {
	if c.json() {
		return c.printJSON(out)
	}
	out.Text(c.out, colored(c.out))
	return nil
}
