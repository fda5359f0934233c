package boltstore

import (
	"crypto/sha256"
	"encoding/binary"

	"github.com/kurir-relay/kurir/relay"
)

// A keyHash stands for a dedupe key: the first 16 bytes of SHA-256 over its
// parts, each with its length before it.
type keyHash [16]byte

// A bodyHash tells bodies under one key apart.
type bodyHash [8]byte

// A refHash stands for a ref_id in the index; readers check the ref_id itself.
// It is zero for none.
type refHash [8]byte

// hashes are what the index knows about a callback.
type hashes struct {
	key  keyHash
	body bodyHash
}

func hashOf(in *relay.Inbound) (h hashes) {
	b := make([]byte, 0, 128)
	for _, part := range in.Key {
		b = putString(b, part)
	}
	key, body := sha256.Sum256(b), sha256.Sum256(in.Callback.Body)
	copy(h.key[:], key[:])
	copy(h.body[:], body[:])
	return h
}

// conflictKey is the key of another body under a key that is taken: the same
// body again is then an ordinary duplicate of the one that was kept.
func (h hashes) conflictKey() (k keyHash) {
	sum := sha256.Sum256(append(append([]byte("conflict"), h.key[:]...), h.body[:]...))
	copy(k[:], sum[:])
	return k
}

func hashRef(refID string) (h refHash) {
	if refID == "" {
		return h
	}
	sum := sha256.Sum256([]byte(refID))
	copy(h[:], sum[:])
	return h
}

// An entry of the index: the callback that has a key, and the order it is about.
type entry struct {
	key  keyHash
	id   relay.ID
	body bodyHash
	ref  refHash // zero if it names no order
}

// A keyTable holds the newest entries in memory, in the order of appending.
// The writer alone uses it; readers may keep a copy of entries, whose elements
// never change.
type keyTable struct {
	entries []entry
	slots   []uint32 // 1 + the place of an entry, by hash; at most half are taken
}

// find gives the entry of a key, or nil.
func (t *keyTable) find(k keyHash) *entry {
	if len(t.slots) == 0 {
		return nil
	}
	for at := t.home(k); t.slots[at] != 0; at = (at + 1) % len(t.slots) {
		if e := &t.entries[t.slots[at]-1]; e.key == k {
			return e
		}
	}
	return nil
}

func (t *keyTable) home(k keyHash) int {
	return int(binary.LittleEndian.Uint64(k[8:]) & uint64(len(t.slots)-1))
}

// add adds an entry. A key that is there already is found by its newest entry.
func (t *keyTable) add(e entry) {
	if 2*(len(t.entries)+1) > len(t.slots) {
		t.slots = make([]uint32, max(1024, 2*len(t.slots)))
		for i := range t.entries {
			t.place(i)
		}
	}
	t.entries = append(t.entries, e)
	t.place(len(t.entries) - 1)
}

func (t *keyTable) place(i int) {
	at := t.home(t.entries[i].key)
	for t.slots[at] != 0 && t.entries[t.slots[at]-1].key != t.entries[i].key {
		at = (at + 1) % len(t.slots)
	}
	t.slots[at] = uint32(i + 1)
}

// truncate undoes all but the first n adds.
func (t *keyTable) truncate(n int) {
	if n == len(t.entries) {
		return
	}
	t.entries = t.entries[:n:n]
	clear(t.slots)
	for i := range t.entries {
		t.place(i)
	}
}

// lookup finds the entry of a key that is not forgotten.
func (b *batch) lookup(k keyHash) (entry, bool) {
	for _, t := range []*keyTable{b.s.recent, b.s.frozen} {
		if e := t.find(k); e != nil {
			return *e, !before(e.id, b.s.keysFrom)
		}
	}
	for i := range b.s.runs {
		if e, ok := b.s.runs[i].lookup(b, i, k); ok {
			return e, !before(e.id, b.s.keysFrom)
		}
	}
	return entry{}, false
}

// addKey makes a callback the one that has a key.
func (b *batch) addKey(e entry) {
	b.counts.Keys++
	b.s.recent.add(e)
}

// before compares ids as times.
func before(a, b relay.ID) bool { return string(a[:]) < string(b[:]) }

// A deliveryKey is a delivery in a key: its callback's id and its number.
func putDelivery(k []byte, d relay.DeliveryID) []byte {
	return binary.BigEndian.AppendUint16(append(k, d.Callback[:]...), d.N)
}

const deliverySize = 18

func getDelivery(k []byte) (d relay.DeliveryID) {
	copy(d.Callback[:], k)
	d.N = binary.BigEndian.Uint16(k[16:])
	return d
}

// afterKey is where the k-th attempt at a delivery is kept; 0 is its state, and
// with the number 0 too the mark of the callback.
func afterKey(d relay.DeliveryID, seq int) []byte {
	k := make([]byte, 0, deliverySize+4)
	return binary.BigEndian.AppendUint32(putDelivery(k, d), uint32(seq))
}

// hasPrefix is bytes.HasPrefix without the nil key that ends a cursor's walk.
func hasPrefix(k, prefix []byte) bool {
	return len(k) >= len(prefix) && string(k[:len(prefix)]) == string(prefix)
}

// present is the value of a key that says all by itself.
var present = []byte{1}
