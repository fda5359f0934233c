package rules

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/sinks"
)

// Schema is the JSON Schema (draft-07) of rules.yaml, for editors. It is made of
// the structs that the file is decoded into.
func Schema() []byte {
	s := object(reflect.TypeFor[document]())
	s["$schema"] = "http://json-schema.org/draft-07/schema#"
	s["title"] = "rules.yaml of Kurir"
	properties := s["properties"].(schema)
	properties["sources"].(schema)["additionalProperties"] = object(reflect.TypeFor[source.Settings]())
	properties["sinks"].(schema)["additionalProperties"] = sinkSchema()
	text, err := json.MarshalIndent(s, "", "  ")
	if err != nil {
		panic(err) // only maps, lists and texts are in it
	}
	return append(text, '\n')
}

// schema is a JSON Schema, or a part of one.
type schema = map[string]any

// sinkSchema is that of a sink: the common settings, and exactly one kind.
func sinkSchema() schema {
	s := object(sinkType)
	var kinds []any
	for _, k := range sinks.Kinds() {
		settings := object(reflect.TypeOf(k.Settings))
		settings["type"] = []string{"object", "null"}
		settings["description"] = k.Doc
		s["properties"].(schema)[k.Name] = settings
		kinds = append(kinds, schema{"required": []string{k.Name}})
	}
	s["oneOf"] = kinds
	return s
}

// object is the schema of a struct.
func object(t reflect.Type) schema {
	properties, required := schema{}, []string{}
	for _, f := range conf.Fields(t) {
		p := schemaOf(f.Type)
		if f.Doc != "" {
			p["description"] = f.Doc
		}
		if f.Default != "" {
			p["default"] = conf.Parse(f.Key, []byte(f.Default), nil).Root().Value()
		}
		properties[f.Key] = p
		if f.Secret() {
			properties[f.Key+"_file"] = schema{"description": "a file that holds it: " + f.Doc, "type": []string{"string", "array"},
				"items": schema{"type": "string"}}
		} else if f.Required {
			required = append(required, f.Key)
		}
	}
	s := schema{"type": "object", "properties": properties, "additionalProperties": false}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// A schemer is a type that reads itself and says what it takes.
type schemer interface{ JSONSchema() schema }

func schemaOf(t reflect.Type) schema {
	if s, ok := reflect.New(t).Interface().(schemer); ok {
		return s.JSONSchema()
	}
	switch t {
	case reflect.TypeFor[conf.Node]():
		return schema{}
	case reflect.TypeFor[conf.String](), reflect.TypeFor[conf.Secret]():
		return anyText()
	case reflect.TypeFor[time.Duration]():
		return schema{"type": []string{"string", "integer"}, "pattern": `^(\d+(\.\d+)?(ms|s|m|h|d|w))+$|^0$|\$\{`}
	}
	if _, ok := reflect.New(t).Interface().(conf.Unmarshaler); ok && t.Kind() != reflect.Struct {
		return anyText()
	}
	return schemaOfKind(t)
}

// anyText is a scalar; what looks like a number or a truth value is taken as it
// is written.
func anyText() schema { return schema{"type": []string{"string", "number", "boolean"}} }

// A scalar of another type than text may come from ${NAME}.
func orReference(kind string) schema {
	return schema{"type": []string{kind, "string"}, "pattern": `\$\{`}
}

func schemaOfKind(t reflect.Type) schema {
	switch t.Kind() {
	case reflect.Pointer:
		return schemaOf(t.Elem())
	case reflect.Bool:
		return orReference("boolean")
	case reflect.Int:
		return orReference("integer")
	case reflect.Float64:
		return orReference("number")
	case reflect.Struct:
		return object(t)
	case reflect.Slice:
		if conf.IsMap(t) {
			value, _ := t.Elem().FieldByName("Value")
			return schema{"type": "object", "additionalProperties": schemaOf(value.Type)}
		}
		item := schemaOf(t.Elem())
		if item["type"] == "object" {
			return schema{"type": "array", "items": item}
		}
		return schema{"anyOf": []any{schema{"type": "array", "items": item}, item}}
	}
	return anyText()
}

// JSONSchema implements schemer.
func (rate) JSONSchema() schema {
	return schema{"type": "string", "pattern": `^\d+\s*/|\$\{`, "examples": []string{"18/1m"}}
}

// JSONSchema implements schemer.
func (clock) JSONSchema() schema {
	return schema{"type": "string", "pattern": `^\d?\d:\d\d$|\$\{`, "examples": []string{"22:00"}}
}

// JSONSchema implements schemer.
func (wanted) JSONSchema() schema {
	return schema{"anyOf": []any{anyText(), schema{"type": "array", "items": anyText()}, object(reflect.TypeFor[wanted]())}}
}
