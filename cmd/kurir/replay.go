package main

import (
	"fmt"
	"net/http"
	"reflect"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/server"
)

func replayCommand(c *cli) *cobra.Command {
	var f server.Filter
	var dead bool
	var req server.ReplayRequest
	cmd := &cobra.Command{
		Use:   "replay [REF_ID|ID...]",
		Short: "Deliver stored callbacks again",
		Long: `Deliver stored callbacks again: those that are named, or those that the flags
select. The sinks are told that it is a replay, and each delivery keeps its id.
What is pending is delivered anyway and is left alone; with --now it does not wait
for its time any longer.`,
		Example: "  kurir replay ORDER-2025-001\n  kurir replay --dead --sink legacy --dry-run\n  kurir replay --dead --sink legacy\n  kurir replay --state pending --sink legacy --now",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if dead {
				f.State = string(relay.Dead)
			}
			if req, err = c.replayRequest(cmd, req, f, args); err != nil {
				return err
			}
			var n server.Replayed
			return c.ask(cmd.Context(), http.MethodPost, "/api/replay", req, &n, func() { c.printReplayed(n, req.Now) })
		},
	}
	addFilter(cmd, &f)
	cmd.Flags().BoolVar(&dead, "dead", false, "dead letters: the same as --state dead")
	cmd.Flags().BoolVar(&req.Now, "now", false, "let what is pending not wait for its time")
	cmd.Flags().BoolVar(&req.DryRun, "dry-run", false, "only count what would be delivered")
	return cmd
}

// replayRequest puts the request together. Names that are no ids are looked up.
func (c *cli) replayRequest(cmd *cobra.Command, req server.ReplayRequest, f server.Filter, args []string) (server.ReplayRequest, error) {
	req.Sink, f.Sink = f.Sink, ""
	if len(args) == 0 {
		if reflect.ValueOf(f).IsZero() && req.Sink == "" {
			return req, misused("say what to replay: ids, ref_ids, or flags such as --dead --sink legacy")
		}
		req.Filter = &f
		return req, nil
	}
	if !reflect.ValueOf(f).IsZero() {
		return req, misused("with names, only --sink, --now and --dry-run go together")
	}
	for _, name := range args {
		ids, err := c.client().find(cmd.Context(), name)
		if err != nil {
			return req, err
		}
		req.IDs = append(req.IDs, ids...)
	}
	return req, nil
}

func (c *cli) printReplayed(n server.Replayed, now bool) {
	switch {
	case n.Replayed+n.Hastened+n.Pending == 0:
		fmt.Fprintln(c.out, "no delivery is selected")
	case n.DryRun:
		fmt.Fprintln(c.out, deliveries(n.Replayed)+" would be made again")
	case n.Replayed > 0 || n.Hastened == 0:
		fmt.Fprintln(c.out, deliveries(n.Replayed)+" will be made again; kurir tail shows how it goes")
	}
	if n.Hastened > 0 {
		fmt.Fprintln(c.out, "pending and due now: "+deliveries(n.Hastened))
	}
	switch {
	case n.Pending > 0 && now && n.DryRun:
		fmt.Fprintf(c.out, "pending, and would be due now: %s at most\n", deliveries(n.Pending))
	case n.Pending > 0 && now:
		fmt.Fprintf(c.out, "due already, or on their way: %s\n", deliveries(n.Pending))
	case n.Pending > 0:
		fmt.Fprintf(c.out, "pending anyway, and left alone: %s; --now has them not wait for their time\n", deliveries(n.Pending))
	}
	if n.Hint != "" {
		fmt.Fprintln(c.out, n.Hint)
	}
}

func deliveries(n int) string {
	if n == 1 {
		return "1 delivery"
	}
	return fmt.Sprintf("%d deliveries", n)
}
