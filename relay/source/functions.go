package source

import (
	"crypto"
	"crypto/hmac"
	_ "crypto/md5"    // linked in for crypto.Hash
	_ "crypto/sha1"   // the same
	_ "crypto/sha512" // the same
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"github.com/kurir-relay/kurir/relay/lang"
)

var hashes = map[string]crypto.Hash{"md5": crypto.MD5, "sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha512": crypto.SHA512}

// functions are what a source's expressions may call beside expr's own. Each
// gives nil for a nil argument, so that what is absent stays absent.
var functions = []lang.Func{
	digest("md5"), digest("sha1"), digest("sha256"), digest("sha512"),
	{Name: "hmac", Doc: "the HMAC of a text, in hex", Example: `hmac("sha256", "key", "text")`,
		Yields: `"6afa9046a9579cad143a384c1b564b9a250d27d6f6a63f9f20bf3a7594c9e2c6"`,
		Types:  []any{new(func(any, any, any) any)}, Call: hmacOf},
	textual("hex", "bytes as hex digits", `hex("AB")`, `"4142"`, func(s string) (string, error) { return hex.EncodeToString([]byte(s)), nil }),
	textual("unhex", "hex digits as bytes", `unhex("4142")`, `"AB"`, func(s string) (string, error) {
		b, err := hex.DecodeString(s)
		return string(b), err
	}),
	textual("toBase64", "bytes as base64", `toBase64("AB")`, `"QUI="`, func(s string) (string, error) {
		return base64.StdEncoding.EncodeToString([]byte(s)), nil
	}),
	textual("fromBase64", "base64 as bytes, with or without padding", `fromBase64("QUI")`, `"AB"`, func(s string) (string, error) {
		b, err := decodeBase64(s)
		return string(b), err
	}),
	textual("minify", "JSON without the spaces between its values", `minify("{\"a\": 1}")`, `"{\"a\":1}"`, minify),
	{Name: "kv", Doc: "a header of pairs, such as t=1,v1=a,v1=b: for each name the list of its values",
		Example: `kv("t=1,v1=a", ",")["v1"]`, Yields: `["a"]`, Types: []any{new(func(any, string) any)},
		Call: func(args ...any) (any, error) { return kv(args[0], args[1].(string)), nil }},
	{Name: "sortedForm", Doc: "the names and values of a form, sorted by name, without separators",
		Example: `sortedForm({"b": "2", "a": "1"})`, Yields: `"a1b2"`, Types: []any{new(func(any) any)},
		Call: func(args ...any) (any, error) { return sortedForm(args[0]), nil }},
}

func digest(name string) lang.Func {
	return textual(name, "the "+strings.ToUpper(name)+" hash of a text, in hex", "", "", func(s string) (string, error) {
		return hex.EncodeToString(sumOf(hashes[name], []byte(s))), nil
	})
}

// textual is a function from text to text. What can't be converted is nil.
func textual(name, doc, example, yields string, f func(string) (string, error)) lang.Func {
	return lang.Func{Name: name, Doc: doc, Example: example, Yields: yields, Types: []any{new(func(any) any)},
		Call: func(args ...any) (any, error) {
			if args[0] == nil {
				return nil, nil
			}
			out, err := f(lang.Print(args[0]))
			if err != nil {
				return nil, nil
			}
			return out, nil
		}}
}

func hmacOf(args ...any) (any, error) {
	if args[0] == nil || args[1] == nil || args[2] == nil {
		return nil, nil
	}
	h, ok := hashes[lang.Print(args[0])]
	if !ok {
		return nil, fmt.Errorf("hmac: unknown algorithm %v", args[0])
	}
	mac := hmac.New(h.New, []byte(lang.Print(args[1])))
	mac.Write([]byte(lang.Print(args[2])))
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// maxPairs bounds what kv reads of a header.
const maxPairs = 64

func kv(header any, separator string) any {
	text, ok := header.(string)
	if !ok || separator == "" {
		return nil
	}
	m := map[string]any{}
	for i, pair := range strings.Split(text, separator) {
		name, value, ok := strings.Cut(strings.TrimSpace(pair), "=")
		if !ok || i >= maxPairs {
			continue
		}
		list, _ := m[name].([]any)
		m[name] = append(list, value)
	}
	return m
}

func sortedForm(form any) any {
	m, _ := form.(map[string]any)
	if m == nil {
		return nil
	}
	names := make([]string, 0, len(m))
	for name := range m {
		names = append(names, name)
	}
	slices.Sort(names)
	var b strings.Builder
	for _, name := range names {
		b.WriteString(name)
		b.WriteString(lang.Print(m[name]))
	}
	return b.String()
}

func decodeBase64(s string) ([]byte, error) {
	return base64.RawStdEncoding.DecodeString(strings.TrimRight(s, "="))
}

// minify removes the white space between the tokens of a JSON text, and nothing
// else: numbers and strings keep their characters.
func minify(s string) (string, error) {
	var b strings.Builder
	b.Grow(len(s))
	inString := false
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case inString && c == '\\' && i+1 < len(s):
			b.WriteByte(c)
			i++
			c = s[i]
		case c == '"':
			inString = !inString
		case !inString && (c == ' ' || c == '\t' || c == '\n' || c == '\r'):
			continue
		}
		b.WriteByte(c)
	}
	return b.String(), nil
}
