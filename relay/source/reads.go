package source

import (
	"slices"
	"strings"
)

// reads is what an expression looks at in a request. It may name too much,
// never too little.
type reads struct {
	names   []string // raw, body, form, header, ...
	json    []string // paths into a JSON body, as lang.Repeats names them: "items[].sku"; "" is all of it
	form    []string // paths into a form; "" is all of it
	query   []string // paths into the query
	vars    []string // constants
	headers []string // by name; "" for one that is not known before it runs
}

func (r *reads) has(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return slices.Contains(r.names, name) })
}

// inBody reports whether the expression depends on how the body is parsed.
func (r *reads) inBody() bool { return r.has("body", "form", "text", "sortedForm") }

// readsOf lists what an expression reads, by its words alone: a name that
// follows a dot is no name of its own, and neither is one in quotes.
func readsOf(src string) (r reads) {
	afterDot := false
	for i := 0; i < len(src); {
		switch c := src[i]; {
		case c == '"' || c == '\'' || c == '`':
			i += quotedLen(src[i:])
			afterDot = false
		case isLetter(c):
			n := wordLen(src[i:])
			if !afterDot {
				n += r.add(src[i:i+n], src[i+n:])
			}
			i += n
			afterDot = false
		default:
			blank := c == ' ' || c == '\t' || c == '\n' || c == '\r'
			afterDot = c == '.' && !strings.HasSuffix(src[:i], ".") || afterDot && blank
			i++
		}
	}
	return r
}

// add notes a name with the path that follows it, and returns the path's length.
func (r *reads) add(name, rest string) int {
	if !slices.Contains(r.names, name) {
		r.names = append(r.names, name)
	}
	switch name {
	case "body":
		path, n := memberPath(rest)
		r.json, r.form = append(r.json, path), append(r.form, path)
		return n
	case "text":
		path := argument(rest)
		r.json, r.form = append(r.json, listPath(path)), append(r.form, path)
	case "header":
		r.headers = append(r.headers, argument(rest))
	case "form":
		path, n := memberPath(rest)
		r.form = append(r.form, fieldPath(path))
		return n
	case "query":
		path, n := memberPath(rest)
		r.query = append(r.query, fieldPath(path))
		return n
	case "vars":
		path, n := memberPath(rest)
		r.vars = append(r.vars, path)
		return n
	}
	return 0
}

// memberPath reads the members that follow a name, .a?.b["c"][0], as the path
// "a.b.c[]", up to the first that is not known before it runs.
func memberPath(src string) (path string, n int) {
	for {
		step, length := nextMember(src[n:])
		if length == 0 {
			return strings.TrimPrefix(path, "."), n
		}
		path += step
		n += length
	}
}

func nextMember(src string) (step string, n int) {
	dots := len(src) - len(strings.TrimLeft(src, "?."))
	if dots > 0 && len(src) > dots && src[dots-1] == '.' && isLetter(src[dots]) {
		word := wordLen(src[dots:])
		return "." + src[dots:dots+word], dots + word
	}
	inner, ok := strings.CutPrefix(src, "[")
	if !ok {
		return "", 0
	}
	if key := literal(inner); key != "" {
		if n := quotedLen(inner); strings.HasPrefix(inner[n:], "]") {
			return "." + key, n + 2
		}
	}
	if end := strings.IndexByte(inner, ']'); end > 0 && strings.Trim(inner[:end], "-0123456789 ") == "" {
		return "[]", end + 2
	}
	return "", 0
}

// argument is the text that a call is given; "" if it is made of more than one.
func argument(src string) string {
	src = strings.TrimLeft(src, " (")
	text := literal(src)
	if text == "" || !strings.HasPrefix(strings.TrimLeft(src[len(text)+2:], " "), ")") {
		return ""
	}
	return text
}

// literal is the text that src begins with in quotes; "" if it begins otherwise,
// or if the text is written with escapes.
func literal(src string) string {
	if src == "" || !strings.ContainsRune("\"'`", rune(src[0])) {
		return ""
	}
	text := src[1:max(1, quotedLen(src)-1)]
	if strings.ContainsRune(text, '\\') {
		return ""
	}
	return text
}

// quotedLen is the length of the quoted text that src begins with.
func quotedLen(src string) int {
	for i := 1; i < len(src); i++ {
		switch {
		case src[i] == '\\' && src[0] != '`':
			i++
		case src[i] == src[0]:
			return i + 1
		}
	}
	return len(src)
}

func wordLen(src string) int {
	n := 1
	for n < len(src) && (isLetter(src[n]) || src[n] >= '0' && src[n] <= '9') {
		n++
	}
	return n
}

func isLetter(c byte) bool {
	return c == '_' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= 0x80
}
