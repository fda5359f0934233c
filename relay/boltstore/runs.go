package boltstore

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"slices"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// A random key in a B+tree costs a page read and written, so a group of appends
// would touch as many pages as it has callbacks, and more of them cold as the
// log grows. So the index keeps its newest entries in memory, and writes them
// sorted into a run when they are many: once, in order, in a few chunks. After a
// restart the newest ones are read from the log again.
//
// A run divides its entries into blocks by the first bits of their hash, once by
// key and once by ref_id, and has a filter that knows with few errors which keys
// it does not have.
//
//	index   run 4 | kind 1 | block 4 -> record: key 16, id 16, body 8 of each entry; or ref 8, id 16
//	filters run 4                    -> record: the filter
//	runs    run 4                    -> record: sizes and ids
type run struct {
	number         uint32
	bits           int // the log2 of the number of blocks
	keys, refs     int // entries of either kind
	oldest, newest relay.ID
	blind          bool // its filter is damaged
}

const (
	keyKind = 'k'
	refKind = 'r'

	keySize   = len(keyHash{}) + len(relay.ID{}) + len(bodyHash{})
	refSize   = len(refHash{}) + len(relay.ID{})
	blockFill = 32 // entries a block has, about
)

func runKey(number uint32) []byte {
	return binary.BigEndian.AppendUint32(make([]byte, 0, 9), number)
}

func blockKey(number uint32, kind byte, block uint32) []byte {
	return binary.BigEndian.AppendUint32(append(runKey(number), kind), block)
}

// blockOf is where an entry belongs, by the first 4 bytes of its hash.
func (r *run) blockOf(hash []byte) uint32 {
	return uint32(uint64(binary.BigEndian.Uint32(hash)) >> (32 - r.bits))
}

// lookup finds a key in the i-th run of the store. A block that is damaged
// knows nothing.
func (r *run) lookup(b *batch, i int, k keyHash) (e entry, ok bool) {
	if !b.filter(i).mayHave(k) {
		return e, false
	}
	at := blockKey(r.number, keyKind, r.blockOf(k[:]))
	block, err := unseal(at, b.index.Get(at))
	if err != nil {
		return e, false
	}
	for ; len(block) >= keySize; block = block[keySize:] {
		if keyHash(block) == k {
			return getKey(block), true
		}
	}
	return e, false
}

func putKey(b []byte, e *entry) []byte {
	return append(append(append(b, e.key[:]...), e.id[:]...), e.body[:]...)
}

func getKey(b []byte) (e entry) {
	n := copy(e.key[:], b)
	n += copy(e.id[:], b[n:])
	copy(e.body[:], b[n:])
	return e
}

// idsOf gives the callbacks of a ref_id in a run, newest first.
func (r *run) idsOf(index *bbolt.Bucket, ref refHash) (ids []relay.ID) {
	at := blockKey(r.number, refKind, r.blockOf(ref[:]))
	block, _ := unseal(at, index.Get(at))
	for ; len(block) >= refSize; block = block[refSize:] {
		if refHash(block) == ref {
			ids = append(ids, relay.ID(block[len(ref):]))
		}
	}
	newestFirst(ids)
	return ids
}

func newestFirst(ids []relay.ID) {
	slices.SortFunc(ids, func(a, b relay.ID) int { return bytes.Compare(b[:], a[:]) })
}

// A filter is a Bloom filter in blocks of 64 bytes, 16 bits a key, six of them
// set: about one in five hundred keys that it does not have seems to be there. An
// empty one knows nothing.
type filter []byte

func newFilter(keys int) filter { return make(filter, 64*(keys/32+1)) }

func (f filter) mayHave(k keyHash) bool {
	if len(f) < 64 {
		return true
	}
	block, set := f.block(k)
	for range 6 {
		if block[set&511>>3]&(1<<(set&7)) == 0 {
			return false
		}
		set >>= 9
	}
	return true
}

func (f filter) add(k keyHash) {
	block, set := f.block(k)
	for range 6 {
		block[set&511>>3] |= 1 << (set & 7)
		set >>= 9
	}
}

// block gives the block of a key, and the bits to set in it, nine by nine.
func (f filter) block(k keyHash) (block []byte, set uint64) {
	at, _ := bits.Mul64(binary.LittleEndian.Uint64(k[8:]), uint64(len(f)/64))
	return f[64*at : 64*at+64], binary.LittleEndian.Uint64(k[:8])
}

// filter gives the filter of the i-th run, in place. Its checksum was checked
// when the store was opened.
func (b *batch) filter(i int) filter {
	for len(b.asked) <= i {
		r, f := &b.s.runs[len(b.asked)], filter(nil)
		if rec := b.filters.Get(runKey(r.number)); !r.blind && len(rec) > headSize {
			f = rec[headSize:]
		}
		b.asked = append(b.asked, f)
	}
	return b.asked[i]
}

func encodeRun(r *run) []byte {
	rec := append(newRecord(48), byte(r.bits))
	rec = binary.AppendUvarint(rec, uint64(r.keys))
	rec = binary.AppendUvarint(rec, uint64(r.refs))
	return append(append(rec, r.oldest[:]...), r.newest[:]...)
}

func decodeRun(key, rec []byte) (r run, err error) {
	payload, err := unseal(key, rec)
	if err != nil {
		return r, err
	}
	d := decoder{b: payload}
	r.number = binary.BigEndian.Uint32(key)
	r.bits = int(d.byte())
	r.keys, r.refs = int(d.uvarint()), int(d.uvarint())
	copy(r.oldest[:], d.take(16))
	copy(r.newest[:], d.take(16))
	return r, d.err
}
