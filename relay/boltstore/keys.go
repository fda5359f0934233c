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
	sum := sha256.Sum256([]byte(refID))
	copy(h[:], sum[:])
	return h
}

// A holder is the callback that has a key.
type holder struct {
	id   relay.ID
	body bodyHash
}

// lookup finds the holder of a key.
func (b *batch) lookup(k keyHash) (h holder, ok bool) {
	v := b.keys.Get(k[:])
	if len(v) != len(h.id)+len(h.body) {
		return h, false
	}
	copy(h.id[:], v)
	copy(h.body[:], v[len(h.id):])
	return h, !before(h.id, b.keysFrom)
}

// addKey makes a callback the holder of a key and lists it under its ref_id.
func (b *batch) addKey(k keyHash, h holder, refID string) error {
	b.counts.Keys++
	if refID != "" {
		ref := hashRef(refID)
		if err := b.refs.Put(append(ref[:], h.id[:]...), present); err != nil {
			return err
		}
	}
	return b.keys.Put(k[:], append(h.id[:], h.body[:]...))
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
