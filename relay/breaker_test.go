package relay_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

func TestADeadSinkIsProbedAndItsDeliveriesWaitWithoutBurningAttempts(t *testing.T) {
	dead, alive := &far{behave: down}, &far{}
	inHouse(t, sinks{"dead": {Sink: dead}, "alive": {Sink: alive}}, func(h *house) {
		begun := time.Now()
		for i := range 500 {
			h.receive(fmt.Sprint("T-", i), "dead", "alive")
		}
		synctest.Wait()
		if n := len(alive.messages()); n != 500 || time.Since(begun) != 0 {
			t.Errorf("the other sink has %d messages after %v", n, time.Since(begun))
		}
		if n := len(dead.messages()); n < relay.BreakerAfter || n >= relay.BreakerAfter+8 {
			t.Errorf("%d attempts before the rest, want %d and what was under way", n, relay.BreakerAfter)
		}
		s := h.dispatcher.Sinks()["dead"]
		if !s.Resting || s.Failures < relay.BreakerAfter || s.LastError != errDown.Error() || !s.Rests.Equal(begun.Add(relay.BreakerRest)) {
			t.Errorf("state %+v", s)
		}
		n := len(dead.messages())
		pass(time.Hour)
		if probes := len(dead.messages()) - n; probes < 120 || probes > 130 {
			t.Errorf("%d probes in an hour, want about one in %v", probes, relay.BreakerMaxRest)
		}
		if s := h.stats("dead"); s.Pending != 500 || s.Dead != 0 {
			t.Errorf("after an hour %+v", s)
		}
		dead.become(nil)
		pass(relay.BreakerMaxRest)
		if n := len(dead.refs()); n < 300 {
			t.Errorf("%d delivered within %v of its return, want all that are due", n, relay.BreakerMaxRest)
		}
		if s := h.dispatcher.Sinks()["dead"]; s.Resting || s.Failures != 0 || s.LastSuccess.IsZero() {
			t.Errorf("state %+v", s)
		}
	})
}

func TestOnlyFailuresOfTheFarSideBringARest(t *testing.T) {
	for _, tt := range []struct {
		name  string
		err   error
		rests bool
	}{
		{"refused connections", errDown, true},
		{"deliveries refused for good", relay.Permanent(errors.New("400")), false},
		{"a wait asked for one delivery", &relay.RetryAfterError{Wait: time.Minute, Err: errors.New("429")}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			f := &far{behave: func(context.Context, []relay.Parcel) error { return tt.err }}
			inHouse(t, sinks{"legacy": to(f, time.Hour)}, func(h *house) {
				for i := range 50 {
					h.receive(fmt.Sprint("T-", i), "legacy")
				}
				synctest.Wait()
				if got := h.dispatcher.Sinks()["legacy"].Resting; got != tt.rests {
					t.Errorf("resting %v after %d messages", got, len(f.messages()))
				}
				if n := len(f.messages()); !tt.rests && n != 50 {
					t.Errorf("%d messages of 50", n)
				}
			})
		})
	}
}

func TestAProbeThatIsAskedForPatienceIsNotFollowedAtOnce(t *testing.T) {
	f := &far{behave: down}
	inHouse(t, sinks{"legacy": to(f, time.Hour)}, func(h *house) {
		for i := range 100 {
			h.receive(fmt.Sprint("T-", i), "legacy")
		}
		synctest.Wait()
		n := len(f.messages())
		f.become(func(context.Context, []relay.Parcel) error {
			return &relay.RetryAfterError{Wait: time.Second, Err: errDown}
		})
		pass(time.Minute)
		if probes := len(f.messages()) - n; probes < 2 || probes > 30 {
			t.Errorf("%d probes in a minute", probes)
		}
	})
}
