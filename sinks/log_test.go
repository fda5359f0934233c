package sinks_test

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/sinks"
)

func logTo(t *testing.T, settings string) (sinks.Sink, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	h := slog.NewTextHandler(&out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey {
			return slog.Attr{}
		}
		return a
	}})
	return openAt(t, "log", settings, sinks.Place{Name: "journal", Log: slog.New(h)}), &out
}

func TestALogSinkWritesALineWithTheText(t *testing.T) {
	const about = " callback=019ab3d1-5e00-0000-0000-000000000000 source=isikuota event=order.failed ref_id=ORDER-2025-001 "
	for name, tt := range map[string]struct{ settings, text, want string }{
		"complete as {}":  {"{}", "", `level=INFO msg=notification sink=journal rule=failed-order` + about + `text="order.failed ORDER-2025-001"` + "\n"},
		"with the rule's": {"{}", "❌ <b>{{ ref_id }}</b>\n{{ data.message }}", `level=INFO msg=notification sink=journal rule=failed-order` + about + `text="❌ ORDER-2025-001\nNomor \"salah\" & <b>tutup</b>"` + "\n"},
		"at a level":      {"{level: warn}", "x", `level=WARN msg=notification sink=journal rule=failed-order` + about + "text=x\n"},
	} {
		t.Run(name, func(t *testing.T) {
			s, out := logTo(t, tt.settings)
			p := parcelOf(t, s, order("{}"), tt.text)
			if _, err := send(t, s, p); err != nil {
				t.Fatal(err)
			}
			if got := strings.ReplaceAll(out.String(), p.Callback.ID.String(), "019ab3d1-5e00-0000-0000-000000000000"); got != tt.want {
				t.Errorf("got  %swant %s", got, tt.want)
			}
			if v := s.Preview(p); v.Text == "" || v.Console {
				t.Errorf("the preview is %+v", v)
			}
		})
	}
}

func TestALogAsFallbackSaysWhoFailed(t *testing.T) {
	s, out := logTo(t, "{}")
	payload, err := s.Writer(sinks.Message{Text: conf.String{Text: "x"}})(sinks.Occasion{Vars: lang.NewVars(order("{}")), Failed: "ops", Reason: "chat not found"})
	if err != nil {
		t.Fatal(err)
	}
	p := parcel(order("{}"), payload)
	if _, err := send(t, s, p); err != nil || !strings.Contains(out.String(), `failed_sink=ops reason="chat not found"`) {
		t.Errorf("%v: %s", err, out)
	}
	if v := s.Preview(p); v.Text != "x (ops failed: chat not found)" {
		t.Errorf("the preview is %q", v.Text)
	}
}

func TestALogLineThatCannotBeReadIsDead(t *testing.T) {
	s, _ := logTo(t, "{}")
	if _, err := send(t, s, parcel(order("{}"), []byte("{"))); !isPermanent(err) {
		t.Errorf("got %v", err)
	}
}

func TestALogLineControlsNoTerminal(t *testing.T) {
	s, out := logTo(t, "{}")
	if _, err := send(t, s, parcel(order("{}"), []byte(`{"text":"a\u001b[2Jb"}`))); err != nil || !strings.Contains(out.String(), "text=a␛[2Jb") {
		t.Errorf("%v: %q", err, out)
	}
}

func TestAnUnknownLevelIsReported(t *testing.T) {
	if _, problems := load("log", "level: wrn", nil, sinks.Place{}); !strings.Contains(problems.Error(), `unknown level "wrn": did you mean "warn"?`) {
		t.Errorf("got %v", problems)
	}
}
