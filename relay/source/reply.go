package source

import (
	"cmp"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"

	"github.com/kurir-relay/kurir/relay/lang"
)

// A Reply is an answer to the provider.
type Reply struct {
	Status      int
	ContentType string
	Body        []byte
}

// An Outcome is what a provider is answered for.
type Outcome int

// What became of a request.
const (
	Accepted Outcome = iota
	Duplicate
	Refused
)

var defaultReplies = [3]Reply{
	Accepted:  {http.StatusOK, jsonType, []byte(`{"status":"ok"}`)},
	Duplicate: {http.StatusOK, jsonType, []byte(`{"status":"already_processed"}`)},
	Refused:   {http.StatusUnauthorized, jsonType, []byte(`{"error":"Invalid signature"}`)},
}

const (
	jsonType = "application/json; charset=utf-8"
	textType = "text/plain; charset=utf-8"
)

// Reply is the source's answer. Its Body must not be changed.
func (s *Source) Reply(o Outcome) Reply { return s.replies[o] }

func (s *Source) prepareReplies() {
	own := s.settings.Respond
	if own.Duplicate == nil {
		own.Duplicate = own.OK
	}
	for o, st := range []*replySettings{own.OK, own.Duplicate, own.Denied} {
		s.replies[o] = st.over(defaultReplies[o])
	}
}

// over is the reply with what the settings change of it.
func (st *replySettings) over(r Reply) Reply {
	if st == nil {
		return r
	}
	if st.Status.Text != "" {
		var err error
		if r.Status, err = strconv.Atoi(st.Status.Text); err != nil || r.Status < 200 || r.Status > 599 {
			st.Status.Node.Problem("%q is no status of an answer: write one from 200 to 599", st.Status.Text)
		}
	}
	if st.Body.Node.Present() || r.Status == http.StatusNoContent {
		r.Body, r.ContentType = []byte(st.Body.Text), typeOf(st.Body.Text)
	}
	r.ContentType = cmp.Or(st.ContentType, r.ContentType)
	return r
}

func typeOf(body string) string {
	if strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[") {
		return jsonType
	}
	return textType
}

// A challenge is a provider's handshake.
type challenge struct {
	when, reply *expression
	settings    challengeSettings
}

func (s *Source) compileChallenges() {
	for _, st := range s.settings.Challenge {
		if st.Status < 200 || st.Status > 599 {
			st.When.Node.Problem("a handshake can't be answered with status %d", st.Status)
		}
		forbid := []string{noFields, noStamp}
		if !st.Verified {
			forbid = append(forbid, noSecret)
		}
		s.challenges = append(s.challenges, challenge{compile(st.When, lang.Bool, forbid...),
			compile(st.Reply, lang.Any, forbid...), st})
	}
}

// challenged answers a handshake; nil if the request is none of those that are
// answered before it verified, or after.
func (s *Source) challenged(v *vars, verified bool) *Reply {
	for _, c := range s.challenges {
		if c.settings.Verified != verified {
			continue
		}
		if is, err := c.when.bool(v); err == nil && is {
			return c.answer(v)
		}
	}
	return nil
}

// answer is nil for a handshake without what the reply needs.
func (c *challenge) answer(v *vars) *Reply {
	value, err := c.reply.eval(v)
	if err != nil || value == nil {
		return nil
	}
	r := &Reply{Status: c.settings.Status, ContentType: textType}
	switch value := value.(type) {
	case map[string]any, []any:
		if r.Body, err = json.Marshal(value); err != nil {
			return nil
		}
		r.ContentType = jsonType
	default:
		r.Body = []byte(lang.Print(value))
	}
	r.ContentType = cmp.Or(c.settings.ContentType, r.ContentType)
	return r
}
