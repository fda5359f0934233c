package rules

import (
	"fmt"
	"net/url"
	"regexp"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// warn finds what works, but hardly as meant. It looks at the Set as a whole, so
// it runs last, and only on one without errors.
func (l *loader) warn() {
	l.warnEmpty()
	l.warnUnreachable()
	if len(l.set.rules) > 0 {
		l.warnUnused()
	}
	for _, k := range l.set.sinks {
		l.warnRetry(k)
	}
}

// warnEach finds the same in single sinks and rules, whatever is wrong elsewhere.
func (l *loader) warnEach() {
	for _, r := range l.set.rules {
		warnBraces(r.keys.Text)
		warnBraces(r.keys.Subject)
	}
	for _, k := range l.set.sinks {
		l.warnLoop(k)
		l.warnChat(k)
	}
}

func (l *loader) warnEmpty() {
	root := l.file.Root()
	if len(l.set.doc.Sources) == 0 {
		root.Warn("there are no sources: nothing can be received")
	}
	if len(l.set.rules) == 0 && l.set.unmatched == nil {
		root.Get("rules").Warn("there are no rules: every callback is left in the log")
	}
}

// warnUnreachable finds rules that no callback reaches.
func (l *loader) warnUnreachable() {
	var last *rule
	stops := map[string]*rule{} // by condition
	for _, r := range l.set.rules {
		before := stops[r.keys.When.Text]
		if last != nil {
			before = last
		}
		if before != nil {
			r.keys.Name.Node.Report(conf.Problem{Len: len(r.name), Warning: true,
				Message: fmt.Sprintf("no callback reaches the rule %q: %q takes it first, and stops", r.name, before.name),
				Hint:    fmt.Sprintf("move it above %q, or take stop from that", before.name)})
		}
		if r.stop && stops[r.keys.When.Text] == nil {
			stops[r.keys.When.Text] = r
		}
		if r.stop && last == nil && (r.when == nil || strings.TrimSpace(r.keys.When.Text) == "true") {
			last = r
		}
	}
}

// warnUnused finds sinks that nothing goes to.
func (l *loader) warnUnused() {
	used := map[*sink]bool{}
	for _, r := range l.set.rules {
		for _, w := range r.ways {
			used[w.sink] = true
		}
	}
	for _, k := range l.set.sinks {
		used[k.fallback] = true
	}
	if l.set.unmatched != nil {
		used[l.set.unmatched.sink] = true
	}
	for _, p := range l.set.doc.Sinks {
		if k := l.set.byName.sinks[p.Key.Text]; k != nil && !used[k] {
			p.Key.Node.Report(conf.Problem{Len: len(k.name), Message: fmt.Sprintf("nothing goes to the sink %q", k.name), Hint: "name it under `to` of a rule, or remove it", Warning: true})
		}
	}
}

// warnRetry finds a schedule that outlives what it is about.
func (l *loader) warnRetry(k *sink) {
	var whole time.Duration
	for _, wait := range k.destination.Retry {
		whole += wait
	}
	if whole <= l.set.log.Keep {
		return
	}
	p := conf.Problem{Message: fmt.Sprintf("the sink %q retries for %s, longer than the log keeps (%s)", k.name, span(whole), span(l.set.log.Keep)),
		Hint: "shorten retry, or lengthen log.keep", Warning: true}
	own := l.file.Root().Get("sinks").Get(k.name).Get("retry")
	if !own.Present() {
		p.Message = fmt.Sprintf("sinks retry for %s, longer than the log keeps (%s)", span(whole), span(l.set.log.Keep))
		own = l.file.Root().Get("log").Get("keep")
	}
	own.Report(p)
}

// span writes a duration in days and hours.
func span(d time.Duration) string {
	days := d / (24 * time.Hour)
	rest := strings.TrimSuffix(strings.TrimSuffix((d%(24*time.Hour)).String(), "0s"), "0m")
	switch {
	case days == 0:
		return rest
	case rest == "":
		return fmt.Sprintf("%dd", days)
	}
	return fmt.Sprintf("%dd%s", days, rest)
}

// warnLoop finds a sink that sends to this very relay.
func (l *loader) warnLoop(k *sink) {
	node := l.file.Root().Get("sinks").Get(k.name).Get(k.kind.Name).Get("url")
	if k.kind.Name != "http" || node.Kind() != "scalar" {
		return
	}
	text, _ := node.Text()
	u, err := url.Parse(text)
	if err != nil {
		return
	}
	name, ours := strings.CutPrefix(u.Path, "/webhook/")
	src := l.set.byName.sources[name]
	if !ours || src == nil {
		return
	}
	public, _ := l.file.Root().Get("sources").Get(name).Get("public_url").Text()
	own, err := url.Parse(public)
	if loopback.MatchString(u.Hostname()) && u.Port() == usualPort || err == nil && own.Host != "" && own.Host == u.Host {
		node.Report(conf.Problem{Message: fmt.Sprintf("the sink %q sends to this relay's own source %q", k.name, name),
			Hint: "write the address of your own system", Warning: true})
	}
}

// usualPort is where callbacks are taken unless a flag says otherwise. On another
// port of this machine a shop's own handler may well have the same path.
const usualPort = "8080"

var loopback = regexp.MustCompile(`^(localhost|127\..*|::1)$`)

var groupWithoutMinus = regexp.MustCompile(`^100\d{10}$`)

// warnChat finds the id of a group that lost its minus.
func (l *loader) warnChat(k *sink) {
	node := l.file.Root().Get("sinks").Get(k.name).Get(k.kind.Name).Get("chat")
	if k.kind.Name != "telegram" || node.Kind() != "scalar" {
		return
	}
	if text, _ := node.Text(); groupWithoutMinus.MatchString(text) {
		node.Report(conf.Problem{Len: len(text), Warning: true, Message: "this looks like the id of a group without its minus",
			Hint: "write -" + text})
	}
}

// onceBraced matches what other template languages, or nobody, would replace.
var onceBraced = regexp.MustCompile(`\{((?:data|body)\.[A-Za-z_][\w.]*|event|ref_id|source)\}|%(ref_id|event)%`)

// maxTold is how many warnings of one kind a text gets: finding their places costs.
const maxTold = 20

// warnBraces finds names in a text with one brace on either side.
func warnBraces(text conf.String) {
	for _, m := range onceBraced.FindAllStringIndex(lang.Blank(text.Text, ' '), maxTold) {
		if m[0] > 0 && text.Text[m[0]-1] == '$' {
			continue // that was told
		}
		name := strings.Trim(text.Text[m[0]:m[1]], "{}%")
		text.Node.ReportAt(m[0], conf.Problem{Len: m[1] - m[0], Message: text.Text[m[0]:m[1]] + " stays as it is", Hint: "write {{ " + name + " }}", Warning: true})
	}
}
