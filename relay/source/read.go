package source

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"

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
	s.event = compile(st.Event, lang.Any, noSecret, noFields, noStamp)
	s.refID = compile(st.RefID, lang.Any, noSecret, noFields, noStamp)
	s.data = compile(st.Data, lang.Any, noSecret, noFields, noStamp)
	parts := st.Dedupe
	if len(parts) == 0 {
		parts = []conf.String{{Text: "ref_id", Node: n}, {Text: "event", Node: n}}
	}
	for _, part := range parts {
		s.dedupe = append(s.dedupe, compile(part, lang.Any, noSecret, noStamp))
	}
}

// Read reads event, ref_id and data of a stored callback again, as the source
// reads them now.
func (s *Source) Read(c relay.Callback) relay.Callback {
	v := s.newVars(&Request{Method: c.Method, URI: c.URI, Host: c.Header.Get("Host"), Scheme: "https", Header: c.Header, Body: c.Body})
	s.read(&c, v)
	return c
}

// read fills in what the source says of a request, and gives the dedupe key.
//
// A ref_id, and every part of the key, counts by its characters: the number 17
// and the text "17" are the same. If a part of the key is absent, or the
// request is unparsed, the key is the body's hash.
func (s *Source) read(c *relay.Callback, v *vars) relay.Key {
	v.parse()
	v.RefID, v.Event = s.refID.scalar(v), s.event.scalar(v)
	key, whole := s.key(v)
	if s.inDoubt(v) {
		c.Unparsed, c.Parsed = true, &relay.Parsed{}
		c.Event, c.RefID = "", ""
		return s.hashKey(c)
	}
	c.RefID, c.Event = lang.Print(v.RefID), lang.Print(v.Event)
	c.Parsed = &relay.Parsed{Body: v.Body}
	if data, err := s.data.eval(v); err == nil {
		c.Parsed.Data = data
	}
	readable := v.object || len(c.Body) == 0 && c.Method == "GET" || s.settings.Body.Text == "text"
	c.Unparsed = c.RefID == "" || !readable
	if c.Unparsed || !whole {
		return s.hashKey(c)
	}
	return key
}

// inDoubt reports whether the event, the ref_id or a part of the key stands more
// than once, so that another reader may see another one.
func (s *Source) inDoubt(v *vars) bool {
	if v.inDoubt(&s.event.reads) || v.inDoubt(&s.refID.reads) {
		return true
	}
	for _, part := range s.dedupe {
		if v.inDoubt(&part.reads) {
			return true
		}
	}
	return false
}

// key is the dedupe key; false if a part of it is absent.
func (s *Source) key(v *vars) (relay.Key, bool) {
	key := make(relay.Key, 1, 1+len(s.dedupe))
	key[0] = s.name
	for _, part := range s.dedupe {
		value := part.scalar(v)
		if value == nil {
			return nil, false
		}
		key = append(key, lang.Print(value))
	}
	return key, true
}

// hashKey is the key of a callback that names none: its body, or if it has none
// its path and query.
func (s *Source) hashKey(c *relay.Callback) relay.Key {
	content := c.Body
	if len(content) == 0 {
		content = []byte(c.URI)
	}
	sum := sha256.Sum256(content)
	return relay.Key{s.name, "sha256:" + hex.EncodeToString(sum[:])}
}
