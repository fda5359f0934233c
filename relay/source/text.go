package source

import (
	"strconv"
	"strings"

	"github.com/kurir-relay/kurir/relay/lang"
)

// text is the value at a path such as "data.items.0.sku": a string's text, or
// the very characters of a number. It is nil if there is none, if it is no
// single value, or if a key on the way stands more than once.
func (v *vars) text(path string) any {
	v.parse()
	if v.twice.Any() && v.twice.Touch(listPath(path)) || v.Form != nil && v.form.touch(path) {
		return nil
	}
	at := v.Body
	for part := range strings.SplitSeq(path, ".") {
		switch node := at.(type) {
		case map[string]any:
			at = node[part]
		case []any:
			i, err := strconv.Atoi(part)
			if err != nil || i < 0 || i >= len(node) {
				return nil
			}
			at = node[i]
		default:
			return nil
		}
	}
	return scalar(at)
}

// listPath writes the numbers of a path as package lang names the elements of
// lists: "a[].b" for "a.0.b".
func listPath(path string) string {
	parts := strings.Split(path, ".")
	var b strings.Builder
	for i, part := range parts {
		switch _, err := strconv.Atoi(part); {
		case err == nil:
			b.WriteString("[]")
		case i > 0:
			b.WriteString("." + part)
		default:
			b.WriteString(part)
		}
	}
	return b.String()
}

// scalar is the text of a single value; nil for nil, lists and objects.
func scalar(v any) any {
	switch v.(type) {
	case nil, map[string]any, []any:
		return nil
	case string:
		return v
	}
	return lang.Print(v)
}
