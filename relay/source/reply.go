package source

import (
	"cmp"
	"encoding/json"
	"net/http"
	"slices"
	"strings"

	"github.com/kurir-relay/kurir/relay/conf"
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

var defaultReplies = [3]replySettings{
	Accepted:  {Status: http.StatusOK, Body: `{"status":"ok"}`},
	Duplicate: {Status: http.StatusOK, Body: `{"status":"already_processed"}`},
	Refused:   {Status: http.StatusUnauthorized, Body: `{"error":"Invalid signature"}`},
}

// Reply is the source's answer. Its Body must not be changed.
func (s *Source) Reply(o Outcome) Reply { return s.replies[o] }

func (s *Source) prepareReplies() {
	own := s.settings.Respond
	if own.Duplicate == nil {
		own.Duplicate = own.OK
	}
	for o, set := range []*replySettings{own.OK, own.Duplicate, own.Denied} {
		st := defaultReplies[o]
		if set != nil {
			st = replySettings{Status: cmp.Or(set.Status, st.Status), Body: set.Body, ContentType: set.ContentType}
		}
		s.replies[o] = Reply{Status: st.Status, ContentType: cmp.Or(st.ContentType, contentType(st.Body)), Body: []byte(st.Body)}
	}
}

func contentType(body string) string {
	if strings.HasPrefix(body, "{") || strings.HasPrefix(body, "[") {
		return "application/json; charset=utf-8"
	}
	return "text/plain; charset=utf-8"
}

// A challenge is a handshake of a provider's.
type challenge struct {
	when     *lang.Program
	reply    *lang.Program
	settings challengeSettings
}

func (s *Source) compileChallenges() {
	for _, st := range s.settings.Challenge {
		if st.Status != 0 && (st.Status < 200 || st.Status > 599) {
			st.When.Node.Problem("a challenge can't be answered with status %d", st.Status)
		}
		c := challenge{when: compile(conf.String(st.When), lang.Bool), reply: compile(st.Reply, lang.Any), settings: st}
		s.challenges = append(s.challenges, c)
	}
}

// challenged answers a handshake, if the request is one that is answered
// before, or after, it verified.
func (s *Source) challenged(v *vars, verified bool) (*Reply, bool) {
	i := slices.IndexFunc(s.challenges, func(c challenge) bool {
		if c.settings.Verified != verified {
			return false
		}
		v.parse()
		is, err := c.when.Bool(v)
		return err == nil && is
	})
	if i < 0 {
		return nil, false
	}
	c := s.challenges[i]
	value, err := c.reply.Eval(v)
	if err != nil || value == nil {
		return nil, false
	}
	body, isText := value.(string)
	if !isText {
		text, err := json.Marshal(value)
		if err != nil {
			return nil, false
		}
		body = string(text)
	}
	return &Reply{Status: cmp.Or(c.settings.Status, http.StatusOK), Body: []byte(body),
		ContentType: cmp.Or(c.settings.ContentType, map[bool]string{true: "text/plain; charset=utf-8", false: "application/json; charset=utf-8"}[isText])}, true
}
