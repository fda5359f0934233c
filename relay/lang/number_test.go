package lang_test

import (
	"encoding/json"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/kurir-relay/kurir/relay/lang"
)

// numbersOf draws a number as a payload may have it, in any of its forms.
var numbersOf = rapid.StringMatching(`-?(0|[1-9][0-9]{0,24})(\.[0-9]{1,12})?([eE][+-]?[0-9]{1,2})?`)

func TestNumbersAreExactDecimals(t *testing.T) {
	programs := map[string]*lang.Program{}
	for _, op := range []string{"+", "-", "*", "/", "<", "<=", ">", ">=", "==", "!="} {
		programs[op] = compile(t, "data.a "+op+" data.b", lang.Any)
	}
	rapid.Check(t, func(t *rapid.T) {
		a, b := numbersOf.Draw(t, "a"), numbersOf.Draw(t, "b")
		v, err := lang.ParseJSON([]byte(`{"a":` + a + `,"b":` + b + `}`))
		if err != nil {
			t.Fatal(err)
		}
		vars := lang.Vars{Data: v}
		x, y := rational(t, a), rational(t, b)
		for op, want := range map[string]*big.Rat{"+": new(big.Rat).Add(x, y), "-": new(big.Rat).Sub(x, y), "*": new(big.Rat).Mul(x, y)} {
			if got, err := programs[op].Eval(vars); err != nil || rational(t, lang.Print(got)).Cmp(want) != 0 {
				t.Fatalf("%s %s %s is %v, %v; want %s", a, op, b, got, err, want.RatString())
			}
		}
		if y.Sign() != 0 {
			near(t, programs["/"], vars, new(big.Rat).Quo(x, y))
		}
		c := x.Cmp(y)
		for op, want := range map[string]bool{"<": c < 0, "<=": c <= 0, ">": c > 0, ">=": c >= 0, "==": c == 0, "!=": c != 0} {
			if got, err := programs[op].Eval(vars); err != nil || got != want {
				t.Fatalf("%s %s %s is %v, %v", a, op, b, got, err)
			}
		}
	})
}

func rational(t *rapid.T, s string) *big.Rat {
	r, ok := new(big.Rat).SetString(s)
	if !ok {
		t.Fatalf("%q is no number", s)
	}
	return r
}

// near checks a quotient to its 16 decimals.
func near(t *rapid.T, p *lang.Program, vars lang.Vars, want *big.Rat) {
	got, err := p.Eval(vars)
	if err != nil {
		t.Fatal(err)
	}
	off := new(big.Rat).Sub(rational(t, lang.Print(got)), want)
	if off.Abs(off).Cmp(big.NewRat(1, 1e16)) > 0 {
		t.Fatalf("%v instead of %s", got, want.FloatString(20))
	}
}

func TestNumbersBeyondAllBoundsAreComparedAndPrinted(t *testing.T) {
	vars := lang.Vars{Data: map[string]any{"huge": json.Number("1e999999999999999999999"), "tiny": json.Number("1e-999999999999999999999"), "zero": json.Number("-0.000e5")}}
	for src, want := range map[string]any{
		"data.huge > 1e300": true, "data.tiny > 0": true, "data.tiny < data.huge": true, "data.zero == 0": true, "-1 < data.zero": true, "data.huge == data.huge": true,
		"string(data.huge)": "1e999999999999999999999", "rupiah(data.huge)": "1e999999999999999999999", "number(data.huge)": "1e999999999999999999999",
	} {
		if got, err := compile(t, src, lang.Any).Eval(vars); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", src, got, err, want)
		}
	}
	for _, src := range []string{"data.huge + 1", "data.tiny * 2", "int(data.huge)", "data.huge ** 2", "2 ** 100000", "-data.huge", "data.huge % 3", "round(data.huge)"} {
		if v, err := compile(t, src, lang.Any).Eval(vars); err == nil {
			t.Errorf("%s: computed %.40v", src, v)
		}
	}
}
