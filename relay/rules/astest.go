package rules

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/kurir-relay/kurir/relay"
)

// writtenTest is a test as it stands in a file.
type writtenTest struct {
	Name    string            `yaml:"name"`
	Source  string            `yaml:"source"`
	Method  string            `yaml:"method,omitempty"`
	Query   map[string]string `yaml:"query,omitempty"`
	Headers map[string]string `yaml:"headers,omitempty"`
	Body    string            `yaml:"body,omitempty"`
	At      string            `yaml:"at"`
	Expect  struct {
		Rules []string          `yaml:"rules,flow"`
		Sinks []string          `yaml:"sinks,flow"`
		Text  map[string]string `yaml:"text,omitempty"`
	} `yaml:"expect"`
}

// AsTest writes a test that expects of c what the Set makes of it now.
func (s *Set) AsTest(c relay.Callback) ([]byte, error) {
	e := s.Explain(c)
	t := writtenTest{Name: strings.TrimSpace(e.Fields.Event + " " + e.Fields.RefID), Source: c.Source,
		At: e.Fields.ReceivedAt.Format("2006-01-02 15:04:05"), Body: indented(c.Body)}
	if c.Method != http.MethodPost {
		t.Method = c.Method
	}
	if _, query, ok := strings.Cut(c.URI, "?"); ok {
		t.Query = map[string]string{}
		values, _ := url.ParseQuery(query)
		for name := range values {
			t.Query[name] = values.Get(name)
		}
	}
	t.Headers = s.neededHeaders(c, e)
	t.Expect.Rules, t.Expect.Sinks = slices.Concat([]string{}, e.Fired()), slices.Concat([]string{}, e.Sinks())
	t.Expect.Text = map[string]string{}
	for _, d := range e.Deliveries {
		if d.Preview.Text != "" && d.Error == "" && t.Expect.Text[d.Sink] == "" {
			t.Expect.Text[d.Sink] = strings.TrimSpace(d.Preview.Text)
		}
	}
	var b bytes.Buffer
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	err := enc.Encode(map[string][]writtenTest{"tests": {t}})
	return b.Bytes(), err
}

// indented is JSON with a line for each value, and any other text as it is.
func indented(body []byte) string {
	var b bytes.Buffer
	if json.Indent(&b, body, "", "  ") != nil {
		return string(body)
	}
	return b.String()
}

// neededHeaders are c's headers, if c is not read the same way without them.
func (s *Set) neededHeaders(c relay.Callback, e Explanation) map[string]string {
	bare := c
	bare.Parsed, bare.Event, bare.RefID = nil, "", ""
	bare.Header = http.Header{"Content-Type": {"application/json"}}
	if again := s.Explain(bare); again.Fields.Event == e.Fields.Event && again.Fields.RefID == e.Fields.RefID &&
		slices.Equal(again.Fired(), e.Fired()) {
		return nil
	}
	headers := map[string]string{}
	for name, values := range c.Header {
		headers[name] = strings.Join(values, ", ")
	}
	return headers
}
