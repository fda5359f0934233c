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

// vars are the names that a source's expressions may use. What costs work is
// filled in by load, when an expression is about to read it.
type vars struct {
	Raw      string                `expr:"raw" doc:"the body's text, as it came"`
	Body     any                   `expr:"body" doc:"the body, parsed; a form's a[b]=c is {a: {b: c}}; nil if it can't be parsed"`
	Form     map[string]any        `expr:"form" doc:"the fields of a form body, each by its whole name"`
	Query    map[string]any        `expr:"query" doc:"the fields of the query"`
	Header   func(name string) any `expr:"header" doc:"a header of the request; nil if it is absent, or stands twice"`
	Text     func(path string) any `expr:"text" doc:"the exact characters of a value in the body, by its path: 100000.00 stays so"`
	FromJSON func(text string) any `expr:"fromJSON" doc:"the value in a text of JSON; nil if it is none"`
	Method   string                `expr:"method" doc:"the HTTP method"`
	Path     string                `expr:"path" doc:"the path of url"`
	URL      string                `expr:"url" doc:"public_url with the request's query; without public_url, the request's own address"`
	Secret   string                `expr:"secret" doc:"the secret that is tried"`
	Vars     map[string]any        `expr:"vars" doc:"the constants of vars"`
	Ts       any                   `expr:"ts" doc:"the timestamp's text, as the provider wrote it; needs timestamp"`
	RefID    any                   `expr:"ref_id" doc:"what ref_id gave; in dedupe only"`
	Event    any                   `expr:"event" doc:"what event gave; in dedupe only"`

	s *Source
	r *Request

	parsed bool
	object bool         // the body is an object, a list or a form
	twice  lang.Repeats // keys of a JSON body that stand more than once
	form   fields
	query  *fields
	nested bool // a JSON text within the body has keys that stand more than once

	matched    *secret // the one that was tried last
	twoHeaders string  // a header that was asked for, and stands twice
}

// env is what the expressions are compiled against.
var env = lang.NewEnv(vars{}, functions...)

// newVars gives the names for a request, of which nothing is read yet.
func (s *Source) newVars(r *Request) *vars {
	v := &vars{s: s, r: r, Method: r.Method, Vars: s.vars}
	v.Header, v.Text, v.FromJSON = v.header, v.text, v.fromJSON
	return v
}

// load fills in what an expression reads.
func (v *vars) load(r *reads) {
	for _, name := range r.names {
		switch name {
		case "raw":
			if v.Raw == "" {
				v.Raw = string(v.r.Body)
			}
		case "body", "form":
			v.parse()
		case "query":
			v.parseQuery()
		case "url", "path":
			v.Path, v.URL = v.r.address(v.s.settings.PublicURL.Text)
		}
	}
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

func (v *vars) header(name string) any {
	switch values := v.r.Header.Values(name); len(values) {
	case 0:
		return nil
	case 1:
		return values[0]
	}
	v.twoHeaders = name
	return nil
}

func (v *vars) parseQuery() {
	if v.query == nil {
		_, query, _ := strings.Cut(v.r.URI, "?")
		f := parseFields(query)
		v.query, v.Query = &f, f.first
	}
}

// parse reads the body, as `body` of the settings says. What "auto" takes it
// for is decided by the body alone: a header is hardly ever signed, and another
// one must not make another callback of the same body.
func (v *vars) parse() {
	if v.parsed {
		return
	}
	v.parsed = true
	switch v.s.settings.Body.Text {
	case "json":
		v.parseJSON()
	case "form":
		v.parseForm()
	case "", "auto":
		if !v.parseJSON() && looksLikeForm(v.r.Body) {
			v.parseForm()
		}
	}
}

func (v *vars) parseJSON() bool {
	body, twice, err := lang.ReadJSON(v.r.Body)
	if err != nil {
		return false
	}
	v.Body, v.twice = body, twice
	switch body.(type) {
	case map[string]any, []any:
		v.object = true
	}
	return true
}

func (v *vars) parseForm() {
	v.form = parseFields(string(v.r.Body))
	v.Form, v.Body = v.form.first, v.form.tree()
	v.object = len(v.Form) > 0 && !v.form.bad
}

// fromJSON is the value in a text of JSON, with its numbers as they are written.
func (v *vars) fromJSON(text string) any {
	value, twice, err := lang.ReadJSON([]byte(text))
	if err != nil {
		return nil
	}
	v.nested = v.nested || twice.Any()
	return value
}

// ambiguous reports whether two readers of the body may read two things.
func (v *vars) ambiguous() bool {
	v.parse()
	return v.twice.Any() || v.Form != nil && !v.form.plain()
}

// inDoubt reports whether something that r reads stands more than once.
func (v *vars) inDoubt(r *reads) bool {
	for _, path := range r.json {
		if v.twice.Any() && v.twice.Touch(path) {
			return true
		}
	}
	for _, path := range r.form {
		if v.Form != nil && v.form.touch(path) {
			return true
		}
	}
	for _, path := range r.query {
		if v.query != nil && v.query.touch(path) {
			return true
		}
	}
	return v.nested
}
