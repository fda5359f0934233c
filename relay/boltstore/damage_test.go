package boltstore_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

func sum(b []byte) []byte {
	s := sha256.Sum256(b)
	return s[:8]
}

func TestADamagedBodyIsWithheldAndTheRestIsServed(t *testing.T) {
	dir := t.TempDir()
	ids := filled(t, dir, 3)
	path := filepath.Join(dir, "kurir.db")
	flipAll(t, path, []byte(`"T-1"}`))
	s := open(t, dir)
	for i, id := range ids {
		e, err := s.Get(t.Context(), id)
		must(t, err)
		if e.Callback.Damaged != (i == 1) || (e.Callback.Body == nil) != (i == 1) {
			t.Errorf("callback %d: damaged %v, body %q", i, e.Callback.Damaged, e.Callback.Body)
		}
		if e.Callback.RefID != callback(i).Callback.RefID || len(e.Deliveries) != 1 {
			t.Errorf("callback %d: ref_id %q, %d deliveries", i, e.Callback.RefID, len(e.Deliveries))
		}
	}
	if r, err := s.Append(t.Context(), []relay.Inbound{callback(1)}); err != nil || !r[0].Duplicate {
		t.Errorf("its key got %+v, %v", r, err)
	}
}

// flipAll flips a bit in every copy of a text: a record may lie in freed pages too.
func flipAll(t *testing.T, path string, text []byte) {
	t.Helper()
	b, n := read(t, path), 0
	for i := bytes.Index(b, text); i >= 0; i = bytes.Index(b, text) {
		b[i] ^= 4
		n++
	}
	if n == 0 {
		t.Fatalf("%q is not in %s", text, path)
	}
	write(t, path, b)
}

// Whatever byte is damaged: the store refuses to open or to answer, or it marks
// what is damaged. It never shows other bytes than came, and never an empty log.
func TestAnyDamagedByteIsNoticedOrHarmless(t *testing.T) {
	dir := t.TempDir()
	const size = 60
	ids := filled(t, dir, size)
	path := filepath.Join(dir, "kurir.db")
	whole := read(t, path)
	rng := rand.New(rand.NewPCG(7, 9))
	for range 400 {
		b := bytes.Clone(whole)
		at := rng.IntN(len(b))
		b[at] ^= 1 << rng.IntN(8)
		write(t, path, b)
		s, err := boltstore.Open(dir, boltstore.Options{NoSync: true, Journal: small})
		if err != nil {
			if !errors.Is(err, boltstore.ErrDamaged) && !errors.Is(err, boltstore.ErrNewer) {
				t.Fatalf("byte %d: %v", at, err)
			}
			continue
		}
		checkServed(t, s, ids, at)
		s.Close()
	}
}

func TestAStoreThatAPageOfZerosKeepsFromOpeningSaysHowToRecover(t *testing.T) {
	dir := t.TempDir()
	filled(t, dir, 200)
	path := filepath.Join(dir, "kurir.db")
	whole, refused := read(t, path), 0
	for at := 2 * 4096; at < len(whole); at += 4096 {
		b := bytes.Clone(whole)
		clear(b[at : at+4096])
		write(t, path, b)
		s, err := boltstore.Open(dir, boltstore.Options{NoSync: true, Journal: small})
		if err == nil {
			s.Close()
			continue
		}
		refused++
		if !errors.Is(err, boltstore.ErrDamaged) || !strings.Contains(err.Error(), "kurir restore") {
			t.Errorf("page %d: %v", at/4096, err)
		}
	}
	if refused == 0 {
		t.Error("no page is needed to open the store")
	}
}

func checkServed(t *testing.T, s *boltstore.Store, ids []relay.ID, at int) {
	t.Helper()
	found := 0
	for i, id := range ids {
		e, err := s.Get(t.Context(), id)
		switch {
		case errors.Is(err, boltstore.ErrDamaged):
			found++
		case errors.Is(err, relay.ErrNotFound): // its key is damaged
		case err != nil:
			t.Fatalf("byte %d: %v", at, err)
		case e.Callback.Damaged:
			found++
		case !bytes.Equal(e.Callback.Body, callback(i).Callback.Body) || e.Callback.RefID != callback(i).Callback.RefID:
			t.Fatalf("byte %d: callback %d shows %+v", at, i, e.Callback)
		default:
			found++
		}
	}
	if found == 0 {
		t.Fatalf("byte %d: an empty log in silence", at)
	}
	leases, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "ops", Room: 10}})
	if err != nil && !errors.Is(err, boltstore.ErrDamaged) {
		t.Fatalf("byte %d: %v", at, err)
	}
	for _, l := range leases {
		if !l.Callback.Damaged && !bytes.Contains(l.Callback.Body, []byte(l.Callback.RefID)) {
			t.Fatalf("byte %d: leased %+v", at, l.Callback)
		}
	}
	if _, err := s.Append(t.Context(), []relay.Inbound{callback(1000)}); err != nil && !errors.Is(err, boltstore.ErrDamaged) {
		t.Fatalf("byte %d: %v", at, err)
	}
}

// ruin overwrites all of a database but its headers, under the store that has it
// open.
func ruin(t *testing.T, dir string) {
	t.Helper()
	const headers = 2 * 8192
	path := filepath.Join(dir, "kurir.db")
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	must(t, err)
	defer f.Close()
	_, err = f.WriteAt(bytes.Repeat([]byte{0xff}, len(read(t, path))-headers), headers)
	must(t, err)
}

// A claim that comes upon damaged pages holds up nobody else.
func TestAClaimOfDamagedPagesEnds(t *testing.T) {
	for name, when := range map[string]func(s *boltstore.Store){
		"with nothing else to do": func(s *boltstore.Store) { must(t, boltstore.CatchUp(s)) },
		"with a journal to read again": func(s *boltstore.Store) {
			boltstore.FullWith(s, func() { s.Append(t.Context(), []relay.Inbound{callback(2)}) })
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			s := open(t, dir)
			accept(t, s, callback(1, relay.Target{Sink: "ops"}))
			when(s)
			ruin(t, dir)
			if _, err := s.Claim(t.Context(), "w", time.Hour, []relay.Gate{{Sink: "ops", Room: 1}}); err == nil {
				t.Error("the claim succeeded")
			}
			must(t, s.Renew(t.Context(), nil, time.Hour))
			if _, err := s.Append(t.Context(), []relay.Inbound{callback(3)}); err == nil {
				t.Error("an append succeeded")
			}
		})
	}
}

func TestAStoreThatIsDamagedMeanwhileCloses(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir)
	accept(t, s, callback(1, relay.Target{Sink: "ops"}))
	ruin(t, dir)
	if err := s.Close(); err == nil {
		t.Error("no error")
	}
}
