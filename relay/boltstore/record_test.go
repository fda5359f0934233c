package boltstore

import (
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
