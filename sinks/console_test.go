package sinks_test

import (
	"bytes"
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/sinks"
)

// onConsole makes a sink whose ${UNSET:-} is empty on purpose.
func onConsole(t *testing.T, kind, settings string) (sinks.Sink, *bytes.Buffer) {
	t.Helper()
	var out bytes.Buffer
	return openAt(t, kind, settings, sinks.Place{Name: "legacy", Location: time.UTC, Timeout: time.Second, Console: &out}), &out
}

func TestASinkWithoutAnAddressPrintsWhatItWouldSend(t *testing.T) {
	s, out := onConsole(t, "http", "{url: '${UNSET:-}', method: PUT, body: {ref: '{{ ref_id }}'}, headers: {X-Token: hush-hush}}")
	p := parcelOf(t, s, order("{}"), "")
	ans, err := send(t, s, p)
	if err != nil || !ans.Console || ans.Note != "console" {
		t.Errorf("settled as %+v, %v", ans, err)
	}
	if !s.Preview(p).Console {
		t.Error("the preview is not marked")
	}
	const want = `┌─ legacy (http): printed, not sent, because its url is empty
│ PUT (no url)
│ Content-Type: application/json
│ X-Token: [secret]
│
│ {"ref":"ORDER-2025-001"}
└─ order.failed ORDER-2025-001, rule failed-order
`
	if got := out.String(); got != want {
		t.Errorf("printed\n%swant\n%s", got, want)
	}
}

func TestAFormIsReadableOnTheConsole(t *testing.T) {
	s, out := onConsole(t, "http", "{url: '${UNSET:-}', form: {target: '0812', message: '{{ text }}'}}")
	if _, err := send(t, s, parcelOf(t, s, order("{}"), "<b>{{ ref_id }}</b>\n{{ data.message }}")); err != nil {
		t.Fatal(err)
	}
	if want := "│ target: 0812\n│ message: ORDER-2025-001\n│ Nomor \"salah\" & <b>tutup</b>\n"; !strings.Contains(out.String(), want) {
		t.Errorf("printed\n%swant\n%s", out, want)
	}
}

func TestAQueryIsShownOnTheConsoleWithoutItsSecrets(t *testing.T) {
	s, out := onConsole(t, "http", "{url: '${UNSET:-}', method: GET, query: {refid: '{{ ref_id }}', pin: '1234'}}")
	if _, err := send(t, s, parcelOf(t, s, order("{}"), "")); err != nil || !strings.Contains(out.String(), "│ GET ?pin=[secret]&refid=ORDER-2025-001\n") {
		t.Errorf("%v, printed\n%s", err, out)
	}
}

func TestNothingOnTheConsoleControlsTheTerminal(t *testing.T) {
	s, out := onConsole(t, "http", "url: '${UNSET:-}'")
	c := order("a\x1b]0;owned\x07\x1b[31m\u202e\x9b2J\x00\r\nsecond\rline\x7f")
	c.RefID, c.Event = "R\x1b[2J\r\n└─ fake", "e\u2066"
	if _, err := send(t, s, parcel(c, nil)); err != nil {
		t.Fatal(err)
	}
	for _, r := range out.String() {
		if r < ' ' && r != '\n' || r >= 0x7f && r < 0xa0 || r == '\u202e' || r == '\u2066' {
			t.Errorf("%U is printed", r)
		}
	}
	for line := range strings.Lines(out.String()) {
		if !strings.HasPrefix(line, "│") && !strings.HasPrefix(line, "┌─") && !strings.HasPrefix(line, "└─ e") {
			t.Errorf("%q stands outside the box", line)
		}
	}
}

func TestEveryKindPrintsInTheSameBox(t *testing.T) {
	for kind, settings := range map[string]string{
		"http":     "url: ${UNSET:-}",
		"telegram": "{token: '${UNSET:-}', chat: '1'}",
		"email":    "{server: '${UNSET:-}', from: a@example.com, to: b@example.com}",
	} {
		s, out := onConsole(t, kind, settings)
		if ans, err := send(t, s, parcelOf(t, s, order("{}"), "halo {{ ref_id }}")); err != nil || !ans.Console {
			t.Errorf("%s: %+v %v", kind, ans, err)
		}
		if !strings.HasPrefix(out.String(), "┌─ legacy ("+kind+"): printed, not sent") || !strings.Contains(out.String(), "└─ order.failed ORDER-2025-001, rule failed-order\n") {
			t.Errorf("%s prints\n%s", kind, out)
		}
	}
}

func TestBoxesPrintedAtOnceAreNotTorn(t *testing.T) {
	s, out := onConsole(t, "http", "{url: '${UNSET:-}', body: 'halo'}")
	p := parcelOf(t, s, order("{}"), "")
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() { send(t, s, p) })
	}
	wg.Wait()
	if got := strings.Count(out.String(), "└─ order.failed ORDER-2025-001, rule failed-order\n┌─") + 1; got != 20 {
		t.Errorf("%d whole boxes of 20", got)
	}
}

func TestAnAddressThatIsEmptyByMistakeIsReported(t *testing.T) {
	for settings, wrong := range map[string]bool{
		`url: ""`: true, `url: ''`: true, "url: ${EMPTY}": true, "url: ${EMPTY:-}": false, "url: ${UNSET:-}": false, "url: ${UNSET}": true,
	} {
		if _, problems := load("http", settings, map[string]string{"EMPTY": ""}, sinks.Place{Name: "legacy"}); (len(problems) > 0) != wrong {
			t.Errorf("%s: %v", settings, problems)
		}
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, errors.New("broken pipe") }

func TestAConsoleThatIsGoneIsAFailure(t *testing.T) {
	s := openAt(t, "http", "url: ${UNSET:-}", sinks.Place{Name: "legacy", Console: brokenPipe{}})
	if _, err := s.Send(context.Background(), []relay.Parcel{parcel(order("{}"), nil)}); err == nil {
		t.Error("settled as delivered")
	}
}
