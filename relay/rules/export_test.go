package rules

import (
	"reflect"

	"github.com/kurir-relay/kurir/relay/source"
)

// Sections are the structs that the parts of the file are read into, by their
// names in the reference page.
var Sections = map[string]reflect.Type{
	"file":    reflect.TypeFor[document](),
	"source":  reflect.TypeFor[source.Settings](),
	"sink":    reflect.TypeFor[sinkKeys](),
	"digest":  reflect.TypeFor[digestKeys](),
	"quiet":   reflect.TypeFor[quietHours](),
	"rule":    reflect.TypeFor[ruleKeys](),
	"log":     reflect.TypeFor[logKeys](),
	"test":    reflect.TypeFor[testKeys](),
	"expect":  reflect.TypeFor[expectKeys](),
	"wanted":  reflect.TypeFor[wanted](),
	"request": reflect.TypeFor[requestKeys](),
}
