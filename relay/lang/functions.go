package lang

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strings"
)

// common is the table of what every Env has: the functions made for messages,
// then those of expr that are pure and bounded. Where an argument is nil the
// result is nil, unless it says otherwise.
var common = slices.Concat(messageFunctions, timeFunctions, exprFunctions)

// Reference is the table of all that expressions can call, each with an example
// that a test runs: what every Env has, and what looks at each element of a list.
func Reference() []Func {
	all := slices.Clone(common)
	for _, l := range loopKinds {
		all = append(all, l.Func)
	}
	return all
}

// refused are functions of expr that are none here, with what to write instead.
var refused = map[string]string{
	"now":      "a rule gives the same result at any time: received_at is when the callback came, ago(x) how long before it x was",
	"duration": "ago(x) says how long before the callback x was",
	"timezone": "timezone: at the top of rules.yaml says where times are shown",
	"printf":   "join texts with +",
	"sprintf":  "join texts with +",
	"if":       `write condition ? "this" : "that"`,
	"isset":    "write x != nil",
	"empty":    `write x == nil or x == ""`,
	"strlen":   "write len(x)",
	"length":   "write len(x)",
	"substr":   "write x[0:10]",
	"hour":     `write time(x, "HH")`,
	"minute":   `write time(x, "mm")`,
	"day":      `write date(x, "DD")`,
	"month":    `write date(x, "MM")`,
	"year":     `write date(x, "YYYY")`,
	"format":   `write date(x, "DD MMMM YYYY") or time(x)`,
	"default":  `write x ?? "-"`,
	"coalesce": `write x ?? "-"`,

	"strtolower":    "write lower(x)",
	"strtoupper":    "write upper(x)",
	"number_format": "write number(x)",
}

var messageFunctions = []Func{
	{Name: "rupiah", Doc: "An amount of money: dots every three digits, two decimals if it has a fraction. What is no number stays as it is.",
		Example: "rupiah(11500)", Yields: `"Rp11.500"`, Types: []any{new(func(any) string)}, within: rupiah},
	{Name: "number", Doc: "A number with dots every three digits and a decimal comma. What is no number stays as it is.",
		Example: "number(1234567.5)", Yields: `"1.234.567,5"`, Types: []any{new(func(any) string)}, within: grouped},
	{Name: "mask", Doc: "Hides the middle of a text: at most four characters stay at either end, and never more than a third.",
		Example: `mask("081234567890")`, Yields: `"0812****7890"`, Types: []any{new(func(any) string)}, within: masked},
	{Name: "truncate", Doc: "At most n characters of a text, the last one … if it was cut.",
		Example: `truncate("Nomor tujuan salah", 13)`, Yields: `"Nomor tujuan…"`, Types: []any{new(func(any, int) string)}, within: truncate},
	{Name: "json", Doc: "A value as compact JSON, with the keys of objects in order; nil is null.",
		Example: `json({"b": [1, nil], "a": "x"})`, Yields: `"{\"a\":\"x\",\"b\":[1,null]}"`, Types: []any{new(func(any) string)}, within: toJSON},
	{Name: "sha256", Doc: "The SHA-256 of a text, in hexadecimal.",
		Example: `sha256("abc")[0:16]`, Yields: `"ba7816bf8f01cfea"`, Types: []any{new(func(any) string)}, within: hashed},
	{Name: "raw", Doc: "A value that a text takes as it is, without escaping it for where the text goes.",
		Example: `raw("<b>")`, Yields: `"<b>"`, Types: []any{new(func(any) string)}, within: asRaw},
}

func masked(f *frame, args []any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	s, err := f.print(args[0])
	return mask(s), err
}

func mask(s string) string {
	r := []rune(s)
	keep := min(4, len(r)/3)
	for i := keep; i < len(r)-keep; i++ {
		r[i] = '*'
	}
	return string(r)
}

func truncate(f *frame, args []any) (any, error) {
	if args[0] == nil || args[1] == nil {
		return nil, nil
	}
	n, err := whole(args[1])
	if err != nil {
		return nil, err
	}
	s, err := f.print(args[0])
	if err != nil {
		return nil, err
	}
	r := []rune(s)
	switch {
	case len(r) <= n:
		return string(r), nil
	case n < 1:
		return "", nil
	}
	return string(r[:n-1]) + "…", nil
}

func toJSON(f *frame, args []any) (any, error) {
	b, err := f.appendJSON(nil, args[0])
	return string(b), err
}

func hashed(f *frame, args []any) (any, error) {
	if args[0] == nil {
		return nil, nil
	}
	s, err := f.print(args[0])
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:]), err
}

func asRaw(f *frame, args []any) (any, error) {
	s, err := f.print(args[0])
	return Raw(s), err
}

// print is Print, at its cost.
func (f *frame) print(v any) (string, error) {
	if k := kindOf(v); k == aList || k == anObject {
		b, err := f.appendJSON(nil, v)
		return string(b), err
	}
	s := Print(v)
	return s, f.spend(len(s))
}

func rupiah(f *frame, args []any) (any, error) {
	v, ok := amount(args[0])
	if !ok {
		return f.asItIs(args[0])
	}
	v, err := round(v, 2, toNearest)
	if err != nil {
		return Print(args[0]), nil
	}
	whole, fraction := separated(v)
	if fraction != "" {
		fraction = "," + (fraction + "0")[:2]
	}
	sign, digits := "", whole
	if digits[0] == '-' {
		sign, digits = "-", digits[1:]
	}
	return sign + "Rp" + digits + fraction, nil
}

func grouped(f *frame, args []any) (any, error) {
	v, ok := amount(args[0])
	if !ok {
		return f.asItIs(args[0])
	}
	whole, fraction := separated(v)
	if fraction != "" {
		fraction = "," + fraction
	}
	return whole + fraction, nil
}

// amount reads a number, or a text that surely is one: "11.500" may be eleven
// and a half or eleven thousand five hundred, so it is none.
func amount(v any) (any, bool) {
	s, isText := text(v)
	if !isText {
		return v, isNumber(v)
	}
	if _, fraction, ok := strings.Cut(strings.TrimSpace(s), "."); ok && len(fraction) == 3 {
		return nil, false
	}
	return parseNumber(s)
}

// asItIs is the text of what a function can't show in its own way.
func (f *frame) asItIs(v any) (any, error) {
	if v == nil {
		return nil, nil
	}
	return f.print(v)
}

// separated gives the digits before the point, with a dot every three of them,
// and those after it.
func separated(v any) (whole, fraction string) {
	n, scale, err := decimalOf(v).big()
	if err != nil {
		return Print(v), ""
	}
	plain, err := numberOf(n, scale)
	if err != nil {
		return Print(v), ""
	}
	whole, fraction, _ = strings.Cut(Print(plain), ".")
	first := 0
	if whole[0] == '-' {
		first = 1
	}
	for i := len(whole) - 3; i > first; i -= 3 {
		whole = whole[:i] + "." + whole[i:]
	}
	return whole, fraction
}
