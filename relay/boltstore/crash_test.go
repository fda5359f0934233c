package boltstore_test

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// childDir, in the environment, makes this binary the process that is killed.
const childDir = "BOLTSTORE_CHILD_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		child(dir)
	}
	os.Exit(m.Run())
}

// child appends and delivers from many goroutines, and prints the number of a
// callback once its Append has returned, and "d" and the number once its
// delivery is settled.
func child(dir string) {
	s, err := boltstore.Open(dir, boltstore.Options{})
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	first, err := strconv.Atoi(os.Getenv(childDir + "_FIRST"))
	if err != nil {
		os.Exit(1)
	}
	var out sync.Mutex
	say := func(what string) {
		out.Lock()
		defer out.Unlock()
		fmt.Println(what)
	}
	go childDelivers(s, say)
	for g := range 16 {
		go func() {
			for n := first + g; ; n += 16 {
				in := callback(n, relay.Target{Sink: "ops", Lane: fmt.Sprint(n % 7)})
				if _, err := s.Append(noContext, []relay.Inbound{in, callback(n)}); err != nil {
					say("error " + err.Error())
				}
				say(strconv.Itoa(n))
			}
		}()
	}
	select {}
}

func childDelivers(s *boltstore.Store, say func(string)) {
	for {
		leases, err := s.Claim(noContext, "w", time.Hour, []relay.Gate{{Sink: "ops", Room: 10}})
		if err != nil {
			say("error " + err.Error())
		}
		var out []relay.Outcome
		for _, l := range leases {
			out = append(out, relay.Outcome{ID: l.Delivery.ID, Token: l.Token, State: relay.Delivered})
		}
		if _, err := s.Settle(noContext, out); err != nil {
			say("error " + err.Error())
		}
		for _, l := range leases {
			say("d" + strings.TrimPrefix(l.Callback.RefID, "T-"))
		}
	}
}

func TestWhatWasAcknowledgedSurvivesAKillOnce(t *testing.T) {
	dir := t.TempDir()
	acked, settled := map[int]bool{}, map[int]bool{}
	const rounds = 3
	for round := range rounds {
		killChild(t, dir, round*1_000_000, 300+round*150, acked, settled)
		checkAcked(t, dir, acked, settled)
	}
	t.Logf("%d callbacks and %d deliveries acknowledged over %d kills", len(acked), len(settled), rounds)
}

// killChild runs a child until it has said enough, and kills it in the middle.
func killChild(t *testing.T, dir string, first, lines int, acked, settled map[int]bool) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), childDir+"="+dir, childDir+"_FIRST="+strconv.Itoa(first))
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	in := bufio.NewScanner(out)
	for n := 0; in.Scan(); n++ {
		said, into := in.Text(), acked
		if rest, ok := strings.CutPrefix(said, "d"); ok {
			said, into = rest, settled
		}
		id, err := strconv.Atoi(said)
		if err != nil {
			t.Errorf("the child says: %s", said)
			break
		}
		into[id] = true
		if n == lines {
			must(t, cmd.Process.Kill())
		}
	}
	cmd.Process.Kill()
	cmd.Wait()
}

// checkAcked looks for everything that was acknowledged, once, and takes up
// where the child was killed.
func checkAcked(t *testing.T, dir string, acked, settled map[int]bool) {
	t.Helper()
	s, err := boltstore.Open(dir, boltstore.Options{})
	must(t, err)
	defer s.Close()
	found := map[int]int{}
	for e := range entries(t, s, relay.Query{Limit: 1000}) {
		n, err := strconv.Atoi(strings.TrimPrefix(e.Callback.RefID, "T-"))
		must(t, err)
		found[n]++
		if !bytes.Equal(e.Callback.Body, callback(n).Callback.Body) || len(e.Deliveries) != 1 {
			t.Fatalf("callback %d came back as %+v", n, e)
		}
		if settled[n] && e.Deliveries[0].State != relay.Delivered {
			t.Errorf("callback %d was delivered, but its delivery is %s", n, e.Deliveries[0].State)
		}
	}
	for n := range acked {
		if found[n] != 1 {
			t.Errorf("callback %d was acknowledged, and is there %d times", n, found[n])
		}
		r, err := s.Append(t.Context(), []relay.Inbound{callback(n)})
		must(t, err)
		if !r[0].Duplicate {
			t.Errorf("callback %d was acknowledged, but its key is not known", n)
		}
	}
	st, err := s.Stats(t.Context())
	must(t, err)
	if int(st.Callbacks) != len(found) {
		t.Errorf("%d callbacks are counted, %d are there", st.Callbacks, len(found))
	}
}
