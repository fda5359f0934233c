package lang_test

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/lang"
)

func compile(t testing.TB, src string, as lang.Type) *lang.Program {
	t.Helper()
	p, err := lang.Message.Compile(src, as)
	if err != nil {
		t.Fatalf("%s: %v", src, err)
	}
	return p
}

func TestPartsOfAConditionShowWhatDecided(t *testing.T) {
	for src, want := range map[string][]string{
		`event == "order.failed" and data.price >= 20000`: {
			`0 event == "order.failed" and data.price >= 20000 = false`,
			`1 event == "order.failed" = true`, `2 event = order.failed`, `1 data.price >= 20000 = false`, `2 data.price = 11500`},
		`(unparsed or duplicate or replay) and data.a > 1`: {
			`0 (unparsed or duplicate or replay) and data.a > 1 = false`, `1 unparsed or duplicate or replay = false`,
			`2 unparsed = false`, `2 duplicate = false`, `2 replay = false`, `1 data.a > 1 = false`, `2 data.a = `},
		`not (data.price in 1..5)`:      {`0 not (data.price in 1..5) = true`, `1 data.price in 1..5 = false`, `2 data.price = 11500`},
		`data.price / data.zero > 1`:    {`0 data.price / data.zero > 1: data.price / data.zero: division by zero`, `1 data.price / data.zero: data.price / data.zero: division by zero`, `2 data.price = 11500`, `2 data.zero = 0`},
		`lower(data.sku ?? "X") == "x"`: {`0 lower(data.sku ?? "X") == "x" = true`, `1 lower(data.sku ?? "X") = x`, `2 data.sku ?? "X" = X`, `3 data.sku = `},
		`any(data.items, .qty > 2)`:     {`0 any(data.items, .qty > 2) = true`, `1 data.items = [{"qty":2,"sku":"x"},{"qty":3,"sku":"y"}]`},
		`let p = data.price; p > 1`:     {`0 let p = data.price; p > 1 = true`, `1 data.price = 11500`, `1 p > 1 = true`, `2 p = 11500`},
	} {
		parts, err := compile(t, src, lang.Bool).Parts(failed(t))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, p := range parts {
			s := fmt.Sprintf("%d %s = %s", p.Depth, p.Text, lang.Print(p.Value))
			if p.Err != nil {
				s = fmt.Sprintf("%d %s: %v", p.Depth, p.Text, p.Err)
			}
			got = append(got, s)
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got\n%s\nwant\n%s", src, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

func TestComparesGivesTheTextsOfANameWhereverTheyStand(t *testing.T) {
	p := compile(t, `event in ["a", "b"] and (event != "c" or "d" == event) and not any(data.items, event == "e" and .sku == "f") and ref_id == "g"`, lang.Bool)
	if got := strings.Join(p.Compares("event"), ""); got != "abcde" {
		t.Errorf("got %s", got)
	}
}

func TestRequiresNamesWhatAConditionCantDoWithout(t *testing.T) {
	for src, want := range map[string]map[string]string{
		`event == "order.failed"`:                                 {"event": "order.failed"},
		`"shop" == source and event == "x" and data.price > 1`:    {"source": "shop", "event": "x"},
		`(event == "x" && source == "y") && unparsed`:             {"event": "x", "source": "y"},
		`data.price / 0 > 1 and event == "x"`:                     {}, // the error comes first
		`(event == "x" and data.price / 0 > 1) and source == "y"`: {"event": "x"},
		`event == "x" or event == "y"`:                            {},
		`not (event == "x")`:                                      {},
		`event != "x"`:                                            {},
		`event == "x" ? true : false`:                             {},
		`event == source`:                                         {},
		`event == "x" and event == "y"`:                           {"event": "x"},
	} {
		if got := compile(t, src, lang.Bool).Requires(); !reflect.DeepEqual(got, want) {
			t.Errorf("%s: got %v, want %v", src, got, want)
		}
	}
}

func TestFieldsAreThoseThatAreRead(t *testing.T) {
	for src, want := range map[string][]string{
		`event == "x" and data.price > body.data["min"]`:           {"body.data.min", "data.price"},
		`any(data.items, .qty > 1 and #.sku != nil)`:               {"data.items[].qty", "data.items[].sku"},
		`data.items[0].sku + data.items[event == "x" ? 0 : 1].qty`: {"data.items[].qty", "data.items[].sku"},
		`let d = data; d.price`:                                    {"data.price"},
		`find(data.items, .qty > 1).sku`:                           {"data.items[].qty", "data.items[].sku"},
		`json(data)`:                                               {"data"},
		`data[event]`:                                              {"data"},
		`{"a": data.x}.a`:                                          {"data.x"},
		`headers["x-a"]`:                                           {"headers.x-a"},
		`event`:                                                    {},
	} {
		if got := compile(t, src, lang.Any).Fields(); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", src, got, want)
		}
	}
	tmpl, err := lang.Message.Template("{{ data.b }} {{ data.a }} {{ data.b ?? data.c.d }}", lang.Plain)
	if err != nil {
		t.Fatal(err)
	}
	if got := tmpl.Fields(); !slices.Equal(got, []string{"data.a", "data.b", "data.c.d"}) {
		t.Errorf("of a template: %q", got)
	}
}

func TestAFieldThatNoSampleHasIsNoticed(t *testing.T) {
	samples := []map[string]any{
		{"data": map[string]any{"price": 1, "sn": nil, "items": []any{map[string]any{"sku": "x"}}, "tags": []any{}}, "body": map[string]any{"event": "x"}, "event": "x"},
		{"data": map[string]any{"message": "Nomor salah"}, "event": "x"},
	}
	for field, want := range map[string]string{
		"data.price": "", "data.message": "", "headers.x": "", "data": "", "data.sn.x": "", "data.items[].sku": "", "data.tags[].x": "",
		"data.pirce": "data.pirce data.price", "data.mesage": "data.mesage data.message", "data.items[].skuu": "data.items[].skuu data.items[].sku",
		"body.price": "body.price data.price", "data.event": "data.event event", "data.zzz": "data.zzz ", "data.price.x": "data.price.x ",
	} {
		got := ""
		for _, m := range lang.Missing([]string{field}, samples...) {
			got = m.Field + " " + m.Near
		}
		if got != want {
			t.Errorf("%s: got %q, want %q", field, got, want)
		}
	}
}
