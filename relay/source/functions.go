package source

import (
	"crypto"
	"crypto/hmac"
	_ "crypto/md5"    // linked in for crypto.Hash
	_ "crypto/sha1"   // the same
	_ "crypto/sha512" // the same
	"encoding/base64"
	"encoding/hex"
	"errors"
	"slices"
	"strings"

	"github.com/kurir-relay/kurir/relay/lang"
)

var hashes = map[string]crypto.Hash{"md5": crypto.MD5, "sha1": crypto.SHA1, "sha256": crypto.SHA256, "sha512": crypto.SHA512}

// functions are what a source's expressions may call beside those every
// expression may. Each gives nil for a nil argument, so that what is absent
// stays absent.
var functions = []lang.Func{
	digest("md5", `"b86fc6b051f63d73de262d4c34e3a0a9"`),
	digest("sha1", `"06d945942aa26a61be18c3e22bf19bbca8dd2b5d"`),
	digest("sha256", `"38164fbd17603d73f696b8b4d72664d735bb6a7c88577687fd2ae33fd6964153"`),
	digest("sha512", `"71edc062331872ff3c13c77d98f4af0e8e27bb360d03690558beab6711f9733e5dc7f114b7af58cfbcd6360575873c09a667a9af749dc912e4ca276a7dfee5d3"`),
	{Name: "hmac", Doc: "The HMAC of a text as hex digits.", Example: `hmac("sha256", "key", "text")`,
		Yields: `"6afa9046a9579cad143a384c1b564b9a250d27d6f6a63f9f20bf3a7594c9e2c6"`,
		Types:  []any{new(func(any, any, any) any)}, Call: hmacOf},
	textual("hex", "The bytes of a text as hex digits.", `hex("AB")`, `"4142"`, func(s string) (string, error) { return hex.EncodeToString([]byte(s)), nil }),
	textual("unhex", "The bytes that hex digits stand for; nil if they are none.", `unhex("4142")`, `"AB"`, func(s string) (string, error) {
		b, err := hex.DecodeString(s)
		return string(b), err
	}),
	textual("toBase64", "The bytes of a text in base64.", `toBase64("AB")`, `"QUI="`, func(s string) (string, error) {
		return base64.StdEncoding.EncodeToString([]byte(s)), nil
	}),
	textual("fromBase64", "The bytes that base64 stands for, with or without = at its end; nil if it is none.", `fromBase64("QUI")`, `"AB"`, func(s string) (string, error) {
		b, err := decodeBase64(s)
		return string(b), err
	}),
	textual("minify", "JSON without the blanks between its values, and else as it is.", `minify("{\"a\": 1.00}")`, `"{\"a\":1.00}"`, minify),
	{Name: "kv", Doc: "What a header of pairs holds: for each name the list of its values.",
		Example: `kv("t=1,v1=a,v1=b", ",")["v1"]`, Yields: `["a","b"]`, Types: []any{new(func(any, string) any)},
		Call: func(args ...any) (any, error) { return kv(args[0], args[1]), nil }},
	{Name: "sortedForm", Doc: "The names and values of a form in the order of the names, without anything between them.",
		Example: `sortedForm({"b": "2", "a": "1"})`, Yields: `"a1b2"`, Types: []any{new(func(any) any)},
		Call: func(args ...any) (any, error) { return sortedForm(args[0]), nil }},
}

// Functions lists what a source's expressions may call beside what every
// expression may.
func Functions() []lang.Func { return slices.Clone(functions) }

// Names lists the values that a source's expressions may name.
func Names() []lang.Name { return env.Names() }

func digest(name, yields string) lang.Func {
	return textual(name, "The "+strings.ToUpper(name)+" hash of a text as hex digits.", name+`("AB")`, yields, func(s string) (string, error) {
		return hex.EncodeToString(sumOf(hashes[name], []byte(s))), nil
	})
}

// textual is a function from text to text. What can't be converted is nil.
func textual(name, doc, example, yields string, f func(string) (string, error)) lang.Func {
	return lang.Func{Name: name, Doc: doc, Example: example, Yields: yields, Types: []any{new(func(any) any)},
		Call: func(args ...any) (any, error) {
			text, ok := scalar(args[0]).(string)
			if !ok {
				return nil, nil
			}
			out, err := f(text)
			if err != nil {
				return nil, nil
			}
			return out, nil
		}}
}

var errAlgorithm = errors.New("hmac knows md5, sha1, sha256 and sha512")

func hmacOf(args ...any) (any, error) {
	algorithm, _ := scalar(args[0]).(string)
	key, isKey := scalar(args[1]).(string)
	text, isText := scalar(args[2]).(string)
	h, known := hashes[algorithm]
	switch {
	case !isKey || !isText:
		return nil, nil
	case !known:
		return nil, errAlgorithm
	}
	mac := hmac.New(h.New, []byte(key))
	mac.Write([]byte(text))
	return hex.EncodeToString(mac.Sum(nil)), nil
}

// maxPairs bounds what kv reads of a header.
const maxPairs = 64

func kv(header, sep any) any {
	text, ok := header.(string)
	separator, _ := sep.(string)
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
