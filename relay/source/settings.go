package source

import (
	"fmt"
	"net/netip"
	"net/url"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
)

// Settings are the keys of a source in rules.yaml, and of a preset. A key beside
// `preset` replaces that key of the preset whole.
type Settings struct {
	Preset         string                `conf:"preset" doc:"a named set of the keys below; each key given beside it replaces that key whole"`
	Methods        []conf.String         `conf:"methods" doc:"HTTP methods that are answered; [POST] if absent"`
	Secret         conf.Secret           `conf:"secret" doc:"the key shared with the provider"`
	Secrets        []conf.Secret         `conf:"secrets" doc:"several keys, any of which may match: for rotation"`
	Vars           conf.Map[conf.String] `conf:"vars" doc:"constants for the expressions that are no secrets"`
	PublicURL      conf.String           `conf:"public_url" doc:"the webhook's address as the provider sees it, for schemes that sign it"`
	AllowIPs       []conf.String         `conf:"allow_ips" doc:"addresses or CIDR ranges that may send; others get a 403"`
	TrustedProxies []conf.String         `conf:"trusted_proxies" doc:"proxies whose X-Forwarded-For is believed for allow_ips"`
	MaxBody        size                  `conf:"max_body" doc:"largest body, such as 64KiB or 1MiB; 1MiB if absent"`
	Body           conf.String           `conf:"body" doc:"how the body is read: auto (by what it looks like), json, form or text; auto if absent"`
	Verify         verifySettings        `conf:"verify" doc:"how a request proves who sent it: one check, or any_of a list of them"`
	Challenge      []challengeSettings   `conf:"challenge" doc:"handshakes that are answered and not stored"`
	Event          conf.String           `conf:"event" doc:"expression: what happened; body.event if absent"`
	RefID          conf.String           `conf:"ref_id" doc:"expression: the order it is about; body.data.ref_id if absent"`
	Data           conf.String           `conf:"data" doc:"expression: the object the rules see as data; body.data if absent"`
	Dedupe         []conf.String         `conf:"dedupe" doc:"expressions that together make two callbacks the same one; [ref_id, event] if absent"`
	OnConflict     conf.String           `conf:"on_conflict" doc:"what becomes of a known key with another body: keep it in the log only, or route it; keep if absent"`
	Respond        respondSettings       `conf:"respond" doc:"answers of your own, for providers that insist on an exact one"`
}

type verifySettings struct {
	checkSettings
	AnyOf []checkSettings `conf:"any_of" doc:"several checks, of which one must pass"`
}

// checks are all of which one must pass.
func (v *verifySettings) checks() []checkSettings {
	if len(v.AnyOf) > 0 {
		return v.AnyOf
	}
	return []checkSettings{v.checkSettings}
}

type checkSettings struct {
	Type      conf.String        `conf:"type" doc:"hmac, digest, token, basic, ed25519, ecdsa, rsa or none"`
	Algorithm conf.String        `conf:"algorithm" doc:"md5, sha1, sha256 or sha512; sha256 if absent"`
	Encoding  conf.String        `conf:"encoding" doc:"of the signature: hex, base64 or base64url; hex if absent, base64 for rsa and ecdsa"`
	Key       conf.String        `conf:"key" doc:"expression: the key; secret if absent"`
	Signature conf.String        `conf:"signature" doc:"expression: what the request brings, one text or a list of candidates"`
	Prefix    conf.String        `conf:"prefix" doc:"required on a candidate, and stripped"`
	Timestamp *timestampSettings `conf:"timestamp" doc:"a signed time that must be near: value, unit (s, ms, rfc3339), tolerance"`
	Content   conf.String        `conf:"content" doc:"expression: the signed text; raw if absent"`
	Assert    conf.String        `conf:"assert" doc:"expression: an extra condition"`
}

type timestampSettings struct {
	Value     conf.String   `conf:"value,required" doc:"expression: the time as the provider wrote it; it is ts in content"`
	Unit      conf.String   `conf:"unit" doc:"s, ms or rfc3339; s if absent"`
	Tolerance time.Duration `conf:"tolerance" default:"5m" doc:"how far it may be from now, both ways"`
}

type challengeSettings struct {
	When        conf.String `conf:"when,required" doc:"condition: whether the request is this handshake"`
	Verified    bool        `conf:"verified" doc:"answer only if the request also verifies"`
	Status      int         `conf:"status" default:"200" doc:"the answer's HTTP status"`
	ContentType string      `conf:"content_type" doc:"text/plain if absent, or application/json if reply is an object"`
	Reply       conf.String `conf:"reply,required" doc:"expression: the answer's body, a text or an object"`
}

type respondSettings struct {
	OK        *replySettings `conf:"ok" doc:"to a new callback"`
	Duplicate *replySettings `conf:"duplicate" doc:"to one seen before; as ok if absent"`
	Denied    *replySettings `conf:"denied" doc:"to one that does not verify"`
}

type replySettings struct {
	Status      conf.String `conf:"status" doc:"HTTP status, 200 to 599"`
	Body        conf.String `conf:"body" doc:"the exact body"`
	ContentType string      `conf:"content_type" doc:"application/json if absent and the body looks like it, else text/plain"`
}

// under gives s the keys of preset that its node n does not have.
func (s *Settings) under(preset *Settings, n conf.Node) {
	mine, theirs := reflect.ValueOf(s).Elem(), reflect.ValueOf(preset).Elem()
	for i, f := range reflect.VisibleFields(mine.Type()) {
		key := f.Tag.Get("conf")
		if !n.Get(key).Present() && !n.Get(key+"_file").Present() && key != "preset" {
			mine.Field(i).Set(theirs.Field(i))
		}
	}
}

// oneOf reports a text that is none of a few words; an absent one is none of them.
func oneOf(what string, text conf.String, known ...string) bool {
	if text.Text == "" && !text.Node.Present() || slices.Contains(known, text.Text) {
		return true
	}
	text.Node.Unknown(what, text.Text, known)
	return false
}

// A size is a number of bytes, written as 65536, 64KiB or 1MiB.
type size int64

// UnmarshalConf implements conf.Unmarshaler.
func (s *size) UnmarshalConf(n conf.Node) {
	text, _ := n.Text()
	bytes, err := parseSize(text)
	if err != nil {
		n.Problem("%v", err)
	}
	*s = size(bytes)
}

var sizeUnits = map[string]int64{"": 1, "b": 1, "k": 1 << 10, "kb": 1 << 10, "kib": 1 << 10,
	"m": 1 << 20, "mb": 1 << 20, "mib": 1 << 20}

func parseSize(text string) (int64, error) {
	digits := strings.TrimRight(text, "KMGiBbkm ")
	n, err := strconv.ParseInt(strings.ReplaceAll(digits, "_", ""), 10, 64)
	unit, ok := sizeUnits[strings.ToLower(strings.TrimSpace(text[len(digits):]))]
	if err != nil || !ok || n <= 0 || n > 1<<30/unit {
		return 0, fmt.Errorf("%q is no size: write a number of bytes up to 1 GiB, such as 64KiB or 1MiB", text)
	}
	return n * unit, nil
}

// prefixes reads addresses and CIDR ranges.
func prefixes(list []conf.String) (ps []netip.Prefix) {
	for _, s := range list {
		p, err := parsePrefix(s.Text)
		if err != nil {
			s.Node.Problem("%q is no address and no range such as 192.0.2.0/24", s.Text)
			continue
		}
		ps = append(ps, p)
	}
	return ps
}

func parsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err == nil && p.Addr().Is4In6() && p.Bits() >= 96 {
		p = netip.PrefixFrom(p.Addr().Unmap(), p.Bits()-96)
	}
	return p.Masked(), err
}

// checkPublicURL reports an address that no provider could have.
func checkPublicURL(s conf.String) {
	if s.Text == "" {
		return
	}
	u, err := url.Parse(s.Text)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.RawQuery != "" || u.Fragment != "" {
		s.Node.Problem("public_url must be an address such as https://relay.example.com/webhook/shop, without a query")
	}
}
