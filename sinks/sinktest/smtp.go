package sinktest

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/md5"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"log"
	"math/big"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/emersion/go-sasl"
	"github.com/emersion/go-smtp"
)

// SMTP stands in for a mail server, with STARTTLS, AUTH and scripted refusals.
// Its fields are set before it serves.
type SMTP struct {
	Cert   *tls.Certificate  // offered with STARTTLS; nil: no STARTTLS
	Users  map[string]string // passwords by name; with any, who isn't logged in is refused
	Logins []string          // AUTH mechanisms: PLAIN and LOGIN by default, CRAM-MD5 too

	// Refuse is asked at each step, AUTH, MAIL, RCPT or DATA, with the user or
	// address it is about. Its error, of Code for one, is the answer.
	Refuse func(step, about string) error

	// Greeting holds the greeting back until it returns; nil: none is held back.
	Greeting func()

	Idle time.Duration // connections silent for so long are closed; 0: none are

	mu     sync.Mutex
	mails  []Mail
	conns  int
	logins int
	server *smtp.Server
}

// A Mail is one that the stand-in took.
type Mail struct {
	From string
	To   []string
	Raw  []byte
	TLS  bool
	User string // who had logged in
}

// Message is the mail, parsed.
func (m Mail) Message() (*netmail.Message, error) { return netmail.ReadMessage(bytes.NewReader(m.Raw)) }

// Code is an answer such as 550, with an enhanced code that fits.
func Code(code int, text string) error {
	return &smtp.SMTPError{Code: code, EnhancedCode: smtp.EnhancedCode{code / 100, 0, 0}, Message: text}
}

// Serve answers on a listener until Close; connections are plain until STARTTLS,
// or TLS at once if l is a TLS listener.
func (s *SMTP) Serve(l net.Listener) error {
	s.mu.Lock()
	if s.server == nil {
		s.server = s.newServer()
	}
	server := s.server
	s.mu.Unlock()
	return server.Serve(&greeter{l, s})
}

func (s *SMTP) newServer() *smtp.Server {
	server := smtp.NewServer(smtp.BackendFunc(s.session))
	server.Domain = "mail.example.com"
	server.ErrorLog = log.New(io.Discard, "", 0)
	server.AllowInsecureAuth = true
	server.EnableSMTPUTF8 = true
	server.MaxMessageBytes = 10 << 20
	server.ReadTimeout = s.Idle
	if s.Cert != nil {
		server.TLSConfig = &tls.Config{Certificates: []tls.Certificate{*s.Cert}}
	}
	return server
}

// Close ends it, and every connection.
func (s *SMTP) Close() {
	s.mu.Lock()
	server := s.server
	s.mu.Unlock()
	if server != nil {
		server.Close()
	}
}

// Mails are those taken so far.
func (s *SMTP) Mails() []Mail {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.mails)
}

// Sessions counts the connections so far, and the attempts to log in.
func (s *SMTP) Sessions() (conns, logins int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conns, s.logins
}

// A greeter is a listener that counts connections, which greet when they may.
type greeter struct {
	net.Listener
	s *SMTP
}

func (g *greeter) Accept() (net.Conn, error) {
	c, err := g.Listener.Accept()
	if err != nil {
		return nil, err
	}
	g.s.mu.Lock()
	g.s.conns++
	g.s.mu.Unlock()
	if g.s.Greeting == nil {
		return c, nil
	}
	return &lateConn{Conn: c, wait: sync.OnceFunc(g.s.Greeting)}, nil
}

type lateConn struct {
	net.Conn
	wait func()
}

func (c *lateConn) Write(b []byte) (int, error) {
	c.wait()
	return c.Conn.Write(b)
}

func (s *SMTP) session(c *smtp.Conn) (smtp.Session, error) {
	return &smtpSession{s: s, conn: c}, nil
}

type smtpSession struct {
	s    *SMTP
	conn *smtp.Conn
	user string
	mail Mail
}

func (c *smtpSession) refuse(step, about string) error {
	if c.s.Refuse == nil {
		return nil
	}
	return c.s.Refuse(step, about)
}

func (c *smtpSession) Mail(from string, _ *smtp.MailOptions) error {
	if len(c.s.Users) > 0 && c.user == "" {
		return Code(530, "Authentication required")
	}
	_, secure := c.conn.TLSConnectionState()
	c.mail = Mail{From: from, TLS: secure, User: c.user}
	return c.refuse("MAIL", from)
}

func (c *smtpSession) Rcpt(to string, _ *smtp.RcptOptions) error {
	if err := c.refuse("RCPT", to); err != nil {
		return err
	}
	c.mail.To = append(c.mail.To, to)
	return nil
}

func (c *smtpSession) Data(r io.Reader) (err error) {
	if c.mail.Raw, err = io.ReadAll(r); err != nil {
		return err
	}
	if err := c.refuse("DATA", c.mail.From); err != nil {
		return err
	}
	c.s.mu.Lock()
	defer c.s.mu.Unlock()
	c.s.mails = append(c.s.mails, c.mail)
	return nil
}

func (c *smtpSession) Reset()        { c.mail = Mail{} }
func (c *smtpSession) Logout() error { return nil }

func (c *smtpSession) AuthMechanisms() []string {
	if len(c.s.Users) == 0 {
		return nil
	}
	if c.s.Logins != nil {
		return c.s.Logins
	}
	return []string{sasl.Plain, sasl.Login}
}

func (c *smtpSession) Auth(mechanism string) (sasl.Server, error) {
	switch mechanism {
	case sasl.Plain:
		return sasl.NewPlainServer(func(_, user, password string) error { return c.login(user, c.s.Users[user] == password) }), nil
	case sasl.Login:
		return &loginServer{c: c}, nil
	case "CRAM-MD5":
		return &cramServer{c: c}, nil
	}
	return nil, smtp.ErrAuthUnknownMechanism
}

func (c *smtpSession) login(user string, right bool) error {
	c.s.mu.Lock()
	c.s.logins++
	_, known := c.s.Users[user]
	c.s.mu.Unlock()
	if err := c.refuse("AUTH", user); err != nil {
		return err
	}
	if !known || !right {
		return smtp.ErrAuthFailed
	}
	c.user = user
	return nil
}

// A loginServer speaks AUTH LOGIN.
type loginServer struct {
	c     *smtpSession
	lines []string
}

func (l *loginServer) Next(response []byte) ([]byte, bool, error) {
	if response != nil {
		l.lines = append(l.lines, string(response))
	}
	switch len(l.lines) {
	case 0:
		return []byte("Username:"), false, nil
	case 1:
		return []byte("Password:"), false, nil
	}
	return nil, true, l.c.login(l.lines[0], l.c.s.Users[l.lines[0]] == l.lines[1])
}

// A cramServer speaks CRAM-MD5 (RFC 2195).
type cramServer struct {
	c         *smtpSession
	challenge string
}

func (m *cramServer) Next(response []byte) ([]byte, bool, error) {
	if m.challenge == "" {
		m.challenge = "<1896.697170952@mail.example.com>"
		return []byte(m.challenge), false, nil
	}
	user, sum, _ := strings.Cut(string(response), " ")
	mac := hmac.New(md5.New, []byte(m.c.s.Users[user]))
	mac.Write([]byte(m.challenge))
	return nil, true, m.c.login(user, sum == hex.EncodeToString(mac.Sum(nil)))
}

// NewCert makes a certificate for localhost, 127.0.0.1 and the names, signed by
// itself and good until a time. The PEM is what a client must trust.
func NewCert(until time.Time, names ...string) (cert tls.Certificate, trust []byte, err error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return cert, nil, err
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "Kurir's stand-in"},
		NotBefore: until.Add(-10 * 365 * 24 * time.Hour), NotAfter: until, DNSNames: append([]string{"localhost"}, names...),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		return cert, nil, fmt.Errorf("make a certificate: %w", err)
	}
	cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), nil
}
