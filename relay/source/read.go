package source

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"regexp"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// compileFields compiles what the rules see of a request, and its dedupe key.
func (s *Source) compileFields(n conf.Node) {
	st := &s.settings
	st.Event.Text = cmp.Or(st.Event.Text, "body.event")
	st.RefID.Text = cmp.Or(st.RefID.Text, "body.data.ref_id")
	st.Data.Text = cmp.Or(st.Data.Text, "body.data")
	s.event, s.refID, s.data = compile(st.Event, lang.Any), compile(st.RefID, lang.Any), compile(st.Data, lang.Any)
	parts := st.Dedupe
	if len(parts) == 0 {
		parts = []conf.String{{Text: "ref_id", Node: n}, {Text: "event", Node: n}}
	}
	all := st.Event.Text + " " + st.RefID.Text
	s.whole = true
	for _, part := range parts {
		s.dedupe = append(s.dedupe, compile(part, lang.Any))
		s.whole = s.whole && !usesRefID.MatchString(part.Text)
		all += " " + part.Text
	}
	s.keyPaths = bodyPaths(all)
}

var (
	usesRefID = regexp.MustCompile(`\bref_id\b`)
	bodyPath  = regexp.MustCompile(`\bbody((?:\??\.\w+)+)|\btext\("([^"]+)"\)`)
	dots      = regexp.MustCompile(`\??\.`)
)

// bodyPaths are the paths into the body that expressions read.
func bodyPaths(expressions string) (paths []string) {
	for _, m := range bodyPath.FindAllStringSubmatch(expressions, -1) {
		if m[2] != "" {
			paths = append(paths, listPath(m[2]))
			continue
		}
		paths = append(paths, dots.ReplaceAllString(m[1], ".")[1:])
	}
	return paths
}

// Read reads event, ref_id and data of a stored callback again, as the source
// reads them now.
func (s *Source) Read(c relay.Callback) relay.Callback {
	v := s.newVars(&Request{Method: c.Method, URI: c.URI, Host: c.Header.Get("Host"), Scheme: "https", Header: c.Header, Body: c.Body})
	s.read(&c, v)
	return c
}

// read fills in what the source says of a request, and gives the dedupe key.
func (s *Source) read(c *relay.Callback, v *vars) relay.Key {
	v.parse()
	v.Event, v.RefID = evalScalar(s.event, v), evalScalar(s.refID, v)
	c.Event, c.RefID = lang.Print(v.Event), lang.Print(v.RefID)
	data, err := s.data.Eval(v)
	if err != nil {
		data = nil
	}
	c.Parsed = &relay.Parsed{Body: v.Body, Data: data}
	doubtful := s.doubtful(v)
	c.Unparsed = c.RefID == "" || doubtful || len(c.Body) > 0 && !v.object && v.bodyMode() != "text"
	if key, ok := s.key(v); ok && !doubtful && (!c.Unparsed || s.whole) {
		return key
	}
	return relay.Key{s.name, "body", bodyHash(c)}
}

// doubtful reports whether a part of the dedupe key stands more than once, so
// that another reader may see another one.
func (s *Source) doubtful(v *vars) bool {
	if v.doubled {
		return true
	}
	for _, path := range s.keyPaths {
		if v.twice.Any() && v.twice.Touch(path) {
			return true
		}
	}
	return false
}

// key is the dedupe key; false if a part of it is absent.
func (s *Source) key(v *vars) (relay.Key, bool) {
	key := relay.Key{s.name}
	for _, part := range s.dedupe {
		value := evalScalar(part, v)
		if value == nil {
			return nil, false
		}
		key = append(key, lang.Print(value))
	}
	return key, true
}

// evalScalar is an expression's text; nil if it is absent, fails, or is no single value.
func evalScalar(p *lang.Program, v *vars) any {
	value, err := p.Eval(v)
	if err != nil {
		return nil
	}
	return scalar(value)
}

// bodyHash is the key of a callback that names none.
func bodyHash(c *relay.Callback) string {
	h := sha256.New()
	h.Write(c.Body)
	if len(c.Body) == 0 {
		h.Write([]byte(c.URI))
	}
	return hex.EncodeToString(h.Sum(nil))
}
