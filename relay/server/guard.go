package server

import (
	"bytes"
	"io"
	"net"
	"strings"
	"time"
)

// A guardedListener gives guarded connections.
type guardedListener struct{ net.Listener }

func (l guardedListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &guard{Conn: c}, nil
}

// A guard reads a connection along with net/http and refuses what says in two
// ways where a request ends: a proxy in front might believe the other one, and
// take a part of the body for a request of its own (RFC 9112, section 11.2).
// net/http drops Content-Length in silence when there is Transfer-Encoding too,
// takes equal lengths for one, and leaves Transfer-Encoding out of account in
// HTTP/1.0. The guard makes the second of such lines one that net/http answers
// with 400, and closes the connection after.
//
// It follows lengths from request to request. Behind a chunked body it is lost:
// such a connection must not have another request.
type guard struct {
	net.Conn
	place  place
	minor  byte   // the last digit of the request's HTTP version
	name   []byte // of the header line so far, at most maxName
	digits []byte // of Content-Length
	body   int64  // what is left of the body
	sized  bool   // there was a Content-Length
	coded  bool   // there was a Transfer-Encoding
	broken bool   // a line was made one that net/http refuses
}

// A place is where in a request the next byte belongs.
type place int

const (
	atRequest place = iota // before the request line
	inRequest              // in it
	atHeader               // at the beginning of a header line
	inName
	inLength // in the value of Content-Length
	inValue
	inBody
	lost
)

const maxName = len("Transfer-Encoding")

func (g *guard) Read(p []byte) (int, error) {
	n, err := g.Conn.Read(p)
	for rest := p[:n]; len(rest) > 0 && g.place != lost; {
		rest = g.step(rest)
	}
	return n, err
}

// step passes what belongs together, at least one byte, and gives what is left.
func (g *guard) step(p []byte) []byte {
	switch g.place {
	case inBody:
		n := min(g.body, int64(len(p)))
		if g.body -= n; g.body == 0 {
			g.place = atRequest
		}
		return p[n:]
	case atRequest:
		if p[0] != '\r' && p[0] != '\n' {
			g.place, g.sized, g.coded, g.digits = inRequest, false, false, g.digits[:0]
		}
		return p[1:]
	case inRequest:
		line, rest := g.line(p)
		if line = bytes.TrimRight(line, "\r\n"); len(line) > 0 {
			g.minor = line[len(line)-1]
		}
		return rest
	case inValue:
		_, rest := g.line(p)
		return rest
	case inLength:
		return g.length(p)
	}
	return g.header(p)
}

// line passes what is left of a line, as far as it has come.
func (g *guard) line(p []byte) (line, rest []byte) {
	end := bytes.IndexByte(p, '\n')
	if end < 0 {
		return p, nil
	}
	g.place = atHeader
	return p[:end], p[end+1:]
}

// header passes a part of a header line, up to its colon.
func (g *guard) header(p []byte) []byte {
	switch c := p[0]; {
	case c == '\n':
		g.headEnds(len(g.name) == 0)
	case c == '\r' && g.place == atHeader:
	case (c == ' ' || c == '\t') && g.place == atHeader:
		p[0], g.broken = ':', true // a folded line: no header begins with a colon
		g.place = inValue
	case c == ':':
		g.named(p)
	case g.place == atHeader && c|0x20 != 'c' && c|0x20 != 't':
		g.place = inValue // of a header that says nothing about lengths
	default:
		g.place = inName
		if len(g.name) <= maxName {
			g.name = append(g.name, c)
		}
	}
	return p[1:]
}

// named begins the value of the header whose colon is p's first byte.
func (g *guard) named(p []byte) {
	g.place = inValue
	sized, coded := strings.EqualFold(string(g.name), "Content-Length"), strings.EqualFold(string(g.name), "Transfer-Encoding")
	g.name = g.name[:0]
	if sized && (g.sized || g.coded) || coded && (g.sized || g.minor != '1') {
		p[0], g.broken = '(', true // no name of a header has it
		return
	}
	if sized {
		g.place = inLength
	}
	g.sized, g.coded = g.sized || sized, g.coded || coded
}

// length passes a part of the value of Content-Length.
func (g *guard) length(p []byte) []byte {
	if p[0] == '\n' {
		g.place = atHeader
	} else if p[0] != ' ' && p[0] != '\t' && p[0] != '\r' && len(g.digits) < 20 {
		g.digits = append(g.digits, p[0])
	}
	return p[1:]
}

// headEnds goes on to the body after an empty line. A header line without a
// colon, or a length that is no number, is net/http's to refuse.
func (g *guard) headEnds(empty bool) {
	g.name = g.name[:0]
	if !empty {
		g.place = atHeader
		return
	}
	g.place, g.body = atRequest, 0
	for _, d := range g.digits {
		if d < '0' || d > '9' {
			g.place = lost
		}
		g.body = g.body*10 + int64(d-'0')
	}
	if g.coded || len(g.digits) > 18 {
		g.place = lost
	} else if g.body > 0 && g.place != lost {
		g.place = inBody
	}
}

// lingering is how long a refused client may take to read why.
const lingering = 250 * time.Millisecond

// Close ends the connection. What a refused client goes on to send is thrown away
// for a moment first: left unread, it would make the kernel take the answer back.
func (g *guard) Close() error {
	if g.broken {
		g.CloseWrite()
		g.Conn.SetReadDeadline(time.Now().Add(lingering))
		io.Copy(io.Discard, io.LimitReader(g.Conn, maxHead))
	}
	return g.Conn.Close()
}

// CloseWrite lets net/http end its side first, so that an answer to a request
// that is not read to its end arrives.
func (g *guard) CloseWrite() error {
	if c, ok := g.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}
