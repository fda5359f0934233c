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
select. What is pending anyway is left alone. The sinks are told that it is a
replay, and each delivery keeps its id.`,
		Example: "  kurir replay ORDER-2025-001\n  kurir replay --dead --sink legacy --dry-run\n  kurir replay --dead --sink legacy",
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			if dead {
				f.State = string(relay.Dead)
			}
			if req, err = c.replayRequest(cmd, req, f, args); err != nil {
				return err
			}
			var n server.Replayed
			return c.ask(cmd.Context(), http.MethodPost, "/api/replay", req, &n, func() { c.printReplayed(n) })
		},
	}
	addFilter(cmd, &f)
	cmd.Flags().BoolVar(&dead, "dead", false, "dead letters: the same as --state dead")
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
		return req, misused("with names, only --sink and --dry-run go together")
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

func (c *cli) printReplayed(n server.Replayed) {
	what := count(n.Replayed, "delivery")
	if n.Replayed != 1 {
		what = fmt.Sprintf("%d deliveries", n.Replayed)
	}
	if n.DryRun {
		fmt.Fprintln(c.out, what+" would be made again")
		return
	}
	fmt.Fprintln(c.out, what+" will be made again; kurir tail shows how it goes")
}
