package lang

import (
	"encoding/json"
	"errors"
	"math"
	"math/big"
	"strconv"
	"strings"
)

// A number is an int or, if an int can't hold it exactly, a json.Number: so
// numbers are decimals, and 0.1 + 0.2 is 0.3. What is read prints as it stood;
// what is computed has no zeros at the end of its fraction.

// maxDigits is how many digits a number may have to be computed with. Any number
// may be compared and printed.
const maxDigits = 400

var (
	errTooLarge = errors.New("the number has too many digits to compute with")
	errByZero   = errors.New("division by zero")
	errNotWhole = errors.New("% takes whole numbers")
)

func isNumber(v any) bool {
	switch v.(type) {
	case int, json.Number:
		return true
	}
	return false
}

// ofFloat makes a number of a float64 that Go code yields.
func ofFloat(f float64) any {
	if f == math.Trunc(f) && math.Abs(f) < 1<<53 {
		return int(f)
	}
	return json.Number(strconv.FormatFloat(f, 'f', -1, 64))
}

// A decimal is the number digits × 10^-scale. Its digits may begin and end with
// zeros, as they were written.
type decimal struct {
	negative bool
	digits   string
	scale    int
}

// parseDecimal reads digits with an optional sign, fraction and exponent.
func parseDecimal(s string) (d decimal, ok bool) {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		d.negative = s[0] == '-'
		s = s[1:]
	}
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		exp, err := strconv.Atoi(s[i+1:])
		if err != nil && !errors.Is(err, strconv.ErrRange) {
			return d, false
		}
		d.scale = -max(-math.MaxInt32, min(exp, math.MaxInt32))
		s = s[:i]
	}
	whole, fraction, dot := strings.Cut(s, ".")
	d.digits = whole + fraction
	d.scale += len(fraction)
	return d, d.digits != "" && onlyDigits(d.digits) && (!dot || fraction != "")
}

func onlyDigits(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] < '0' || s[i] > '9' {
			return false
		}
	}
	return true
}

// decimalOf is the decimal of a number.
func decimalOf(v any) (d decimal) {
	switch v := v.(type) {
	case int:
		d, _ = parseDecimal(strconv.Itoa(v))
	case json.Number:
		d, _ = parseDecimal(string(v))
	}
	return d
}

// sign is -1, 0 or 1.
func (d decimal) sign() int {
	switch {
	case strings.Trim(d.digits, "0") == "":
		return 0
	case d.negative:
		return -1
	}
	return 1
}

// compareNumbers is -1, 0 or 1 as a is less than, equal to or greater than b. It
// is exact, and cheap however large the numbers are.
func compareNumbers(a, b any) int {
	if i, ok := a.(int); ok {
		if j, ok := b.(int); ok {
			return compareInts(i, j)
		}
	}
	x, y := decimalOf(a), decimalOf(b)
	sign := x.sign()
	if s := y.sign(); sign != s || sign == 0 {
		return compareInts(sign, s)
	}
	xd, yd := strings.TrimLeft(x.digits, "0"), strings.TrimLeft(y.digits, "0")
	if c := compareInts(len(xd)-x.scale, len(yd)-y.scale); c != 0 {
		return sign * c // the place of the first digit decides
	}
	return sign * strings.Compare(strings.TrimRight(xd, "0"), strings.TrimRight(yd, "0"))
}

func compareInts(i, j int) int {
	switch {
	case i < j:
		return -1
	case i > j:
		return 1
	}
	return 0
}

// big is the digits as an integer with the scale they have; never below 0.
func (d decimal) big() (n *big.Int, scale int, err error) {
	if len(d.digits) > maxDigits || d.scale > maxDigits || d.scale < -maxDigits {
		return nil, 0, errTooLarge
	}
	n, _ = new(big.Int).SetString(d.digits, 10)
	if n == nil {
		return nil, 0, errTooLarge
	}
	if d.negative {
		n.Neg(n)
	}
	if d.scale < 0 {
		return n.Mul(n, powerOf10(-d.scale)), 0, nil
	}
	return n, d.scale, nil
}

func powerOf10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

// numberOf is n × 10^-scale as a number, without zeros at the end of a fraction.
func numberOf(n *big.Int, scale int) (any, error) {
	negative := n.Sign() < 0
	digits := new(big.Int).Abs(n).String()
	if len(digits) > 2*maxDigits {
		return nil, errTooLarge
	}
	if len(digits) <= scale {
		digits = strings.Repeat("0", scale-len(digits)+1) + digits
	}
	whole, fraction := digits[:len(digits)-scale], strings.TrimRight(digits[len(digits)-scale:], "0")
	if negative {
		whole = "-" + whole
	}
	if fraction != "" {
		return json.Number(whole + "." + fraction), nil
	}
	if i, err := strconv.Atoi(whole); err == nil {
		return i, nil
	}
	return json.Number(whole), nil
}

// aligned gives two numbers as integers of one scale.
func aligned(a, b any) (x, y *big.Int, scale int, err error) {
	x, xs, err := decimalOf(a).big()
	if err != nil {
		return nil, nil, 0, err
	}
	y, ys, err := decimalOf(b).big()
	if err != nil {
		return nil, nil, 0, err
	}
	scale = max(xs, ys)
	return x.Mul(x, powerOf10(scale-xs)), y.Mul(y, powerOf10(scale-ys)), scale, nil
}

// ints gives both values if both are small enough that their sum, difference
// and product are ints.
func ints(a, b any) (i, j int, ok bool) {
	const small = 1 << 31
	i, ok = a.(int)
	if !ok || i <= -small || i >= small {
		return 0, 0, false
	}
	j, ok = b.(int)
	return i, j, ok && j > -small && j < small
}

func add(a, b any) (any, error) {
	if i, j, ok := ints(a, b); ok {
		return i + j, nil
	}
	x, y, scale, err := aligned(a, b)
	if err != nil {
		return nil, err
	}
	return numberOf(x.Add(x, y), scale)
}

func subtract(a, b any) (any, error) {
	if i, j, ok := ints(a, b); ok {
		return i - j, nil
	}
	x, y, scale, err := aligned(a, b)
	if err != nil {
		return nil, err
	}
	return numberOf(x.Sub(x, y), scale)
}

func multiply(a, b any) (any, error) {
	if i, j, ok := ints(a, b); ok {
		return i * j, nil
	}
	x, y, scale, err := aligned(a, b)
	if err != nil {
		return nil, err
	}
	return numberOf(x.Mul(x, y), 2*scale)
}

// quotientScale is how many decimals a quotient has at most.
const quotientScale = 16

func divide(a, b any) (any, error) {
	x, y, _, err := aligned(a, b)
	if err != nil {
		return nil, err
	}
	if y.Sign() == 0 {
		return nil, errByZero
	}
	return numberOf(quotient(x.Mul(x, powerOf10(quotientScale)), y), quotientScale)
}

// quotient is x / y, rounded to the nearest integer and half away from zero.
func quotient(x, y *big.Int) *big.Int {
	q, r := new(big.Int).QuoRem(x, y, new(big.Int))
	if r.Abs(r).Lsh(r, 1).CmpAbs(y) >= 0 {
		q.Add(q, big.NewInt(int64(x.Sign()*y.Sign())))
	}
	return q
}

func modulo(a, b any) (any, error) {
	x, y, scale, err := aligned(a, b)
	if err != nil {
		return nil, err
	}
	if y.Sign() == 0 {
		return nil, errByZero
	}
	if unit := powerOf10(scale); scale > 0 {
		if !wholes(unit, x, y) {
			return nil, errNotWhole
		}
	}
	return numberOf(x.Rem(x, y), scale)
}

func wholes(unit *big.Int, ns ...*big.Int) bool {
	for _, n := range ns {
		if new(big.Int).Rem(n, unit).Sign() != 0 {
			return false
		}
	}
	return true
}

// power is exact for whole exponents from 0, and a float64's else.
func power(a, b any) (any, error) {
	x, scale, err := decimalOf(a).big()
	if err != nil {
		return nil, err
	}
	if n, ok := b.(int); ok && n >= 0 && (n <= maxDigits || x.BitLen() <= 1) {
		if x.BitLen()*n > 3*maxDigits || scale*n > maxDigits {
			return nil, errTooLarge
		}
		return numberOf(new(big.Int).Exp(x, big.NewInt(int64(n)), nil), scale*n)
	}
	f := math.Pow(float(a), float(b))
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return nil, errTooLarge
	}
	return ofFloat(f), nil
}

// float is the float64 nearest to a number.
func float(v any) float64 {
	if i, ok := v.(int); ok {
		return float64(i)
	}
	f, _ := strconv.ParseFloat(string(v.(json.Number)), 64)
	return f
}

// Ways to make a number whole.
type rounding int

const (
	toZero rounding = iota
	down
	up
	toNearest // half away from zero
)

// round gives a number with at most scale decimals.
func round(v any, scale int, how rounding) (any, error) {
	x, has, err := decimalOf(v).big()
	if err != nil || has <= scale {
		return v, err
	}
	unit := powerOf10(has - scale)
	q, r := new(big.Int).QuoRem(x, unit, new(big.Int))
	switch {
	case how == toNearest:
		q = quotient(x, unit)
	case how == down && r.Sign() < 0:
		q.Sub(q, big.NewInt(1))
	case how == up && r.Sign() > 0:
		q.Add(q, big.NewInt(1))
	}
	return numberOf(q, scale)
}

// whole is a number as an int.
func whole(v any) (int, error) {
	v, err := round(v, 0, toZero)
	if err != nil {
		return 0, err
	}
	i, ok := v.(int)
	if !ok {
		return 0, errTooLarge
	}
	return i, nil
}

// parseNumber reads a text that is a number and nothing else, leading zeros
// included: "007" is 7. Spaces around it are passed.
func parseNumber(s string) (any, bool) {
	s = strings.TrimSpace(s)
	d, ok := parseDecimal(s)
	if !ok || len(s) > maxDigits {
		return nil, false
	}
	if i, err := strconv.Atoi(s); err == nil {
		return i, true
	}
	n, scale, err := d.big()
	if err != nil {
		return nil, false
	}
	v, err := numberOf(n, scale)
	return v, err == nil
}
