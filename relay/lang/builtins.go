package lang

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strings"
	"unicode/utf8"
)

// Signatures of functions.
var (
	anyToText      = []any{new(func(any) string)}
	anyToNumber    = []any{new(func(any) int)}
	textToText     = []any{new(func(string) string)}
	textsToText    = []any{new(func(string, string) string)}
	trimming       = []any{new(func(string) string), new(func(string, string) string)}
	textsToBool    = []any{new(func(string, string) bool)}
	textsToNumber  = []any{new(func(string, string) int)}
	numberToNumber = []any{new(func(int) int)}
	numbersOrList  = []any{new(func(...any) any)}
	listToAny      = []any{new(func([]any) any)}
	listToList     = []any{new(func([]any) []any)}
)

// exprFunctions are those of expr, with nil, exact numbers and the cost of each
// minded. Left out are what is no pure function of its arguments (now), what
// date, time and ago do instead (duration, timezone), and what no message needs
// (bit operations, pairs, flatten, mean and median, splitAfter).
var exprFunctions = []Func{
	{Name: "len", Doc: "The number of characters of a text, or of elements of a list or object; 0 of nil.",
		Example: `len("é✓")`, Yields: "2", Types: anyToNumber, within: length},
	{Name: "type", Doc: `What a value is: "nil", "bool", "string", "int", "float", "array", "map" or "time".`,
		Example: `type("11500")`, Yields: `"string"`, Types: anyToText, Call: typeName},
	{Name: "string", Doc: "A value as it prints.", Example: "string(11500)", Yields: `"11500"`, Types: anyToText, within: toText},
	{Name: "int", Doc: "A number, or a text that is one, without its fraction.", Example: `int("11500.75")`, Yields: "11500", Types: anyToNumber,
		Call: func(args ...any) (any, error) { return toNumber(args[0], true) }},
	{Name: "float", Doc: "A number, or a text that is one.", Example: `float("11500.75")`, Yields: "11500.75", Types: anyToNumber,
		Call: func(args ...any) (any, error) { return toNumber(args[0], false) }},
	{Name: "abs", Doc: "A number without its sign.", Example: "abs(-5)", Yields: "5", Types: numberToNumber, Call: abs},
	{Name: "round", Doc: "The nearest whole number, or the nearest with as many decimals as the second argument says.",
		Example: "round(2.345, 2)", Yields: "2.35", Types: []any{new(func(int) int), new(func(int, int) int)}, Call: rounded(toNearest)},
	{Name: "floor", Doc: "The whole number below.", Example: "floor(-2.5)", Yields: "-3", Types: numberToNumber, Call: rounded(down)},
	{Name: "ceil", Doc: "The whole number above.", Example: "ceil(2.1)", Yields: "3", Types: numberToNumber, Call: rounded(up)},
	{Name: "min", Doc: "The least of several values or of a list; nil is passed over.", Example: "min(3, [1, 2])", Yields: "1", Types: numbersOrList, within: extreme(-1)},
	{Name: "max", Doc: "The greatest of several values or of a list; nil is passed over.", Example: "max(3, 10, nil)", Yields: "10", Types: numbersOrList, within: extreme(1)},

	{Name: "trim", Doc: "A text without spaces at its ends, or without the characters of the second argument.",
		Example: `trim("  a ")`, Yields: `"a"`, Types: trimming, Call: trimmed(strings.TrimSpace, strings.Trim)},
	{Name: "trimPrefix", Doc: "A text without the beginning.", Example: `trimPrefix("order.failed", "order.")`, Yields: `"failed"`, Types: textsToText,
		Call: texts2(func(s, t string) any { return strings.TrimPrefix(s, t) })},
	{Name: "trimSuffix", Doc: "A text without the end.", Example: `trimSuffix("a.pdf", ".pdf")`, Yields: `"a"`, Types: textsToText,
		Call: texts2(func(s, t string) any { return strings.TrimSuffix(s, t) })},
	{Name: "upper", Doc: "A text in capital letters.", Example: `upper("gagal")`, Yields: `"GAGAL"`, Types: textToText, Call: text1(strings.ToUpper)},
	{Name: "lower", Doc: "A text in small letters.", Example: `lower("GAGAL")`, Yields: `"gagal"`, Types: textToText, Call: text1(strings.ToLower)},
	{Name: "split", Doc: "The parts of a text between a separator, at most as many as the third argument says.", Example: `split("a,b,c", ",", 2)`, Yields: `["a","b,c"]`,
		Types: []any{new(func(string, string) []any), new(func(string, string, int) []any)}, within: split},
	{Name: "join", Doc: "The elements of a list as one text, with a separator between them.", Example: `join(["a", 1], ", ")`, Yields: `"a, 1"`,
		Types: []any{new(func([]any) string), new(func([]any, string) string)}, within: join},
	{Name: "replace", Doc: "A text with every occurrence of the second argument replaced by the third.", Example: `replace("a-b-c", "-", " ")`, Yields: `"a b c"`,
		Types: []any{new(func(string, string, string) string)}, within: replace},
	{Name: "repeat", Doc: "A text several times.", Example: `repeat("-", 3)`, Yields: `"---"`, Types: []any{new(func(string, int) string)}, within: repeat},
	{Name: "indexOf", Doc: "The place of a text in another, in characters from 0; -1 if it is not there.", Example: `indexOf("é✓x", "x")`, Yields: "2", Types: textsToNumber,
		Call: texts2(func(s, t string) any { return place(s, strings.Index(s, t)) })},
	{Name: "lastIndexOf", Doc: "The last place of a text in another.", Example: `lastIndexOf("a.b.c", ".")`, Yields: "3", Types: textsToNumber,
		Call: texts2(func(s, t string) any { return place(s, strings.LastIndex(s, t)) })},
	{Name: "hasPrefix", Doc: "Whether a text begins with another.", Example: `hasPrefix("order.failed", "order.")`, Yields: "true", Types: textsToBool,
		Call: texts2(func(s, t string) any { return strings.HasPrefix(s, t) })},
	{Name: "hasSuffix", Doc: "Whether a text ends with another.", Example: `hasSuffix("order.failed", ".failed")`, Yields: "true", Types: textsToBool,
		Call: texts2(func(s, t string) any { return strings.HasSuffix(s, t) })},

	{Name: "get", Doc: "An element by its number, or a value by its key.", Example: `get({"a": 1}, "a")`, Yields: "1", Types: []any{new(func(any, any) any)},
		Call: func(args ...any) (any, error) { return element(args[0], args[1]), nil }},
	{Name: "first", Doc: "The first element of a list.", Example: "first([1, 2])", Yields: "1", Types: listToAny,
		Call: func(args ...any) (any, error) { return element(args[0], 0), nil }},
	{Name: "last", Doc: "The last element of a list.", Example: "last([1, 2])", Yields: "2", Types: listToAny,
		Call: func(args ...any) (any, error) { return element(args[0], -1), nil }},
	{Name: "take", Doc: "The first n elements of a list.", Example: "take([1, 2, 3], 2)", Yields: "[1,2]", Types: []any{new(func([]any, int) []any)}, within: take},
	{Name: "sort", Doc: `A list in order, or in falling order with "desc".`, Example: `sort([2, 3, 1], "desc")`, Yields: "[3,2,1]",
		Types: []any{new(func([]any) []any), new(func([]any, string) []any)}, within: sortList},
	{Name: "concat", Doc: "Several lists as one.", Example: "concat([1], [2, 3])", Yields: "[1,2,3]", Types: []any{new(func(...[]any) []any)}, within: concat},
	{Name: "reverse", Doc: "A list from its end.", Example: "reverse([1, 2])", Yields: "[2,1]", Types: listToList, within: reverse},
	{Name: "uniq", Doc: "A list without repetitions.", Example: "uniq([1, 2, 1])", Yields: "[1,2]", Types: listToList, within: uniq},
	{Name: "keys", Doc: "The keys of an object, in order.", Example: `keys({"b": 1, "a": 2})`, Yields: `["a","b"]`, Types: []any{new(func(map[string]any) []any)}, within: keys},
	{Name: "values", Doc: "The values of an object, in the order of its keys.", Example: `values({"b": 1, "a": 2})`, Yields: "[2,1]",
		Types: []any{new(func(map[string]any) []any)}, within: values},

	{Name: "toJSON", Doc: "The same as json.", Example: `toJSON([1, "a"])`, Yields: `"[1,\"a\"]"`, Types: anyToText, within: toJSON},
	{Name: "fromJSON", Doc: "The value that a text holds as JSON.", Example: `fromJSON("{\"a\": 1}").a`, Yields: "1", Types: []any{new(func(string) any)}, within: fromJSON},
	{Name: "toBase64", Doc: "A text in base64.", Example: `toBase64("kurir")`, Yields: `"a3VyaXI="`, Types: textToText,
		Call: text1(func(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) })},
	{Name: "fromBase64", Doc: "The text that is written in base64.", Example: `fromBase64("a3VyaXI=")`, Yields: `"kurir"`, Types: textToText, Call: fromBase64},
}

var (
	errNoNumber = errors.New("the text is no number")
	errNoOrder  = errors.New("the values have no order")
	errSortBy   = errors.New(`the order is "asc" or "desc"`)
)

func length(_ *frame, args []any) (any, error) {
	if args[0] == nil {
		return 0, nil
	}
	if s, ok := text(args[0]); ok {
		return utf8.RuneCountInString(s), nil
	}
	if list, ok := args[0].([]any); ok {
		return len(list), nil
	}
	if m, ok := args[0].(map[string]any); ok {
		return len(m), nil
	}
	return nil, errors.New("it is " + kindOf(args[0]).String() + ", which has no length")
}

func typeName(args ...any) (any, error) {
	switch kindOf(args[0]) {
	case aNil:
		return "nil", nil
	case aBool:
		return "bool", nil
	case aText:
		return "string", nil
	case aTime:
		return "time", nil
	case aList:
		return "array", nil
	case anObject:
		return "map", nil
	}
	if n, ok := args[0].(json.Number); ok && strings.ContainsAny(string(n), ".eE") {
		return "float", nil
	}
	return "int", nil
}

func toText(f *frame, args []any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	return f.print(args[0])
}

func toNumber(v any, whole bool) (any, error) {
	if s, ok := text(v); ok {
		if v, ok = parseNumber(s); !ok {
			return nil, errNoNumber
		}
	}
	switch {
	case v == nil:
		return nil, nil
	case !isNumber(v):
		return nil, errors.New("it is " + kindOf(v).String() + ", not a number")
	case whole:
		return round(v, 0, toZero)
	}
	return v, nil
}

func abs(args ...any) (any, error) {
	if args[0] == nil || decimalOf(args[0]).sign() >= 0 {
		return args[0], nil
	}
	return subtract(0, args[0])
}

func rounded(how rounding) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		if args[0] == nil {
			return nil, nil
		}
		scale := 0
		if len(args) > 1 && args[1] != nil {
			var err error
			if scale, err = whole(args[1]); err != nil {
				return nil, err
			}
		}
		return round(args[0], max(0, scale), how)
	}
}

// extreme is the value that is greater than all others, times sign.
func extreme(sign int) func(f *frame, args []any) (any, error) {
	return func(f *frame, args []any) (any, error) {
		var all []any
		for _, a := range args {
			if list, ok := a.([]any); ok {
				all = append(all, list...)
			} else {
				all = append(all, a)
			}
		}
		var best any
		for _, v := range all {
			if v = normal(v); v == nil {
				continue
			}
			c, ok := order(v, cmpOr(best, v))
			if !ok {
				return nil, errNoOrder
			}
			if best == nil || c*sign > 0 {
				best = v
			}
		}
		return best, f.spend(stepCost * len(all))
	}
}

func cmpOr(v, or any) any {
	if v == nil {
		return or
	}
	return v
}

// texts2 makes a function of one that takes two texts and is quick.
func texts2(fn func(s, t string) any) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		if args[0] == nil || args[1] == nil {
			return nil, nil
		}
		return fn(args[0].(string), args[1].(string)), nil
	}
}

func trimmed(one func(string) string, two func(s, t string) string) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		if args[0] == nil {
			return nil, nil
		}
		if len(args) > 1 && args[1] != nil {
			return two(args[0].(string), args[1].(string)), nil
		}
		return one(args[0].(string)), nil
	}
}

// text1 makes a function of one that takes a text.
func text1(fn func(string) string) func(args ...any) (any, error) {
	return func(args ...any) (any, error) {
		if args[0] == nil {
			return nil, nil
		}
		return fn(args[0].(string)), nil
	}
}

func split(f *frame, args []any) (any, error) {
	if args[0] == nil || args[1] == nil {
		return nil, nil
	}
	s, sep, n := args[0].(string), args[1].(string), -1
	if len(args) > 2 {
		var err error
		if n, err = whole(args[2]); err != nil {
			return nil, err
		}
	}
	if err := f.spend(2 * stepCost * (strings.Count(s, sep) + 1)); err != nil {
		return nil, err
	}
	var list []any
	for _, part := range strings.SplitN(s, sep, n) {
		list = append(list, part)
	}
	return list, nil
}

func join(f *frame, args []any) (any, error) {
	list, ok := args[0].([]any)
	if !ok {
		return nil, nil
	}
	sep := ""
	if len(args) > 1 {
		sep = Print(args[1])
	}
	texts := make([]string, len(list))
	for i, e := range list {
		var err error
		if texts[i], err = f.print(normal(e)); err != nil {
			return nil, err
		}
		if err = f.spend(len(sep) + stepCost); err != nil {
			return nil, err
		}
	}
	return strings.Join(texts, sep), nil
}

func replace(f *frame, args []any) (any, error) {
	if args[0] == nil || args[1] == nil || args[2] == nil {
		return nil, nil
	}
	s, old, with := args[0].(string), args[1].(string), args[2].(string)
	if err := f.spend(strings.Count(s, old) * (stepCost + len(with))); err != nil {
		return nil, err
	}
	return strings.ReplaceAll(s, old, with), nil
}

func repeat(f *frame, args []any) (any, error) {
	if args[0] == nil || args[1] == nil {
		return nil, nil
	}
	s := args[0].(string)
	n, err := whole(args[1])
	if err != nil || n <= 0 || s == "" {
		return "", err
	}
	if n > MaxWork/len(s) {
		return nil, errWork
	}
	if err := f.spend(n * len(s)); err != nil {
		return nil, err
	}
	return strings.Repeat(s, n), nil
}

// place counts the characters before byte i.
func place(s string, i int) int {
	if i < 0 {
		return -1
	}
	return utf8.RuneCountInString(s[:i])
}

func take(_ *frame, args []any) (any, error) {
	list, ok := args[0].([]any)
	if !ok || args[1] == nil {
		return nil, nil
	}
	n, err := whole(args[1])
	n = max(0, min(n, len(list)))
	return list[:n:n], err
}

func sortList(f *frame, args []any) (any, error) {
	list, ok := args[0].([]any)
	if !ok {
		return nil, nil
	}
	down := len(args) > 1 && args[1] == "desc"
	if len(args) > 1 && !down && args[1] != "asc" {
		return nil, errSortBy
	}
	return sorted(f, list, list, down)
}

func concat(f *frame, args []any) (any, error) {
	var all []any
	for _, a := range args {
		list, _ := a.([]any)
		if err := f.spend(stepCost * len(list)); err != nil {
			return nil, err
		}
		all = append(all, list...)
	}
	return all, nil
}

func reverse(f *frame, args []any) (any, error) {
	list, ok := args[0].([]any)
	if !ok {
		return nil, nil
	}
	list = slices.Clone(list)
	slices.Reverse(list)
	return list, f.spend(16 * len(list))
}

func uniq(f *frame, args []any) (any, error) {
	list, ok := args[0].([]any)
	if !ok {
		return nil, nil
	}
	var seen []any
	for _, v := range list {
		v = normal(v)
		has, err := f.contains(seen, v)
		if err != nil {
			return nil, err
		}
		if !has {
			seen = append(seen, v)
		}
	}
	return seen, nil
}

func keys(f *frame, args []any) (any, error) {
	m, ok := args[0].(map[string]any)
	if !ok {
		return nil, nil
	}
	var list []any
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, k)
	}
	return list, f.spend(16 * stepCost * len(m))
}

func values(f *frame, args []any) (any, error) {
	m, ok := args[0].(map[string]any)
	if !ok {
		return nil, nil
	}
	var list []any
	for _, k := range slices.Sorted(maps.Keys(m)) {
		list = append(list, m[k])
	}
	return list, f.spend(16 * stepCost * len(m))
}

func fromJSON(f *frame, args []any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	s := args[0].(string)
	if err := f.spend(16 * len(s)); err != nil {
		return nil, err
	}
	return ParseJSON([]byte(s))
}

func fromBase64(args ...any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	b, err := base64.StdEncoding.DecodeString(args[0].(string))
	if err != nil {
		return nil, errors.New("the text is no base64")
	}
	return string(b), nil
}
