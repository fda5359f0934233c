package conf

import (
	"fmt"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"gopkg.in/yaml.v3"

	"github.com/kurir-relay/kurir/relay/near"
)

// An Unmarshaler reads itself from a node and reports what is wrong there.
type Unmarshaler interface{ UnmarshalConf(Node) }

// A String is a text with its place, for text that is compiled later. An absent
// one has the place of the mapping it is absent from.
type String struct {
	Text string
	Node Node
	// Default says that the text came from the default of ${NAME:-default}.
	Default bool
}

// A Secret is a text that never shows in a log, an error or a page.
type Secret struct {
	text    string
	Node    Node
	Default bool // as in String
}

// Reveal gives the secret itself.
func (s Secret) Reveal() string               { return s.text }
func (s Secret) String() string               { return "[secret]" }
func (s Secret) GoString() string             { return "[secret]" }
func (s Secret) MarshalText() ([]byte, error) { return []byte("[secret]"), nil }

// NewSecret makes a Secret of a text that does not come from a file.
func NewSecret(text string) Secret { return Secret{text: text} }

// A Map is a mapping in the order of the file.
type Map[T any] []Pair[T]

// A Pair is an entry of a Map.
type Pair[T any] struct {
	Key   String
	Value T
}

// Get is the value of a key.
func (m Map[T]) Get(key string) (v T, ok bool) {
	for _, p := range m {
		if p.Key.Text == key {
			return p.Value, true
		}
	}
	return v, false
}

// Decode reads the node into v, a pointer to a struct whose fields carry the
// keys: `conf:"url"`, `conf:"url,required"`. Unknown keys, wrong types, missing
// and repeated keys are problems. The tag `doc:"..."` describes the key for the
// reference page and the schema.
//
// Fields may be string, bool, int, float64, time.Duration (units s m h d w),
// String, Secret (whose key may also be written key_file, naming a file),
// Node, Map, pointers, structs, and slices of these, for which a single value
// is a list of one. An embedded struct's keys are keys of the outer one. A
// field that implements Unmarshaler reads itself. The tag `default:"..."` is
// the YAML of a key that is absent. A Map tagged `conf:",rest"` takes the keys
// that no other field does; who decodes it reports those that are unknown.
func (n Node) Decode(v any) { n.decode(reflect.ValueOf(v).Elem()) }

func (n Node) decode(v reflect.Value) {
	n = n.resolve()
	if !n.Present() {
		return
	}
	if u, ok := v.Addr().Interface().(Unmarshaler); ok {
		u.UnmarshalConf(n)
		return
	}
	switch p := v.Addr().Interface().(type) {
	case *Node:
		*p = n
	case *String:
		text, def := n.Text()
		*p = String{Text: text, Node: n, Default: def}
	case *Secret:
		text, def := n.Text()
		*p = Secret{text: text, Node: n, Default: def}
	case *time.Duration:
		*p = n.duration()
	default:
		n.decodeKind(v)
	}
}

func (n Node) decodeKind(v reflect.Value) {
	switch v.Kind() {
	case reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		n.decode(v.Elem())
	case reflect.Struct:
		n.decodeStruct(v)
	case reflect.Slice:
		n.decodeSlice(v)
	case reflect.String:
		text, _ := n.Text()
		v.SetString(text)
	case reflect.Bool, reflect.Int, reflect.Float64:
		n.decodeScalar(v)
	default:
		panic("conf: cannot decode into " + v.Type().String())
	}
}

func (n Node) decodeSlice(v reflect.Value) {
	if IsMap(v.Type()) {
		n.decodeMap(v)
		return
	}
	v.Set(reflect.MakeSlice(v.Type(), 0, 0)) // an empty list is not an absent one
	if n.isNoItem(v.Type().Elem()) {
		n.Report(Problem{Message: "want a list, not a mapping", Hint: "begin each item with a hyphen", unusable: true})
		return
	}
	for _, item := range n.Items() {
		e := reflect.New(v.Type().Elem()).Elem()
		item.decode(e)
		v.Set(reflect.Append(v, e))
	}
}

// isNoItem reports whether the node is a mapping with none of the keys that an
// item of a list, a struct of type t, takes.
func (n Node) isNoItem(t reflect.Type) bool {
	if t.Kind() != reflect.Struct || n.Kind() != "mapping" || len(n.Entries()) == 0 {
		return false
	}
	fields, rest := structFields(t)
	known := slices.ContainsFunc(n.Entries(), func(e Entry) bool {
		return slices.ContainsFunc(fields, func(f Field) bool { return f.takes(e.Name()) })
	})
	return len(fields) > 0 && rest == nil && !known
}

// IsMap reports whether t is a Map.
func IsMap(t reflect.Type) bool {
	return strings.HasPrefix(t.Name(), "Map[") && t.PkgPath() == reflect.TypeFor[String]().PkgPath()
}

func (n Node) decodeMap(v reflect.Value) {
	if !n.isMapping() {
		return
	}
	seen := map[string]bool{}
	for _, e := range n.Entries() {
		if seen[e.Name()] {
			e.Key.Problem("%q stands here twice", e.Name())
			continue
		}
		seen[e.Name()] = true
		e.appendTo(v)
	}
}

func (n Node) decodeScalar(v reflect.Value) {
	text, _ := n.Text()
	var err error
	switch v.Kind() {
	case reflect.Bool:
		var b bool
		if b, err = strconv.ParseBool(text); len(text) == 1 {
			err = strconv.ErrSyntax // 0, 1, t and f are no booleans to YAML
		}
		v.SetBool(b)
	case reflect.Int:
		var i int64
		i, err = strconv.ParseInt(strings.ReplaceAll(text, "_", ""), 10, 64)
		v.SetInt(i)
	case reflect.Float64:
		var f float64
		f, err = strconv.ParseFloat(text, 64)
		v.SetFloat(f)
	}
	if err != nil {
		n.unusable("want %s, not %q", map[reflect.Kind]string{
			reflect.Bool: "true or false", reflect.Int: "a whole number", reflect.Float64: "a number"}[v.Kind()], text)
	}
}

func (n Node) decodeStruct(v reflect.Value) {
	if !n.isMapping() {
		return
	}
	fields, rest := structFields(v.Type())
	seen, meant := map[string]Node{}, map[string]bool{}
	for _, e := range n.Entries() {
		if _, dup := seen[e.Name()]; dup {
			e.Key.Problem("%q stands here twice", e.Name())
			continue
		}
		seen[e.Name()] = e.Value
		if i := slices.IndexFunc(fields, func(f Field) bool { return f.takes(e.Name()) }); i >= 0 {
			fields[i].decode(e, v.FieldByIndex(fields[i].index))
		} else if rest != nil {
			e.appendTo(v.FieldByIndex(rest))
		} else {
			name := e.unknown(fields)
			if i := slices.IndexFunc(fields, func(f Field) bool { return f.Key == name }); i >= 0 && !meant[name] && !n.Get(name).Given() {
				e.Value.decode(v.FieldByIndex(fields[i].index)) // for what else is wrong in it
			}
			meant[name] = true
		}
	}
	for _, f := range fields {
		if !seen[f.Key].Present() && !seen[f.Key+"_file"].Present() && !meant[f.Key] {
			f.absent(n, seen[f.Key], v.FieldByIndex(f.index))
		}
	}
}

// unknown reports a key that is none of fields, and gives the one that was meant.
func (e Entry) unknown(fields []Field) (meant string) {
	for _, f := range fields {
		if slices.Contains(f.also, strings.ToLower(e.Name())) {
			e.Key.Report(Problem{Len: utf8.RuneCountInString(e.Name()), Message: fmt.Sprintf("unknown key %q", e.Name()),
				Hint: fmt.Sprintf("did you mean %q?", f.Key), unusable: true})
			return f.Key
		}
	}
	e.Key.Unknown("key", e.Name(), Keys(fields))
	return near.Nearest(e.Name(), Keys(fields))
}

// isMapping reports whether the node is a mapping; it is a problem if not.
func (n Node) isMapping() bool {
	kind := n.Kind()
	if kind == "mapping" {
		return true
	}
	p := Problem{Message: "want a mapping, not a " + kind, unusable: true}
	switch {
	case kind == "list":
		p.Hint = "write `name: ...` instead of hyphens"
	case colonGlued.MatchString(n.y.Value + " "):
		p.Hint = "write a space after the colon"
	}
	n.Report(p)
	return false
}

// appendTo adds the entry to a Map.
func (e Entry) appendTo(m reflect.Value) {
	p := reflect.New(m.Type().Elem()).Elem()
	p.Field(0).Set(reflect.ValueOf(String{Text: e.Name(), Node: e.Key}))
	e.Value.decode(p.Field(1))
	m.Set(reflect.Append(m, p))
}

// A Field is a key that a struct takes.
type Field struct {
	Key      string
	Doc      string
	Default  string // as YAML; "" if the zero value is what an absent key means
	Required bool
	Type     reflect.Type
	also     []string // how it might be called, in small letters: only to say what was meant
	index    []int
}

// Fields lists the keys a struct type takes, those of embedded structs in place.
func Fields(t reflect.Type) []Field {
	fs, _ := structFields(t)
	return fs
}

func structFields(t reflect.Type) (fs []Field, rest []int) {
	for _, f := range reflect.VisibleFields(t) {
		key, opt, tagged := strings.Cut(f.Tag.Get("conf"), ",")
		switch {
		case f.Anonymous || key == "" && !tagged:
		case opt == "rest":
			rest = f.Index
		default:
			fs = append(fs, Field{Key: key, Doc: f.Tag.Get("doc"), Default: f.Tag.Get("default"),
				Required: opt == "required", Type: f.Type, also: strings.Fields(f.Tag.Get("also")), index: f.Index})
		}
	}
	return fs, rest
}

// Keys are the names of fields.
func Keys(fs []Field) []string {
	ks := make([]string, len(fs))
	for i, f := range fs {
		ks[i] = f.Key
	}
	return ks
}

func (f Field) takes(name string) bool {
	return name == f.Key || f.Secret() && name == f.Key+"_file"
}

// Secret reports whether the key may also be written key_file.
func (f Field) Secret() bool {
	return f.Type == reflect.TypeFor[Secret]() || f.Type == reflect.TypeFor[[]Secret]()
}

func (f Field) decode(e Entry, v reflect.Value) {
	if f.Secret() && e.Name() != f.Key {
		e.Value.decodeFiles(v)
		return
	}
	e.Value.decode(v)
}

// absent gives the field of the mapping n its default; null is what stands there
// instead of a value, if anything does.
func (f Field) absent(n, null Node, v reflect.Value) {
	if f.Required {
		n.Problem("%q is missing", f.Key)
	}
	if f.Default != "" {
		Parse("default of "+f.Key, []byte(f.Default), os.LookupEnv).Root().decode(v)
	}
	none := Node{f: n.f, y: null.y, near: n.resolve().y}
	switch p := v.Addr().Interface().(type) {
	case *Node:
		*p = none
	case *String:
		p.Node = none
	case *Secret:
		p.Node = none
	}
}

// duration reads "1h30m", "30d", "2w".
func (n Node) duration() time.Duration {
	text, _ := n.Text()
	d, err := ParseDuration(text)
	if err != nil {
		n.unusable("%v", err)
	}
	return d
}

// Text of a scalar with ${NAME} replaced; def says the whole of it came from a
// default. A mapping or list is a problem.
func (n Node) Text() (text string, def bool) {
	n = n.resolve()
	if n.y == nil {
		return "", false
	}
	if n.y.Kind != yaml.ScalarNode {
		n.unusable("want a text, not a %s", n.Kind())
		return "", false
	}
	x := n.expansion()
	for _, p := range x.unset {
		ref := n.y.Value[p.in : p.in+p.inLen]
		n.reportRaw(p.in, Problem{Len: p.inLen, unusable: true, Message: ref + " is not set in the environment",
			Hint: "set it, or write " + strings.TrimSuffix(ref, "}") + ":-} if it may be empty"})
	}
	return x.text, x.def
}
