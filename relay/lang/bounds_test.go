package lang_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/lang"
)

func TestWhatIsTooLargeIsRefusedWhenItIsCompiled(t *testing.T) {
	for name, tt := range map[string]struct{ src, want string }{
		"a long source":       {`"` + strings.Repeat("x", lang.MaxSource) + `"`, "the expression has 16386 bytes"},
		"many nodes":          {"1" + strings.Repeat("+1", 600), "the expression has more than 1000 parts"},
		"deep brackets":       {strings.Repeat("(", 8000) + strings.Repeat(")", 8000), ") closes nothing"},
		"deep calls":          {strings.Repeat("trim(", 400) + `""` + strings.Repeat(")", 400), ""},
		"deep lists":          {strings.Repeat("[", 900) + strings.Repeat("]", 900), ""},
		"many signs":          {strings.Repeat("-", 2000) + "1", "the expression has more than 1000 parts"},
		"loops in loops":      {"any(data.a, any(data.a, any(data.a, # == 1)))", "loops are nested deeper than 2"},
		"a long range":        {"any(1..1000000000, # == 0)", "the range has more than 10000 numbers"},
		"a growing reduce":    {`reduce(data.a, #acc + "x", "")`, "reduce does not build texts"},
		"a doubling reduce":   {`reduce(1..100, #acc + #acc, "x")`, "reduce does not build texts"},
		"a pattern of a text": {"data.a matches data.b", "the pattern after matches is a text in quotes"},
		"a repeating pattern": {`data.a matches "(((a{10}){10}){10}){10}"`, "error parsing regexp: invalid repeat count"},
		"a large pattern":     {`data.a matches "(a{500}){2}b{500}"`, "the pattern is too long, or repeats too much"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := lang.Message.Compile(tt.src, lang.Any)
			if tt.want == "" && err != nil || !strings.HasPrefix(message(err), tt.want) {
				t.Errorf("got %.200v, want %s", err, tt.want)
			}
		})
	}
	if _, err := lang.Message.Template(strings.Repeat("x", lang.MaxTemplate+1), lang.Plain); err == nil {
		t.Error("a text of any length is taken")
	}
}

// attacks are expressions that a payload of 1 MiB could make slow or large. Each
// must end within its work, which a test can't time but count: it is what
// bounds the time.
var attacks = map[string]string{
	"every element against every other": "any(data.many, any(data.many, # == 2))",
	"a text for every element":          "map(data.many, data.text + \"x\")",
	"a search for every element":        "any(data.many, data.text contains \"nothing\")",
	"a match for every element":         `any(data.many, data.text matches "x*y")`,
	"a bad match":                       `data.text matches "(x+x+)+(x+x+)+y"`,
	"a text that doubles":               "let a = data.text + data.text; let b = a + a; let c = b + b; let d = c + c; let e = d + d; len(e + e)",
	"a number that doubles":             "map(1..10000, (data.digits ** 20) * (data.digits ** 20))",
	"a power":                           "data.digits ** 400 ** 400",
	"a repetition":                      "repeat(data.text, 1000000)",
	"a huge repetition":                 `repeat("x", 1e18)`,
	"a replacement":                     `replace(data.text, "", data.text)`,
	"pieces":                            `map(split(data.text, ""), split(data.text, ""))`,
	"a join":                            "join(map(1..10000, data.text))",
	"JSON in JSON":                      "json(map(1..10000, data.many))",
	"equal lists":                       "all(1..10000, data.many == data.many)",
	"a list in a list":                  "none(data.many, 2 in data.many)",
	"what is unique":                    "len(uniq(map(data.many, #index)))",
	"an order":                          "sortBy(data.many, #index, \"desc\")",
	"hashes":                            "map(data.many, sha256(data.text))",
	"capitals":                          "map(data.many, upper(data.text))",
	"parts":                             "map(data.many, data.text[1:])",
	"lengths":                           "map(data.many, len(data.text))",
	"JSON of a text":                    "map(1..10000, fromJSON(data.json))",
	"masks":                             "map(data.many, mask(data.text))",
	"cuts":                              "map(data.many, truncate(data.text, 5))",
	"raw":                               "map(data.many, raw(data))",
	"a conversion":                      "map(data.many, toBase64(data.text))",
	"numbers":                           "map(data.many, rupiah(data.text))",
	"trims":                             `map(data.many, trim(data.text, "abc"))`,
	"places":                            `map(data.many, indexOf(data.text, "y"))`,
	"greatest":                          "map(data.many, max(data.many))",
	"reversed":                          "map(data.many, reverse(data.many))",
	"comparisons":                       "all(data.many, data.text < data.text2)",
	"equal texts":                       "any(data.many, data.text == data.text2)",
	"keys":                              "map(data.many, keys(data.object))",
	"masked payloads":                   "map(data.many, mask(data))",
	"cut payloads":                      "map(data.many, truncate(data, 5))",
	"payloads in rupiah":                "map(data.many, rupiah(data))",
	"payloads as times":                 "map(data.many, ago(data))",
	"bad times":                         `map(data.many, date("24 Nov 2025 at noon"))`,
	"payloads as keys":                  "map(data.many, ({(data): 1}))",
	"payloads as groups":                "groupBy(data.many, data)",
	"dates":                             "map(data.many, date(data.text))",
}

func large(t testing.TB) *lang.Vars {
	v := failed(t)
	text := strings.Repeat("x", 400_000)
	many := make([]any, 200_000)
	object := map[string]any{}
	for i := range many {
		many[i] = 1
		if i < 10_000 {
			object[fmt.Sprint(i)] = i
		}
	}
	v.Data = map[string]any{"text": text, "text2": text + "y", "many": many, "digits": 987654321987654321, "json": "[" + strings.Repeat("1,", 10_000) + "1]", "object": object}
	return v
}

func TestAnAttackEndsWithinItsWork(t *testing.T) {
	vars := large(t)
	for name, src := range attacks {
		t.Run(name, func(t *testing.T) {
			p, err := lang.Message.Compile(src, lang.Any)
			if err != nil {
				t.Fatal(err)
			}
			if v, err := p.Eval(vars); err == nil {
				t.Errorf("went on to the end: %.50v", v)
			}
		})
	}
}

func BenchmarkAttacks(b *testing.B) {
	vars := large(b)
	for name, src := range attacks {
		p, err := lang.Message.Compile(src, lang.Any)
		if err != nil {
			b.Fatal(err)
		}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				p.Eval(vars)
			}
		})
	}
}
