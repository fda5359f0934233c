package sinks

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/textproto"
	"net/url"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	mail "github.com/wneessen/go-mail"
	"github.com/wneessen/go-mail/smtp"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

const (
	// mailIdle is how long a connection waits for the next mail.
	mailIdle = 10 * time.Second

	// loginPause is how long a server is left alone after it refused the login:
	// repeated failures lock accounts.
	loginPause = 5 * time.Minute

	// mailTimeout bounds a transaction for which ctx has no deadline, and the
	// farewell of a connection.
	mailTimeout = 15 * time.Second
)

// The schemes of a server's URL, and their ports.
var mailPorts = map[string]int{"smtp": 587, "smtps": 465, "smtp+insecure": 25}

// A mailServer is the SMTP server of a sink, with its open connections.
type mailServer struct {
	place              Place
	scheme, host       string
	port               int
	username, password string
	tls                *tls.Config
	secrets            secrets
	keep               int // idle connections at most
	dialer             func(ctx context.Context, network, addr string) (net.Conn, error)
	troubled           atomic.Bool

	mu        sync.Mutex
	idle      []*mailConn
	closed    bool
	heldUntil time.Time // the login was refused: not tried again before
	heldErr   error
}

// newMailServer reports what is wrong with the settings at its place.
func newMailServer(s *emailSettings, p Place) *mailServer {
	m := &mailServer{place: p, username: s.Username.Text, password: s.Password.Reveal(), keep: max(p.Idle, 1),
		dialer: (&net.Dialer{}).DialContext, secrets: newSecrets(s.Password.Reveal())}
	if p.Dial != nil {
		m.dialer = p.Dial
	}
	if s.Server.Text != "" {
		m.parse(s.Server)
	}
	m.tls = s.TLS.config()
	m.tls.ServerName = m.host
	if m.username == "" && m.password != "" {
		s.Password.Node.Problem("there is a password, but no username")
	}
	return m
}

func (m *mailServer) parse(s conf.String) {
	u, err := url.Parse(s.Text)
	if err != nil || mailPorts[u.Scheme] == 0 || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" {
		s.Node.Report(conf.Problem{Message: "this is no mail server",
			Hint: "write smtp://host:587 (STARTTLS), smtps://host:465 (implicit TLS) or smtp+insecure://localhost:25 (plain)"})
		return
	}
	if u.User != nil {
		s.Node.Problem("the login stands under username and password, not in the server's address")
	}
	m.scheme, m.host, m.port = u.Scheme, u.Hostname(), mailPorts[u.Scheme]
	if u.Port() != "" {
		port, err := strconv.ParseUint(u.Port(), 10, 16)
		if err != nil || port == 0 {
			s.Node.Problem("%s is no port", u.Port())
		}
		m.port = int(port)
	}
	if u.Scheme == "smtp+insecure" && !isLoopback(m.host) {
		s.Node.Warn("mails and the password go to %s without encryption", m.host)
	}
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// A mailResult is what the server said to a mail.
type mailResult struct {
	code     int
	response string
	refused  map[string]error // by recipient; the others took it, if anybody did
}

// refusal is the error of a mail that some recipients did not take. Its code is
// that of a refusal for now, if there is one: then a retry makes sense.
func (r mailResult) refusal() error {
	to := slices.SortedFunc(maps.Keys(r.refused), func(a, b string) int {
		return cmp.Or(codeOf(r.refused[a])-codeOf(r.refused[b]), strings.Compare(a, b))
	})
	text := "refused for"
	for i, a := range to {
		text += fmt.Sprintf("%s %s (%v)", strings.Repeat(",", min(i, 1)), a, r.refused[a])
	}
	return &cleanError{text, r.refused[to[0]]} // the mildest
}

// send makes one transaction. The error means that nobody took the mail; those
// who refused it while others took it are in the result.
func (s *mailServer) send(ctx context.Context, from string, to []string, msg io.WriterTo) (mailResult, error) {
	for {
		c, err := s.take(ctx)
		if err != nil {
			return s.resultOf(err), err
		}
		r, err := s.transact(ctx, c, from, to, msg)
		if errors.Is(err, errStale) {
			c.drop()
			continue
		}
		s.putBack(c, err)
		return r, s.decide(ctx, err)
	}
}

// take gives an idle connection, or a new one.
func (s *mailServer) take(ctx context.Context) (*mailConn, error) {
	s.mu.Lock()
	var c *mailConn
	if n := len(s.idle); n > 0 {
		c, s.idle = s.idle[n-1], s.idle[:n-1]
	}
	held, heldErr := time.Now().Before(s.heldUntil), s.heldErr
	s.mu.Unlock()
	switch {
	case c != nil && c.timer.Stop():
		c.reused = true
		c.limit(ctx)
		return c, nil
	case held:
		return nil, heldErr
	}
	return s.dial(ctx)
}

// putBack keeps a connection that is still good for a while.
func (s *mailServer) putBack(c *mailConn, err error) {
	c.unlimit()
	if err != nil && codeOf(err) == 0 || codeOf(err) == 421 {
		c.drop()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || len(s.idle) >= s.keep {
		go c.quit()
		return
	}
	c.timer = time.AfterFunc(mailIdle, func() { s.expire(c) })
	s.idle = append(s.idle, c)
}

func (s *mailServer) expire(c *mailConn) {
	s.mu.Lock()
	s.idle = slices.DeleteFunc(s.idle, func(i *mailConn) bool { return i == c })
	s.mu.Unlock()
	c.quit()
}

func (s *mailServer) close() {
	s.mu.Lock()
	idle := s.idle
	s.idle, s.closed = nil, true
	s.mu.Unlock()
	for _, c := range idle {
		if c.timer.Stop() {
			c.quit()
		}
	}
}

func (s *mailServer) check(ctx context.Context) error {
	c, err := s.dial(ctx)
	if err != nil {
		return err
	}
	c.quit()
	return nil
}

// dial connects, encrypts and logs in. What a retry within minutes cannot cure
// is permanent, and the server is left alone for loginPause.
func (s *mailServer) dial(ctx context.Context) (*mailConn, error) {
	c := &mailConn{}
	client, err := mail.NewClient(s.host, s.options(ctx, c)...)
	if err == nil {
		c.smtp, err = client.DialToSMTPClientWithContext(ctx)
	}
	if err == nil {
		s.alarm(nil)
		return c, nil
	}
	c.drop()
	if why := s.closedDoor(err); why != nil {
		why = s.clean(ctx, why)
		s.alarm(why)
		err = relay.Permanent(why)
		s.mu.Lock()
		s.heldUntil, s.heldErr = time.Now().Add(loginPause), relay.Permanent(fmt.Errorf("not asked again so soon: %w", why))
		s.mu.Unlock()
		return nil, err
	}
	return nil, s.decide(ctx, err)
}

// closedDoor says in plain words that the server will not let us in as we are;
// nil if it may.
func (s *mailServer) closedDoor(err error) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "does not support STARTTLS"):
		return fmt.Errorf("%s offers no STARTTLS, so nothing was sent: use smtps:// if it speaks TLS at once, or smtp+insecure:// to send in the clear", s.host)
	case strings.Contains(text, "does not support SMTP AUTH") || errors.Is(err, mail.ErrNoSupportedAuthDiscovered):
		return fmt.Errorf("%s offers no login that Kurir knows: %w", s.host, err)
	case strings.Contains(text, "SMTP AUTH failed") && codeOf(err) >= 500:
		return fmt.Errorf("%s refuses the login of %s: %w", s.host, s.username, err)
	}
	return nil
}

// alarm logs when the server stops letting the sink in, and when it does again.
func (s *mailServer) alarm(err error) {
	was := s.troubled.Swap(err != nil)
	log := cmp.Or(s.place.Log, slog.Default())
	switch {
	case err != nil && !was:
		log.Error("the mail server lets nothing of this sink in", "sink", s.place.Name, "server", s.host, "error", err)
	case err == nil && was:
		log.Info("the mail server lets this sink in again", "sink", s.place.Name, "server", s.host)
	}
}

// options are those of go-mail for one connection, which c keeps.
func (s *mailServer) options(ctx context.Context, c *mailConn) []mail.Option {
	opts := []mail.Option{mail.WithPort(s.port), mail.WithTLSConfig(s.tls), mail.WithHELO(helo()), mail.WithTimeout(time.Hour),
		mail.WithDialContextFunc(func(_ context.Context, network, _ string) (net.Conn, error) {
			return s.connect(ctx, c, network)
		})}
	switch s.scheme {
	case "smtp":
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	case "smtps":
		opts = append(opts, mail.WithSSL())
	default:
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	}
	if s.username == "" {
		return opts
	}
	return append(opts, mail.WithUsername(s.username), mail.WithPassword(s.password), mail.WithOpportunisticSMTPAuth(s.logins()...))
}

// logins are the ways to log in, best first. The password itself is told only
// to a server that is encrypted, or whose URL says that it need not be.
func (s *mailServer) logins() []mail.SMTPAuthType {
	safe := []mail.SMTPAuthType{mail.SMTPAuthSCRAMSHA256, mail.SMTPAuthSCRAMSHA1, mail.SMTPAuthCramMD5}
	if s.scheme == "smtp+insecure" {
		return append(safe, mail.SMTPAuthPlainNoEnc, mail.SMTPAuthLoginNoEnc)
	}
	return append(safe, mail.SMTPAuthPlain, mail.SMTPAuthLogin)
}

// helo is the name this machine gives itself.
func helo() string {
	if name, err := os.Hostname(); err == nil && strings.Contains(name, ".") {
		return name
	}
	return "localhost"
}

// connect opens the connection that c keeps. It puts the address together
// itself: go-mail leaves out the brackets of IPv6.
func (s *mailServer) connect(ctx context.Context, c *mailConn, network string) (net.Conn, error) {
	conn, err := s.dialer(ctx, network, net.JoinHostPort(s.host, strconv.Itoa(s.port)))
	if err != nil {
		return nil, err
	}
	c.net = attemptConn{conn}
	c.limit(ctx)
	if s.scheme != "smtps" {
		return c.net, nil
	}
	secure := tls.Client(c.net, s.tls)
	return secure, secure.HandshakeContext(ctx)
}

// decide makes an error fit for the record, and permanent if the server said 5xx.
func (s *mailServer) decide(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	return permanent5xx(s.clean(ctx, err))
}

func permanent5xx(err error) error {
	if codeOf(err) >= 500 {
		return relay.Permanent(err)
	}
	return err
}

// clean words an error without secrets and in plain words.
func (s *mailServer) clean(ctx context.Context, err error) error {
	said, ok := errors.AsType[*textproto.Error](err)
	switch {
	case ok:
		text := strings.Replace(err.Error(), said.Error(), answerOf(said), 1)
		return &cleanError{s.secrets.hide(text), err}
	case ctx.Err() != nil || errors.Is(err, os.ErrDeadlineExceeded):
		return fmt.Errorf("%s did not answer in time: %w", s.host, cmp.Or(ctx.Err(), context.DeadlineExceeded))
	}
	return s.secrets.hideIn(err)
}

// answerOf is what the server said, on one line.
func answerOf(e *textproto.Error) string { return oneLine(fmt.Sprintf("%d %s", e.Code, e.Msg)) }

// codeOf is the SMTP code in an error; 0 if the server gave none.
func codeOf(err error) int {
	if te, ok := errors.AsType[*textproto.Error](err); ok {
		return te.Code
	}
	return 0
}

// resultOf is what the server said in an error.
func (s *mailServer) resultOf(err error) (r mailResult) {
	if te, ok := errors.AsType[*textproto.Error](err); ok {
		r.code, r.response = te.Code, s.secrets.hide(answerOf(te))
	}
	return r
}

// A mailConn is an open connection.
type mailConn struct {
	net    attemptConn
	smtp   *smtp.Client
	reused bool        // it has carried a mail before
	timer  *time.Timer // closes it when it was idle for too long
	free   func() bool // lets go of the attempt's context
}

// An attemptConn has its deadline from the attempt it serves: what go-mail sets
// is ignored.
type attemptConn struct{ net.Conn }

func (attemptConn) SetDeadline(time.Time) error { return nil }

// limit makes the connection end with ctx.
func (c *mailConn) limit(ctx context.Context) {
	deadline, ok := ctx.Deadline()
	if !ok {
		deadline = time.Now().Add(mailTimeout)
	}
	c.net.Conn.SetDeadline(deadline)
	c.free = context.AfterFunc(ctx, func() { c.net.Conn.SetDeadline(time.Unix(1, 0)) })
}

func (c *mailConn) unlimit() {
	if c.free != nil {
		c.free()
		c.free = nil
	}
}

func (c *mailConn) drop() {
	c.unlimit()
	if c.net.Conn != nil {
		c.net.Close()
	}
}

func (c *mailConn) quit() {
	c.unlimit()
	c.net.Conn.SetDeadline(time.Now().Add(mailTimeout))
	c.smtp.Quit()
	c.net.Close()
}

// errStale says that an idle connection was gone before the server heard of the mail.
var errStale = errors.New("the connection was closed meanwhile")

func (s *mailServer) transact(ctx context.Context, c *mailConn, from string, to []string, msg io.WriterTo) (mailResult, error) {
	if err := c.smtp.Mail("<" + from + ">"); err != nil {
		if code := codeOf(err); c.reused && ctx.Err() == nil && (code == 0 || code == 421) {
			return mailResult{}, errStale
		}
		return s.resultOf(err), c.undo(err)
	}
	r := mailResult{refused: map[string]error{}}
	for _, a := range to {
		if err := c.smtp.Rcpt("<" + a + ">"); err != nil {
			if codeOf(err) == 0 || codeOf(err) == 421 {
				return s.resultOf(err), err
			}
			r.refused[a] = s.clean(ctx, err)
		}
	}
	if len(r.refused) == len(to) {
		err := r.refusal()
		said := s.resultOf(err)
		said.refused = r.refused
		return said, c.undo(err)
	}
	return s.data(c, r, msg)
}

// data sends the mail itself to those who would take it.
func (s *mailServer) data(c *mailConn, r mailResult, msg io.WriterTo) (mailResult, error) {
	w, err := c.smtp.Data()
	if err != nil {
		return s.resultOf(err), c.undo(err)
	}
	if _, err := msg.WriteTo(w); err != nil {
		return s.resultOf(err), errors.Join(err, io.ErrUnexpectedEOF)
	}
	if err := w.Close(); err != nil {
		return s.resultOf(err), err
	}
	r.code = 250
	if dc, ok := w.(*smtp.DataCloser); ok {
		r.response = s.secrets.hide(oneLine(dc.ServerResponse()))
	}
	return r, nil
}

// undo ends a transaction that the server refused.
func (c *mailConn) undo(err error) error {
	if codeOf(err) != 0 && codeOf(err) != 421 {
		c.smtp.Reset()
	}
	return err
}
