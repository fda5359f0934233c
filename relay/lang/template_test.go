package lang_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/lang"
)

var someDay = time.Date(2025, 11, 24, 3, 5, 9, 0, time.UTC)

// failed is a callback as a source reads it.
func failed(t testing.TB) *lang.Vars {
	t.Helper()
	body, err := lang.ParseJSON([]byte(`{"event":"order.failed","data":{"ref_id":"T-1","price":11500,"product_name":"Pulsa <10rb>",
		"customer_number":"081234567890","message":null,"tags":["a","b"],"amount":100000.00,"big":12345678901234567890,
		"items":[{"sku":"x","qty":2},{"sku":"y","qty":3}],"nested":{"deep":{"x":1}},"as_text":"11500","ok":true,"zero":0}}`))
	if err != nil {
		t.Fatal(err)
	}
	v := lang.NewVars(relay.Callback{Source: "shop", Event: "order.failed", RefID: "T-1", ReceivedAt: someDay,
		Header: map[string][]string{"X-Signature": {"ab"}, "Accept": {"a", "b"}},
		Parsed: &relay.Parsed{Body: body, Data: body.(map[string]any)["data"]}})
	return &v
}

func TestATemplatePrintsValuesForTheirDestination(t *testing.T) {
	for _, tt := range []struct {
		src  string
		to   lang.Escape
		want string
	}{
		{"plain { } text", lang.HTML, "plain { } text"},
		{"", lang.HTML, ""},
		{"❌ <b>{{ ref_id }}</b> {{data.product_name}}.", lang.HTML, "❌ <b>T-1</b> Pulsa &lt;10rb&gt;."},
		{"{{ raw(data.product_name) }}", lang.HTML, "Pulsa <10rb>"},
		{"{{ raw(data.product_name) + \"&\" }}", lang.HTML, "Pulsa &lt;10rb&gt;&amp;"},
		{"[{{ data.message }}][{{ data.nothing.at.all }}]", lang.Plain, "[][]"},
		{`{{ data.message ?? "-" }}`, lang.Plain, "-"},
		{`{{ "}}" + '}}' + ` + "`}}`" + ` }}`, lang.Plain, "}}}}}}"},
		{`{{ "\"}}" }}`, lang.Plain, `"}}`},
		{"{{ `a``}}` }}", lang.Plain, "a`}}"},
		{`{{ {"a": {"b": 1}}.a.b }}`, lang.Plain, "1"},
		{`{{ any(data.tags, {# == "b"}) }}`, lang.Plain, "true"},
		{`{{ "{{" }} and }}`, lang.Plain, "{{ and }}"},
		{`{{ if data.ok { "yes" } else { "no" } }}`, lang.Plain, "yes"},
		{"Gagal:\n{{ ref_id + \"\\nBcc: x\" }}\n", lang.Line, "Gagal: T-1 Bcc: x "},
		{`{{ raw("a\nb") }}`, lang.Line, "a b"},
		{"{{ data.product_name }}", lang.Query, "Pulsa%20%3C10rb%3E"},
		{`{"name": "{{ data.product_name + "\"" }}", "all": {{ raw(json(data.items)) }}}`, lang.JSON,
			`{"name": "Pulsa <10rb>\"", "all": [{"qty":2,"sku":"x"},{"qty":3,"sku":"y"}]}`},
		{"{{ data.items }}", lang.Plain, `[{"qty":2,"sku":"x"},{"qty":3,"sku":"y"}]`},
		{"{{ data.amount }} {{ data.big }} {{ data.ok }}", lang.Plain, "100000.00 12345678901234567890 true"},
	} {
		tmpl, err := lang.Message.Template(tt.src, tt.to)
		if err != nil {
			t.Errorf("%s: %v", tt.src, err)
			continue
		}
		if got, err := tmpl.Render(failed(t)); err != nil || got != tt.want {
			t.Errorf("%s: got %q, %v; want %q", tt.src, got, err, tt.want)
		}
	}
}

func TestAMistakeInATemplateIsNamedWhereItStands(t *testing.T) {
	for _, tt := range []struct {
		src    string
		offset int
		want   string
	}{
		{"a {{ ref_id", 2, `{{ is never closed: write }} after the expression; two braces are written {{ "{{" }}`},
		{"a {{ ref_id }\n it's", 2, `{{ is never closed: write }} after the expression; two braces are written {{ "{{" }}`},
		{"a {{ 'x }} b", 5, "the text that begins here is never closed: write ' at its end"},
		{"é {{ }}", 3, `{{ }} has nothing in it: write a name, such as {{ ref_id }}; two braces are written {{ "{{" }}`},
		{"é {{ .ref_id }}", 6, "names have no dot before them here: write {{ ref_id }}"},
		{"{{ .RefID }}", 3, "names have no dot before them here: write {{ ref_id }}"},
		{"{{ .Data.Price }}", 3, "names have no dot before them here: write {{ data.price }}"},
		{"{{ .price | rupiah }}", 3, "names have no dot before them here: write {{ rupiah(data.price) }}"},
		{"{{ if .x }}", 3, `a text has no if blocks: choose with {{ condition ? "this" : "that" }}`},
		{"{{ end }}", 3, `a text has no end blocks: choose with {{ condition ? "this" : "that" }}`},
		{"{{- ref_id -}}", 2, "{{- and -}} trim nothing here: write {{ ref_id }}"},
		{"é {{ ref_idd }}", 6, `unknown name ref_idd: did you mean "ref_id"?`},
		{"{{ ref_id }} {{ rupiah }}", 16, "rupiah is a function: write rupiah(...)"},
	} {
		_, err := lang.Message.Template(tt.src, lang.HTML)
		e, ok := errors.AsType[*lang.Error](err)
		if !ok || e.Offset != tt.offset || e.Error() != tt.want {
			t.Errorf("%q: got %d %v; want %d %s", tt.src, at(e), err, tt.offset, tt.want)
		}
	}
}

// A text is mended in one go: what each of its expressions has wrong is told.
func TestEveryMistakeOfATemplateIsTold(t *testing.T) {
	for src, want := range map[string][]string{
		"{{ evnt }} {{ ref_id }} {{ rupia(data.price) }}": {`3 unknown name evnt: did you mean "event"?`, `27 unknown function rupia: did you mean "rupiah"?`},
		"{{ .sn }} {{ }} {{ data. }} {{ ref_id == }}": {"3 names have no dot before them here: write {{ data.sn }}",
			`10 {{ }} has nothing in it: write a name, such as {{ ref_id }}; two braces are written {{ "{{" }}`, "24 the expression ends too early", "40 the expression ends too early"},
		"{{ ref_id }\n{{ evnt }}\n{{ 'x }}\n{{ sn }}": {`0 {{ is never closed: write }} after the expression; two braces are written {{ "{{" }}`,
			`15 unknown name evnt: did you mean "event"?`, "26 the text that begins here is never closed: write ' at its end", `35 unknown name sn: write data.sn if it is a field of the payload, "sn" if it is a text`},
	} {
		_, err := lang.Message.Template(src, lang.HTML)
		if got := told(err); !slices.Equal(got, want) {
			t.Errorf("%q: got\n%s\nwant\n%s", src, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// told are the mistakes of an error, each after its offset.
func told(err error) (all []string) {
	mistakes, _ := err.(lang.Mistakes)
	for _, e := range mistakes {
		all = append(all, fmt.Sprintf("%d %v", e.Offset, e))
	}
	return all
}

func at(e *lang.Error) int {
	if e == nil {
		return -1
	}
	return e.Offset
}
