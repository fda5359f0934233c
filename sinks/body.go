package sinks

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// A body makes what is sent in place of the callback's own bytes.
type body struct {
	contentType string
	render      func(httpVars) (string, error) // nil: there is none
}

const (
	jsonType = "application/json"
	formType = "application/x-www-form-urlencoded"
)

// newBody compiles the `body` or `form` of a sink. contentType is what its
// headers say, "" if they don't.
func newBody(set *httpSettings, contentType string) body {
	switch {
	case set.Body.Present() && len(set.Form) > 0:
		set.Form[0].Key.Node.Problem("body and form exclude each other")
	case len(set.Form) > 0:
		return formBody(set.Form)
	case set.Body.Kind() == "scalar":
		return textBody(set.Body, contentType)
	case set.Body.Present():
		write := newValue(set.Body)
		return body{jsonType, func(v httpVars) (string, error) {
			b, err := write(nil, v)
			return string(b), err
		}}
	}
	return body{}
}

func formBody(form conf.Map[conf.String]) body {
	parts := newParts(form, lang.Plain)
	return body{formType, func(v httpVars) (string, error) { return renderPairs(parts, v) }}
}

// textBody is a text whose values are escaped for what it is: by its
// Content-Type, or else by how it begins.
func textBody(n conf.Node, contentType string) body {
	text, _ := n.Text()
	if contentType == "" {
		contentType = guessType(text)
	}
	t := template(httpEnv, conf.String{Text: text, Node: n}, escapeFor(contentType))
	return body{contentType, func(v httpVars) (string, error) {
		s, err := t.Render(v)
		if err == nil && escapeFor(contentType) == lang.JSON && !json.Valid([]byte(s)) {
			return "", errors.New("the text is no JSON once its values are in: a mapping in place of a text always is")
		}
		return s, err
	}}
}

func guessType(text string) string {
	text = strings.TrimSpace(text)
	switch {
	case strings.HasPrefix(text, "{") && !strings.HasPrefix(text, "{{"), strings.HasPrefix(text, "["):
		return jsonType
	case strings.HasPrefix(text, "<"):
		return "application/xml"
	}
	return "text/plain; charset=utf-8"
}

func escapeFor(contentType string) lang.Escape {
	kind, _, _ := strings.Cut(strings.ToLower(contentType), ";")
	switch {
	case strings.HasSuffix(kind, "json"):
		return lang.JSON
	case strings.HasSuffix(kind, "xml"), strings.HasSuffix(kind, "html"):
		return lang.HTML
	case strings.HasSuffix(kind, "x-www-form-urlencoded"):
		return lang.Query
	}
	return lang.Plain
}

// A valueWriter appends a JSON value made for a callback.
type valueWriter func(b []byte, v httpVars) ([]byte, error)

// newValue compiles a value of YAML whose texts are templates. A text that is
// one {{ expr }} and nothing else keeps the type of the expression's value:
// numbers stay numbers.
func newValue(n conf.Node) valueWriter {
	switch n.Kind() {
	case "mapping":
		return newObject(n)
	case "list":
		return newList(n)
	case "scalar":
		return newLeaf(n)
	}
	return literal(nil)
}

func newObject(n conf.Node) valueWriter {
	var names [][]byte
	var values []valueWriter
	for _, e := range n.Entries() {
		names = append(names, append(toJSON(e.Name()), ':'))
		values = append(values, newValue(e.Value))
	}
	return func(b []byte, v httpVars) ([]byte, error) {
		return writeAll(b, '{', '}', values, names, v)
	}
}

func newList(n conf.Node) valueWriter {
	var values []valueWriter
	for _, item := range n.Items() {
		values = append(values, newValue(item))
	}
	return func(b []byte, v httpVars) ([]byte, error) {
		return writeAll(b, '[', ']', values, make([][]byte, len(values)), v)
	}
}

func writeAll(b []byte, open, end byte, values []valueWriter, names [][]byte, v httpVars) (_ []byte, err error) {
	b = append(b, open)
	for i, write := range values {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = write(append(b, names[i]...), v); err != nil {
			return nil, err
		}
	}
	return append(b, end), nil
}

func newLeaf(n conf.Node) valueWriter {
	text, _ := n.Text()
	switch value := n.Value().(type) {
	case bool:
		return literal(value)
	case int64, float64:
		if json.Valid([]byte(text)) {
			return literal(json.RawMessage(text))
		}
		return literal(text) // JSON has no such number: 0x1F
	}
	if !strings.Contains(text, "{{") {
		return literal(text)
	}
	if src, ok := loneExpr(text); ok {
		return newTyped(n, src, strings.Index(text, src))
	}
	t := template(httpEnv, conf.String{Text: text, Node: n}, lang.Plain)
	return func(b []byte, v httpVars) ([]byte, error) {
		s, err := t.Render(v)
		return append(b, toJSON(s)...), err
	}
}

// loneExpr gives the expression of a text that is one {{ expr }}.
func loneExpr(text string) (src string, ok bool) {
	src, ok = strings.CutPrefix(strings.TrimSpace(text), "{{")
	if !ok {
		return "", false
	}
	src, ok = strings.CutSuffix(src, "}}")
	return src, ok && !strings.Contains(src, "{{") && !strings.Contains(src, "}}")
}

func newTyped(n conf.Node, src string, offset int) valueWriter {
	p, err := httpEnv.Compile(src, lang.Any)
	report(n, offset, err)
	return func(b []byte, v httpVars) ([]byte, error) {
		value, err := p.Eval(v)
		if err != nil {
			return nil, err
		}
		return append(b, toJSON(value)...), nil
	}
}

func literal(v any) valueWriter {
	text := toJSON(v)
	return func(b []byte, _ httpVars) ([]byte, error) { return append(b, text...), nil }
}

// toJSON gives a value as JSON that leaves <, > and & as they are. What JSON
// cannot say, such as a number that is infinite, is null.
func toJSON(v any) []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return []byte("null")
	}
	return bytes.TrimRight(b.Bytes(), "\n")
}
