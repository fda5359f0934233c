package boltstore

import (
	"encoding/binary"
	"math"
	"net/http"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// The pieces records are made of: strings with their length before them,
// varints, and times as nanoseconds since 1970.

func putString[T string | []byte](b []byte, s T) []byte {
	return append(binary.AppendUvarint(b, uint64(len(s))), s...)
}

// noTime stands for the zero time.Time, which has no nanoseconds since 1970.
const noTime = math.MinInt64

func putTime(b []byte, t time.Time) []byte {
	ns := int64(noTime)
	if !t.IsZero() {
		ns = t.UnixNano()
	}
	return binary.BigEndian.AppendUint64(b, uint64(ns))
}

func putHeader(b []byte, h http.Header) []byte {
	b = binary.AppendUvarint(b, uint64(len(h)))
	for name, values := range h {
		b = putString(b, name)
		b = binary.AppendUvarint(b, uint64(len(values)))
		for _, v := range values {
			b = putString(b, v)
		}
	}
	return b
}

func putTarget(b []byte, t *relay.Target) []byte {
	b = append(b, bit(t.Payload != nil, 1))
	b = putTime(b, t.NotBefore)
	for _, s := range []string{t.Rule, t.Sink, t.Lane, t.Error, t.Fallback} {
		b = putString(b, s)
	}
	return putString(b, t.Payload)
}

// sizeOf is about what a header takes in a record.
func sizeOf(h http.Header) (n int) {
	for name, values := range h {
		n += len(name) + 4
		for _, v := range values {
			n += len(v) + 2
		}
	}
	return n
}

func sizeOfTargets(ts []relay.Target) (n int) {
	for i := range ts {
		t := &ts[i]
		n += 24 + len(t.Rule) + len(t.Sink) + len(t.Lane) + len(t.Error) + len(t.Fallback) + len(t.Payload)
	}
	return n
}

// A decoder reads the pieces back. It never fails on the way: what is missing
// reads as zero and err is set.
type decoder struct {
	b   []byte
	err error

	whole int    // how long b was
	text  string // a copy of its beginning, of which strings are parts; may be empty
}

// decodeTexts makes a decoder for what holds many strings: they are copied at once.
func decodeTexts(b []byte) decoder {
	return decoder{b: b, whole: len(b), text: string(b[:min(len(b), 4<<10)])}
}

func (d *decoder) skip(n int) { d.take(uint64(n)) }

// take gives the next n bytes, in place.
func (d *decoder) take(n uint64) []byte {
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errDamaged
		return nil
	}
	p := d.b[:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) byte() byte {
	if p := d.take(1); p != nil {
		return p[0]
	}
	return 0
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errDamaged
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) varint() int64 {
	v, n := binary.Varint(d.b)
	if n <= 0 {
		d.b, d.err = nil, errDamaged
		return 0
	}
	d.b = d.b[n:]
	return v
}

// count is the number of things that follow: never more than there are bytes.
func (d *decoder) count() int {
	n := d.uvarint()
	if n > uint64(len(d.b)) {
		d.b, d.err = nil, errDamaged
		return 0
	}
	return int(n)
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

func (d *decoder) string() string {
	p := d.bytes()
	if end := d.whole - len(d.b); end <= len(d.text) && end >= len(p) {
		return d.text[end-len(p) : end]
	}
	return string(p)
}

func (d *decoder) time() time.Time {
	p := d.take(8)
	if p == nil {
		return time.Time{}
	}
	ns := int64(binary.BigEndian.Uint64(p))
	if ns == noTime {
		return time.Time{}
	}
	return time.Unix(0, ns).UTC()
}

func (d *decoder) header() http.Header {
	n := d.count()
	if n == 0 {
		return nil
	}
	h, all := make(http.Header, n), make([]string, 0, n)
	for ; n > 0 && d.err == nil; n-- {
		name := d.string()
		first := len(all)
		for v := d.count(); v > 0 && d.err == nil; v-- {
			all = append(all, d.string())
		}
		h[name] = all[first:len(all):len(all)]
	}
	return h
}

func (d *decoder) target() (t relay.Target) {
	hasPayload := d.byte()&1 != 0
	t.NotBefore = d.time()
	for _, s := range []*string{&t.Rule, &t.Sink, &t.Lane, &t.Error, &t.Fallback} {
		*s = d.string()
	}
	if p := d.bytes(); hasPayload {
		t.Payload = append([]byte{}, p...)
	}
	return t
}
