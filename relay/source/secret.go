package source

import (
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
)

// A secret is one of a source's keys, and when it last verified a request.
type secret struct {
	text string
	node conf.Node
	used *atomic.Int64 // Unix nanoseconds; 0 is never
}

var unresolved = regexp.MustCompile(`^\$\{[^}]*\}$`)

// readSecrets takes `secret` and `secrets`. One that is empty or was never
// filled in is refused, whatever the check is.
func (s *Source) readSecrets(n conf.Node) {
	all := s.settings.Secrets
	if n.Get("secret").Present() || n.Get("secret_file").Present() {
		all = append([]conf.Secret{s.settings.Secret}, all...)
	}
	for _, k := range all {
		text := k.Reveal()
		switch {
		case strings.TrimSpace(text) == "":
			k.Node.Problem("a secret of the source %s is empty", s.name)
		case unresolved.MatchString(text):
			k.Node.Problem("a secret of the source %s is still the name of a variable", s.name)
		default:
			s.secrets = append(s.secrets, &secret{text: text, node: k.Node, used: new(atomic.Int64)})
		}
	}
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

// Succeed makes s, which is not in use yet, know when the secrets it shares with
// before, the same source of the rules in force, were last used.
func (s *Source) Succeed(before *Source) {
	for _, k := range s.secrets {
		for _, old := range before.secrets {
			if k.text == old.text {
				k.used = old.used
			}
		}
	}
}
