package relay_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// A press is a function for a Batch that keeps what it was called with. Each call
// waits for a token of gate, if there is one. It panics on "boom".
type press struct {
	gate  chan struct{}
	err   error
	calls [][]string
}

func (p *press) do(_ context.Context, in []string) (out []string, err error) {
	if p.gate != nil {
		<-p.gate
	}
	if slices.Contains(in, "boom") {
		panic("boom")
	}
	p.calls = append(p.calls, in)
	for _, s := range in {
		out = append(out, strings.ToUpper(s))
	}
	return out, p.err
}

// batch is a Batch of p, whose first call has begun with the item "first" if p
// has a gate. All goes on inside a synctest bubble.
func batch(t *testing.T, p *press, limit relay.BatchLimit[string]) *relay.Batch[string, string] {
	b := relay.NewBatch(p.do, limit)
	t.Cleanup(b.Close)
	if p.gate != nil {
		go b.Do(context.Background(), "first")
		synctest.Wait()
	}
	return b
}

type answer struct {
	out string
	err error
}

// ask hands in an item and gives a channel for the answer.
func ask(ctx context.Context, b *relay.Batch[string, string], in string) <-chan answer {
	c := make(chan answer, 1)
	go func() {
		out, err := b.Do(ctx, in)
		c <- answer{out, err}
	}()
	synctest.Wait()
	return c
}

func TestABatchTakesAllThatWaitsInOneCall(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &press{gate: make(chan struct{})}
		b := batch(t, p, relay.BatchLimit[string]{Weight: 1000, Queue: 1000})
		var answers []<-chan answer
		for i := range 500 {
			answers = append(answers, ask(t.Context(), b, fmt.Sprint("item ", i)))
		}
		close(p.gate)
		for i, a := range answers {
			if got := <-a; got.err != nil || got.out != fmt.Sprint("ITEM ", i) {
				t.Fatalf("item %d got %v", i, got)
			}
		}
		if len(p.calls) != 2 || len(p.calls[1]) != 500 || p.calls[1][7] != "item 7" {
			t.Errorf("%d calls instead of 2: in order, the first alone and then all that waited", len(p.calls))
		}
	})
}

func TestABatchEndsWhereItsWeightIsReached(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &press{gate: make(chan struct{})}
		b := batch(t, p, relay.BatchLimit[string]{Weight: 10, Queue: 10, Weigh: func(s string) int { return len(s) }})
		for _, s := range []string{"four", "three", "one", "a heavy one that goes alone", "x"} {
			ask(t.Context(), b, s)
		}
		close(p.gate)
		b.Close()
		want := [][]string{{"first"}, {"four", "three", "one"}, {"a heavy one that goes alone"}, {"x"}}
		if fmt.Sprint(p.calls) != fmt.Sprint(want) {
			t.Errorf("calls %q, want %q", p.calls, want)
		}
	})
}

func TestWhoWaitsTooLongForABatchIsToldSoAndWithdrawn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &press{gate: make(chan struct{})}
		b := batch(t, p, relay.BatchLimit[string]{Weight: 10, Queue: 1, Wait: 5 * time.Second})
		begun := time.Now()
		queued, outside := ask(t.Context(), b, "queued"), ask(t.Context(), b, "no room")
		for _, c := range []<-chan answer{queued, outside} {
			if a := <-c; !errors.Is(a.err, relay.ErrBusy) || time.Since(begun) != 5*time.Second {
				t.Errorf("got %v after %v", a, time.Since(begun))
			}
		}
		close(p.gate)
		b.Close()
		if fmt.Sprint(p.calls) != "[[first]]" {
			t.Errorf("calls %q", p.calls)
		}
	})
}

func TestACallerWhoLeavesABatchHurtsNoOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &press{gate: make(chan struct{})}
		b := batch(t, p, relay.BatchLimit[string]{Weight: 10, Queue: 10})
		ctx, leave := context.WithCancel(t.Context())
		stays := ask(t.Context(), b, "stays")
		leaves := ask(ctx, b, "leaves")
		leave()
		if a := <-leaves; !errors.Is(a.err, context.Canceled) {
			t.Errorf("who left got %v", a)
		}
		p.gate <- struct{}{}
		synctest.Wait() // the call with "stays" has begun
		ctx, leave = context.WithCancel(t.Context())
		late := ask(ctx, b, "late")
		p.gate <- struct{}{}
		synctest.Wait() // so has that with "late"
		leave()
		if a := <-late; !errors.Is(a.err, context.Canceled) {
			t.Errorf("who left late got %v", a)
		}
		close(p.gate)
		if a := <-stays; a != (answer{out: "STAYS"}) {
			t.Errorf("who stayed got %v", a)
		}
		b.Close()
		if want := "[[first] [stays] [late]]"; fmt.Sprint(p.calls) != want {
			t.Errorf("calls %q, want %s: what has begun is done, what has not is withdrawn", p.calls, want)
		}
	})
}

func TestAPanicInABatchIsTheErrorOfItsItemAlone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &press{gate: make(chan struct{})}
		b := batch(t, p, relay.BatchLimit[string]{Weight: 10, Queue: 10})
		good, bad, also := ask(t.Context(), b, "good"), ask(t.Context(), b, "boom"), ask(t.Context(), b, "also")
		close(p.gate)
		for c, want := range map[<-chan answer]string{good: "GOOD", also: "ALSO"} {
			if a := <-c; a != (answer{out: want}) {
				t.Errorf("got %v, want %s", a, want)
			}
		}
		if a := <-bad; a.err == nil || !strings.Contains(a.err.Error(), "boom") {
			t.Errorf("the panicking item got %v", a)
		}
	})
}

func TestAnErrorOfABatchIsEveryCallers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &press{gate: make(chan struct{}), err: relay.ErrFull}
		b := batch(t, p, relay.BatchLimit[string]{Weight: 10, Queue: 10})
		one, two := ask(t.Context(), b, "one"), ask(t.Context(), b, "two")
		close(p.gate)
		if a, c := <-one, <-two; !errors.Is(a.err, relay.ErrFull) || !errors.Is(c.err, relay.ErrFull) {
			t.Errorf("got %v and %v", a, c)
		}
		if len(p.calls) != 2 {
			t.Errorf("%d calls: a full disk is not asked again for each item", len(p.calls))
		}
	})
}

func TestResultsThatDontFitTheItemsAreAnError(t *testing.T) {
	b := relay.NewBatch(func(context.Context, []int) ([]int, error) { return nil, nil }, relay.BatchLimit[int]{Weight: 1})
	defer b.Close()
	if _, err := b.Do(t.Context(), 1); err == nil {
		t.Error("no error")
	}
}

func TestACloseFinishesWhatWasHandedIn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &press{gate: make(chan struct{})}
		b := batch(t, p, relay.BatchLimit[string]{Weight: 1, Queue: 1})
		queued, outside := ask(t.Context(), b, "queued"), ask(t.Context(), b, "outside")
		closed := make(chan struct{}, 2)
		for range 2 {
			go func() { b.Close(); closed <- struct{}{} }()
		}
		synctest.Wait()
		if _, err := b.Do(t.Context(), "late"); !errors.Is(err, relay.ErrClosed) {
			t.Errorf("after Close: %v", err)
		}
		if len(closed) > 0 {
			t.Error("Close returned before the work was done")
		}
		close(p.gate)
		<-closed
		<-closed
		if a, c := <-queued, <-outside; a.err != nil || c.err != nil {
			t.Errorf("handed in before Close: %v and %v", a, c)
		}
	})
}

func TestWhoHandsInIsToldOfTheResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := &press{gate: make(chan struct{})}
		b := batch(t, p, relay.BatchLimit[string]{Weight: 10, Queue: 10})
		told := map[string]answer{}
		hand := func(in string) error {
			return b.Hand(in, func(out string, err error) { told[in] = answer{out, err} })
		}
		for _, in := range []string{"good", "boom", "also"} {
			if err := hand(in); err != nil {
				t.Fatal(err)
			}
		}
		close(p.gate)
		b.Close()
		if told["good"] != (answer{out: "GOOD"}) || told["also"] != (answer{out: "ALSO"}) || told["boom"].err == nil {
			t.Errorf("told %v", told)
		}
		if err := hand("late"); !errors.Is(err, relay.ErrClosed) || len(told) != 3 {
			t.Errorf("after Close: %v, told %v", err, told)
		}
	})
}

func TestEveryCallerOfABatchGetsItsOwnResult(t *testing.T) {
	b := relay.NewBatch(func(_ context.Context, in []int) (out []int, _ error) {
		for _, n := range in {
			out = append(out, n*n)
		}
		return out, nil
	}, relay.BatchLimit[int]{Weight: 7, Queue: 5, Wait: time.Minute})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for n := i; n < 4000; n += 16 {
				if out, err := b.Do(t.Context(), n); err != nil || out != n*n {
					t.Errorf("%d got %d, %v", n, out, err)
				}
			}
		})
	}
	wg.Wait()
	b.Close()
}
