// Package sinktest has stand-ins for the far sides of sinks: a Bot API server
// that enforces Telegram's published limits, and an SMTP server whose refusals
// are scripted. Tests use them, and whoever wants to see Kurir at work without
// an account anywhere.
package sinktest

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"time"
)

// A Pipe is a net.Listener in memory: what Dial opens, Accept gets. It needs no
// port, and under testing/synctest its connections wait in the bubble's time.
// They have buffers, as those of TCP do.
type Pipe struct {
	conns chan net.Conn
	done  chan struct{}
	once  sync.Once
}

// NewPipe makes a Pipe.
func NewPipe() *Pipe { return &Pipe{conns: make(chan net.Conn), done: make(chan struct{})} }

// Dial connects to the Pipe, whatever the address.
func (p *Pipe) Dial(ctx context.Context, _, _ string) (net.Conn, error) {
	here, there := newConns()
	select {
	case p.conns <- there:
		return here, nil
	case <-p.done:
		return nil, errors.New("connection refused")
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// Accept gives the next connection.
func (p *Pipe) Accept() (net.Conn, error) {
	select {
	case c := <-p.conns:
		return c, nil
	case <-p.done:
		return nil, net.ErrClosed
	}
}

// Close makes every further Dial fail.
func (p *Pipe) Close() error {
	p.once.Do(func() { close(p.done) })
	return nil
}

// Addr is a name without meaning.
func (p *Pipe) Addr() net.Addr { return pipeAddr{} }

type pipeAddr struct{}

func (pipeAddr) Network() string { return "pipe" }
func (pipeAddr) String() string  { return "pipe" }

// pipeBuffer is how much a connection takes before its writer must wait.
const pipeBuffer = 64 << 10

// newConns makes the two ends of a connection.
func newConns() (net.Conn, net.Conn) {
	var to, fro stream
	to.changed.L, fro.changed.L = &to.mu, &fro.mu
	return &conn{in: &fro, out: &to}, &conn{in: &to, out: &fro}
}

// A stream is one direction of a connection.
type stream struct {
	mu          sync.Mutex
	changed     sync.Cond
	buf         []byte
	ended, gone bool // the writer has closed, the reader has
	read, write deadline
}

type deadline struct {
	at    time.Time
	timer *time.Timer
}

func (d deadline) passed() bool { return !d.at.IsZero() && !time.Now().Before(d.at) }

// set changes a deadline of the stream.
func (s *stream) set(d *deadline, at time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if d.timer != nil {
		d.timer.Stop()
	}
	d.at = at
	if !at.IsZero() {
		d.timer = time.AfterFunc(time.Until(at), s.changed.Broadcast)
	}
	s.changed.Broadcast()
	return nil
}

type conn struct{ in, out *stream }

func (c *conn) Read(b []byte) (int, error) {
	s := c.in
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.gone:
			return 0, net.ErrClosed
		case s.read.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) > 0:
			n := copy(b, s.buf)
			s.buf = s.buf[n:]
			s.changed.Broadcast()
			return n, nil
		case s.ended:
			return 0, io.EOF
		}
		s.changed.Wait()
	}
}

func (c *conn) Write(b []byte) (int, error) {
	s := c.out
	s.mu.Lock()
	defer s.mu.Unlock()
	for {
		switch {
		case s.ended:
			return 0, net.ErrClosed
		case s.gone:
			return 0, io.ErrClosedPipe
		case s.write.passed():
			return 0, os.ErrDeadlineExceeded
		case len(s.buf) < pipeBuffer:
			s.buf = append(s.buf, b...)
			s.changed.Broadcast()
			return len(b), nil
		}
		s.changed.Wait()
	}
}

// Close ends both directions. What was written can still be read.
func (c *conn) Close() error {
	c.out.close(&c.out.ended)
	c.in.close(&c.in.gone)
	return nil
}

func (s *stream) close(end *bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	*end = true
	s.changed.Broadcast()
}

func (c *conn) SetDeadline(t time.Time) error {
	c.SetReadDeadline(t)
	return c.SetWriteDeadline(t)
}

func (c *conn) SetReadDeadline(t time.Time) error  { return c.in.set(&c.in.read, t) }
func (c *conn) SetWriteDeadline(t time.Time) error { return c.out.set(&c.out.write, t) }
func (c *conn) LocalAddr() net.Addr                { return pipeAddr{} }
func (c *conn) RemoteAddr() net.Addr               { return pipeAddr{} }
