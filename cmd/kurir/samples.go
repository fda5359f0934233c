package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/testdata"
)

// samplesOf are the samples that fit a source: those of its preset, or all for
// one that is described key by key.
func samplesOf(s *source.Source) []testdata.Sample {
	if s.Preset() == "" {
		return testdata.Samples()
	}
	return testdata.Of(s.Preset())
}

// sampleCallbacks are what the rules may expect of a source with a preset.
func sampleCallbacks(s *source.Source) (cs []relay.Callback) {
	for _, sample := range testdata.Of(s.Preset()) {
		cs = append(cs, relay.Callback{Source: s.Name(), Method: http.MethodPost, URI: "/webhook/" + s.Name(), Header: sample.Header, Body: sample.Body})
	}
	return cs
}

// storedCallbacks are callbacks in the daemon's log since a time, by source: what
// the rules may expect beside the samples.
func (c *cli) storedCallbacks(ctx context.Context, since string) (map[string][]relay.Callback, error) {
	answer, err := c.client().call(ctx, http.MethodGet, "/api/samples?"+url.Values{"since": {since}}.Encode(), nil)
	if err != nil {
		return nil, err
	}
	var got server.Samples
	if err := json.Unmarshal(answer, &got); err != nil {
		return nil, fmt.Errorf("the daemon's answer: %w", err)
	}
	all := map[string][]relay.Callback{}
	for _, s := range got.Samples {
		all[s.Source] = append(all[s.Source], relay.Callback{Source: s.Source, Method: s.Method, URI: s.URI, Header: s.Header, Body: s.Body})
	}
	return all, nil
}

// choose gives the source that a sample of an event is for, and the sample. With
// no name it is the one source that has such a sample; a source that is described
// key by key, which fits any, comes after those with a preset.
func choose(set *rules.Set, name, event string) (*source.Source, testdata.Sample, error) {
	var found *source.Source
	var sample testdata.Sample
	for _, s := range set.Sources() {
		i := slices.IndexFunc(samplesOf(s), func(t testdata.Sample) bool { return t.Event == event })
		if i < 0 || name != "" && s.Name() != name {
			continue
		}
		if found != nil && found.Preset() != "" && s.Preset() == "" {
			continue
		}
		if found != nil && (found.Preset() == "") == (s.Preset() == "") {
			return nil, sample, fmt.Errorf("the sources %s and %s both have a sample %s: choose with --source", found.Name(), s.Name(), event)
		}
		found, sample = s, samplesOf(s)[i]
	}
	if found != nil {
		return found, sample, nil
	}
	if _, known := set.Source(name); name != "" && !known {
		return nil, sample, fmt.Errorf("no source %q in the rules", name)
	}
	return nil, sample, fmt.Errorf("no source of the rules has a sample %q: kurir send --list shows what there is, and --body sends a file", event)
}

// setField changes one value of a body, name=value, and leaves its other bytes
// as they are. What was a text stays a text.
func setField(header http.Header, body []byte, assignment string) ([]byte, error) {
	path, value, ok := strings.Cut(assignment, "=")
	if !ok || path == "" {
		return nil, misused("--set %s: write PATH=VALUE, such as data.price=5000", assignment)
	}
	if isForm(header) {
		return setFormField(body, path, value)
	}
	text := []byte(value)
	if was, known := fieldOf(body, path); known && isText(was) && !strings.HasPrefix(value, `"`) || !json.Valid(text) {
		text = quoted(value)
	}
	return source.SetJSON(body, path, text)
}

func isForm(header http.Header) bool {
	return strings.HasPrefix(header.Get("Content-Type"), "application/x-www-form-urlencoded")
}

func setFormField(body []byte, name, value string) ([]byte, error) {
	pairs := strings.Split(string(body), "&")
	for i, pair := range pairs {
		if key, _, _ := strings.Cut(pair, "="); key == url.QueryEscape(name) {
			pairs[i] = key + "=" + url.QueryEscape(value)
			return []byte(strings.Join(pairs, "&")), nil
		}
	}
	return nil, fmt.Errorf("--set %s: the form has no such field", name)
}

// fieldOf is the value at a path such as data.items.0.sku.
func fieldOf(body []byte, path string) (any, bool) {
	at, err := lang.ParseJSON(body)
	for part := range strings.SplitSeq(path, ".") {
		if err != nil {
			return nil, false
		}
		at, err = child(at, part)
	}
	return at, err == nil
}

func child(v any, name string) (any, error) {
	if m, ok := v.(map[string]any); ok {
		if c, ok := m[name]; ok {
			return c, nil
		}
	}
	return nil, errors.New("no such key")
}

func isText(v any) bool {
	_, ok := v.(string)
	return ok
}

// quoted is a JSON string, without escapes that only HTML needs.
func quoted(s string) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.Encode(s)
	return bytes.TrimRight(b.Bytes(), "\n")
}

// renamed gives the body another ref_id, so that it is an order of its own.
func renamed(s *source.Source, header http.Header, body []byte, suffix string) ([]byte, error) {
	c := s.Read(relay.Callback{Source: s.Name(), Method: http.MethodPost, URI: "/webhook/" + s.Name(), Header: header, Body: body})
	if c.RefID == "" || !bytes.Contains(body, []byte(c.RefID)) {
		return nil, errors.New("--new: no ref_id was found in the body; change one with --set")
	}
	return bytes.ReplaceAll(body, []byte(c.RefID), []byte(c.RefID+suffix)), nil
}

// curl is a command that sends the request, to be pasted into a shell.
func curl(address string, r source.Request) string {
	line := "curl -sS " + shell(address)
	if r.Method != http.MethodPost {
		line += " -X " + r.Method
	}
	names := slices.DeleteFunc(slices.Collect(maps.Keys(r.Header)), func(n string) bool { return n == "User-Agent" || n == "Accept" })
	slices.Sort(names)
	for _, name := range names {
		for _, value := range r.Header[name] {
			line += " -H " + shell(name+": "+value)
		}
	}
	return line + " --data-binary " + shell(string(r.Body))
}

func shell(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
