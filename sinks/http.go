package sinks

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

func init() {
	Register(Kind{
		Name:     "http",
		Doc:      "a request to another system: the callback as it came, or one that templates make of it",
		Settings: httpSettings{},
		New:      newHTTP,
	})
}

type httpSettings struct {
	URL     conf.String           `conf:"url,required" also:"uri address endpoint" doc:"where to; templates may stand in its path and query, never in its host"`
	Method  conf.String           `conf:"method" doc:"of the request; absent it is POST, on a raw forward the callback's own"`
	Query   conf.Map[conf.String] `conf:"query" doc:"parameters to add to the url's own, templates"`
	Headers conf.Map[conf.String] `conf:"headers" doc:"headers to set, templates; an empty one is taken away"`
	Body    conf.Node             `conf:"body" doc:"in place of the callback's bytes: a text, or a mapping that becomes JSON; their texts are templates"`
	Form    conf.Map[conf.String] `conf:"form" doc:"in place of the callback's bytes: a form, its values are templates"`
	Success conf.String           `conf:"success" doc:"a condition on the answer, in place of any 2xx"`
	Auth    *authSettings         `conf:"auth" doc:"who Kurir is: username and password, or bearer"`
	Sign    *signSettings         `conf:"sign" doc:"a signature of the body"`
	TLS     tlsSettings           `conf:"tls" doc:"certificates of one's own"`
	Proxy   conf.String           `conf:"proxy" doc:"http, https or socks5 URL of a proxy; those of the environment are ignored"`
}

type authSettings struct {
	Username string      `conf:"username" doc:"for Basic"`
	Password conf.Secret `conf:"password" also:"pass pwd sandi" doc:"for Basic"`
	Bearer   conf.Secret `conf:"bearer" doc:"a token"`
}

type tlsSettings struct {
	CA   conf.Secret `conf:"ca" doc:"certificates to trust beside the system's, in PEM"`
	Cert conf.Secret `conf:"cert" doc:"Kurir's own certificate, in PEM"`
	Key  conf.Secret `conf:"key" doc:"the key of that, in PEM"`
}

type httpSink struct {
	place   Place
	plan    plan
	auth    string // the Authorization header; "" is none
	sign    signer // nil is none
	success *lang.Program
	pool    pool
	secrets secrets
}

func newHTTP(n conf.Node, p Place) Sink {
	var set httpSettings
	n.Decode(&set)
	s := &httpSink{place: p, plan: newPlan(&set), auth: set.Auth.header()}
	if u := s.plan.base.User; u != nil && s.auth == "" {
		password, _ := u.Password()
		s.auth = basic(u.Username(), password)
	}
	s.pool.settings = transport{tls: set.TLS.config(), proxy: newProxy(set.Proxy), idle: p.Idle, dial: p.Dial}
	if set.Sign != nil {
		s.sign = newSigner(set.Sign)
	}
	if set.Success.Text != "" {
		var err error
		s.success, err = lang.Answer.Compile(set.Success.Text, lang.Bool)
		report(set.Success.Node, 0, err)
	}
	s.secrets = newSecrets(slices.Concat(set.secrets(), urlSecrets(&s.plan.base), urlSecrets(s.pool.settings.proxy))...)
	if set.URL.Node.Present() && empty(set.URL.Text, set.URL.Default, set.URL.Node, "url") {
		return onConsole(s, "http", "url", p)
	}
	return s
}

// secrets are the settings that must show nowhere.
func (set *httpSettings) secrets() (texts []string) {
	if set.Auth != nil {
		texts = append(texts, set.Auth.Password.Reveal(), lastWord(set.Auth.header()))
	}
	if set.Sign != nil {
		for _, s := range set.Sign.Secret {
			texts = append(texts, s.Reveal())
		}
	}
	for _, m := range []conf.Map[conf.String]{set.Query, set.Headers, set.Form} {
		for _, e := range m {
			texts = append(texts, namedSecret(e.Key.Text, e.Value.Text)...)
		}
	}
	return slices.Concat(texts, valueSecrets("", set.Body), pathKeys(set.URL.Text[hostEnd(set.URL.Text):]))
}

// valueSecrets are those in a body that becomes JSON.
func valueSecrets(name string, n conf.Node) (texts []string) {
	for _, e := range n.Entries() {
		texts = append(texts, valueSecrets(e.Name(), e.Value)...)
	}
	switch n.Kind() {
	case "list":
		for _, item := range n.Items() {
			texts = append(texts, valueSecrets(name, item)...)
		}
	case "scalar":
		text, _ := n.Text()
		texts = append(texts, namedSecret(name, text)...)
	}
	return texts
}

func (a *authSettings) header() string {
	switch {
	case a == nil:
		return ""
	case a.Bearer.Reveal() != "" && a.Username != "":
		a.Bearer.Node.Problem("bearer and username exclude each other")
	case a.Bearer.Reveal() != "":
		return "Bearer " + a.Bearer.Reveal()
	case a.Username != "":
		return basic(a.Username, a.Password.Reveal())
	case a.Password.Reveal() != "":
		a.Password.Node.Problem("a password needs a username")
	}
	return ""
}

func basic(username, password string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(username+":"+password))
}

func (t tlsSettings) config() *tls.Config {
	cfg := &tls.Config{MinVersion: tls.VersionTLS12}
	if ca := t.CA.Reveal(); ca != "" {
		cfg.RootCAs = systemCAs()
		if !cfg.RootCAs.AppendCertsFromPEM([]byte(ca)) {
			t.CA.Node.Problem("this holds no certificate in PEM")
		}
	}
	if t.Cert.Reveal() == "" && t.Key.Reveal() == "" {
		return cfg
	}
	cert, err := tls.X509KeyPair([]byte(t.Cert.Reveal()), []byte(t.Key.Reveal()))
	if err != nil {
		t.Cert.Node.Problem("cert and key do not make a certificate: %v", err)
	}
	cfg.Certificates = []tls.Certificate{cert}
	return cfg
}

func systemCAs() *x509.CertPool {
	pool, err := x509.SystemCertPool()
	if err != nil {
		return x509.NewCertPool()
	}
	return pool
}

func newProxy(s conf.String) *url.URL {
	if s.Text == "" {
		return nil
	}
	u, err := url.Parse(s.Text)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "socks5", "socks5h"}, u.Scheme) {
		s.Node.Problem("want the URL of a proxy, such as http://192.168.1.2:3128")
		return nil
	}
	return u
}

// Writer renders the plan's templates. A rule's text reaches the far side where
// a template asks for it.
func (s *httpSink) Writer(m Message) Writer {
	text, subject := compile(m.Text, lang.HTML), compile(m.Subject, lang.Line)
	if s.plan.bare() {
		return func(Occasion) ([]byte, error) { return nil, nil }
	}
	return func(o Occasion) ([]byte, error) {
		v := httpVars{Vars: o.Vars}
		var err error
		if v.Text, err = renderOr(text, o, defaultText); err != nil {
			return nil, err
		}
		if v.Subject, err = renderOr(subject, o, defaultSubject); err != nil {
			return nil, err
		}
		v.Text, v.Subject = plainText(v.Text), oneLine(v.Subject)
		if o.Failed != "" {
			v.Text = fmt.Sprintf("⚠️ Gagal terkirim ke %s: %s\n\n%s", o.Failed, o.Reason, v.Text)
		}
		return s.plan.render(v)
	}
}

// Send makes one request and judges its answer.
func (s *httpSink) Send(ctx context.Context, parcels []relay.Parcel) (relay.Answer, error) {
	if len(parcels) != 1 {
		return relay.Answer{}, relay.Permanent(errors.New("a sink of kind http sends one callback at a time"))
	}
	req, err := s.request(ctx, parcels[0])
	if err != nil {
		return relay.Answer{}, s.secrets.hideIn(err)
	}
	resp, err := s.pool.RoundTrip(req)
	if err != nil {
		return relay.Answer{}, s.unanswered(ctx, err)
	}
	defer resp.Body.Close()
	ans, err := readAnswer(resp)
	if err == nil {
		err = s.judge(resp, ans, parcels[0].Attempt)
	} else {
		err = s.unanswered(ctx, err)
	}
	ans.Response = s.secrets.hide(ans.Response)
	return ans, s.secrets.hideIn(err)
}

// Check makes a connection, with its handshake, and sends no request.
func (s *httpSink) Check(ctx context.Context) error {
	return s.secrets.hideIn(s.pool.settings.reach(ctx, &s.plan.base))
}

// Close lets go of idle connections.
func (s *httpSink) Close() { s.pool.close() }
