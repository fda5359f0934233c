package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/server"
)

func tailCommand(c *cli) *cobra.Command {
	var f server.Filter
	cmd := &cobra.Command{
		Use:     "tail",
		Short:   "Show callbacks and attempts as they happen",
		Example: "  kurir tail\n  kurir tail --event order.failed\n  kurir tail --sink legacy -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			resp, err := c.client().open(cmd.Context(), http.MethodGet, "/api/tail?"+f.Values().Encode(), nil)
			if err != nil {
				return err
			}
			defer resp.Body.Close()
			return c.follow(resp.Body)
		},
	}
	addFilter(cmd, &f)
	return cmd
}

// follow prints server-sent events until they end, which is when the daemon does.
func (c *cli) follow(events io.Reader) error {
	lines := bufio.NewScanner(events)
	lines.Buffer(nil, 16<<20)
	kind := ""
	for lines.Scan() {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			kind = name
		}
		data, ok := strings.CutPrefix(lines.Text(), "data: ")
		if !ok {
			continue
		}
		if err := c.printEvent(kind, []byte(data)); err != nil {
			return err
		}
	}
	if err := lines.Err(); err != nil {
		return fmt.Errorf("the daemon is gone: %w", err)
	}
	return nil
}

func (c *cli) printEvent(kind string, data []byte) (err error) {
	if c.json() {
		return c.printJSON(map[string]any{"event": kind, "data": json.RawMessage(data)})
	}
	switch kind {
	case "attempt":
		var a server.TailAttempt
		if err = json.Unmarshal(data, &a); err == nil {
			c.printTailAttempt(a)
		}
	case "missed":
		_, err = fmt.Fprintf(c.out, "(%s more)\n", data)
	default:
		var cb server.Callback
		if err = json.Unmarshal(data, &cb); err == nil {
			c.printTailCallback(kind, cb)
		}
	}
	return err
}

func (c *cli) printTailCallback(kind string, cb server.Callback) {
	when := cb.ReceivedAt
	words := oddities(cb)
	if kind == "duplicate" {
		when, words = time.Now(), append([]string{"again"}, words...)
	}
	var sinks []string
	for _, d := range cb.Deliveries {
		sinks = append(sinks, d.Sink)
	}
	fmt.Fprintf(c.out, "%s  %s  %s  %s → %s  %s\n", at(when), cb.Source, c.paint(bold, printable(cb.Event)), printable(cb.RefID),
		printable(strings.Join(sinks, ", ")), c.paint(yellow, strings.Join(words, ", ")))
}

func (c *cli) printTailAttempt(a server.TailAttempt) {
	said := a.Attempt.Error
	if a.Attempt.OK {
		said = a.Attempt.Note
	}
	state := string(a.State)
	if a.State == relay.Pending {
		state = "failed"
	}
	fmt.Fprintf(c.out, "%s    %s  %s  %s  %s %d  %s  %s\n", at(a.Attempt.StartedAt), printable(a.RefID), a.Sink,
		c.paint(stateStyles[a.State], state), "attempt", a.Attempt.N, took(a.Attempt.DurationMS), shortened(printable(said), 160))
}
