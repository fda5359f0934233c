// Package source says who sent a request: it verifies a provider's signature and
// reads from the request what the rules need. A provider is configuration; the
// presets are the same configuration, kept in presets.yaml.
package source

import (
	"cmp"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// DefaultMaxBody is the largest body a source takes if it doesn't say otherwise.
const DefaultMaxBody = 1 << 20

// A Source is a provider as rules.yaml describes it, checked and compiled. It is
// immutable but for the times its secrets were last used.
type Source struct {
	name     string
	settings Settings
	methods  []string
	allow    []netip.Prefix
	proxies  []netip.Prefix
	maxBody  int64
	secrets  []*secret
	vars     map[string]any
	checks   []*check

	challenges []challenge
	event      *lang.Program
	refID      *lang.Program
	data       *lang.Program
	dedupe     []*lang.Program
	whole      bool     // the dedupe key doesn't need the ref_id
	keyPaths   []string // of what makes the dedupe key: no copy of it may be in doubt
	replies    [3]Reply
}

// A secret is one of a source's keys, and when it last verified a request.
type secret struct {
	text string
	used atomic.Int64 // Unix nanoseconds; 0 is never
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
func (s *Source) MaxBody() int64 { return s.maxBody }

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

// SecretsUsed gives for each secret, in the order of rules.yaml, when it last
// verified a request; the zero time is never in this process.
func (s *Source) SecretsUsed() []time.Time {
	times := make([]time.Time, len(s.secrets))
	for i, k := range s.secrets {
		if ns := k.used.Load(); ns != 0 {
			times[i] = time.Unix(0, ns)
		}
	}
	return times
}

// New checks and compiles a source's settings. What is wrong with them is
// reported on n; the source is then not used.
func New(name string, n conf.Node) *Source {
	s := &Source{name: name}
	n.Decode(&s.settings)
	if s.settings.Preset != "" {
		s.usePreset(n)
	}
	s.setUp(n)
	return s
}

func (s *Source) usePreset(n conf.Node) {
	p, ok := LookupPreset(s.settings.Preset)
	if !ok {
		n.Get("preset").Unknown("preset", s.settings.Preset, presetNames())
		return
	}
	s.settings.under(p.settings, n)
	for _, v := range p.Vars {
		if _, ok := s.settings.Vars.Get(v); !ok {
			n.Problem("the preset %s needs the constant %s: write `vars: {%s: ...}`", p.Name, v, v)
		}
	}
}

func (s *Source) setUp(n conf.Node) {
	st := &s.settings
	s.methods = st.Methods
	if len(s.methods) == 0 {
		s.methods = []string{"POST"}
	}
	s.checkWords(n)
	s.allow, s.proxies = prefixes(st.AllowIPs), prefixes(st.TrustedProxies)
	s.maxBody = int64(cmp.Or(st.MaxBody, DefaultMaxBody))
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

// checkWords reports settings that are none of a few words.
func (s *Source) checkWords(n conf.Node) {
	for _, m := range s.methods {
		if !slices.Contains([]string{"GET", "POST", "PUT", "PATCH"}, m) {
			n.Get("methods").Unknown("method", m, []string{"GET", "POST", "PUT", "PATCH"})
		}
	}
	oneOf(n.Get("body"), s.settings.Body, "", "auto", "json", "form", "text")
	oneOf(n.Get("on_conflict"), s.settings.OnConflict, "", "keep", "route")
}

func oneOf(n conf.Node, word string, known ...string) bool {
	if slices.Contains(known, word) {
		return true
	}
	n.Unknown("value", word, known)
	return false
}

// readSecrets takes `secret` and `secrets`. An empty one is refused, whatever
// the check is.
func (s *Source) readSecrets(n conf.Node) {
	all := s.settings.Secrets
	given := n.Get("secret").Present() || n.Get("secret_file").Present()
	if given {
		all = append([]conf.Secret{s.settings.Secret}, all...)
	}
	for _, k := range all {
		text := k.Reveal()
		if strings.TrimSpace(text) == "" {
			k.Node.Problem("a secret of the source %s is empty", s.name)
			continue
		}
		s.secrets = append(s.secrets, &secret{text: text})
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
	if !s.allowed(r.Remote) {
		return Verified{}, &Denied{403, "address not in allow_ips"}
	}
	v := s.newVars(&r)
	if reply, ok := s.challenged(v, false); ok {
		return Verified{Challenge: reply}, nil
	}
	if err := s.verify(v, now); err != nil {
		return Verified{}, &Denied{401, err.Error()}
	}
	if reply, ok := s.challenged(v, true); ok {
		return Verified{Challenge: reply}, nil
	}
	c := relay.Callback{Source: s.name, ReceivedAt: now, Method: r.Method, URI: r.URI, Header: r.Header, Body: r.Body}
	if r.Remote.IsValid() {
		c.Remote = r.Remote.String()
	}
	key := s.read(&c, v)
	return Verified{Callback: c, Key: key, RouteConflict: s.settings.OnConflict == "route"}, nil
}

func (s *Source) allowed(a netip.Addr) bool {
	a = a.Unmap()
	return len(s.allow) == 0 || slices.ContainsFunc(s.allow, func(p netip.Prefix) bool { return p.Contains(a) })
}

// verify tries every check with every secret.
func (s *Source) verify(v *vars, now time.Time) error {
	reason := errors.New("no check")
	for _, c := range s.checks {
		if reason = c.run(s, v, now); reason == nil {
			return nil
		}
	}
	return reason
}

// parseSize reads a number of bytes with an optional unit.
func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGiBbkm ")
	n, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 64)
	unit, ok := map[string]int64{"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10, "m": 1 << 20,
		"mb": 1 << 20, "mib": 1 << 20}[strings.ToLower(strings.TrimSpace(text[len(digits):]))]
	if err != nil || !ok || n <= 0 || n > 1<<30/unit {
		return 0, fmt.Errorf("%q is no size: write a number of bytes up to 1 GiB, such as 64KiB or 1MiB", text)
	}
	return n * unit, nil
}
