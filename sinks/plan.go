package sinks

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// httpVars are the names that the templates of an http sink may use: those of
// every text, and what the rule says.
type httpVars struct {
	lang.Vars
	Text    string `expr:"text" doc:"what the rule says, without HTML tags"`
	Subject string `expr:"subject" doc:"the rule's subject, by default event and ref_id"`
}

var httpEnv = lang.NewEnv(httpVars{})

// A plan is what an http sink's settings say about its requests, compiled. Its
// templates are rendered when a callback is routed; all the rest is read when a
// request is made, from the plan then in force.
type plan struct {
	method string // "": the callback's own on a raw forward, otherwise POST
	base   url.URL
	target *lang.Template // path of the url, if it holds templates, and its query if that does
	query  parts
	header parts
	body   body // without render: the callback's own, or none
}

// parts are named values in the order of the file, by what they are.
type parts struct{ fixed, templates []part }

// A part is a named value of a query, a header or a form.
type part struct {
	name string
	text string         // as it stands,
	tmpl *lang.Template // unless it is a template
}

// newPlan compiles the settings and reports what is wrong with them.
func newPlan(set *httpSettings) plan {
	pl := plan{method: strings.ToUpper(set.Method.Text), query: split(newParts(set.Query, lang.Plain))}
	headers := newParts(set.Headers, lang.Line)
	var contentType string
	for i, e := range set.Headers {
		checkHeader(e)
		headers[i].name = http.CanonicalHeaderKey(e.Key.Text)
		if headers[i].name == "Content-Type" {
			contentType = e.Value.Text
		}
	}
	pl.header = split(headers)
	if pl.method != "" && !slices.Contains(methods, pl.method) {
		set.Method.Node.Unknown("method", set.Method.Text, methods)
	}
	pl.body = newBody(set, contentType)
	if set.URL.Text != "" {
		pl.parseURL(set.URL)
	}
	return pl
}

var methods = []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}

var headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$")

// checkHeader reports a header that is not the user's to set.
func checkHeader(e conf.Pair[conf.String]) {
	name := http.CanonicalHeaderKey(e.Key.Text)
	switch {
	case !headerName.MatchString(name):
		e.Key.Node.Problem("%q is no name of a header", e.Key.Text)
	case name == "Host" && strings.Contains(e.Value.Text, "{{"):
		e.Value.Node.Problem("the host is never a template")
	case name != "Host" && slices.Contains(hopHeaders, name), strings.HasPrefix(name, "Kurir-"):
		e.Key.Node.Problem("%s is set by Kurir itself", name)
	}
}

var braces = regexp.MustCompile(`(?s)\{\{.*?\}\}`)

// parseURL takes the url apart: what stands before its path is fixed, the rest
// may hold templates.
func (pl *plan) parseURL(s conf.String) {
	u, err := url.Parse(braces.ReplaceAllString(s.Text, "x"))
	host := hostEnd(s.Text)
	switch at := strings.Index(s.Text, "{{"); {
	case at >= 0 && at < host:
		s.Node.ReportAt(at, conf.Problem{Len: 2, Message: "the host of a url is never a template", Hint: "write a sink for each host"})
		return
	case err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https":
		s.Node.Report(conf.Problem{Message: "this is no web address", Hint: "write it whole, such as https://shop.example.com/webhook"})
		return
	}
	if ip, err := netip.ParseAddr(u.Hostname()); err == nil && refusedAddress(ip) {
		s.Node.Problem("%s: %v", ip, errGuarded)
	}
	pl.base = *u
	pl.base.Host = strings.TrimSuffix(u.Host, ":") // with a colon, the port is the usual one
	end := len(s.Text)
	if q := queryStart(s.Text); q >= 0 && !strings.Contains(s.Text[q:], "{{") {
		end = q // a query without templates stays out of the store: keys stand there
	} else {
		pl.base.RawQuery = ""
	}
	if !strings.Contains(s.Text[:end], "{{") {
		return
	}
	pl.base.Path, pl.base.RawPath = "", ""
	pl.target, err = httpEnv.Template(s.Text[host:end], lang.Query)
	report(s.Node, host, err)
}

// queryStart is where the query of a url with templates begins, or -1.
func queryStart(u string) int {
	masked := braces.ReplaceAllStringFunc(u, func(s string) string { return strings.Repeat("x", len(s)) })
	return strings.IndexByte(masked, '?')
}

// hostEnd is where the path, query or fragment of a url begins.
func hostEnd(u string) int {
	start := strings.Index(u, "://") + len("://")
	if start < len("://") {
		return len(u)
	}
	if n := strings.IndexAny(u[start:], "/?#"); n >= 0 {
		return start + n
	}
	return len(u)
}

// bare reports a raw forward in which nothing is rendered.
func (pl *plan) bare() bool {
	return pl.raw() && pl.target == nil && pl.query.templates == nil && pl.header.templates == nil
}

// raw reports whether the callback's own bytes and headers are sent.
func (pl *plan) raw() bool {
	return pl.body.render == nil && pl.method != http.MethodGet && pl.method != http.MethodHead
}

// rendered is the payload of a delivery: what templates made of the callback. A
// bare forward has none.
type rendered struct {
	Raw    bool              `json:"raw,omitempty"` // the callback's own body and headers are sent
	Method string            `json:"method,omitempty"`
	Target string            `json:"target,omitempty"` // path of the url, or path and query
	Query  string            `json:"query,omitempty"`  // encoded
	Header map[string]string `json:"header,omitempty"`
	Type   string            `json:"type,omitempty"` // of the body
	Body   string            `json:"body,omitempty"`
}

// render makes the payload for a callback, unless the forward is bare.
func (pl *plan) render(v httpVars) ([]byte, error) {
	r := rendered{Raw: pl.raw(), Method: pl.method, Type: pl.body.contentType}
	var err error
	if r.Target, err = pl.renderTarget(v); err != nil {
		return nil, fmt.Errorf("url: %w", err)
	}
	if r.Query, err = renderPairs(pl.query.templates, v); err != nil {
		return nil, fmt.Errorf("query: %w", err)
	}
	if r.Header, err = renderHeader(pl.header.templates, v); err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	if pl.body.render != nil {
		if r.Body, err = pl.body.render(v); err != nil {
			return nil, fmt.Errorf("body: %w", err)
		}
	}
	return json.Marshal(r)
}

// renderTarget refuses a value that would climb to another folder of the host.
func (pl *plan) renderTarget(v httpVars) (string, error) {
	if pl.target == nil {
		return "", nil
	}
	target, err := pl.target.Render(v)
	if err != nil {
		return "", err
	}
	u, err := url.Parse("http://host" + target)
	if err != nil {
		return "", fmt.Errorf("%q is no path", target)
	}
	for _, s := range strings.FieldsFunc(u.Path, func(r rune) bool { return r == '/' || r == '\\' }) {
		if s == "." || s == ".." {
			return "", fmt.Errorf("%q leaves the path that the url names", target)
		}
	}
	return target, nil
}

func split(ps []part) (all parts) {
	for _, p := range ps {
		if p.tmpl == nil {
			all.fixed = append(all.fixed, p)
		} else {
			all.templates = append(all.templates, p)
		}
	}
	return all
}

func (p part) render(v httpVars) (string, error) {
	if p.tmpl == nil {
		return p.text, nil
	}
	text, err := p.tmpl.Render(v)
	if err != nil {
		return "", fmt.Errorf("%s: %w", p.name, err)
	}
	return text, nil
}

func renderHeader(ps []part, v httpVars) (map[string]string, error) {
	header := make(map[string]string, len(ps))
	for _, p := range ps {
		text, err := p.render(v)
		if err != nil {
			return nil, err
		}
		header[p.name] = text
	}
	return header, nil
}

// renderPairs gives the parts as a query or form: a=b&c=d.
func renderPairs(ps []part, v httpVars) (string, error) {
	var pairs []string
	for _, p := range ps {
		text, err := p.render(v)
		if err != nil {
			return "", err
		}
		pairs = append(pairs, escapeQuery(p.name)+"="+escapeQuery(text))
	}
	return strings.Join(pairs, "&"), nil
}

// escapeQuery encodes a name or value; a space is %20, which every far side
// reads, also those that don't take a plus for one.
func escapeQuery(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }

// newParts compiles the values of a mapping, which go where to says.
func newParts(m conf.Map[conf.String], to lang.Escape) (ps []part) {
	for _, e := range m {
		p := part{name: e.Key.Text, text: e.Value.Text}
		if strings.Contains(p.text, "{{") {
			p.tmpl = template(httpEnv, e.Value, to)
		}
		ps = append(ps, p)
	}
	return ps
}
