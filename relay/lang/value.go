package lang

import (
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// A kind is what an expression knows of a value: before it runs, or of the value
// itself.
type kind uint8

const (
	anything kind = iota // not known before it runs
	aNil
	aBool
	aText
	aNumber
	aTime
	aList
	anObject
	aFunc
)

var kindNames = [...]string{anything: "anything", aNil: "nil", aBool: "true or false", aText: "a text", aNumber: "a number",
	aTime: "a time", aList: "a list", anObject: "an object", aFunc: "a function"}

func (k kind) String() string { return kindNames[k] }

// known reports whether a value of the kind is surely no other, and not nil.
func (k kind) known() bool { return k != anything && k != aNil }

// kindOf tells the kind of a value.
func kindOf(v any) kind {
	switch v.(type) {
	case nil:
		return aNil
	case bool:
		return aBool
	case string, Raw:
		return aText
	case int, json.Number:
		return aNumber
	case time.Time:
		return aTime
	case []any:
		return aList
	case map[string]any:
		return anObject
	}
	return kindOfType(reflect.TypeOf(v))
}

var timeType = reflect.TypeFor[time.Time]()

// kindOfType tells the kind of the values of a Go type.
func kindOfType(t reflect.Type) kind {
	switch t.Kind() {
	case reflect.Bool:
		return aBool
	case reflect.String:
		if t == reflect.TypeFor[json.Number]() {
			return aNumber
		}
		return aText
	case reflect.Slice, reflect.Array:
		if t.Elem().Kind() == reflect.Uint8 {
			return aText
		}
		return aList
	case reflect.Map:
		return anObject
	case reflect.Func:
		return aFunc
	case reflect.Struct:
		if t == timeType {
			return aTime
		}
	}
	if t.Kind() >= reflect.Int && t.Kind() <= reflect.Float64 {
		return aNumber
	}
	return anything
}

// normal gives a value that Go code made in the form expressions know: nil, bool,
// string, Raw, int, json.Number, time.Time, or a list or object of any Go type.
func normal(v any) any {
	switch v := v.(type) {
	case nil, bool, string, Raw, int, json.Number, time.Time, []any, map[string]any, map[string]string, []string:
		return v
	case float64:
		return ofFloat(v)
	case int64:
		return int(v)
	case []byte:
		return string(v)
	}
	return uncommon(reflect.ValueOf(v))
}

func uncommon(v reflect.Value) any {
	switch {
	case v.Kind() == reflect.String:
		return v.String()
	case v.Kind() == reflect.Bool:
		return v.Bool()
	case v.CanInt():
		return int(v.Int())
	case v.CanUint():
		n, _ := parseNumber(strconv.FormatUint(v.Uint(), 10))
		return n
	case v.CanFloat():
		return ofFloat(v.Float())
	case v.Kind() == reflect.Pointer && v.IsNil():
		return nil
	}
	return v.Interface()
}

// member is the value of an object's key; nil if v has no such key, or no keys.
func member(v any, key string) any {
	switch m := v.(type) {
	case map[string]any:
		return normal(m[key])
	case map[string]string:
		if s, ok := m[key]; ok {
			return s
		}
	case nil, string, int, bool, json.Number, []any, time.Time, Raw, []string:
	default:
		if e := entry(reflect.ValueOf(v), key); e.IsValid() {
			return normal(e.Interface())
		}
	}
	return nil
}

// element is an element of a list by its number from 0, or from -1 backwards,
// or a value of an object by its key; nil if there is none.
func element(v, at any) any {
	if key, ok := text(at); ok {
		return member(v, key)
	}
	i, ok := at.(int)
	if !ok {
		return nil
	}
	if v == nil || kindOf(v) != aList {
		return nil
	}
	list := reflect.ValueOf(v)
	if i < 0 {
		i += list.Len()
	}
	if i < 0 || i >= list.Len() {
		return nil
	}
	return normal(list.Index(i).Interface())
}

// text is the text v is, Raw or not.
func text(v any) (string, bool) {
	switch s := v.(type) {
	case string:
		return s, true
	case Raw:
		return string(s), true
	}
	return "", false
}

// asList gives the elements of a list of any Go type.
func asList(v any) ([]any, bool) {
	switch l := v.(type) {
	case []any:
		return l, true
	case nil, string, Raw, int, bool, json.Number, map[string]any, time.Time:
		return nil, false
	}
	r := reflect.ValueOf(v)
	if r.Kind() != reflect.Slice && r.Kind() != reflect.Array {
		return nil, false
	}
	list := make([]any, r.Len())
	for i := range list {
		list[i] = normal(r.Index(i).Interface())
	}
	return list, true
}

// plain makes a list or an object of a Go type one of any, at its cost, and a
// Raw a string.
func (f *frame) plain(v any) (any, error) {
	switch v := v.(type) {
	case nil, string, int, bool, json.Number, []any, map[string]any, time.Time:
		return v, nil
	case Raw:
		return string(v), nil
	}
	if k := kindOf(v); k != aList && k != anObject {
		return v, nil
	}
	if err := f.spend(4 * stepCost * reflect.ValueOf(v).Len()); err != nil {
		return nil, err
	}
	if list, ok := asList(v); ok {
		return list, nil
	}
	m, _ := asObject(v)
	return m, nil
}

// has reports whether an object has a key, and whether v is one.
func has(v any, key string) (has, isObject bool) {
	if m, ok := v.(map[string]any); ok {
		_, has = m[key]
		return has, true
	}
	if v == nil || kindOf(v) != anObject {
		return false, false
	}
	return entry(reflect.ValueOf(v), key).IsValid(), true
}

// entry is what a map of a Go type has at a key; invalid if nothing.
func entry(m reflect.Value, key string) reflect.Value {
	if m.Kind() != reflect.Map || m.Type().Key().Kind() != reflect.String {
		return reflect.Value{}
	}
	return m.MapIndex(reflect.ValueOf(key).Convert(m.Type().Key()))
}

// asObject gives the entries of an object of any Go type.
func asObject(v any) (map[string]any, bool) {
	if m, ok := v.(map[string]any); ok {
		return m, true
	}
	if v == nil || kindOf(v) != anObject {
		return nil, false
	}
	r := reflect.ValueOf(v)
	m := make(map[string]any, r.Len())
	for it := r.MapRange(); it.Next(); {
		m[Print(normal(it.Key().Interface()))] = normal(it.Value().Interface())
	}
	return m, true
}

// equal reports whether two values are the same: numbers by value, lists and
// objects by what is in them. Values of different kinds differ.
func (f *frame) equal(a, b any) (bool, error) {
	if s, ok := text(a); ok {
		t, ok := text(b)
		return ok && s == t, f.spend(len(s) / 8)
	}
	if k := kindOf(a); k != kindOf(b) {
		return false, nil
	}
	switch x := a.(type) {
	case nil:
		return true, nil
	case bool:
		return x == b.(bool), nil
	case int, json.Number:
		return compareNumbers(a, b) == 0, f.spend(size(a) + size(b))
	case time.Time:
		return x.Equal(b.(time.Time)), nil
	}
	return f.equalInside(a, b)
}

func (f *frame) equalInside(a, b any) (bool, error) {
	a, err := f.plain(a)
	if err != nil {
		return false, err
	}
	if b, err = f.plain(b); err != nil {
		return false, err
	}
	switch x := a.(type) {
	case []any:
		return f.equalLists(x, b.([]any))
	case map[string]any:
		return f.equalObjects(x, b.(map[string]any))
	}
	return false, nil
}

func (f *frame) equalLists(a, b []any) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for i := range a {
		if err := f.spend(stepCost); err != nil {
			return false, err
		}
		if same, err := f.equal(normal(a[i]), normal(b[i])); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

func (f *frame) equalObjects(a, b map[string]any) (bool, error) {
	if len(a) != len(b) {
		return false, nil
	}
	for k, v := range a {
		if err := f.spend(stepCost); err != nil {
			return false, err
		}
		w, ok := b[k]
		if !ok {
			return false, nil
		}
		if same, err := f.equal(normal(v), normal(w)); !same || err != nil {
			return false, err
		}
	}
	return true, nil
}

// order compares two values that have an order: two numbers, two texts (by
// their bytes) or two times.
func order(a, b any) (c int, ok bool) {
	if isNumber(a) && isNumber(b) {
		return compareNumbers(a, b), true
	}
	if s, isText := text(a); isText {
		t, isText := text(b)
		return strings.Compare(s, t), isText
	}
	if t, isTime := a.(time.Time); isTime {
		u, isTime := b.(time.Time)
		return t.Compare(u), isTime
	}
	return 0, false
}

// Print is how a value looks in a text: nil is "", a number has every digit it
// came with, a time is RFC 3339, a list or an object is JSON.
func Print(v any) string {
	switch v := v.(type) {
	case nil:
		return ""
	case string:
		return v
	case Raw:
		return string(v)
	case int:
		return strconv.Itoa(v)
	case json.Number:
		return string(v)
	case bool:
		return strconv.FormatBool(v)
	case time.Time:
		return v.Format(time.RFC3339)
	}
	v = normal(v)
	switch kindOf(v) {
	case aList, anObject:
		b, _ := (&frame{work: math.MaxInt}).appendJSON(nil, v)
		return string(b)
	case anything, aFunc:
		return fmt.Sprint(v)
	}
	return Print(v)
}

// appendJSON appends v as compact JSON, with the keys of objects in order.
func (f *frame) appendJSON(b []byte, v any) ([]byte, error) {
	v = normal(v)
	switch v := v.(type) {
	case nil:
		return append(b, "null"...), nil
	case int, bool:
		return append(b, Print(v)...), nil
	case json.Number:
		if json.Valid([]byte(v)) {
			return append(b, v...), f.spend(len(v))
		}
	case []any:
		return f.appendList(b, v)
	case map[string]any:
		return f.appendObject(b, v)
	}
	if k := kindOf(v); k == aList || k == anObject {
		v, err := f.plain(v)
		if err != nil {
			return nil, err
		}
		return f.appendJSON(b, v)
	}
	s := Print(v)
	b = append(appendJSONText(append(b, '"'), s), '"')
	return b, f.spend(len(s))
}

func (f *frame) appendList(b []byte, list []any) (_ []byte, err error) {
	b = append(b, '[')
	for i, e := range list {
		if i > 0 {
			b = append(b, ',')
		}
		if b, err = f.appendJSON(b, e); err != nil {
			return nil, err
		}
		if err = f.spend(stepCost); err != nil {
			return nil, err
		}
	}
	return append(b, ']'), nil
}

func (f *frame) appendObject(b []byte, m map[string]any) (_ []byte, err error) {
	if err := f.spend(8 * stepCost * len(m)); err != nil {
		return nil, err
	}
	b = append(b, '{')
	for i, k := range slices.Sorted(maps.Keys(m)) {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(appendJSONText(append(b, '"'), k), '"', ':')
		if b, err = f.appendJSON(b, m[k]); err != nil {
			return nil, err
		}
		if err = f.spend(len(k)); err != nil {
			return nil, err
		}
	}
	return append(b, '}'), nil
}
