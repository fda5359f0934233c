package server_test

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/server"
)

// wire is a connection on which bytes arrive in pieces.
type wire struct {
	net.Conn
	left []byte
	step int
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.left) == 0 {
		return 0, io.EOF
	}
	n := copy(p, w.left[:min(w.step, len(w.left))])
	w.left = w.left[n:]
	return n, nil
}

// Whatever arrives, and however it is cut, net/http must not accept a request
// that says in two ways where it ends.
func FuzzGuard(f *testing.F) {
	for _, seed := range []string{
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabcGET / HTTP/1.1\r\nHost: a\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST / HTTP/1.1\nHost: a\ntransfer-encoding: chunked\ncontent-length: 3\n\n0\r\n\r\n",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n\r\nPOST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\na",
		"POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n 3\r\n\r\nabc", "GET / HTTP/1.0\r\n\r\n", "\r\n\r\n", "C:\nT:\n\n", "x\r\n\rTransfer-Encoding:x\r\n\r\n",
	} {
		f.Add([]byte(seed), 1)
		f.Add([]byte(seed), 4096)
	}
	f.Fuzz(func(t *testing.T, sent []byte, step int) {
		in := &wire{left: bytes.Clone(sent), step: max(step, 1)}
		r := bufio.NewReader(server.Guard(in))
		for {
			from := len(sent) - len(in.left) - r.Buffered()
			req, err := http.ReadRequest(r)
			if err != nil {
				return
			}
			head := sent[from : len(sent)-len(in.left)-r.Buffered()]
			if twice(head) {
				t.Fatalf("accepted: %q", head)
			}
			if req.ContentLength < 0 {
				return // such a connection has no further request
			}
			if _, err := io.Copy(io.Discard, req.Body); err != nil {
				return
			}
		}
	})
}

// twice reports whether a head says its length in two lines.
func twice(head []byte) bool {
	lengths, codings := 0, 0
	for _, line := range strings.Split(string(head), "\n")[1:] {
		name, _, _ := strings.Cut(line, ":")
		if strings.EqualFold(name, "Content-Length") {
			lengths++
		}
		if strings.EqualFold(name, "Transfer-Encoding") {
			codings++
		}
	}
	first, _, _ := strings.Cut(string(head), "\n")
	return lengths > 1 || codings > 0 && (lengths > 0 || !strings.HasSuffix(strings.TrimSuffix(first, "\r"), "1"))
}
