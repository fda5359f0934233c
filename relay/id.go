package relay

import (
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
)

// An ID names a stored callback. It is a UUIDv7 (RFC 9562, section 5.7): its
// first 48 bits are Unix milliseconds, so byte order is time order and an ID is
// key, cursor and time bound at once. The zero ID names nothing.
type ID [16]byte

// String gives the canonical form, 36 characters with hyphens.
func (id ID) String() string {
	var b [36]byte
	hex.Encode(b[0:8], id[0:4])
	hex.Encode(b[9:13], id[4:6])
	hex.Encode(b[14:18], id[6:8])
	hex.Encode(b[19:23], id[8:10])
	hex.Encode(b[24:36], id[10:16])
	b[8], b[13], b[18], b[23] = '-', '-', '-', '-'
	return string(b[:])
}

// IsZero reports whether id names nothing.
func (id ID) IsZero() bool { return id == ID{} }

// Time is when the ID was made, to the millisecond.
func (id ID) Time() time.Time {
	return time.UnixMilli(int64(binary.BigEndian.Uint64(id[0:8]) >> 16))
}

// MarshalText makes an ID a string in JSON.
func (id ID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText reads what String gives.
func (id *ID) UnmarshalText(text []byte) (err error) {
	*id, err = ParseID(string(text))
	return err
}

// ErrBadID is returned for text that is not an id.
var ErrBadID = errors.New("not an id")

// ParseID reads the canonical form of an ID, in either case.
func ParseID(s string) (id ID, err error) {
	if len(s) != 36 || s[8] != '-' || s[13] != '-' || s[18] != '-' || s[23] != '-' {
		return ID{}, fmt.Errorf("%w: %q", ErrBadID, s)
	}
	if _, err := hex.Decode(id[:], []byte(strings.ReplaceAll(s, "-", ""))); err != nil {
		return ID{}, fmt.Errorf("%w: %q", ErrBadID, s)
	}
	return id, nil
}

// FloorID is the smallest ID of the millisecond of t: every callback received
// at t or later has an ID that is not below it.
func FloorID(t time.Time) (id ID) {
	binary.BigEndian.PutUint64(id[0:8], uint64(max(t.UnixMilli(), 0))<<16)
	return id
}

// An IDSource makes IDs that only grow, also when the clock goes back. The zero
// value is ready; it is safe for concurrent use.
type IDSource struct {
	mu   sync.Mutex
	last ID
}

// Seen makes every further ID greater than id.
func (s *IDSource) Seen(id ID) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(id[:]) > string(s.last[:]) {
		s.last = id
	}
}

// Next makes an ID for the time now. Within a millisecond, or when now is not
// after the newest ID, it counts the 74 random bits up instead (RFC 9562,
// section 6.2, method 2).
func (s *IDSource) Next(now time.Time) ID {
	s.mu.Lock()
	defer s.mu.Unlock()
	if id := FloorID(now); string(id[:6]) > string(s.last[:6]) {
		rand.Read(id[6:])
		id[6] = 0x70 | id[6]&0x0f
		id[8] = 0x80 | id[8]&0x3f
		s.last = id
		return id
	}
	s.last = s.last.successor()
	return s.last
}

// successor is the next greater ID that still has the version and variant bits.
func (id ID) successor() ID {
	low := binary.BigEndian.Uint64(id[8:16]) & (1<<62 - 1)
	mid := binary.BigEndian.Uint16(id[6:8]) & 0x0fff
	low = (low + 1) & (1<<62 - 1)
	if low == 0 {
		mid = (mid + 1) & 0x0fff
		if mid == 0 {
			ms := binary.BigEndian.Uint64(id[0:8])>>16 + 1
			binary.BigEndian.PutUint64(id[0:8], ms<<16)
		}
	}
	binary.BigEndian.PutUint16(id[6:8], 0x7000|mid)
	binary.BigEndian.PutUint64(id[8:16], 1<<63|low)
	return id
}

// A DeliveryID names one delivery. It is derived: the callback's ID and the
// number of the delivery among those of the callback, from 1. Doing a step
// twice therefore names the same delivery twice.
type DeliveryID struct {
	Callback ID
	N        uint16
}

// String gives the callback's id, a dot and the number: "0198...-3f.1". It is
// safe in a header and in the left part of a Message-ID.
func (d DeliveryID) String() string { return d.Callback.String() + "." + strconv.Itoa(int(d.N)) }

// MarshalText makes a DeliveryID a string in JSON.
func (d DeliveryID) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// UnmarshalText reads what String gives.
func (d *DeliveryID) UnmarshalText(text []byte) (err error) {
	*d, err = ParseDeliveryID(string(text))
	return err
}

// ParseDeliveryID reads what DeliveryID.String gives.
func ParseDeliveryID(s string) (DeliveryID, error) {
	left, right, _ := strings.Cut(s, ".")
	id, err := ParseID(left)
	if err != nil {
		return DeliveryID{}, fmt.Errorf("%w: %q", ErrBadID, s)
	}
	n, err := strconv.ParseUint(right, 10, 16)
	if err != nil || n == 0 {
		return DeliveryID{}, fmt.Errorf("%w: %q", ErrBadID, s)
	}
	return DeliveryID{Callback: id, N: uint16(n)}, nil
}
