package lang_test

import (
	"encoding/json"
	"errors"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/lang"
)

// eval compiles and evaluates an expression on the callback of failed.
func eval(t testing.TB, src string) (any, error) {
	t.Helper()
	p, err := lang.Message.Compile(src, lang.Any)
	if err != nil {
		t.Errorf("%s: %v", src, err)
		return nil, err
	}
	return p.Eval(failed(t))
}

func TestExpressions(t *testing.T) {
	for src, want := range map[string]any{
		// what is absent
		"data.a.b.c": nil, "data.price.x": nil, "data.items.x": nil, "data.items[9]": nil, "data.items[-1].sku": "y",
		"data.a[0].b": nil, "data?.a?.b": nil, `data["price"]`: 11500, `headers["x-signature"]`: "ab", "headers.accept": "a, b", "headers.nothing": nil,
		"data.a > 1": false, "data.a <= 1": false, "1 < data.a": false, "nil >= nil": false, "data.a == nil": true, "data.message == nil": true,
		`data.a contains "x"`: false, `data.a startsWith "x"`: false, `data.a matches "x"`: false, `"x" in data.a`: false, "data.a in [1]": false,
		`data.a ?? "-"`: "-", "data.price ?? 0": 11500, "data.a ?? data.b ?? 3": 3, "not data.a": true, `data.a ? 1 : 2`: 2, "data.a and true": false,
		"len(data.a)": 0, "any(data.a, true)": false, "all(data.a, false)": true, "filter(data.a, true)": []any{}, "sum(data.a)": 0,
		"lower(data.a)": nil, "int(data.a) > 1": false, "data.a[1:]": nil, "rupiah(data.a)": nil,
		// numbers
		"data.price >= 10000": true, "10000 == 10000.0": true, "data.price == 11500.0": true, "data.amount == 100000": true,
		"9007199254740993 > 9007199254740992.0": true, "9007199254740993 == 9007199254740992": false,
		"data.big == data.big": true, "data.big > 9223372036854775807": true, "data.big + 1": json.Number("12345678901234567891"),
		"9223372036854775807 + 1": json.Number("9223372036854775808"), "0.1 + 0.2": json.Number("0.3"), "0.1 + 0.2 == 0.3": true,
		"data.amount + 1": 100001, "data.price * 1.1": 12650, "7 / 2": json.Number("3.5"), "6 / 2": 3, "1 / 3": json.Number("0.3333333333333333"),
		"2 / 3": json.Number("0.6666666666666667"), "-7 / 2": json.Number("-3.5"), "7 % 3": 1, "-7 % 3": -1, "2 ** 10": 1024, "2 ^ 100": json.Number("1267650600228229401496703205376"),
		"2 ** -1": json.Number("0.5"), "-data.price": -11500, "+5": 5, "-(3 - 5)": 2, "1_000_000": 1000000, "10000.50": json.Number("10000.5"), "1e3": 1000,
		"0.1 ** 2": json.Number("0.01"), "5 in 1..10": true, "5.5 in 1..10": false, "data.price in 10000..20000": true, "data.a in 1..2": false, "1..3": []any{1, 2, 3}, "3..1": []any{},
		// texts
		`"a" + "b"`: "ab", `"a" < "b"`: true, `ref_id contains "-"`: true, `ref_id matches "^T-\\d$"`: true, `ref_id not startsWith "X"`: true,
		`"héé"[1:2]`: "é", `"abc"[-2:]`: "bc", `event in ["order.failed", "x"]`: true, `"price" in data`: true, `"x" in data`: false,
		`time(received_at) >= "03:00"`: true, `data.as_text == 11500`: false, "float(data.as_text) > 11000": true,
		`int("007")`: 7, `string(data.price) + "!"`: "11500!",
		// structure
		`let p = data.price; p > 10000 ? "big" : "small"`: "big", `{"a": 1, b: [1, 2]}.b[1]`: 2, `[1, 2] == [1, 2.0]`: true, `{"a": 1} == {"a": 1}`: true,
		`map(data.items, .qty * #index)`: []any{0, 3}, "sum(data.items, .qty)": 5, `find(data.items, .sku == "y").qty`: 3, `any(data.items, any(data.tags, # == "b") and .qty > 2)`: true,
		`data.tags | join("+")`: "a+b", "if data.ok { 1 } else { 2 }": 1, "1 < 2 < 3": true, "3 > 2 > 2": false, `event == "order.failed" && !unparsed || false`: true,
		"reduce(data.items, #acc + .qty, 10)": 15, "attempt": 1, `source`: "shop", "received_at == received_at": true, "data.nested.deep.x": 1,
		"groupBy(data.items, .sku).x[0].qty": 2, `sortBy(data.items, .qty, "desc")[0].sku`: "y", "// a comment\ndata.ok /* and one more */": true,
	} {
		if got, err := eval(t, src); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v; want %#v", src, got, err, want)
		}
	}
}

func TestWhatFailsOnAPayloadSaysWhere(t *testing.T) {
	for _, tt := range []struct{ src, at, want string }{
		{"data.a + 1", "data.a", "data.a is nil: + takes two numbers or two texts: write (data.a ?? 0) if it may be missing"},
		{"1 - data.as_text", "data.as_text", "data.as_text is a text: - takes numbers: write float(data.as_text) if it holds a number"},
		{`"Rp" + data.price`, "data.price", "data.price is a number: + takes two numbers or two texts: write string(data.price)"},
		{`data.as_text + 1`, "data.as_text", "data.as_text is a text: + takes two numbers or two texts: write float(data.as_text) if it holds a number"},
		{`data.price + "!"`, "data.price", "data.price is a number: + takes two numbers or two texts: write string(data.price)"},
		{`"a" + data.a`, "data.a", "data.a is nil: + takes two numbers or two texts: write (data.a ?? 0) if it may be missing"},
		{"1 + data.price / data.zero", "data.price / data.zero", "data.price / data.zero: division by zero"},
		{"data.price % data.zero", "data.price % data.zero", "data.price % data.zero: division by zero"},
		{"7 % data.amount % 0.5", "7 % data.amount % 0.5", "7 % data.amount % 0.5: % takes whole numbers"},
		{"-data.tags", "data.tags", "data.tags is a list: - takes numbers"},
		{"data.as_text >= 10000", "data.as_text >= 10000",
			"data.as_text is a text and 10000 is a number: they have no order: write float(data.as_text) if it holds a number"},
		{"true and data.as_text", "data.as_text", "data.as_text is a text, not true or false: write a comparison, such as =="},
		{"(data.price) contains \"1\"", `(data.price) contains "1"`, "data.price is a number and \"1\" is a text: contains takes texts: write string(data.price)"},
		{"data.tags contains \"a\"", `data.tags contains "a"`, "data.tags is a list and \"a\" is a text: contains takes texts: write \"a\" in data.tags"},
		{"\"é\" + lower(data.price)", "data.price", "data.price is a number: lower takes a text here: write string(data.price)"},
		{`int("x")`, `int("x")`, "int: the text is no number"},
		{"any(data.nested, true)", "any(data.nested, true)", "data.nested is an object, not a list"},
		{"sum(data.tags)", "sum(data.tags)", "an element is a text: sum takes numbers"},
		{"data.big ** 300", "data.big ** 300", "data.big ** 300: the number has too many digits to compute with"},
	} {
		_, err := eval(t, tt.src)
		e, ok := errors.AsType[*lang.Error](err)
		if !ok || e.Error() != tt.want || tt.src[e.Offset:e.Offset+e.Len] != tt.at {
			t.Errorf("%s: got %v at %+v; want %s", tt.src, err, e, tt.want)
		}
	}
}

func TestAMistakeIsNamedWhereItStands(t *testing.T) {
	for _, tt := range []struct{ src, at, want string }{
		{`event = "order.failed"`, "=", "= assigns, it does not compare: write == to compare"},
		{`event === "x"`, "=", "=== is no operator here: write =="},
		{"event <> 1", ">", "<> is no operator here: write !="},
		{"attempt => 1", "=", "=> is no operator here: write >="},
		{`"é" == event and evnt == "x"`, "evnt", `unknown name evnt: did you mean "event"?`},
		{"event == order.failed", "order", `unknown name order: a text has quotes: "order.failed"`},
		{"event == 5", "event == 5", `event is a text and 5 is a number: they are never equal: write "5"`},
		{"event > 3", "event > 3", "event is a text and 3 is a number: they have no order: write float(event) if it holds a number"},
		{"rupiah == 5", "rupiah", "rupiah is a function: write rupiah(...)"},
		{"any", "any", "any is a function: write any(...)"},
		{"rupaih(1)", "rupaih(1)", `unknown function rupaih: did you mean "rupiah"?`},
		{"rupiah()", "rupiah()", "rupiah takes 1 value, not 0"},
		{"rupiah(1, 2)", "rupiah(1, 2)", "rupiah takes 1 value, not 2"},
		{"join()", "join()", "join takes 1 to 2 values, not 0"},
		{`truncate("é", "x")`, `"x"`, `"x" is a text: truncate takes a number here`},
		{"event(1)", "event(1)", "event is no function: write it without ( )"},
		{"event.lower()", "event.lower()", "values have no functions of their own: write lower(event)"},
		{"now() > received_at", "now()", "unknown function now: a rule gives the same result at any time: received_at is when the callback came, ago(x) how long before it x was"},
		{"data.price == null", "null", "null is unknown here: write nil"},
		{".ref_id", ".", "names have no dot before them here: write the name alone, such as ref_id or data.price"},
		{"unparsed | duplicate", "|", "a single | passes a value on to a function: write || for or; or value | rupiah()"},
		{"unparsed & duplicate", "&", "a single & is no operator here: write && or and"},
		{"unparsed AND duplicate", "AND", "AND is no operator here: write and"},
		{"event is 'x'", "is", "is is no operator here: write =="},
		{"data.items.0", ".0", "an element of a list has brackets: write [0]"},
		{"event 'x'", "'x'", "an operator is missing before this: such as ==, and, or, +"},
		{"(event", "(", "( is never closed: write )"},
		{"event)", ")", ") closes nothing"},
		{`event == "x`, `"`, `the text that begins here is never closed: write " at its end`},
		{"event == “x”", "“", `“ is no quote an expression knows: write "`},
		{"duplicate ? 1", "1", `the expression ends too early: a choice is written: condition ? "this" : "that"`},
		{"data.price ?? 0 > 5", ">", "?? and another operator need parentheses: write (... ?? ...) >"},
		{"data.price > 10k", "k", "this is neither a number nor a name: a number has digits and a point only, a name does not begin with a digit"},
		{`event == "\d"`, "d", `\ and this letter stand for nothing: write \\ for the character \`},
		{"", "", "the expression is empty"},
		{"  ", "  ", "the expression is empty"},
		{"event + 5", "event + 5", "event is a text and 5 is a number: + takes two of a kind: write string(...) around the number"},
		{"event - 5", "event", "event is a text: - takes numbers: write float(event) if it holds a number"},
		{"not event", "event", "event is a text, not true or false: write not (...) around the whole comparison"},
		// What those write who know other languages, or are in a hurry.
		{`event == 'x' and price > 5`, "price", `unknown name price: write data.price if it is a field of the payload, "price" if it is a text`},
		{`event == Gagal`, "Gagal", `unknown name Gagal: a text has quotes: "Gagal"`},
		{`data.price >= 10.000`, "10.000", "the point in 10.000 begins a fraction, not thousands: write 10000, or 10.0000 if a fraction is meant"},
		{`data.price >= 1.000.000`, ".000", "a number is written in one piece, without thousands: write 1000000"},
		{`data.price >= 10 000`, "000", "a number is written in one piece, without thousands: write 10000"},
		{`data.price >= 10,000`, ",", "a number has no commas: write 10000"},
		{`data.price >= Rp10000`, "Rp10000", "unknown name Rp10000: write 10000"},
		{`attempt >= "10"`, `attempt >= "10"`, `attempt is a number and "10" is a text: they have no order: write 10, without quotes`},
		{`received_at > "22:00"`, `received_at > "22:00"`, `received_at is a time and "22:00" is a text: they have no order: write time(received_at)`},
		{`hour(received_at) > 22`, "hour(received_at)", `unknown function hour: write time(x, "HH")`},
		{`received_at.Hour() > 22`, "received_at.Hour()", `values have no functions of their own: write time(x, "HH")`},
		{`event in ("a", "b")`, ",", `a list has brackets, not parentheses: write in ["...", "..."]`},
		{`event in ("a")`, `"a"`, `"a" is a text: in takes a list or an object: a list has brackets: write ["a"]`},
		{`event == "a", "b"`, ",", `a comma joins no conditions: write and, or or; one of several is written event in ["...", "..."]`},
		{`event == "a" or "b"`, `"b"`, `"b" is a text, not true or false: write event == "b"`},
		{`event == "a" or event == "b" or "c"`, `"c"`, `"c" is a text, not true or false: write event == "c"`},
		{`startswith(ref_id, "T-")`, `startswith(ref_id, "T-")`, `unknown function startswith: write ref_id startsWith "T-"`},
		{`startsWith(ref_id, "T-")`, "startsWith", `startsWith stands between two texts: write ref_id startsWith "..."`},
		{`ref_id.startsWith("T-")`, `ref_id.startsWith("T-")`, `values have no functions of their own: write ref_id startsWith "T-"`},
		{`event contains ["a"]`, `["a"]`, `["a"] is a list: contains takes texts: write any(["a"], event contains #)`},
		{`data.price > Rp10.000`, ".000", "an amount is written as a number alone: write 10000"},
		{`unparsed atau duplicate`, "atau", "atau is no operator here: write or"},
		{`data.sn || "-"`, `"-"`, `"-" is a text, not true or false: write data.sn ?? "-" if it may be missing`},
		{`ref_id | upper`, "upper", "upper is a function: write upper()"},
		{`received_at > now`, "now", "unknown name now: a rule gives the same result at any time: received_at is when the callback came, ago(x) how long before it x was"},
		{`data.items.0.name`, "n", "an element of a list has brackets: write [0]"},
		{`ref_id like "T-%"`, "like", "like is no operator here: write contains, startsWith, endsWith or matches"},
		{`data.price between 1 and 5`, "between", "between is no operator here: write x >= 1000 and x <= 5000"},
		{`data.sn is not null`, "is", "is not is no operator here: write !="},
		{`data.sn not null`, "null", "not is followed by a condition: write != nil"},
		{`data->status == "x"`, ">", "-> is no operator here: write ."},
		{`$status == "x"`, "$status", "unknown name $status: names have no $"},
		{`data.product-code == "x"`, "code", `unknown name code: write data["product-code"] if that is one name`},
		{`if event == "x"`, "if", "a condition stands alone: leave if out"},
		{`rupiah data.price`, "data", "rupiah is a function: write rupiah(...)"},
		{`{{ event == "x" }}`, "{{", `there are no braces around an expression here: write event == "x"`},
		{`event =~ "x"`, "~", `~ means nothing here: write matches "..."`},
		{`yes`, "yes", "yes is unknown here: write true"},
		{"event and true", "event", "event is a text, not true or false: write a comparison, such as == or >"},
		{"received_at.hour", "received_at.hour", "received_at is a time and has no members: date(...) and time(...) give its parts as texts"},
		{`"x" in event`, "event", `event is a text: in takes a list or an object: write event contains "x"`},
		{"event matches data.x", "data.x", "the pattern after matches is a text in quotes: use contains, startsWith or endsWith for other texts"},
		{`event matches "("`, `"("`, "error parsing regexp: missing closing ): `(`"},
		{"# > 1", "#", "# is an element of a list, and there is none here: it is known in any(list, ...), filter(list, ...) and their like"},
		{"any(data.x, #foo)", "#foo", "#foo is unknown here: # is the element, #index its number"},
		{"any(event, true)", "event", "event is a text: any takes a list"},
		{"any(data.items)", ")", "a list and a condition are wanted: such as any(data.items, .qty > 1)"},
		{"let event = 1; event", "1", "event is a name already: give it another name"},
		{"1; 2", "1; 2", "; stands between let x = ... and the expression only: write one expression"},
		{"data.x == 99999999999999999999", "99999999999999999999", `the number is too large to be written here: compare texts: string(x) == "..."`},
		{"$env.event", "$env", "$env is unknown here: write the name alone"},
	} {
		_, err := lang.Message.Compile(tt.src, lang.Any)
		e, ok := errors.AsType[*lang.Error](err)
		if !ok || e.Error() != tt.want || tt.src[e.Offset:min(len(tt.src), e.Offset+e.Len)] != tt.at {
			t.Errorf("%s: got %v at %q; want %s at %q", tt.src, err, spot(tt.src, e), tt.want, tt.at)
		}
	}
}

func TestEveryMistakeOfAnExpressionIsTold(t *testing.T) {
	for src, want := range map[string][]string{
		`evnt == "a" and refid == "b"`: {`0 unknown name evnt: did you mean "event"?`, `16 unknown name refid: did you mean "ref_id"?`},
		// What hangs on a mistake is not another one.
		`evnt > 5 and not (evnt.x + 1 contains 2)`: {`0 unknown name evnt: did you mean "event"?`, `18 unknown name evnt: did you mean "event"?`, "38 2 is a number: contains takes texts: write string(evnt.x + 1)"},
		`rupia(evnt) == "Rp1"`:                     {`0 unknown function rupia: did you mean "rupiah"?`, `6 unknown name evnt: did you mean "event"?`},
		`event - ref_id`:                           {"0 event is a text: - takes numbers: write float(event) if it holds a number", "8 ref_id is a text: - takes numbers: write float(ref_id) if it holds a number"},
		`(event - 1).lower(evnt)`:                  {"0 values have no functions of their own: write lower(event - 1)", "1 event is a text: - takes numbers: write float(event) if it holds a number", `18 unknown name evnt: did you mean "event"?`},
		`any(event, .qty == qty)`:                  {"4 event is a text: any takes a list", `19 unknown name qty: write data.qty if it is a field of the payload, "qty" if it is a text`},
		`evnt matches evnt`: {`0 unknown name evnt: did you mean "event"?`, `13 unknown name evnt: did you mean "event"?`,
			"13 the pattern after matches is a text in quotes: use contains, startsWith or endsWith for other texts"},
		`let event = evnt; event == 1`: {`12 unknown name evnt: did you mean "event"?`, "12 event is a name already: give it another name"},
		`evnt; refid`:                  {"0 ; stands between let x = ... and the expression only: write one expression", `0 unknown name evnt: did you mean "event"?`, `6 unknown name refid: did you mean "ref_id"?`},
	} {
		_, err := lang.Message.Compile(src, lang.Any)
		got := told(err)
		if slices.Sort(got); !slices.Equal(got, slices.Sorted(slices.Values(want))) {
			t.Errorf("%s: got\n%s\nwant\n%s", src, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
	_, err := lang.Message.Compile(strings.Repeat("evnt == 1 or ", 100)+"true", lang.Bool)
	if n := len(told(err)); n != 20 {
		t.Errorf("%d mistakes of one expression are told", n)
	}
}

func spot(src string, e *lang.Error) string {
	if e == nil || e.Offset+e.Len > len(src) {
		return "?"
	}
	return src[e.Offset : e.Offset+e.Len]
}

func TestAnExpressionYieldsWhatIsAskedOfIt(t *testing.T) {
	for _, tt := range []struct {
		src  string
		as   lang.Type
		want string
	}{
		{"event", lang.Bool, "this is no condition: it is a text: write a comparison, such as == or >"},
		{"true", lang.Bool, ""},
		{"5", lang.Bool, "this is no condition: it is a number: leave it out if every callback is meant"},
		{"data.urgent", lang.Bool, ""},
		{"data.price + 1", lang.Bool, ""},
		{"data.price - 1", lang.Bool, "this is no condition: it is a number: write a comparison, such as == or >"},
		{"[1]", lang.Text, "a text is wanted, and this is a list"},
		{"attempt", lang.Text, ""},
		{"nil", lang.Text, ""},
	} {
		_, err := lang.Message.Compile(tt.src, tt.as)
		if got := message(err); got != tt.want {
			t.Errorf("%s: got %q, want %q", tt.src, got, tt.want)
		}
	}
}

func message(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

func TestAConditionIsTrueFalseOrAnError(t *testing.T) {
	for src, want := range map[string]string{
		"data.ok": "true", "data.nothing": "false", "data.price > 1": "true", "data.ok ?? false": "true",
		"data.price": "data.price is a number, not true or false: write a comparison, such as ==",
	} {
		p, err := lang.Message.Compile(src, lang.Bool)
		if err != nil {
			t.Fatal(err)
		}
		ok, err := p.Bool(failed(t))
		if got := message(err) + map[bool]string{true: "true"}[ok]; got != want && !(got == "" && want == "false") {
			t.Errorf("%s: got %s, want %s", src, got, want)
		}
	}
}

func TestAProgramIsUsedByManyAtOnce(t *testing.T) {
	good := compile(t, `let p = data.price; any(data.items, .qty > 2) and p > 1`, lang.Bool)
	bad := compile(t, `any(data.items, .sku + 1 == 2)`, lang.Bool)
	vars := failed(t)
	var g sync.WaitGroup
	for range 8 {
		g.Go(func() {
			for range 100 {
				if ok, err := good.Bool(vars); !ok || err != nil {
					t.Errorf("got %v, %v", ok, err)
				}
				if _, err := bad.Bool(vars); !strings.HasPrefix(message(err), ".sku is a text: + takes two numbers or two texts") {
					t.Errorf("got %v", err)
				}
			}
		})
	}
	g.Wait()
}

func TestTextIsNeverAListOrAnObject(t *testing.T) {
	for src, want := range map[string]string{
		"data.price": "11500 true", "data.nothing": " false", "data.ok": "true true", "ref_id": "T-1 true", "data.amount": "100000.00 true",
		"data.items": " false data.items is a list, not a text", "data": " false data is an object, not a text",
	} {
		p, err := lang.Message.Compile(src, lang.Text)
		if err != nil {
			t.Fatal(err)
		}
		s, ok, err := p.Text(failed(t))
		if got := strings.TrimRight(s+map[bool]string{true: " true", false: " false"}[ok]+" "+message(err), " "); got != want {
			t.Errorf("%s: got %q, want %q", src, got, want)
		}
	}
}

// request is what a source may give to its expressions: values of Go's own types
// and functions of the request at hand.
type request struct {
	Raw    string              `expr:"raw"`
	Form   map[string][]string `expr:"form"`
	Header http.Header         `expr:"headers"`
	Float  float64             `expr:"float64"`
	Uint   uint64              `expr:"uint64"`
	Bytes  []byte              `expr:"bytes"`
	Hidden string
	Text   func(string) any                `expr:"text"`
	Kv     func(string, string) [][]string `expr:"kv"`
	Nil    func(string) any                `expr:"never"`
	Fails  func(int) (string, error)       `expr:"fails"`
}

func TestAnEnvTakesGoValuesAndFunctions(t *testing.T) {
	env := lang.NewEnv(request{},
		lang.Func{Name: "twice", Types: []any{new(func(string) string)}, Call: func(args ...any) (any, error) { return args[0].(string) + args[0].(string), nil }},
		lang.Func{Name: "sha256", Types: []any{new(func(any) string)}, Call: func(args ...any) (any, error) { return "own", nil }},
		lang.Func{Name: "free", Call: func(args ...any) (any, error) { return len(args), nil }})
	vars := request{Raw: "body", Form: map[string][]string{"a": {"1", "2"}}, Header: http.Header{"X-A": {"v"}}, Float: 2.5, Uint: 1 << 63, Bytes: []byte("b"),
		Text:  func(path string) any { return map[string]any{"price": json.Number("1.00")}[path] },
		Kv:    func(s, sep string) [][]string { return [][]string{strings.Split(s, sep)} },
		Fails: func(n int) (string, error) { return "", errors.New("as it must") }}
	for src, want := range map[string]any{
		"raw": "body", "form.a[1]": "2", "form.b[0]": nil, `headers["X-A"][0]`: "v", "float64 * 2": 5, "uint64": json.Number("9223372036854775808"), `bytes + "!"`: "b!",
		`text("price")`: json.Number("1.00"), `text("nothing")`: nil, "text(nil)": nil, `kv("a=b", "=")[0][1]`: "b", `never("x")`: nil, `twice("ab")`: "abab",
		`sha256("x")`: "own", "free(1, 2, 3)": 3, `"a" in form`: true, "len(form.a)": 2, "json(form)": `{"a":["1","2"]}`, "form.a == [\"1\", \"2\"]": true,
	} {
		p, err := env.Compile(src, lang.Any)
		if err != nil {
			t.Errorf("%s: %v", src, err)
			continue
		}
		for _, v := range []any{vars, &vars} {
			if got, err := p.Eval(v); err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("%s: got %#v, %v; want %#v", src, got, err, want)
			}
		}
	}
	for src, want := range map[string]string{
		"fails(1)": "fails: as it must", "Hidden": "unknown name Hidden", "raw(1)": "raw is no function: write it without ( )",
		`ago("x")`: "unknown function ago", "text": "text is a function: write text(...)", "text(1)": "1 is a number: text takes a text here", "twice()": "twice takes 1 value, not 0",
	} {
		p, err := env.Compile(src, lang.Any)
		if err == nil {
			_, err = p.Eval(vars)
		}
		if !strings.HasPrefix(message(err), want) {
			t.Errorf("%s: got %v, want %s", src, err, want)
		}
	}
	if p, _ := env.Compile("raw", lang.Any); true {
		if _, err := p.Eval(failed(t)); err == nil {
			t.Error("evaluated with the values of another Env")
		}
	}
}

func TestEveryFunctionDoesWhatItsExampleSays(t *testing.T) {
	for _, f := range lang.Reference() {
		v, err := eval(t, f.Example)
		got := asJSON(v)
		if err != nil || got != f.Yields || f.Doc == "" || !strings.Contains(f.Example, f.Name+"(") {
			t.Errorf("%s: %s gives %s, %v; want %s", f.Name, f.Example, got, err, f.Yields)
		}
	}
}

func TestFunctions(t *testing.T) {
	for src, want := range map[string]any{
		"rupiah(-500)": "-Rp500", "rupiah(nil)": nil, "rupiah(11500.75)": "Rp11.500,75", "rupiah(11500.5)": "Rp11.500,50", "rupiah(data.amount)": "Rp100.000",
		`rupiah("11500")`: "Rp11.500", `rupiah("11.500")`: "11.500", `rupiah("N/A")`: "N/A", "rupiah(0)": "Rp0", "rupiah(999)": "Rp999", "rupiah(-1000)": "-Rp1.000",
		"rupiah(1e18)": "Rp1.000.000.000.000.000.000", "rupiah(data.big)": "Rp12.345.678.901.234.567.890", "rupiah(0.999)": "Rp1", "rupiah(-0.001)": "Rp0",
		"number(1234567)": "1.234.567", "number(0.5)": "0,5", "number(-123456)": "-123.456", "number(nil)": nil, `number("x")`: "x",
		`mask("")`: "", `mask("12")`: "**", `mask("1234")`: "1**4", `mask("1234567890123456")`: "1234********3456", "mask(81234567890)": "812*****890", "mask(nil)": nil,
		`truncate("héé", 3)`: "héé", `truncate("héé✓", 3)`: "hé…", `truncate("abc", 0)`: "", `truncate("abc", -1)`: "", `truncate(nil, 3)`: nil, "truncate(12345, 3)": "12…",
		"date(received_at)": "24/11/2025", `date("2025-11-24 23:30:00")`: "24/11/2025", `date("2025-11-24")`: "24/11/2025", `date("besok")`: "besok", "date(nil)": nil,
		"date(1763953509123)": "24/11/2025", `date("1763953509")`: "24/11/2025", `time(received_at, "HH:mm:ss")`: "03:05:09", `date(received_at, "D MMM YY")`: "D Nov 25",
		`ago(received_at)`: "baru saja", `ago("2025-11-24 03:00:00")`: "5 menit lalu", `ago("2025-11-25 04:00:00")`: "1 hari lagi", `ago("x")`: "x", "ago(nil)": nil,
		`ago("2025-09-01")`: "2 bulan lalu", `ago("2020-09-01")`: "5 tahun lalu",
		"json(data.amount)": "100000.00", "json(nil)": "null", "json(received_at)": `"2025-11-24T03:05:09Z"`, "json(true)": "true",
		"int(2.9)": 2, "int(-2.9)": -2, "round(2.5)": 3, "round(-2.5)": -3, "round(2.4)": 2, "floor(2.9)": 2, "ceil(-2.9)": -2, "round(data.a)": nil, "abs(-2.5)": json.Number("2.5"),
		"max([])": nil, "max(1, 2.5, data.big)": json.Number("12345678901234567890"), `max("a", "b")`: "b", "min(nil)": nil,
		`trim("--a--", "-")`: "a", `split("abc", "")`: []any{"a", "b", "c"}, `join(data.tags)`: "ab", `replace(nil, "a", "b")`: nil, `repeat("x", 0)`: "", `repeat("x", -1)`: "",
		`indexOf("abc", "x")`: -1, "take([1], 5)": []any{1}, "concat([], nil)": []any(nil), "concat()": []any(nil), "sort([3, 1, 2])": []any{1, 2, 3}, "first([])": nil, "keys(nil)": nil, `type(nil)`: "nil", "type(2.5)": "float",
		"type([])": "array", "type({})": "map", "type(data.ok)": "bool", "type(received_at)": "time", "fromJSON(nil)": nil, `sha256(nil)`: nil,
	} {
		if got, err := eval(t, src); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %#v, %v; want %#v", src, got, err, want)
		}
	}
	for src, want := range map[string]string{
		`date(received_at, "x")`: "date: the form of a time is made of", "fromJSON(\"{\")": "fromJSON: not JSON", `fromBase64("*")`: "fromBase64: the text is no base64",
		`max(1, "a")`: "max: the values have no order", `sort([1], "down")`: `sort: the order is "asc" or "desc"`, "len(5)": "len: it is a number, which has no length",
		"int([1])": "int: it is a list, not a number", "float(true)": "float: it is true or false, not a number",
	} {
		if _, err := eval(t, src); !strings.HasPrefix(message(err), want) {
			t.Errorf("%s: got %v, want %s", src, err, want)
		}
	}
}

func TestTimesAreShownInTheZoneOfTheRules(t *testing.T) {
	vars := failed(t)
	vars.ReceivedAt = someDay.In(time.FixedZone("WIB", 7*3600))
	for src, want := range map[string]any{
		"time(received_at)": "10:05", "string(received_at)": "2025-11-24T10:05:09+07:00", `time("2025-11-24T23:00:00Z")`: "06:00", `date("2025-11-24T23:00:00Z")`: "25/11/2025",
		`time("2025-11-24 23:00:00")`: "23:00", "time(1763953509)": "10:05", `ago("2025-11-24 10:00:00")`: "5 menit lalu",
	} {
		if got, err := compile(t, src, lang.Any).Eval(vars); err != nil || got != want {
			t.Errorf("%s: got %v, %v; want %v", src, got, err, want)
		}
	}
}

func TestPrint(t *testing.T) {
	for _, tt := range []struct {
		v    any
		want string
	}{
		{nil, ""}, {"x", "x"}, {11500, "11500"}, {json.Number("1.00"), "1.00"}, {2.5, "2.5"}, {1e6, "1000000"}, {int64(1) << 60, "1152921504606846976"}, {true, "true"},
		{someDay, "2025-11-24T03:05:09Z"}, {[]any{1, nil, "a\"<"}, `[1,null,"a\"<"]`}, {map[string]any{"b": 1, "a": []string{"x"}}, `{"a":["x"],"b":1}`},
		{lang.Raw("r"), "r"}, {[]byte("b"), "b"}, {struct{}{}, "{}"},
	} {
		if got := lang.Print(tt.v); got != tt.want {
			t.Errorf("%#v prints %q, want %q", tt.v, got, tt.want)
		}
	}
}

func asJSON(v any) string {
	var b strings.Builder
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return err.Error()
	}
	return strings.TrimSpace(b.String())
}
