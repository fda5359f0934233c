package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/server"
)

// addFilter adds the flags that select callbacks.
func addFilter(cmd *cobra.Command, f *server.Filter) {
	flags := cmd.Flags()
	flags.StringVar(&f.Source, "source", "", "of this source")
	flags.StringVar(&f.Event, "event", "", "of this event, such as order.failed")
	flags.StringVar(&f.RefID, "ref-id", "", "about this order")
	flags.StringVar(&f.State, "state", "", "with a delivery that is pending, delivered or dead")
	flags.StringVar(&f.Sink, "sink", "", "with a delivery to this sink")
	flags.StringVar(&f.Since, "since", "", "received since then: 1h, 7d, 2026-01-15, 2026-01-15T08:00:00+07:00")
	flags.StringVar(&f.Until, "until", "", "received before then")
	flags.StringVarP(&f.Text, "grep", "q", "", "with this text in the ref_id or the body")
	flags.BoolVar(&f.Unmatched, "unmatched", false, "that no rule took")
	flags.BoolVar(&f.Conflict, "conflict", false, "that came with another body under a known key")
}

func listCommand(c *cli) *cobra.Command {
	var f server.Filter
	var limit int
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List callbacks, newest first",
		Example: "  kurir list --since 1h --event order.failed --state dead\n  kurir list --sink legacy --state pending\n  kurir list -q 08123 -o json",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 1 {
				return misused("--limit: write a number from 1 on")
			}
			page, err := c.client().list(cmd.Context(), f, limit)
			if err != nil {
				return err
			}
			if c.json() {
				return c.printJSON(page)
			}
			c.printList(page)
			if len(page.Callbacks) == 0 {
				return c.tellUnknown(cmd.Context(), f)
			}
			return nil
		},
	}
	addFilter(cmd, &f)
	cmd.Flags().IntVarP(&limit, "limit", "n", 50, "this many at most")
	return cmd
}

// tellUnknown says of a filter that selected nothing that there is no such sink or
// source, if so.
func (c *cli) tellUnknown(ctx context.Context, f server.Filter) error {
	for _, n := range []struct{ what, name string }{{"sink", f.Sink}, {"source", f.Source}} {
		if n.name == "" {
			continue
		}
		answer, err := c.client().call(ctx, http.MethodGet, "/api/"+n.what+"s", nil)
		if err != nil {
			return err
		}
		var all map[string][]struct{ Name string }
		if err := json.Unmarshal(answer, &all); err != nil {
			return fmt.Errorf("the daemon's answer: %w", err)
		}
		var names []string
		for _, known := range all[n.what+"s"] {
			names = append(names, known.Name)
		}
		if !slices.Contains(names, n.name) {
			fmt.Fprintf(c.err, "there is no %s %q: %s\n", n.what, n.name, conf.DidYouMean(n.name, names))
		}
	}
	return nil
}

// list asks for pages until there are limit callbacks, or no more.
func (cl *client) list(ctx context.Context, f server.Filter, limit int) (all server.Page, err error) {
	all.Callbacks = []server.Callback{}
	q := f.Values()
	for len(all.Callbacks) < limit {
		q.Set("limit", strconv.Itoa(min(limit-len(all.Callbacks), 1000)))
		page, err := cl.page(ctx, q)
		if err != nil {
			return all, err
		}
		all.Callbacks = append(all.Callbacks, page.Callbacks...)
		if all.Next = page.Next; page.Next == "" {
			break
		}
		q.Set("cursor", page.Next)
	}
	return all, nil
}

func (cl *client) page(ctx context.Context, q url.Values) (page server.Page, err error) {
	answer, err := cl.call(ctx, http.MethodGet, "/api/callbacks?"+q.Encode(), nil)
	if err != nil {
		return page, err
	}
	return page, json.Unmarshal(answer, &page)
}

func (c *cli) printList(page server.Page) {
	if len(page.Callbacks) == 0 {
		fmt.Fprintln(c.out, "no callbacks")
		return
	}
	var t table
	t.add("RECEIVED", "SOURCE", "EVENT", "REF_ID", "DELIVERIES", "ID")
	for _, cb := range page.Callbacks {
		row := t.add(at(cb.ReceivedAt), cb.Source, shortened(printable(cb.Event), 28), shortened(printable(cb.RefID), 32), summary(cb), cb.ID.String())
		t.style(row, 4, stateStyles[worst(cb)])
		t.style(row, 5, dim)
	}
	t.print(c)
	if page.Next != "" {
		fmt.Fprintln(c.out, c.paint(dim, "There are more: -n shows more of them, and filters fewer."))
	}
}

// summary says where a callback's deliveries stand, and what is odd about it.
func summary(cb server.Callback) string {
	var parts []string
	for _, state := range []relay.State{relay.Dead, relay.Pending, relay.Delivered} {
		n := 0
		for _, d := range cb.Deliveries {
			if d.State == state {
				n++
			}
		}
		if n > 0 {
			parts = append(parts, fmt.Sprintf("%d %s", n, state))
		}
	}
	parts = append(parts, oddities(cb)...)
	if len(parts) == 0 {
		return "none"
	}
	return strings.Join(parts, ", ")
}

func oddities(cb server.Callback) (words []string) {
	for _, odd := range []struct {
		is   bool
		word string
	}{{cb.Unmatched, "unmatched"}, {cb.Conflict, "conflict"}, {cb.Unparsed, "unparsed"}, {cb.Damaged, "damaged"},
		{cb.Duplicates > 0, fmt.Sprintf("came %d times", cb.Duplicates+1)}} {
		if odd.is {
			words = append(words, odd.word)
		}
	}
	return words
}

// worst is the state that most wants to be seen.
func worst(cb server.Callback) (state relay.State) {
	for _, d := range cb.Deliveries {
		if state == "" || d.State == relay.Dead || d.State == relay.Pending && state == relay.Delivered {
			state = d.State
		}
	}
	return state
}
