package source

import (
	"bytes"
	"maps"
	"net/url"
	"slices"
	"strings"
)

// maxFormDepth is how deep the brackets of a field's name nest: a[b][c] is 2.
const maxFormDepth = 8

// fields are a query or a form, by name.
type fields struct {
	first    map[string]any // the first text under each name
	values   url.Values
	repeated []string // names that stand more than once, as paths, lists left out
	bad      bool     // it is no proper form
}

func parseFields(text string) fields {
	values, err := url.ParseQuery(text)
	f := fields{first: make(map[string]any, len(values)), values: values, bad: err != nil}
	seen := make(map[string]bool, len(values))
	for name, vs := range values {
		f.first[name] = vs[0]
		if path := strings.ToLower(fieldPath(name)); !strings.HasSuffix(name, "[]") {
			if len(vs) > 1 || seen[path] {
				f.repeated = append(f.repeated, path)
			}
			seen[path] = true
		}
	}
	return f
}

// looksLikeForm reports whether a body may be a form: pairs without a blank, a
// control character or a bracket of JSON in them.
func looksLikeForm(body []byte) bool {
	for _, c := range body {
		if c <= ' ' || c == '{' || c == '"' || c == '<' || c == 0x7f {
			return false
		}
	}
	return bytes.IndexByte(body, '=') > 0
}

// plain reports whether every name stands once, so that all readers read the same.
func (f *fields) plain() bool {
	for _, vs := range f.values {
		if len(vs) > 1 {
			return false
		}
	}
	return len(f.repeated) == 0 && !f.bad
}

// touch reports whether the field at a path, or one in it or above it, stands
// more than once; "" is the whole form.
func (f *fields) touch(path string) bool {
	path = strings.ToLower(path)
	for _, r := range f.repeated {
		if path == "" || within(path, r) || within(r, path) {
			return true
		}
	}
	return f.bad
}

func within(path, outer string) bool {
	rest, ok := strings.CutPrefix(path, outer)
	return ok && (rest == "" || rest[0] == '.' || rest[0] == '[')
}

// fieldPath is the path that a name with brackets means: "data[sn]" is "data.sn".
func fieldPath(name string) string { return strings.Join(fieldKeys(name), ".") }

// fieldKeys are the keys in a name such as data[sn]; the last of a list's is "".
// A name that is not of this form is its own key.
func fieldKeys(name string) []string {
	first, rest, ok := strings.Cut(name, "[")
	if !ok || first == "" || !strings.HasSuffix(rest, "]") || strings.Count(name, "[") > maxFormDepth {
		return []string{name}
	}
	return append([]string{first}, strings.Split(strings.TrimSuffix(rest, "]"), "][")...)
}

// tree is the form as PHP reads it: data[sn]=1 is {"data": {"sn": "1"}}, and
// items[]=a is {"items": ["a"]}. A name that would be a text and an object at
// once keeps its brackets.
func (f *fields) tree() map[string]any {
	t := make(map[string]any, len(f.values))
	for _, name := range slices.Sorted(maps.Keys(f.values)) {
		keys, value := fieldKeys(name), f.first[name]
		if keys[len(keys)-1] == "" && len(keys) > 1 {
			keys, value = keys[:len(keys)-1], list(f.values[name])
		}
		last := keys[len(keys)-1]
		if at := descend(t, keys[:len(keys)-1]); at != nil && at[last] == nil {
			at[last] = value
		} else {
			t[name] = value
		}
	}
	return t
}

// descend is the object that keys lead to, made if need be; nil if a text is in
// the way.
func descend(at map[string]any, keys []string) map[string]any {
	for _, key := range keys {
		if at[key] == nil {
			at[key] = map[string]any{}
		}
		next, ok := at[key].(map[string]any)
		if !ok {
			return nil
		}
		at = next
	}
	return at
}

func list(texts []string) []any {
	l := make([]any, len(texts))
	for i, s := range texts {
		l[i] = s
	}
	return l
}
