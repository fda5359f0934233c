package source

import (
	_ "embed"
	"sync"

	"github.com/kurir-relay/kurir/relay/conf"
)

//go:embed presets.yaml
var presetsYAML []byte

// A Preset is a named set of settings.
type Preset struct {
	Name string
	Doc  string   // one line
	Vars []string // constants it needs in `vars`

	settings *Settings
}

// Settings are the keys the preset sets.
func (p Preset) Settings() Settings { return *p.settings }

// presetSettings are the keys of an entry of presets.yaml.
type presetSettings struct {
	Settings
	Doc   string   `conf:"doc"`
	Needs []string `conf:"needs"`
}

var presets = sync.OnceValue(func() (ps []Preset) {
	f := conf.Parse("presets.yaml", presetsYAML, func(string) (string, bool) { return "", false })
	for _, e := range f.Root().Entries() {
		st := &presetSettings{}
		e.Value.Decode(st)
		ps = append(ps, Preset{Name: e.Name(), Doc: st.Doc, Vars: st.Needs, settings: &st.Settings})
	}
	if problems := f.Problems(); len(problems) > 0 {
		panic(problems)
	}
	return ps
})

// Presets lists all presets, in the order of their file.
func Presets() []Preset { return presets() }

// LookupPreset gives a preset by name.
func LookupPreset(name string) (Preset, bool) {
	for _, p := range presets() {
		if p.Name == name {
			return p, true
		}
	}
	return Preset{}, false
}

func presetNames() (names []string) {
	for _, p := range presets() {
		names = append(names, p.Name)
	}
	return names
}
