// Package source says who sent a request: it verifies a provider's signature and
// reads from the request what the rules need. A provider is configuration; the
// presets are the same configuration, kept in presets.yaml.
package source

import (
	"cmp"
	"net/netip"
	"slices"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

// DefaultMaxBody is the largest body a source takes if it doesn't say otherwise.
const DefaultMaxBody = 1 << 20

// A Source is a provider as rules.yaml describes it, checked and compiled. It is
// immutable but for the times its secrets were last used, and safe for
// concurrent use.
type Source struct {
	name     string
	settings Settings
	methods  []string
	allow    []netip.Prefix
	proxies  []netip.Prefix
	secrets  []*secret
	vars     map[string]any
	checks   []*check

	challenges []challenge
	event      *expression
	refID      *expression
	data       *expression
	dedupe     []*expression
	replies    [3]Reply
}

// Name is the source's name in rules.yaml.
func (s *Source) Name() string { return s.name }

// Preset is the preset it is made of; "" if none.
func (s *Source) Preset() string { return s.settings.Preset }

// Methods are the HTTP methods it answers.
func (s *Source) Methods() []string { return s.methods }

// Allows reports whether it answers a method.
func (s *Source) Allows(method string) bool { return slices.Contains(s.methods, method) }

// MaxBody is the largest body it takes, in bytes.
func (s *Source) MaxBody() int64 { return int64(cmp.Or(s.settings.MaxBody, DefaultMaxBody)) }

// AllowIPs are the addresses that may send; none means all.
func (s *Source) AllowIPs() []netip.Prefix { return s.allow }

// TrustedProxies are the addresses whose X-Forwarded-For it believes.
func (s *Source) TrustedProxies() []netip.Prefix { return s.proxies }

// Checks says in words what a request is verified by.
func (s *Source) Checks() []string {
	var words []string
	for _, c := range s.checks {
		words = append(words, c.String())
	}
	return words
}

// New checks and compiles a source's settings. What is wrong with them is
// reported on n; the source is then not used.
func New(name string, n conf.Node) *Source {
	s := &Source{name: name}
	n.Decode(&s.settings)
	if s.settings.Preset == "" {
		s.setUp(n)
	} else if f := s.usePreset(n); f != nil {
		s.setUp(n)
		for _, p := range f.Problems() {
			n.Get("preset").Report(conf.Problem{Message: "the preset " + s.settings.Preset + ": " + p.Message, Hint: p.Hint})
		}
	}
	return s
}

func (s *Source) setUp(n conf.Node) {
	st := &s.settings
	s.readMethods()
	oneOf("way to read a body", st.Body, "auto", "json", "form", "text")
	oneOf("word", st.OnConflict, "keep", "route")
	checkPublicURL(st.PublicURL)
	s.allow, s.proxies = prefixes(st.AllowIPs), prefixes(st.TrustedProxies)
	s.vars = map[string]any{}
	for _, v := range st.Vars {
		s.vars[v.Key.Text] = v.Value.Text
	}
	s.readSecrets(n)
	s.compileChecks(n)
	s.compileFields(n)
	s.compileChallenges()
	s.prepareReplies()
}

var knownMethods = []string{"GET", "POST", "PUT", "PATCH"}

func (s *Source) readMethods() {
	for _, m := range s.settings.Methods {
		if oneOf("method", m, knownMethods...) {
			s.methods = append(s.methods, m.Text)
		}
	}
	if len(s.methods) == 0 {
		s.methods = []string{"POST"}
	}
}

// A Denied is why a request is refused. Its Reason goes into the rejection log
// and names no secret.
type Denied struct {
	Status int // 401 or 403
	Reason string
}

func (d *Denied) Error() string { return d.Reason }

// A Verified is a request whose sender is known, and what was read from it.
type Verified struct {
	Callback      relay.Callback
	Key           relay.Key
	RouteConflict bool

	// Challenge is the answer to a handshake: it is sent, and nothing is stored.
	Challenge *Reply
}

// Verify says whether the request is from the provider, and reads it. The error
// is a *Denied. It keeps r's header and body in the callback.
func (s *Source) Verify(r Request, now time.Time) (Verified, error) {
	v := s.newVars(&r)
	verified, err := s.judge(v, now)
	if v.matched != nil && err == nil {
		v.matched.used.Store(now.UnixNano())
	}
	return verified, err
}

func (s *Source) judge(v *vars, now time.Time) (Verified, error) {
	r := v.r
	if !s.allowed(r.Remote) {
		return Verified{}, &Denied{403, "address not in allow_ips"}
	}
	if reply := s.challenged(v, false); reply != nil {
		return Verified{Challenge: reply}, nil
	}
	if no := s.verify(v, now); no != nil {
		return Verified{}, &Denied{401, no.reason}
	}
	if reply := s.challenged(v, true); reply != nil {
		return Verified{Challenge: reply}, nil
	}
	c := relay.Callback{Source: s.name, ReceivedAt: now, Method: r.Method, URI: r.URI, Header: r.Header, Body: r.Body}
	if r.Remote.IsValid() {
		c.Remote = r.Remote.Unmap().String()
	}
	key := s.read(&c, v)
	return Verified{Callback: c, Key: key, RouteConflict: s.settings.OnConflict.Text == "route"}, nil
}

func (s *Source) allowed(a netip.Addr) bool {
	a = a.Unmap().WithZone("")
	return len(s.allow) == 0 || slices.ContainsFunc(s.allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// verify tries every check with every secret. If none passes, it tells of the
// one that came furthest.
func (s *Source) verify(v *vars, now time.Time) (no *refusal) {
	no = &refusal{}
	for _, c := range s.checks {
		r := c.run(v, now)
		if r == nil {
			return nil
		}
		if r.stage > no.stage {
			no = r
		}
		if r.stage == doubtful {
			break
		}
	}
	return no
}
