package boltstore

import (
	"fmt"
	"hash/crc32"
	"math/rand"
	"net/http"
	"path/filepath"
	"reflect"
	"testing"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// A decoder never panics, and what it accepts it writes again the same.
func FuzzDecodeRecords(f *testing.F) {
	id := relay.ID{1, 2, 3}
	in := relay.Inbound{
		Callback: relay.Callback{Source: "shop", RefID: "T-1", ReceivedAt: time.Unix(9, 8), Body: []byte("body"),
			Header: map[string][]string{"A": {"b", "c"}}},
		Targets: []relay.Target{{Rule: "r", Sink: "ops", Lane: "l", Payload: []byte("p"), NotBefore: time.Unix(7, 0)}},
	}
	rec := encodeCallback(&in, hashOf(&in))
	finishCallback(id, rec, 0)
	f.Add(rec)
	key := afterKey(relay.DeliveryID{Callback: id, N: 1}, 0)
	f.Add(seal(key, encodeState(&state{State: relay.Dead, Due: time.Unix(1, 2), Error: "e", Target: &in.Targets[0]})))
	f.Add(seal(key, encodeAttempt(&relay.Attempt{StartedAt: time.Unix(3, 4), Status: 500, Error: "e", Response: "r"})))
	f.Add(seal(key, encodeMark(mark{Duplicates: 3, Conflict: true})))
	f.Fuzz(func(t *testing.T, rec []byte) {
		outline(id, rec)
		reseal(id, key, rec)
		if c, err := cutCallback(id, rec); err == nil {
			c.decode(id)
			c.contents()
			c.body()
		}
		checkState(t, key, rec)
		decodeAttempt(key, rec)
		decodeMark(key, rec)
	})
}

// reseal gives a record the checksum its bytes call for, so that the fuzzer
// gets behind it.
func reseal(id relay.ID, key, rec []byte) {
	if len(rec) >= callbackHead {
		rec[0] = recordVersion
		if first := uint64(callbackHead) + uint64(rec[headSize+4]); first <= uint64(len(rec)) {
			rec[headSize+1], rec[headSize+2], rec[headSize+3] = 0, 0, 0
			if rec[1]&1 == 0 {
				finishCallback(id, rec, 0)
				return
			}
		}
	}
	if len(rec) >= headSize {
		rec[0] = recordVersion
		seal(key, rec)
	}
}

func checkState(t *testing.T, key, rec []byte) {
	st, err := decodeState(key, rec)
	if err != nil {
		return
	}
	again, err := decodeState(key, seal(key, encodeState(&st)))
	if err != nil || !reflect.DeepEqual(st, again) {
		t.Errorf("%+v became %+v, %v", st, again, err)
	}
}

// What a journal holds is checked by its frame, and yet nothing in it breaks the
// program: it is done, or it is an error.
func FuzzJournalChanges(f *testing.F) {
	b := &batch{}
	for i, name := range bucketNames {
		b.frame = putString(putString(append(b.frame, byte(i)), "key of "+name), "value")
		b.frame = putString(append(b.frame, byte(i)|deletion), "key of "+name)
	}
	f.Add(b.frame)
	path := filepath.Join(f.TempDir(), "fuzz.db")
	if err := createDB(path, identity{Store: "fuzz"}); err != nil {
		f.Fatal(err)
	}
	db, _, err := openDB(path, bbolt.Options{NoSync: true})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { db.Close() })
	f.Fuzz(func(t *testing.T, changes []byte) {
		tx, err := db.Begin(true)
		if err != nil {
			t.Fatal(err)
		}
		defer tx.Rollback()
		if err := redo(tx, changes); err != nil {
			return
		}
		for _, name := range bucketNames {
			if tx.Bucket([]byte(name)) == nil {
				t.Errorf("%s is gone", name)
			}
		}
	})
}

// plainHeader decodes a header with strings of their own.
func plainHeader(d *decoder) http.Header {
	n := d.count()
	if n == 0 {
		return nil
	}
	h := make(http.Header, n)
	for ; n > 0 && d.err == nil; n-- {
		name := string(d.bytes())
		values := make([]string, 0, 1)
		for v := d.count(); v > 0 && d.err == nil; v-- {
			values = append(values, string(d.bytes()))
		}
		h[name] = values
	}
	return h
}

// plainDecode is record.decode with strings of their own.
func plainDecode(r record, id relay.ID) (c relay.Callback, targets []relay.Target, err error) {
	d := decoder{b: r.first}
	d.skip(len(hashes{}.key) + len(hashes{}.body))
	c.ID = id
	c.ReceivedAt = d.time()
	for _, s := range []*string{&c.Source, &c.Event, &c.RefID, &c.Method, &c.URI, &c.Remote} {
		*s = string(d.bytes())
	}
	c.Unparsed, c.Unmatched, c.Conflict = r.flags&flagUnparsed != 0, r.flags&flagUnmatched != 0, r.flags&flagConflict != 0
	for n := d.count(); n > 0 && d.err == nil; n-- {
		var t relay.Target
		has := d.byte()&1 != 0
		t.NotBefore = d.time()
		for _, s := range []*string{&t.Rule, &t.Sink, &t.Lane, &t.Error, &t.Fallback} {
			*s = string(d.bytes())
		}
		if p := d.bytes(); has {
			t.Payload = append([]byte{}, p...)
		}
		targets = append(targets, t)
	}
	if r.flags&flagUnrouted != 0 {
		targets = nil
	}
	return c, targets, d.err
}

func TestTextsDecodedAsOneCopyAreThoseThatWereWritten(t *testing.T) {
	r := rand.New(rand.NewSource(1))
	text := func() string {
		n := 0
		switch r.Intn(6) {
		case 0:
		case 1, 2, 3:
			n = r.Intn(40)
		case 4:
			n = r.Intn(1500)
		case 5:
			n = 4096 - 100 + r.Intn(200)
		}
		b := make([]byte, n)
		r.Read(b)
		return string(b)
	}
	crossed := 0
	for i := range 3000 {
		in := relay.Inbound{Callback: relay.Callback{Source: text(), Event: text(), RefID: text(), Method: text(), URI: text(), Remote: text(),
			ReceivedAt: time.Unix(r.Int63n(1e9), 0), Body: []byte(text())}}
		if r.Intn(4) > 0 {
			in.Callback.Header = http.Header{}
			for range r.Intn(8) {
				vs := []string{}
				for range r.Intn(4) {
					vs = append(vs, text())
				}
				in.Callback.Header[text()] = vs
			}
		}
		for range r.Intn(4) {
			in.Targets = append(in.Targets, relay.Target{Rule: text(), Sink: text(), Lane: text(), Error: text(), Fallback: text(), Payload: []byte(text())})
		}
		id := relay.ID{byte(i)}
		rec := encodeCallback(&in, hashOf(&in))
		finishCallback(id, rec, 0)
		c, err := cutCallback(id, rec)
		if err != nil {
			t.Fatal(err)
		}
		if len(c.first) > 4096 || len(c.second) > 4096 {
			crossed++
		}
		check := func(c record) {
			t.Helper()
			gc, gt, ge := c.decode(id)
			wc, wt, we := plainDecode(c, id)
			if !reflect.DeepEqual(gc, wc) || !reflect.DeepEqual(gt, wt) || ge != we {
				t.Fatalf("record %d: first differs: %v %v", i, ge, we)
			}
			d := decoder{b: c.second}
			wh := plainHeader(&d)
			e := decodeTexts(c.second)
			gh := e.header()
			if !reflect.DeepEqual(gh, wh) || string(d.b) != string(e.b) || d.err != e.err {
				t.Fatalf("record %d: second differs: %v %v", i, d.err, e.err)
			}
		}
		check(c)
		h, body, err := c.contents()
		if err != nil || string(body) != string(in.Callback.Body) || len(in.Callback.Header) > 0 && !reflect.DeepEqual(h, in.Callback.Header) {
			t.Fatalf("record %d: %v", i, err)
		}
		for name, vs := range h { // who appends to one changes no other
			before := fmt.Sprint(h)
			_ = append(vs, "appended")
			if fmt.Sprint(h) != before {
				t.Fatalf("record %d: appending to %q changed another", i, name)
			}
			break
		}
		// damaged: cut, and flipped
		for range 3 {
			d := c
			d.first = append([]byte{}, c.first...)
			d.second = append([]byte{}, c.second...)
			if r.Intn(2) == 0 {
				d.first, d.second = d.first[:r.Intn(len(d.first)+1)], d.second[:r.Intn(len(d.second)+1)]
			} else {
				for range 1 + r.Intn(4) {
					d.first[r.Intn(len(d.first))] ^= byte(1 << r.Intn(8))
					if len(d.second) > 0 {
						d.second[r.Intn(len(d.second))] ^= byte(1 << r.Intn(8))
					}
				}
			}
			d.bodySum = crc32.Checksum(d.second, castagnoli)
			check(d)
		}
	}
	if crossed < 150 {
		t.Errorf("only %d records are larger than 4 KiB", crossed)
	}
}
