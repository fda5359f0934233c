package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
	"github.com/kurir-relay/kurir/sinks"
)

func sinksCommand(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "sinks",
		Aliases: []string{"sink"},
		Short:   "Show where the sinks of the running daemon stand",
		Example: "  kurir sinks\n  kurir sinks test ops\n  kurir sinks chat-id",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all struct{ Sinks []server.SinkStatus }
			return c.ask(cmd.Context(), http.MethodGet, "/api/sinks", nil, &all, func() { c.printSinks(all.Sinks) })
		},
	}
	cmd.AddCommand(sinksTestCommand(c), chatIDCommand(c))
	return cmd
}

func (c *cli) printSinks(all []server.SinkStatus) {
	var t table
	t.add("SINK", "KIND", "PENDING", "DEAD", "DELIVERED", "")
	for _, s := range all {
		kind := s.Kind
		if kind == "" {
			kind = "(not in the rules)"
		}
		row := t.add(s.Name, kind, fmt.Sprint(s.Pending), fmt.Sprint(s.Dead), fmt.Sprint(s.Delivered), standing(s))
		if s.Dead > 0 {
			t.style(row, 3, red)
		}
		t.style(row, 5, yellow)
	}
	t.print(c)
}

// standing says what keeps a sink's deliveries waiting, if anything does.
func standing(s server.SinkStatus) string {
	switch now := time.Now(); {
	case s.Kind == "" && s.Pending > 0:
		return "its deliveries wait until it is back in the rules"
	case s.PausedUntil.After(now):
		return "asked to wait until " + at(s.PausedUntil)
	case s.RestsUntil.After(now):
		return fmt.Sprintf("failed %d times, rests until %s: %s", s.Failures, at(s.RestsUntil), shortened(printable(s.LastError), 100))
	case s.CollectsUntil.After(now):
		return "collects for a digest until " + at(s.CollectsUntil)
	case s.Failures > 0:
		return fmt.Sprintf("failing: %s", shortened(printable(s.LastError), 100))
	}
	return ""
}

func sinksTestCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "test NAME",
		Short: "Send one message to a sink of the rules, now",
		Long: `Send one message to a sink of the rules, now, and show what the far side says.
The daemon need not run, and nothing is stored.`,
		Example: "  kurir sinks test ops",
		Args:    cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := c.load()
			if err != nil {
				return err
			}
			defer set.Close()
			return c.testSink(cmd.Context(), set, args[0])
		},
	}
}

// testSink makes one attempt at one parcel, as the dispatcher would.
func (c *cli) testSink(ctx context.Context, set *rules.Set, name string) error {
	sink, ok := set.Sink(name)
	if !ok {
		return fmt.Errorf("no sink %q in %s", name, c.config)
	}
	cb := testCallback(time.Now())
	payload, err := sink.Writer(sinks.Message{Rule: "test"})(sinks.Occasion{Vars: lang.NewVars(cb)})
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	dest, _ := set.Destination(name)
	ctx, cancel := context.WithTimeout(ctx, dest.Timeout)
	defer cancel()
	d := relay.Delivery{ID: relay.DeliveryID{Callback: cb.ID, N: 1}, Target: relay.Target{Rule: "test", Sink: name, Payload: payload}}
	answer, err := sink.Send(ctx, []relay.Parcel{{Callback: cb, Delivery: d, Attempt: 1}})
	return c.printAnswer(name, answer, err)
}

// testCallback is what is sent: nobody's order.
func testCallback(now time.Time) relay.Callback {
	var ids relay.IDSource
	data := map[string]any{"ref_id": "TEST", "message": "This is a test of Kurir", "product_name": "Test", "customer_number": "-", "price": 0}
	return relay.Callback{ID: ids.Next(now), Source: "test", Event: "test", RefID: "TEST", ReceivedAt: now, Method: http.MethodPost, URI: "/webhook/test",
		Header: http.Header{"Content-Type": {"application/json"}}, Body: []byte(`{"event":"test","data":{"ref_id":"TEST","message":"This is a test of Kurir"}}`),
		Parsed: &relay.Parsed{Body: map[string]any{"event": "test", "data": data}, Data: data}}
}

func (c *cli) printAnswer(name string, answer relay.Answer, err error) error {
	if c.json() {
		out := map[string]any{"ok": err == nil, "sink": name, "status": answer.Status, "response": answer.Response, "note": answer.Note}
		if err != nil {
			out["error"] = err.Error()
		}
		return errors.Join(c.printJSON(out), err)
	}
	if err != nil && answer.Note != "" {
		return fmt.Errorf("%s: %s: %w", name, answer.Note, err)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	words := "taken"
	if answer.Status != 0 {
		words += ", " + strconv.Itoa(answer.Status)
	}
	if answer.Note != "" {
		words += ", " + answer.Note
	}
	if answer.Response != "" {
		words += ": " + shortened(printable(answer.Response), 200)
	}
	if answer.Console {
		words = "printed, not sent: the sink has no address"
	}
	fmt.Fprintf(c.out, "%s: %s\n", name, words)
	return nil
}

func chatIDCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "chat-id [NAME]",
		Short: "Show the chats that the bot of a telegram sink has heard from",
		Long: `Show the chats that the bot of a telegram sink has heard from in the last day, so
that the right id can be written into the rules. Write something to the bot, or
in the group that it is a member of, first.`,
		Example: "  kurir sinks chat-id\n  kurir sinks chat-id ops",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			set, err := c.load()
			if err != nil {
				return err
			}
			defer set.Close()
			names := args
			if len(names) == 0 {
				names = set.SinkNames()
			}
			return c.chats(cmd.Context(), set, names)
		},
	}
}

// chats asks the first of the sinks that is a telegram one.
func (c *cli) chats(ctx context.Context, set *rules.Set, names []string) error {
	for _, name := range names {
		sink, ok := set.Sink(name)
		if !ok {
			return fmt.Errorf("no sink %q in %s", name, c.config)
		}
		chats, err := sinks.Chats(ctx, sink)
		if errors.Is(err, errors.ErrUnsupported) {
			continue
		}
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		return c.printChats(chats)
	}
	if len(names) == 1 {
		return fmt.Errorf("%s is no telegram sink", names[0])
	}
	return fmt.Errorf("no telegram sink in %s", c.config)
}

func (c *cli) printChats(chats []sinks.Chat) error {
	if c.json() {
		return c.printJSON(map[string]any{"chats": chats})
	}
	if len(chats) == 0 {
		fmt.Fprintln(c.out, "The bot has heard from nobody within the last day: write something to it first.")
		return nil
	}
	var t table
	t.add("CHAT", "TOPIC", "TYPE", "TITLE")
	for _, chat := range chats {
		topic := ""
		if chat.Topic != 0 {
			topic = strconv.Itoa(chat.Topic)
		}
		t.add(strconv.FormatInt(chat.ID, 10), topic, chat.Type, printable(chat.Title))
	}
	t.print(c)
	return nil
}
