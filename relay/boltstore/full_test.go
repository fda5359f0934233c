//go:build linux

package boltstore_test

import (
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// smallDisk mounts a file system of so many bytes. It takes root.
func smallDisk(t *testing.T, size int) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprint("size=", size)); err != nil {
		t.Skipf("SKIPPED: no small disk can be mounted, so a full one is not tested: %v", err)
	}
	t.Cleanup(func() { syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// journals are a store that has a journal, and one whose disk had no room for it.
var journals = map[string]int64{"with a journal": 256 << 10, "without a journal": -1}

func TestAFullDiskRefusesAndRecovers(t *testing.T) {
	for name, journal := range journals {
		t.Run(name, func(t *testing.T) { refusesAndRecovers(t, journal) })
	}
}

func refusesAndRecovers(t *testing.T, journal int64) {
	disk := smallDisk(t, 8<<20)
	dir := filepath.Join(disk, "data")
	s, err := boltstore.Open(dir, boltstore.Options{Journal: journal})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	first := accept(t, s, callback(0, relay.Target{Sink: "ops"}))[0]
	ballast := filepath.Join(disk, "ballast")
	write(t, ballast, make([]byte, 4<<20))

	n := 1
	for round := range 3 {
		n = fill(t, s, n)
		refusesAndServes(t, s, first, n)
		remove(t, ballast)
		accept(t, s, callback(n, relay.Target{Sink: "ops"}))
		n++
		if _, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "ops", Room: 2}}); err != nil {
			t.Fatal(err)
		}
		write(t, ballast, make([]byte, max(0, free(t, disk)-(64<<10))))
		t.Logf("round %d: %d callbacks", round, n)
	}
	must(t, s.Close())
	s, err = boltstore.Open(dir, boltstore.Options{})
	must(t, err)
	defer s.Close()
	for i := range n {
		if r, err := s.List(t.Context(), relay.Query{RefID: fmt.Sprint("T-", i)}); err != nil || len(r.Entries) != 1 {
			t.Fatalf("callback %d was acknowledged; %d found, %v", i, len(r.Entries), err)
		}
	}
	must(t, boltstore.Check(filepath.Join(copyOf(t, dir), "kurir.db")))
}

// fill appends until the disk is full, and gives the number of the refused one.
func fill(t *testing.T, s relay.Store, n int) int {
	t.Helper()
	for ; ; n++ {
		in := callback(n, relay.Target{Sink: "ops"})
		in.Callback.Header = map[string][]string{"Big": {string(make([]byte, 20<<10))}}
		_, err := s.Append(t.Context(), []relay.Inbound{in})
		if errors.Is(err, relay.ErrFull) {
			return n
		}
		must(t, err)
	}
}

// refusesAndServes checks a store on a full disk.
func refusesAndServes(t *testing.T, s *boltstore.Store, id relay.ID, next int) {
	t.Helper()
	for range 3 {
		in := callback(next)
		in.Callback.Body = make([]byte, 1<<20)
		if _, err := s.Append(t.Context(), []relay.Inbound{in}); !errors.Is(err, relay.ErrFull) {
			t.Fatalf("got %v", err)
		}
	}
	_, err := s.Get(t.Context(), id)
	must(t, err)
	if p, err := s.List(t.Context(), relay.Query{}); err != nil || len(p.Entries) == 0 {
		t.Fatalf("%d listed, %v", len(p.Entries), err)
	}
	_, err = s.Stats(t.Context())
	must(t, err)
	if leases, err := s.Claim(t.Context(), "w", -1, []relay.Gate{{Sink: "ops", Room: 3}}); err != nil || len(leases) == 0 {
		t.Fatalf("%d leased, %v", len(leases), err)
	}
	select {
	case err := <-s.Failed():
		t.Fatal(err)
	default:
	}
}

// Small callbacks take the last bytes, so that none of them may be what is asked
// with: who appends nothing is refused as they are.
func TestWhoAppendsNothingIsToldWhetherThereIsRoom(t *testing.T) {
	for name, journal := range journals {
		t.Run(name, func(t *testing.T) {
			disk := smallDisk(t, 8<<20)
			s, err := boltstore.Open(filepath.Join(disk, "data"), boltstore.Options{Journal: journal})
			must(t, err)
			t.Cleanup(func() { s.Close() })
			ballast := filepath.Join(disk, "ballast")
			write(t, ballast, make([]byte, 4<<20))
			n := fill(t, s, 0)
			for err = nil; err == nil; n++ {
				_, err = s.Append(t.Context(), []relay.Inbound{callback(n)})
			}
			for range 100 { // asking takes no room
				if _, asked := s.Append(t.Context(), nil); !errors.Is(err, relay.ErrFull) || !errors.Is(asked, relay.ErrFull) {
					t.Fatalf("a callback: %v; nothing: %v", err, asked)
				}
			}
			remove(t, ballast)
			for range 1000 {
				if r, err := s.Append(t.Context(), nil); err != nil || len(r) != 0 {
					t.Fatalf("once there is room: %v, %v", r, err)
				}
			}
			accept(t, s, callback(n))
		})
	}
}

func free(t *testing.T, dir string) int {
	t.Helper()
	var st syscall.Statfs_t
	must(t, syscall.Statfs(dir, &st))
	return int(st.Bavail) * int(st.Bsize)
}

// copyOf copies the files of a store that nobody writes to.
func copyOf(t *testing.T, dir string) string {
	t.Helper()
	to := t.TempDir()
	must(t, os.CopyFS(to, os.DirFS(dir)))
	return to
}

// When new callbacks are refused already, outcomes still find room for a while;
// then the commit itself fails, and nothing but that commit is lost.
func TestOutcomesFindRoomLongerThanCallbacks(t *testing.T) {
	for name, journal := range journals {
		t.Run(name, func(t *testing.T) { outcomesFindRoom(t, journal) })
	}
}

func outcomesFindRoom(t *testing.T, journal int64) {
	disk := smallDisk(t, 8<<20)
	dir := filepath.Join(disk, "data")
	s, err := boltstore.Open(dir, boltstore.Options{Journal: journal})
	must(t, err)
	t.Cleanup(func() { s.Close() })
	ballast := filepath.Join(disk, "ballast")
	write(t, ballast, make([]byte, 4<<20))
	size := fill(t, s, 0)
	leases, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "ops", Room: size}})
	must(t, err)
	settle := func(l relay.Lease, response int) error {
		errs, err := s.Settle(t.Context(), []relay.Outcome{{ID: l.Delivery.ID, Token: l.Token, State: relay.Delivered,
			Attempt: relay.Attempt{Response: string(make([]byte, response))}}})
		return errors.Join(append(errs, err)...)
	}
	n := 0
	for ; !errors.Is(err, relay.ErrFull); n++ {
		if err = settle(leases[n], 64<<10); err != nil && !errors.Is(err, relay.ErrFull) {
			t.Fatal(err)
		}
	}
	if n < 3 {
		t.Errorf("only %d outcomes found room", n)
	}
	for refused := 1; refused < 4; { // one may fit after all, into pages that the failed commit gave back
		switch err := settle(leases[n-1], 64<<10); {
		case errors.Is(err, relay.ErrFull):
			refused++
		case err == nil:
			n++
		default:
			t.Fatal(err)
		}
	}
	t.Logf("%d callbacks, then %d outcomes", size, n)
	remove(t, ballast)
	for _, l := range leases[n-1:] {
		must(t, settle(l, 10))
	}
	must(t, s.Close())
	must(t, boltstore.Check(filepath.Join(dir, "kurir.db")))
	s, err = boltstore.Open(dir, boltstore.Options{})
	must(t, err)
	defer s.Close()
	if st, err := s.Stats(t.Context()); err != nil || st.Sinks["ops"].Delivered != int64(len(leases)) {
		t.Errorf("%d were settled: %+v, %v", len(leases), st.Sinks, err)
	}
}

// What was refused takes up no room: once there is some, all goes on.
func TestRefusalsDoNotAddUp(t *testing.T) {
	s := open(t, filepath.Join(smallDisk(t, 32<<20), "data"))
	in := callback(0)
	in.Callback.Body = make([]byte, 1<<20)
	for range 20 {
		boltstore.FullWith(s, func() {
			if _, err := s.Append(t.Context(), []relay.Inbound{in}); !errors.Is(err, relay.ErrFull) {
				t.Errorf("got %v", err)
			}
		})
	}
	accept(t, s, in)
}

// stuck gives a store that has n callbacks, on a disk so full that the database
// can't take over what the journal has, and how many of them are delivered.
func stuck(t *testing.T, n int) (s *boltstore.Store, delivered int, free func()) {
	t.Helper()
	disk := smallDisk(t, 64<<20)
	s = open(t, filepath.Join(disk, "data"))
	for i := range n {
		accept(t, s, callback(i, relay.Target{Sink: "ops"}))
	}
	must(t, boltstore.Leave(s))
	must(t, boltstore.CatchUp(s))
	leases, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "ops", Room: n}})
	must(t, err)
	ballast := filepath.Join(disk, "ballast")
	os.WriteFile(ballast, make([]byte, 64<<20), 0o600)
	for i, l := range leases {
		errs, err := s.Settle(t.Context(), []relay.Outcome{{ID: l.Delivery.ID, Token: l.Token, State: relay.Delivered,
			Attempt: relay.Attempt{Response: string(make([]byte, 64<<10))}}})
		must(t, errors.Join(append(errs, err)...))
		if err := boltstore.CatchUp(s); errors.Is(err, relay.ErrFull) {
			return s, i + 1, func() { remove(t, ballast) }
		}
	}
	t.Fatalf("there was room for %d outcomes", n)
	return nil, 0, nil
}

func TestABackupHasWhatAFullDiskKeptFromTheDatabase(t *testing.T) {
	const n = 100
	s, delivered, free := stuck(t, n)
	if _, err := s.Backup(t.Context(), io.Discard); !errors.Is(err, relay.ErrFull) {
		t.Errorf("while the disk is full: %v", err)
	}
	free()
	path, dir := filepath.Join(t.TempDir(), "backup.db"), t.TempDir()
	f, err := os.Create(path)
	must(t, err)
	_, err = s.Backup(t.Context(), f)
	must(t, errors.Join(err, f.Close()))
	must(t, boltstore.Restore(dir, path))
	st, err := open(t, dir).Stats(t.Context())
	if err != nil || st.Callbacks != n || st.Sinks["ops"].Delivered != int64(delivered) {
		t.Errorf("%d were delivered: %+v, %v", delivered, st, err)
	}
}

// While the database can't follow, the journal is for what matters.
func TestSweepingTheIndexDoesNotFillTheJournal(t *testing.T) {
	s, _, free := stuck(t, 100)
	must(t, boltstore.Sweep(s))
	free()
	must(t, s.Close())
}

func TestNothingIsLostOverManyCrashesOnAFullDisk(t *testing.T) {
	for seed := range uint64(stressSeeds) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			t.Parallel()
			rng := rand.New(rand.NewPCG(seed, 2))
			h := &history{acked: map[int]bool{}, settling: map[int]bool{}, settled: map[int]bool{}}
			dir := t.TempDir()
			for range 3 {
				disk := smallDisk(t, 40<<20)
				data := filepath.Join(disk, "data")
				must(t, os.CopyFS(data, os.DirFS(dir)))
				dir, h = crash(t, rng, data, h, filepath.Join(disk, "ballast"))
				dir = copyOf(t, dir)
				survived(t, dir, h)
			}
		})
	}
}
