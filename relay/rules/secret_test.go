package rules_test

import (
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/source"
)

// Who changes a secret wants to know when the old one was last used, and to have
// no callback refused meanwhile.
func TestAReloadKeepsWhenASecretWasLastUsed(t *testing.T) {
	const file = "sources:\n  shop:\n    preset: token\n    secrets: [SECRETS]\nsinks:\n  ops: {log: {}}\nrules:\n  - {name: a, to: [ops]}\n"
	path, now := filepath.Join(t.TempDir(), "rules.yaml"), time.Unix(1736926200, 0)
	write(t, path, strings.Replace(file, "SECRETS", "old", 1))
	l := live(t, path, rules.Hooks{})
	verify := func(secret string) error {
		s, _ := l.Set().Source("shop")
		_, err := s.Verify(source.Request{Method: "POST", Header: http.Header{"X-Callback-Token": {secret}}, Body: []byte("{}")}, now)
		return err
	}
	if err := verify("old"); err != nil {
		t.Fatal(err)
	}
	write(t, path, strings.Replace(file, "SECRETS", "new, old", 1))
	if _, problems := l.Reload(); len(problems.Errors()) > 0 {
		t.Fatal(problems)
	}
	if s, _ := l.Set().Source("shop"); !s.SecretsUsed()[0].IsZero() || !s.SecretsUsed()[1].Equal(now) {
		t.Errorf("used %v", s.SecretsUsed())
	}
	for _, secret := range []string{"old", "new"} {
		if err := verify(secret); err != nil {
			t.Errorf("%s: %v", secret, err)
		}
	}
	write(t, path, strings.Replace(file, "SECRETS", "new", 1))
	l.Reload()
	if verify("old") == nil {
		t.Error("a secret that was taken out is accepted")
	}
}
