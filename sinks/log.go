package sinks

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

func init() {
	Register(Kind{
		Name:     "log",
		Doc:      "a line in Kurir's own log; `log: {}` is a complete sink",
		Settings: logSettings{},
		New:      newLog,
	})
}

type logSettings struct {
	Level conf.String `conf:"level" default:"info" doc:"of the line: debug, info, warn or error"`
}

type logSink struct {
	name  string
	level slog.Level
	log   *slog.Logger
}

func newLog(n conf.Node, p Place) Sink {
	var set logSettings
	n.Decode(&set)
	s := &logSink{name: p.Name, log: cmp.Or(p.Log, slog.Default())}
	if err := s.level.UnmarshalText([]byte(set.Level.Text)); err != nil {
		set.Level.Node.Unknown("level", set.Level.Text, []string{"debug", "info", "warn", "error"})
	}
	return s
}

// A logLine is the payload of a delivery to a log.
type logLine struct {
	Text   string `json:"text"`
	Failed string `json:"failed,omitempty"` // the sink that could not deliver
	Reason string `json:"reason,omitempty"`
}

// Writer renders the rule's text, without its tags; without one the line names the event and the
// order.
func (s *logSink) Writer(m Message) Writer {
	t := compile(m.Text, lang.HTML)
	return func(o Occasion) ([]byte, error) {
		line := logLine{Text: strings.TrimSpace(cmp.Or(o.Vars.Event, o.Vars.Source) + " " + o.Vars.RefID), Failed: o.Failed, Reason: o.Reason}
		if t != nil {
			text, err := t.Render(o.Vars)
			if err != nil {
				return nil, err
			}
			line.Text = strings.TrimSpace(plainText(text))
		}
		return json.Marshal(line)
	}
}

// Send writes a line for each parcel.
func (s *logSink) Send(ctx context.Context, parcels []relay.Parcel) (relay.Answer, error) {
	for _, p := range parcels {
		line, err := readLine(p)
		if err != nil {
			return relay.Answer{}, err
		}
		attrs := []slog.Attr{slog.String("sink", s.name), slog.String("rule", p.Delivery.Rule), slog.Any("", p.Callback), slog.String("text", line.Text)}
		if line.Failed != "" {
			attrs = append(attrs, slog.String("failed_sink", line.Failed), slog.String("reason", line.Reason))
		}
		s.log.LogAttrs(ctx, s.level, "notification", attrs...)
	}
	return relay.Answer{}, nil
}

func readLine(p relay.Parcel) (line logLine, err error) {
	if err := json.Unmarshal(p.Delivery.Payload, &line); err != nil {
		return logLine{}, relay.Permanent(fmt.Errorf("the stored line of %s cannot be read: %w", p.Delivery.ID, err))
	}
	line.Text = printable([]byte(line.Text), maxAnswer)
	return line, nil
}

// Preview shows the text of the line.
func (s *logSink) Preview(p relay.Parcel) Preview {
	line, err := readLine(p)
	if err != nil {
		return Preview{To: "log", Text: err.Error()}
	}
	if line.Failed != "" {
		line.Text = fmt.Sprintf("%s (%s failed: %s)", line.Text, line.Failed, line.Reason)
	}
	return Preview{To: "log", Text: line.Text}
}

func (s *logSink) Close() {}
