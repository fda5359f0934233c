package rules

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

// testKeys are an example callback with what must come of it.
type testKeys struct {
	Name    conf.String           `conf:"name,required" doc:"what the test shows"`
	Source  conf.String           `conf:"source" doc:"the source it comes from; needed if there are several"`
	Method  string                `conf:"method" default:"POST" doc:"the request's method"`
	Query   conf.Map[conf.String] `conf:"query" doc:"the fields of the request's query"`
	Headers conf.Map[conf.String] `conf:"headers" doc:"headers of the request"`
	Body    conf.Node             `conf:"body" doc:"the payload: a mapping is sent as JSON, a text as it is"`
	At      conf.String           `conf:"at" doc:"when it is received, such as 2026-01-15 23:30; for quiet hours and dates"`
	Expect  *expectKeys           `conf:"expect,required" doc:"what must come of it; what is not named is not checked"`
}

// expectKeys say what must come of a test's callback.
type expectKeys struct {
	Rules     *[]conf.String        `conf:"rules" doc:"exactly the rules that match, in order"`
	Sinks     *[]conf.String        `conf:"sinks" doc:"exactly the sinks that get something, in any order"`
	Unmatched *bool                 `conf:"unmatched" doc:"whether no rule takes it"`
	Text      conf.Map[wanted]      `conf:"text" doc:"for a sink, what it must be told: a part of the text, or {equals: ...}"`
	Subject   conf.Map[wanted]      `conf:"subject" doc:"for a sink, the same of the subject"`
	Requests  conf.Map[requestKeys] `conf:"requests" doc:"for an http sink, the request it must get"`
}

// requestKeys say what a request must be.
type requestKeys struct {
	Method  wanted           `conf:"method" doc:"its method"`
	URL     wanted           `conf:"url" doc:"its address with the query"`
	Body    wanted           `conf:"body" doc:"its body"`
	Headers conf.Map[wanted] `conf:"headers" doc:"headers of it"`
}

// wanted is what a text must be: a part of it, several parts, or a mapping.
type wanted struct {
	Contains []string `conf:"contains" doc:"parts the text must have"`
	Lacks    []string `conf:"lacks" doc:"parts it must not have"`
	Equals   *string  `conf:"equals" doc:"the whole text; blanks around it do not count"`
}

// UnmarshalConf implements conf.Unmarshaler.
func (w *wanted) UnmarshalConf(n conf.Node) {
	if n.Kind() == "mapping" {
		type keys wanted
		n.Decode((*keys)(w))
		return
	}
	for _, item := range n.Items() {
		text, _ := item.Text()
		w.Contains = append(w.Contains, text)
	}
}

// missing says what is wrong with a text; "" if nothing.
func (w wanted) missing(text string) string {
	if w.Equals != nil && strings.TrimSpace(*w.Equals) != strings.TrimSpace(text) {
		return "is not\n" + block(*w.Equals)
	}
	for _, part := range w.Contains {
		if !strings.Contains(text, part) {
			return fmt.Sprintf("lacks %q", part)
		}
	}
	for _, part := range w.Lacks {
		if strings.Contains(text, part) {
			return fmt.Sprintf("has %q", part)
		}
	}
	return ""
}

func block(text string) string {
	var b strings.Builder
	for line := range strings.Lines(strings.TrimRight(text, "\n")) {
		b.WriteString("    | " + strings.TrimRight(line, "\n") + "\n")
	}
	return strings.TrimRight(b.String(), "\n")
}

// A Test is an example callback with what must come of it.
type Test struct {
	Name string
	File string
	Line int

	callback relay.Callback
	expect   expectKeys
}

// Tests are the tests of the file itself.
func (s *Set) Tests() []Test { return s.tests }

// ReadTests reads the tests of the *_test.yaml files beside the file at path.
// The rules and sinks they name are those of the Set.
func (s *Set) ReadTests(path string, o Options) (tests []Test, problems conf.Problems) {
	files, err := filepath.Glob(filepath.Join(filepath.Dir(path), "*_test.yaml"))
	if err != nil {
		return nil, nil // only a bad pattern: a directory with a [ in its name
	}
	for _, name := range files {
		var doc struct {
			Tests []testKeys `conf:"tests,required"`
		}
		file := conf.Read(name, o.lookup())
		file.Root().Decode(&doc)
		l := loader{Options: o, file: file, set: s}
		tests = append(tests, l.tests(name, doc.Tests)...)
		problems = append(problems, file.Problems()...)
	}
	return tests, problems
}

func (l *loader) readTests() {
	l.set.tests = l.tests(l.file.Name, l.set.doc.Tests)
}

func (l *loader) tests(file string, all []testKeys) (tests []Test) {
	names := map[string]bool{}
	for _, keys := range all {
		if names[keys.Name.Text] && keys.Name.Text != "" {
			keys.Name.Node.Problem("two tests are called %q", keys.Name.Text)
		}
		names[keys.Name.Text] = true
		l.checkExpect(keys)
		t := Test{Name: keys.Name.Text, File: file, Line: keys.Name.Node.Place().Line}
		if keys.Expect != nil {
			t.expect = *keys.Expect
		}
		t.callback = l.testCallback(keys)
		tests = append(tests, t)
	}
	return tests
}

// checkExpect finds names that are not in the Set.
func (l *loader) checkExpect(keys testKeys) {
	known := func(what string, names *[]conf.String, all []string) {
		if names == nil {
			return
		}
		for _, n := range *names {
			if !slices.Contains(all, n.Text) {
				n.Node.Unknown(what, n.Text, all)
			}
		}
	}
	e := keys.Expect
	if e == nil {
		return
	}
	if len(l.set.rules) > 0 && !l.unnamed {
		known("rule", e.Rules, l.set.Rules())
	}
	known("sink", e.Sinks, l.set.SinkNames())
	named := append(mapKeys(e.Text), mapKeys(e.Subject)...)
	for _, p := range e.Requests {
		named = append(named, p.Key)
	}
	known("sink", &named, l.set.SinkNames())
	if e.Rules == nil && e.Sinks == nil && e.Unmatched == nil && len(named) == 0 && keys.Name.Text != "" {
		keys.Name.Node.Problem("the test %q expects nothing", keys.Name.Text)
	}
}

func mapKeys(m conf.Map[wanted]) (keys []conf.String) {
	for _, p := range m {
		keys = append(keys, p.Key)
	}
	return keys
}

// testCallback makes the callback that a test describes.
func (l *loader) testCallback(keys testKeys) relay.Callback {
	c := relay.Callback{Source: keys.Source.Text, Method: keys.Method, Header: http.Header{}, URI: "/webhook/" + keys.Source.Text}
	l.testSource(keys, &c)
	query := url.Values{}
	for _, q := range keys.Query {
		query.Set(q.Key.Text, q.Value.Text)
	}
	if len(query) > 0 {
		c.URI += "?" + query.Encode()
	}
	c.Header.Set("Content-Type", "application/json")
	for _, h := range keys.Headers {
		c.Header.Set(h.Key.Text, h.Value.Text)
	}
	c.Body = testBody(keys.Body)
	c.ReceivedAt = l.testTime(keys.At)
	return c
}

func (l *loader) testSource(keys testKeys, c *relay.Callback) {
	names := l.sourceNames()
	switch {
	case len(names) == 0:
	case c.Source == "" && len(names) == 1:
		c.Source = names[0]
	case c.Source == "":
		keys.Name.Node.Problem("say which source the test %q comes from: %s", keys.Name.Text, list(names))
	case !slices.Contains(names, c.Source):
		keys.Source.Node.Unknown("source", c.Source, names)
	}
}

func testBody(n conf.Node) []byte {
	if n.Kind() == "scalar" {
		text, _ := n.Text()
		return []byte(text)
	}
	v := n.Value()
	if v == nil {
		return nil
	}
	body, err := json.Marshal(v)
	if err != nil {
		n.Problem("this cannot be sent as JSON: %v", err)
	}
	return body
}

// noon is when a test's callback is received, if it does not say.
var noon = time.Date(2026, 1, 15, 12, 0, 0, 0, time.UTC)

func (l *loader) testTime(at conf.String) time.Time {
	if at.Text == "" {
		return time.Date(noon.Year(), noon.Month(), noon.Day(), 12, 0, 0, 0, l.set.location)
	}
	for _, form := range []string{time.RFC3339, "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", "15:04"} {
		if t, err := time.ParseInLocation(form, at.Text, l.set.location); err == nil {
			if t.Year() == 0 {
				t = t.AddDate(noon.Year(), int(noon.Month())-1, noon.Day()-1)
			}
			return t
		}
	}
	at.Node.Problem("%q is no time: write it as 2026-01-15 23:30", at.Text)
	return noon
}

// A Report is what came of a run of tests.
type Report struct {
	Results     []Result `json:"results"`
	Unexercised []string `json:"unexercised,omitempty"` // rules that matched in no test
}

// A Result is what came of one test.
type Result struct {
	Name        string        `json:"name"`
	File        string        `json:"file"`
	Line        int           `json:"line"`
	OK          bool          `json:"ok"`
	Differences []string      `json:"differences,omitempty"` // may have several lines each
	Took        time.Duration `json:"-"`
}

// Failed counts the tests that failed.
func (r Report) Failed() (n int) {
	for _, t := range r.Results {
		if !t.OK {
			n++
		}
	}
	return n
}

// Run runs the tests whose name matches; a nil pattern matches all.
func (s *Set) Run(tests []Test, pattern *regexp.Regexp) Report {
	r := Report{Results: []Result{}}
	fired := map[string]bool{}
	for _, t := range tests {
		if pattern != nil && !pattern.MatchString(t.Name) {
			continue
		}
		begin := time.Now()
		e := s.Explain(t.callback)
		diffs := t.differences(e)
		r.Results = append(r.Results, Result{Name: t.Name, File: t.File, Line: t.Line, OK: len(diffs) == 0,
			Differences: diffs, Took: time.Since(begin)})
		for _, name := range e.Fired() {
			fired[name] = true
		}
	}
	for _, name := range s.Rules() {
		if !fired[name] && pattern == nil {
			r.Unexercised = append(r.Unexercised, name)
		}
	}
	return r
}

// differences says how an explanation is not what the test expects.
func (t Test) differences(e Explanation) (diffs []string) {
	for _, r := range e.Rules {
		if r.Error != "" {
			diffs = append(diffs, fmt.Sprintf("rule %s failed: %s", r.Name, r.Error))
		}
	}
	for _, d := range e.Deliveries {
		if d.Error != "" && !slices.ContainsFunc(e.Rules, func(r RuleStep) bool { return r.Error == d.Error }) {
			diffs = append(diffs, fmt.Sprintf("rule %s failed for %s: %s", d.Rule, d.Sink, d.Error))
		}
	}
	if t.expect.Rules != nil {
		diffs = append(diffs, rulesDiffer(texts(*t.expect.Rules), e)...)
	}
	if t.expect.Sinks != nil {
		diffs = append(diffs, sinksDiffer(texts(*t.expect.Sinks), e)...)
	}
	if u := t.expect.Unmatched; u != nil && *u != e.Unmatched {
		diffs = append(diffs, fmt.Sprintf("unmatched is %v, not %v: %s", e.Unmatched, *u, matchedBy(e)))
	}
	return append(diffs, t.outputsDiffer(e)...)
}

func texts(ss []conf.String) (out []string) {
	for _, s := range ss {
		out = append(out, s.Text)
	}
	return out
}

func matchedBy(e Explanation) string {
	if fired := e.Fired(); len(fired) > 0 {
		return list(fired) + " matched"
	}
	return "no rule matched"
}

func rulesDiffer(want []string, e Explanation) (diffs []string) {
	got := e.Fired()
	for _, r := range e.Rules {
		switch wanted := slices.Contains(want, r.Name); {
		case wanted && !r.Matched && r.Error == "":
			diffs = append(diffs, fmt.Sprintf("rule %s did not match%s", r.Name, because(r)))
		case !wanted && r.Matched:
			diffs = append(diffs, fmt.Sprintf("rule %s matched%s", r.Name, because(r)))
		}
	}
	if len(diffs) == 0 && !slices.Equal(got, want) {
		diffs = append(diffs, fmt.Sprintf("the rules matched in the order %s", list(got)))
	}
	return diffs
}

// because gives the values that decided about a rule.
func because(r RuleStep) string {
	switch {
	case r.Skipped:
		return ": a rule above stopped"
	case r.When == "":
		return ": it takes every callback"
	}
	var why []string
	for _, whole := range r.Parts {
		for _, p := range whole.decisive() {
			why = append(why, decided(p))
		}
	}
	return ":\n    " + strings.Join(why, "\n    ")
}

func decided(p Part) string {
	s := fmt.Sprintf("%s is %s", p.Expr, show(p.Value))
	if p.Error != "" {
		return p.Expr + ": " + p.Error
	}
	for i, of := range p.Of {
		sep := ", "
		if i == 0 {
			sep = ", with "
		}
		s += fmt.Sprintf("%s%s = %s", sep, of.Expr, show(of.Value))
	}
	return s
}

func sinksDiffer(want []string, e Explanation) (diffs []string) {
	got := e.Sinks()
	for _, name := range want {
		if !slices.Contains(got, name) {
			diffs = append(diffs, fmt.Sprintf("sink %s gets nothing", name))
		}
	}
	for _, name := range got {
		if !slices.Contains(want, name) {
			diffs = append(diffs, fmt.Sprintf("sink %s gets something, by %s", name, list(e.rulesTo(name))))
		}
	}
	return diffs
}

func (e Explanation) rulesTo(sink string) (names []string) {
	for _, d := range e.Deliveries {
		if d.Sink == sink {
			names = appendNew(names, "rule "+d.Rule)
		}
	}
	return names
}

// outputsDiffer compares texts, subjects and requests.
func (t Test) outputsDiffer(e Explanation) (diffs []string) {
	for _, p := range t.expect.Text {
		diffs = append(diffs, e.differ(p.Key.Text, "text", p.Value, func(d PlannedOutput) string { return d.Preview.Text + d.Preview.Body })...)
	}
	for _, p := range t.expect.Subject {
		diffs = append(diffs, e.differ(p.Key.Text, "subject", p.Value, func(d PlannedOutput) string { return d.Preview.Subject })...)
	}
	for _, p := range t.expect.Requests {
		sink, r := p.Key.Text, p.Value
		diffs = append(diffs, e.differ(sink, "method", r.Method, func(d PlannedOutput) string { return d.Preview.Method })...)
		diffs = append(diffs, e.differ(sink, "url", r.URL, func(d PlannedOutput) string { return d.Preview.URL })...)
		diffs = append(diffs, e.differ(sink, "body", r.Body, func(d PlannedOutput) string { return d.Preview.Body })...)
		for _, h := range r.Headers {
			diffs = append(diffs, e.differ(sink, "header "+h.Key.Text, h.Value, func(d PlannedOutput) string {
				return d.Preview.Headers[http.CanonicalHeaderKey(h.Key.Text)]
			})...)
		}
	}
	return diffs
}

// differ says that none of what a sink gets has what is wanted; nothing if one has.
func (e Explanation) differ(sink, what string, w wanted, of func(PlannedOutput) string) []string {
	if w.Equals == nil && len(w.Contains)+len(w.Lacks) == 0 {
		return nil
	}
	var missing []string
	for _, d := range e.Deliveries {
		if d.Sink != sink {
			continue
		}
		m := w.missing(of(d))
		if m == "" {
			return nil
		}
		then := "; it is"
		if strings.Contains(m, "\n") {
			then = "\nit is"
		}
		missing = append(missing, fmt.Sprintf("the %s for %s %s%s\n%s", what, sink, m, then, block(of(d))))
	}
	if missing == nil {
		return []string{fmt.Sprintf("sink %s gets nothing, so there is no %s", sink, what)}
	}
	return missing
}
