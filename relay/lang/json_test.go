package lang_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/lang"
)

func TestJSONIsReadExactly(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want any
	}{
		{`{"a":{"b":[1,"x",true,false,null,{}]},"c":[]}`, map[string]any{
			"a": map[string]any{"b": []any{1, "x", true, false, nil, map[string]any{}}}, "c": []any{}}},
		{" \t\r\n1 ", 1},
		{"9223372036854775807", math.MaxInt64},
		{"-9223372036854775808", math.MinInt64},
		{"9223372036854775808", json.Number("9223372036854775808")},
		{"100000.00", json.Number("100000.00")},
		{"1e400", json.Number("1e400")},
		{"-0", json.Number("-0")},
		{`"\u00e9\n\/\"\\\ud83d\ude00"`, "é\n/\"\\😀"},
		{`"\ud83d x \udc00\u0041"`, "\uFFFD x \uFFFDA"},
		{`"\ud83d\u0041"`, "\uFFFDA"},
		{"\"a\xffb\xc3\"", "a\uFFFDb\uFFFD"},
		{"\"a\xff\\n\"", "a\uFFFD\n"},
		{`{"a":1,"a":2}`, map[string]any{"a": 2}},
	} {
		if got, err := lang.ParseJSON([]byte(tt.in)); err != nil || !reflect.DeepEqual(got, tt.want) {
			t.Errorf("%s: got %#v, %v; want %#v", tt.in, got, err, tt.want)
		}
	}
}

func TestWhatIsNoJSONIsRefused(t *testing.T) {
	for _, in := range []string{"", " ", "{}{}", "[1,]", `{"a":1,}`, `{a:1}`, `{"a"}`, "[1", `{"a":1`, `"a`, `"\x"`, `"\u12"`, "\"\n\"",
		"01", "1.", ".5", "1e", "+1", "-", "NaN", "tru", "nul", "// x\n1", "\ufeff{}", "[1 2]", "'a'", "{\x00}", `{"a":1]`, "{", "[", `"\`} {
		if v, err := lang.ParseJSON([]byte(in)); err == nil {
			t.Errorf("%q was read as %#v", in, v)
		}
	}
}

func TestJSONFromAnAttackerCostsLittle(t *testing.T) {
	keys := bytes.NewBufferString("{")
	for i := range 100_000 {
		fmt.Fprintf(keys, `"Key%d":1,`, i)
	}
	keys.WriteString(`"x":1}`)
	for name, tt := range map[string]struct {
		in string
		ok bool
	}{
		"depth 512":    {strings.Repeat("[", 512) + strings.Repeat("]", 512), true},
		"depth 10,000": {strings.Repeat("[", 10_000) + strings.Repeat("]", 10_000), false},
		"only [":       {strings.Repeat("[", 1<<20), false},
		"only {":       {strings.Repeat(`{"a":`, 200_000), false},
		"1 MiB of []":  {"[" + strings.Repeat("[],", 349_000) + "[]]", true},
		"100,000 keys": {keys.String(), true},
		"1 MiB digits": {strings.Repeat("9", 1<<20), true},
		"equal keys":   {"{" + strings.Repeat(`"a":1,`, 170_000) + `"a":1}`, true},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := lang.ParseJSON([]byte(tt.in)); (err == nil) != tt.ok {
				t.Errorf("read: %v", err)
			}
		})
	}
}

func TestKeysThatStandTwiceAreTold(t *testing.T) {
	for _, tt := range []struct {
		in, path string
		want     bool
	}{
		{`{"data":{"ref_id":"a","ref_id":"b"}}`, "data.ref_id", true},
		{`{"data":{"ref_id":"a","Ref_ID":"b"}}`, "data.ref_id", true},
		{`{"data":{"REF_ID":"a","Ref_ID":"b"}}`, "data.ref_id", true},
		{"{\"data\":{\"\u212Aey\":\"a\",\"key\":\"b\"}}", "data.key", true},
		{`{"data":{"ref_id":"a"},"data":{}}`, "data.ref_id", true},
		{`{"data":{"ref_id":"a"},"DATA":{}}`, "data.ref_id", true},
		{`{"data":{"ref_id":"a","x":1,"x":1}}`, "data.ref_id", false},
		{`{"data":{"ref_id":"a","x":1,"x":1}}`, "data", true},
		{`{"data":{"ref_id":"a","x":1,"x":1}}`, "", true},
		{`{"data":{"ref_id":"a","ref_id2":1,"ref_id2":1}}`, "data.ref_id", false},
		{`{"data":{"ref_id":"a"},"other":{"ref_id":"a"}}`, "data.ref_id", false},
		{`[{"a":1},{"a":1,"a":2}]`, "[].a", true},
		{`{"items":[{"sku":1,"SKU":2}]}`, "items[].sku", true},
		{`{"ref_id":"a"}`, "", false},
		{"{" + strings.Repeat(`"x":1,`, 1000) + `"event":1,"event":2}`, "event", true},
	} {
		_, twice, err := lang.ReadJSON([]byte(tt.in))
		if err != nil || twice.Touch(tt.path) != tt.want {
			t.Errorf("%.60s: %q in doubt: %v, %v", tt.in, tt.path, !tt.want, err)
		}
	}
}

// FuzzParseJSON holds ParseJSON against encoding/json.
func FuzzParseJSON(f *testing.F) {
	for _, s := range []string{`{"a":[1,2.50,-0,"x\u00e9\ud800",null,true]}`, "[]", `{"a":1,"A":2,"a":3}`, "1e5", "\"\xff\"", "nul", "[1,]", `"\/"`} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		got, err := lang.ParseJSON(data)
		dec := json.NewDecoder(bytes.NewReader(data))
		dec.UseNumber()
		var want any
		wrong := dec.Decode(&want)
		if wrong == nil && dec.More() {
			return // More is no proof of a second value
		}
		if err != nil {
			if wrong == nil && json.Valid(data) && !strings.Contains(err.Error(), "too deep") {
				t.Fatalf("refuses %q: %v", data, err)
			}
			return
		}
		if !json.Valid(data) {
			t.Fatalf("takes %q, which is no JSON", data)
		}
		if !reflect.DeepEqual(numbers(got), want) {
			t.Fatalf("%q: got %#v, want %#v", data, got, want)
		}
	})
}

// numbers turns every int in v into the json.Number encoding/json gives.
func numbers(v any) any {
	switch v := v.(type) {
	case int:
		return json.Number(strconv.Itoa(v))
	case []any:
		list := make([]any, len(v))
		for i := range v {
			list[i] = numbers(v[i])
		}
		return list
	case map[string]any:
		m := make(map[string]any, len(v))
		for k := range v {
			m[k] = numbers(v[k])
		}
		return m
	}
	return v
}

// sample is a callback of the usual size, 450 bytes.
const sample = `{"event":"order.success","timestamp":"2025-11-24T10:05:09+07:00","data":{"ref_id":"INV-20251124-000123","trx_id":"IKQ2511241005090001",` +
	`"product_code":"TSEL25","product_name":"Telkomsel 25.000","customer_number":"081234567890","price":24850,"balance_before":1250000,` +
	`"balance_after":1225150,"status":"success","sn":"0051000123456789","message":"Transaksi berhasil","created_at":"2025-11-24 10:05:01",` +
	`"updated_at":"2025-11-24 10:05:08"}}`

func BenchmarkParseJSON(b *testing.B) {
	b.Run("lang", func(b *testing.B) {
		for b.Loop() {
			if _, err := lang.ParseJSON([]byte(sample)); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("encoding/json", func(b *testing.B) {
		for b.Loop() {
			var v any
			dec := json.NewDecoder(strings.NewReader(sample))
			dec.UseNumber()
			if err := dec.Decode(&v); err != nil {
				b.Fatal(err)
			}
		}
	})
}
