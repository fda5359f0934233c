package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/server"
)

func showCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "show REF_ID|ID",
		Short:   "Show an order's timeline, or one callback, with every attempt",
		Example: "  kurir show ORDER-2025-001\n  kurir show 01890a5d-ac96-774b-bcce-b302099a8057 -o json",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			ids, err := c.client().find(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			details := make([]json.RawMessage, len(ids))
			for i, id := range ids {
				if details[i], err = c.client().call(cmd.Context(), http.MethodGet, "/api/callbacks/"+id.String(), nil); err != nil {
					return err
				}
			}
			return c.showDetails(args[0], details)
		},
	}
}

// find gives the callbacks that a ref_id or an id stands for, oldest first. Some
// providers' ref_ids look like ids: what is known as a ref_id is one.
func (cl *client) find(ctx context.Context, name string) (ids []relay.ID, err error) {
	if name == "" {
		return nil, misused("an empty name stands for no callback")
	}
	page, err := cl.list(ctx, server.Filter{RefID: name}, 1000)
	if err != nil {
		return nil, err
	}
	for _, cb := range slices.Backward(page.Callbacks) {
		ids = append(ids, cb.ID)
	}
	if len(ids) > 0 {
		return ids, nil
	}
	if id, err := relay.ParseID(name); err == nil {
		return []relay.ID{id}, nil
	}
	return nil, fmt.Errorf("no callback about %q: kurir list -q %[1]q looks for a part of it", name)
}

// showDetails prints one answer of the API as it came, and several as a list.
func (c *cli) showDetails(name string, details []json.RawMessage) error {
	if c.json() && len(details) == 1 {
		_, err := c.out.Write(details[0])
		return err
	}
	if c.json() {
		return c.printJSON(map[string]any{"callbacks": details})
	}
	if len(details) > 1 {
		fmt.Fprintf(c.out, "%s  %s\n\n", c.paint(bold, printable(name)), count(len(details), "callback"))
	}
	for i, text := range details {
		var d server.Detail
		dec := json.NewDecoder(bytes.NewReader(text))
		dec.UseNumber() // order numbers keep their digits
		if err := dec.Decode(&d); err != nil {
			return fmt.Errorf("the daemon's answer: %w", err)
		}
		if i > 0 {
			fmt.Fprintln(c.out)
		}
		c.showDetail(d)
	}
	return nil
}

func (c *cli) showDetail(d server.Detail) {
	fmt.Fprintf(c.out, "%s  %s  %s  %s\n", d.ReceivedAt.Local().Format("2006-01-02 15:04:05.000"),
		c.paint(bold, printable(d.Event)), printable(d.RefID), strings.Join(oddities(d.Callback), ", "))
	fmt.Fprintf(c.out, "  id      %s\n", d.ID)
	fmt.Fprintf(c.out, "  source  %s, %s %s from %s, %s\n", d.Source, d.Method, printable(d.URI), d.Remote, size(int64(d.Size)))
	if d.Data != nil {
		fmt.Fprintf(c.out, "  data    %s\n", shortened(printable(oneLine(d.Data)), 400))
	}
	for _, dv := range d.Deliveries {
		c.showDelivery(dv)
	}
	if len(d.Deliveries) == 0 {
		fmt.Fprintln(c.out, "  no deliveries")
	}
}

func (c *cli) showDelivery(d server.Delivery) {
	fmt.Fprintf(c.out, "  → %s  %s", c.paint(bold, printable(d.Sink)), c.paint(stateStyles[d.State], string(d.State)))
	notes := []string{"rule " + printable(d.Rule)}
	if d.Fallback != "" {
		notes = append(notes, "in place of "+printable(d.Fallback))
	}
	if d.Console {
		notes = append(notes, "on the console")
	}
	if d.Replays > 0 {
		notes = append(notes, "replayed "+count(d.Replays, "time"))
	}
	if !d.NextAttemptAt.IsZero() {
		notes = append(notes, "next attempt "+at(d.NextAttemptAt))
	}
	fmt.Fprintf(c.out, "  %s\n", c.paint(dim, strings.Join(notes, ", ")))
	for _, a := range d.Attempts.Each {
		c.showAttempt(a)
	}
	if len(d.Attempts.Each) == 0 && d.Error != "" {
		fmt.Fprintf(c.out, "      %s\n", c.paint(red, printable(d.Error)))
	}
}

func (c *cli) showAttempt(a server.Attempt) {
	mark, said := c.paint(green, "✓"), a.Note
	if !a.OK {
		mark, said = c.paint(red, "✗"), noted(a.Error, a.Note)
	}
	status := ""
	if a.Status != 0 {
		status = fmt.Sprintf("%d  ", a.Status)
	}
	fmt.Fprintf(c.out, "      %s %d  %s  %s  %s%s\n", mark, a.N, at(a.StartedAt), took(a.DurationMS), status, shortened(printable(said), 200))
	if a.Response != "" {
		fmt.Fprintf(c.out, "          %s\n", c.paint(dim, shortened(printable(a.Response), 200)))
	}
}

// noted is an error with what was nevertheless achieved, such as "1 of 2
// recipients have it".
func noted(err, note string) string {
	if note == "" {
		return err
	}
	return note + ": " + err
}

// oneLine is a value as JSON, with < > & as they are.
func oneLine(v any) string {
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(v)
	return strings.TrimSpace(b.String())
}
