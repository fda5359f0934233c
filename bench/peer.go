package main

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

// A peer is a loopback HTTP sink that counts what arrives.
type peer struct {
	l       net.Listener
	arrived atomic.Int64
}

func startPeer(serve func(*peer)) (*peer, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	p := &peer{l: l}
	go serve(p)
	return p, nil
}

func (p *peer) url() string { return "http://" + p.l.Addr().String() + "/hook" }

// serveHTTP answers by net/http, until the listener is closed.
func (p *peer) serveHTTP() {
	http.Serve(p.l, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		p.arrived.Add(1)
	}))
}

// serveRaw answers over raw keep-alive connections, as the load generator asks.
func (p *peer) serveRaw() {
	for {
		c, err := p.l.Accept()
		if err != nil {
			return
		}
		go p.answer(c)
	}
}

var (
	contentLength = []byte("Content-Length: ") // as net/http writes it
	ok            = []byte("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
)

func (p *peer) answer(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for {
		length := 0
		for line := []byte("first"); len(line) > len("\r\n"); {
			var err error
			if line, err = in.ReadSlice('\n'); err != nil {
				return
			}
			if n, found := bytes.CutPrefix(line, contentLength); found {
				length, _ = strconv.Atoi(string(bytes.TrimSpace(n)))
			}
		}
		if _, err := in.Discard(length); err != nil {
			return
		}
		p.arrived.Add(1)
		if _, err := c.Write(ok); err != nil {
			return
		}
	}
}
