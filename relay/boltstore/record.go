package boltstore

import (
	"encoding/binary"
	"errors"
	"hash/crc32"
	"net/http"
	"slices"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// errDamaged says that stored bytes fail their checksum or can't be read.
var errDamaged = errors.New("the record is damaged")

// recordVersion is the first byte of every record.
const recordVersion = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// A record starts with its version and the CRC-32C of its key and of all that
// follows; seal and unseal know this head.
const headSize = 5

// newRecord starts a record whose payload is appended to it.
func newRecord(size int) []byte {
	rec := make([]byte, headSize, headSize+size)
	rec[0] = recordVersion
	return rec
}

// seal completes a record for the key it is stored under.
func seal(key, rec []byte) []byte {
	binary.BigEndian.PutUint32(rec[1:], sum(key, rec[headSize:]))
	return rec
}

// unseal gives the payload of a record, if it is what was stored under key.
func unseal(key, rec []byte) ([]byte, error) {
	if len(rec) < headSize || rec[0] != recordVersion ||
		binary.BigEndian.Uint32(rec[1:]) != sum(key, rec[headSize:]) {
		return nil, errDamaged
	}
	return rec[headSize:], nil
}

func sum(key, payload []byte) uint32 {
	return crc32.Update(crc32.Update(0, castagnoli, key), castagnoli, payload)
}

// The flags of a callback's record.
const (
	flagUnparsed = 1 << iota
	flagUnmatched
	flagConflict
	flagUnrouted // the targets are void: a conflict that was only kept
)

// A callback's record has two parts: what the log shows and routes by, under
// the record's checksum, and then headers and body, under one of their own. So
// a damaged body leaves the rest readable.
//
//	head | flags 1 | size of the first part 4 | checksum of the second 4 | first | second
const callbackHead = headSize + 9

// encodeCallback writes all of in but its ID and what only the writer knows:
// finishCallback adds that.
func encodeCallback(in *relay.Inbound, h hashes) []byte {
	c := &in.Callback
	rec := newRecord(callbackHead + 160 + len(c.Body) + sizeOf(c.Header) + sizeOfTargets(in.Targets))
	rec = append(rec, callbackFlags(c), 0, 0, 0, 0, 0, 0, 0, 0)
	rec = append(rec, h.key[:]...)
	rec = append(rec, h.body[:]...)
	rec = putTime(rec, c.ReceivedAt)
	for _, s := range []string{c.Source, c.Event, c.RefID, c.Method, c.URI, c.Remote} {
		rec = putString(rec, s)
	}
	rec = binary.AppendUvarint(rec, uint64(len(in.Targets)))
	for i := range in.Targets {
		rec = putTarget(rec, &in.Targets[i])
	}
	first := len(rec)
	rec = putHeader(rec, c.Header)
	rec = append(rec, c.Body...)
	binary.BigEndian.PutUint32(rec[headSize+1:], uint32(first-callbackHead))
	binary.BigEndian.PutUint32(rec[headSize+5:], crc32.Checksum(rec[first:], castagnoli))
	return rec
}

// finishCallback sets flags that only the writer knows and seals the record.
func finishCallback(id relay.ID, rec []byte, flags byte) {
	rec[headSize] |= flags
	first := callbackHead + int(binary.BigEndian.Uint32(rec[headSize+1:]))
	binary.BigEndian.PutUint32(rec[1:], sum(id[:], rec[headSize:first]))
}

func callbackFlags(c *relay.Callback) (f byte) {
	if c.Unparsed {
		f |= flagUnparsed
	}
	if c.Unmatched {
		f |= flagUnmatched
	}
	return f
}

// A record is a callback as it lies in the log, cut but not yet copied.
type record struct {
	flags         byte
	first, second []byte
	bodySum       uint32
}

// cutCallback checks the first part of a callback's record.
func cutCallback(id relay.ID, rec []byte) (r record, err error) {
	if len(rec) < callbackHead || rec[0] != recordVersion {
		return r, errDamaged
	}
	first := uint64(callbackHead) + uint64(binary.BigEndian.Uint32(rec[headSize+1:]))
	if first > uint64(len(rec)) || binary.BigEndian.Uint32(rec[1:]) != sum(id[:], rec[headSize:first]) {
		return r, errDamaged
	}
	return record{
		flags: rec[headSize], bodySum: binary.BigEndian.Uint32(rec[headSize+5:]),
		first: rec[callbackHead:first], second: rec[first:],
	}, nil
}

// hashes gives what the index knows about the callback.
func (r record) hashes() (h hashes) {
	n := copy(h.key[:], r.first)
	copy(h.body[:], r.first[n:])
	return h
}

// refID gives the callback's ref_id.
func (r record) refID() string {
	d := decoder{b: r.first}
	d.skip(len(hashes{}.key) + len(hashes{}.body) + 8)
	d.bytes()
	d.bytes()
	return d.string()
}

// decode gives the callback without headers and body, and its targets.
func (r record) decode(id relay.ID) (c relay.Callback, targets []relay.Target, err error) {
	d := decodeTexts(r.first)
	d.skip(len(hashes{}.key) + len(hashes{}.body))
	c.ID = id
	c.ReceivedAt = d.time()
	for _, s := range []*string{&c.Source, &c.Event, &c.RefID, &c.Method, &c.URI, &c.Remote} {
		*s = d.string()
	}
	c.Unparsed = r.flags&flagUnparsed != 0
	c.Unmatched = r.flags&flagUnmatched != 0
	c.Conflict = r.flags&flagConflict != 0
	for n := d.count(); n > 0 && d.err == nil; n-- {
		targets = append(targets, d.target())
	}
	if r.flags&flagUnrouted != 0 {
		targets = nil
	}
	return c, targets, d.err
}

// contents gives headers and body, copied.
func (r record) contents() (http.Header, []byte, error) {
	if crc32.Checksum(r.second, castagnoli) != r.bodySum {
		return nil, nil, errDamaged
	}
	d := decodeTexts(r.second)
	h := d.header()
	return h, slices.Clone(d.b), d.err
}

// body gives the stored bytes in place, without copying and without a check:
// for looking something up in them.
func (r record) body() []byte {
	d := decoder{b: r.second}
	for n := d.count(); n > 0 && d.err == nil; n-- {
		d.bytes()
		for v := d.count(); v > 0 && d.err == nil; v-- {
			d.bytes()
		}
	}
	return d.b
}

// A state is where a delivery stands: the mutable part of a relay.Delivery.
type state struct {
	State    relay.State
	Due      time.Time
	Tries    int // since it was routed or reopened
	Attempts int // ever
	Replays  int
	Error    string
	Console  bool
	Target   *relay.Target // of deliveries that the callback's record doesn't name
}

// The codes of the states, in records and in keys of the open bucket.
var stateCodes = map[relay.State]byte{relay.Pending: 1, relay.Dead: 2, relay.Delivered: 3}

var stateNames = [...]relay.State{1: relay.Pending, 2: relay.Dead, 3: relay.Delivered}

func encodeState(s *state) []byte {
	rec := newRecord(40 + len(s.Error))
	rec = append(rec, stateCodes[s.State], bit(s.Console, 1)|bit(s.Target != nil, 2))
	rec = putTime(rec, s.Due)
	for _, n := range []int{s.Tries, s.Attempts, s.Replays} {
		rec = binary.AppendUvarint(rec, uint64(n))
	}
	rec = putString(rec, s.Error)
	if s.Target != nil {
		rec = putTarget(rec, s.Target)
	}
	return rec
}

func decodeState(key, rec []byte) (s state, err error) {
	payload, err := unseal(key, rec)
	if err != nil {
		return s, err
	}
	d := decoder{b: payload}
	code, flags := d.byte(), d.byte()
	s.Due = d.time()
	for _, n := range []*int{&s.Tries, &s.Attempts, &s.Replays} {
		*n = int(d.uvarint())
	}
	s.Error = d.string()
	s.Console = flags&1 != 0
	if flags&2 != 0 {
		t := d.target()
		s.Target = &t
	}
	if code < 1 || int(code) >= len(stateNames) {
		return s, errDamaged
	}
	s.State = stateNames[code]
	return s, d.err
}

func encodeAttempt(a *relay.Attempt) []byte {
	rec := newRecord(48 + len(a.Error) + len(a.Response) + len(a.Note))
	rec = append(rec, bit(a.OK, 1)|bit(a.Replay, 2))
	rec = putTime(rec, a.StartedAt)
	rec = binary.AppendVarint(rec, int64(a.Duration))
	rec = binary.AppendVarint(rec, int64(a.Status))
	for _, s := range []string{a.Error, a.Response, a.Note} {
		rec = putString(rec, s)
	}
	return rec
}

func decodeAttempt(key, rec []byte) (a relay.Attempt, err error) {
	payload, err := unseal(key, rec)
	if err != nil {
		return a, err
	}
	d := decoder{b: payload}
	flags := d.byte()
	a.OK, a.Replay = flags&1 != 0, flags&2 != 0
	a.StartedAt = d.time()
	a.Duration = time.Duration(d.varint())
	a.Status = int(d.varint())
	for _, s := range []*string{&a.Error, &a.Response, &a.Note} {
		*s = d.string()
	}
	return a, d.err
}

// A mark is what a callback's own record can't say, since it came later.
type mark struct {
	Duplicates int
	Conflict   bool
}

func encodeMark(m mark) []byte {
	return binary.AppendUvarint(append(newRecord(8), bit(m.Conflict, 1)), uint64(m.Duplicates))
}

func decodeMark(key, rec []byte) (m mark, err error) {
	payload, err := unseal(key, rec)
	if err != nil {
		return m, err
	}
	d := decoder{b: payload}
	m.Conflict = d.byte()&1 != 0
	m.Duplicates = int(d.uvarint())
	return m, d.err
}

func bit(b bool, v byte) byte {
	if b {
		return v
	}
	return 0
}
