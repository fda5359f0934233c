package source

import (
	"net/netip"
	"reflect"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
)

// Settings are the keys of a source in rules.yaml, and of a preset. A key beside
// `preset` replaces that key of the preset whole.
type Settings struct {
	Preset         string                `conf:"preset" doc:"a named set of the keys below; each key given beside it replaces that key whole"`
	Methods        []string              `conf:"methods" doc:"HTTP methods that are answered; default [POST]"`
	Secret         conf.Secret           `conf:"secret" doc:"the key shared with the provider"`
	Secrets        []conf.Secret         `conf:"secrets" doc:"several keys, any of which may match: for rotation"`
	Vars           conf.Map[conf.String] `conf:"vars" doc:"constants for the expressions that are no secrets"`
	PublicURL      string                `conf:"public_url" doc:"the webhook's address as the provider sees it, for schemes that sign it"`
	AllowIPs       []conf.String         `conf:"allow_ips" doc:"addresses or CIDR ranges that may send; others get a 403"`
	TrustedProxies []conf.String         `conf:"trusted_proxies" doc:"proxies whose X-Forwarded-For is believed for allow_ips"`
	MaxBody        size                  `conf:"max_body" doc:"largest body, such as 64KiB or 1MiB; default 1MiB"`
	Body           string                `conf:"body" doc:"how the body is read: auto, json, form or text; default auto"`
	Verify         verifySettings        `conf:"verify" doc:"how a request proves who sent it: one check, or any_of a list of them"`
	Challenge      []challengeSettings   `conf:"challenge" doc:"handshakes that are answered and not stored"`
	Event          conf.String           `conf:"event" doc:"expression: what happened; default body.event"`
	RefID          conf.String           `conf:"ref_id" doc:"expression: the order it is about; default body.data.ref_id"`
	Data           conf.String           `conf:"data" doc:"expression: the object the rules see as data; default body.data"`
	Dedupe         []conf.String         `conf:"dedupe" doc:"expressions that together make two callbacks the same one; default [ref_id, event]"`
	OnConflict     string                `conf:"on_conflict" doc:"what becomes of a known key with another body: keep (default) or route"`
	Respond        respondSettings       `conf:"respond" doc:"answers of your own, for providers that insist on an exact one"`
}

type verifySettings struct {
	checkSettings
	AnyOf []checkSettings `conf:"any_of" doc:"several checks, of which one must pass"`
}

type checkSettings struct {
	Type      conf.String       `conf:"type" doc:"hmac, digest, token, basic, ed25519, ecdsa, rsa or none"`
	Algorithm conf.String       `conf:"algorithm" doc:"md5, sha1, sha256 or sha512; default sha256"`
	Encoding  conf.String       `conf:"encoding" doc:"of the signature: hex, base64 or base64url; default hex"`
	Key       conf.String       `conf:"key" doc:"expression: the key; default secret"`
	Signature conf.String       `conf:"signature" doc:"expression: what the request brings, one text or a list of candidates"`
	Prefix    conf.String       `conf:"prefix" doc:"required on a candidate, and stripped"`
	Timestamp timestampSettings `conf:"timestamp" doc:"a signed time that must be near: value, unit (s, ms, rfc3339), tolerance"`
	Content   conf.String       `conf:"content" doc:"expression: the signed text; default raw"`
	Assert    conf.String       `conf:"assert" doc:"expression: an extra condition"`
}

type timestampSettings struct {
	Value     conf.String   `conf:"value" doc:"expression: the time as the provider wrote it; it is ts in content"`
	Unit      conf.String   `conf:"unit" doc:"s, ms or rfc3339; default s"`
	Tolerance time.Duration `conf:"tolerance" doc:"how far it may be from now, both ways; default 5m"`
}

type challengeSettings struct {
	When        conf.String `conf:"when,required" doc:"condition: whether the request is this handshake"`
	Verified    bool        `conf:"verified" doc:"answer only if the request also verifies"`
	Status      int         `conf:"status" doc:"default 200"`
	ContentType string      `conf:"content_type" doc:"default text/plain, or application/json if reply is an object"`
	Reply       conf.String `conf:"reply,required" doc:"expression: the answer's body"`
}

type respondSettings struct {
	OK        *replySettings `conf:"ok" doc:"to a new callback"`
	Duplicate *replySettings `conf:"duplicate" doc:"to one seen before; default as ok if that is set"`
	Denied    *replySettings `conf:"denied" doc:"to one that does not verify"`
}

type replySettings struct {
	Status      int    `conf:"status" doc:"HTTP status"`
	Body        string `conf:"body" doc:"the exact body"`
	ContentType string `conf:"content_type" doc:"default application/json if the body looks like it, text/plain otherwise"`
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

// A size is a number of bytes, written as 65536, 64KiB or 1MiB.
type size int64

// UnmarshalConf reads a size.
func (s *size) UnmarshalConf(n conf.Node) {
	text, _ := n.Text()
	bytes, err := parseSize(text)
	if err != nil {
		n.Problem("%v", err)
	}
	*s = size(bytes)
}

// prefixes reads addresses and CIDR ranges.
func prefixes(list []conf.String) (ps []netip.Prefix) {
	for _, s := range list {
		p, err := netip.ParsePrefix(s.Text)
		if err != nil {
			var a netip.Addr
			if a, err = netip.ParseAddr(s.Text); err == nil {
				p = netip.PrefixFrom(a, a.BitLen())
			}
		}
		if err != nil {
			s.Node.Problem("%q is no address and no range such as 192.0.2.0/24", s.Text)
			continue
		}
		ps = append(ps, p.Masked())
	}
	return ps
}
