package source

import (
	"net/http"
	"net/netip"
	"net/url"
	"strings"

	"github.com/kurir-relay/kurir/relay/lang"
)

// A Request is what came in, before anyone knows from whom.
type Request struct {
	Method string
	URI    string // path and query, as received
	Host   string
	Scheme string // "http" or "https"
	Header http.Header
	Body   []byte
	Remote netip.Addr // the peer, or who a trusted proxy says it is
}

// vars are the names that a source's expressions may use.
type vars struct {
	Raw    string                `expr:"raw" doc:"the body's text, as it came"`
	Body   any                   `expr:"body" doc:"the body, parsed; nil if it can't be"`
	Form   map[string]any        `expr:"form" doc:"the fields of a form body"`
	Query  map[string]any        `expr:"query" doc:"the fields of the query"`
	Header func(name string) any `expr:"header" doc:"a header of the request; nil if it is absent"`
	Text   func(path string) any `expr:"text" doc:"the exact characters of a JSON value, by its path"`
	Method string                `expr:"method" doc:"the HTTP method"`
	Path   string                `expr:"path" doc:"the path of url"`
	URL    string                `expr:"url" doc:"public_url with the request's query; without public_url, the request's own address"`
	Secret string                `expr:"secret" doc:"the secret that is tried"`
	Vars   map[string]any        `expr:"vars" doc:"the constants of vars"`
	Ts     any                   `expr:"ts" doc:"the timestamp's text, as the provider wrote it"`
	RefID  any                   `expr:"ref_id" doc:"what ref_id gave; in dedupe only"`
	Event  any                   `expr:"event" doc:"what event gave; in dedupe only"`

	r       *Request
	mode    string
	parsed  bool
	twice   lang.Repeats // JSON keys that stand more than once
	doubled bool         // a form or query field stands more than once
	object  bool         // the body is an object, a list or a form
}

// env is what the expressions are compiled against.
var env = lang.NewEnv(vars{}, functions...)

// newVars gives the names for a request. The body is not parsed yet.
func (s *Source) newVars(r *Request) *vars {
	v := &vars{Raw: string(r.Body), Method: r.Method, Vars: s.vars, r: r, mode: s.settings.Body}
	v.Header = v.header
	v.Text = v.text
	v.Path, v.URL = r.address(s.settings.PublicURL)
	v.Query = map[string]any{}
	if _, query, ok := strings.Cut(r.URI, "?"); ok {
		v.Query = v.fields(query)
	}
	return v
}

// address is the request's path and whole address, as the provider sees it.
func (r *Request) address(public string) (path, whole string) {
	own, query, asked := strings.Cut(r.URI, "?")
	if asked {
		query = "?" + query
	}
	if public == "" {
		return own, r.Scheme + "://" + r.Host + own + query
	}
	if u, err := url.Parse(public); err == nil {
		own = u.EscapedPath()
	}
	return own, public + query
}

// header is a header's value. One that stands twice is in doubt, and absent.
func (v *vars) header(name string) any {
	values := v.r.Header.Values(name)
	if len(values) != 1 {
		return nil
	}
	return values[0]
}

// fields reads a query or a form. The first of two equal names counts, and makes
// the whole doubtful.
func (v *vars) fields(text string) map[string]any {
	values, err := url.ParseQuery(text)
	m := make(map[string]any, len(values))
	for name, vs := range values {
		m[name] = vs[0]
		v.doubled = v.doubled || len(vs) > 1
	}
	v.doubled = v.doubled || err != nil
	return m
}

// parse reads the body, as `body` of the settings says.
func (v *vars) parse() {
	if v.parsed {
		return
	}
	v.parsed = true
	switch v.bodyMode() {
	case "form":
		v.Form = v.fields(v.Raw)
		v.Body, v.object = any(v.Form), len(v.Form) > 0
	case "json":
		body, twice, err := lang.ReadJSON(v.r.Body)
		if err != nil {
			return
		}
		v.Body, v.twice = body, twice
		switch body.(type) {
		case map[string]any, []any:
			v.object = true
		}
	}
}

func (v *vars) bodyMode() string {
	if v.mode != "" && v.mode != "auto" {
		return v.mode
	}
	kind, _, _ := strings.Cut(v.r.Header.Get("Content-Type"), ";")
	if strings.EqualFold(strings.TrimSpace(kind), "application/x-www-form-urlencoded") {
		return "form"
	}
	return "json"
}
