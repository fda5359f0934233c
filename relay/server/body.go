package server

import (
	"errors"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
)

// A refusal is an answer to a request that goes no further, and why it is given.
type refusal struct {
	status int
	body   string // JSON
	reason string // for the log of rejections
	kind   string // for the metrics: one of a few words
}

var (
	tooLarge   = &refusal{http.StatusRequestEntityTooLarge, `{"error":"Body too large"}`, "body too large", "too_large"}
	tooSlow    = &refusal{http.StatusRequestTimeout, `{"error":"Body not received in time"}`, "body not received in time", "too_slow"}
	malformed  = &refusal{http.StatusBadRequest, `{"error":"Malformed body"}`, "body malformed or cut off", "malformed"}
	encoded    = &refusal{http.StatusUnsupportedMediaType, `{"error":"Content-Encoding is not supported"}`, "Content-Encoding", "encoded"}
	notAllowed = &refusal{http.StatusForbidden, `{"error":"Address not allowed"}`, "address not in allow_ips", "address"}
)

// small is the size up to which a body has memory of its own. Larger ones are
// read into buffers that are used again if the request is refused, so that a
// flood of forged megabytes costs no more than those under way at once.
const small = 16 << 10

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// A body is what was read of a request.
type body struct {
	bytes []byte
	from  *[]byte // the buffer it is in; nil if it has memory of its own
}

// drop gives the buffer back; the bytes must not be used any more.
func (b body) drop() {
	if b.from != nil {
		*b.from = b.bytes[:0]
		buffers.Put(b.from)
	}
}

// readBody reads a body of limit bytes at most. One that is announced as larger
// is not read at all.
func readBody(r *http.Request, limit int64) (body, *refusal) {
	for _, coding := range r.Header["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(strings.TrimSpace(coding), "identity") {
			return body{}, encoded
		}
	}
	if r.ContentLength > limit {
		return body{}, tooLarge
	}
	if r.ContentLength >= 0 && r.ContentLength <= small {
		b := body{bytes: make([]byte, r.ContentLength)}
		_, err := io.ReadFull(r.Body, b.bytes)
		return b, wrong(err)
	}
	return readLarge(r, limit)
}

func readLarge(r *http.Request, limit int64) (b body, no *refusal) {
	b.from = buffers.Get().(*[]byte)
	b.bytes = (*b.from)[:0]
	for int64(len(b.bytes)) <= limit {
		b.bytes = grow(b.bytes, limit)
		n, err := r.Body.Read(b.bytes[len(b.bytes):cap(b.bytes)])
		b.bytes = b.bytes[:len(b.bytes)+n]
		if err == io.EOF && int64(len(b.bytes)) <= limit {
			return b, nil
		}
		if err != nil && err != io.EOF {
			b.drop()
			return body{}, wrong(err)
		}
	}
	b.drop()
	return body{}, tooLarge
}

// grow makes room for at least one more byte: twice as much as there is, so that
// who announces much and sends little gets little, and hardly more than limit.
func grow(b []byte, limit int64) []byte {
	if len(b) < cap(b) {
		return b
	}
	room := min(max(int64(2*cap(b)), 2*small), limit+1)
	return append(make([]byte, 0, room), b...)
}

// wrong says what an error of reading a body is to be answered with.
func wrong(err error) *refusal {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, os.ErrDeadlineExceeded):
		return tooSlow
	}
	return malformed
}
