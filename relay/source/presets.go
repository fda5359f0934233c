package source

import (
	_ "embed"
	"slices"
	"strings"
	"sync"

	"github.com/kurir-relay/kurir/relay/conf"
)

//go:embed presets.yaml
var presetsYAML []byte

// A Preset is a named set of settings.
type Preset struct {
	Name     string
	Provider string   // who it is for
	Checks   []string // what a request is verified by, in words
	Note     string   // what else to know; may be empty
	Doc      string   // provider and checks in one line
	Vars     []string // constants it needs in `vars`
	Weak     bool     // the signature does not cover what happened: allow_ips is a part of the check
	YAML     string   // its keys as they are written in rules.yaml

	Settings Settings
}

// presetSettings are the keys of an entry of presets.yaml.
type presetSettings struct {
	Settings
	Provider string `conf:"provider,required"`
	Note     string `conf:"note"`
	Weak     bool   `conf:"weak"`
}

// Presets lists all presets, in the order of their file.
func Presets() []Preset { return slices.Clone(presets()) }

// LookupPreset gives a preset by name.
func LookupPreset(name string) (Preset, bool) {
	for _, p := range presets() {
		if p.Name == name {
			return p, true
		}
	}
	return Preset{}, false
}

var presets = sync.OnceValue(func() (ps []Preset) {
	entries := conf.Parse("presets.yaml", presetsYAML, noVariable).Root().Entries()
	lines := strings.SplitAfter(string(presetsYAML), "\n")
	for i, e := range entries {
		end := len(lines)
		if i+1 < len(entries) {
			end = entries[i+1].Key.Place().Line - 1
		}
		p, f := readPreset(e.Name(), strings.Join(lines[e.Key.Place().Line-1:end], ""))
		if problems := f.Problems(); len(problems) > 0 {
			panic(problems)
		}
		p.Checks = checksOf(p)
		p.Doc = p.Provider + ": " + strings.Join(p.Checks, ", or ")
		ps = append(ps, p)
	}
	return ps
})

// checksOf says what a preset checks, whatever its secret is.
func checksOf(p Preset) []string {
	fresh, _ := readPreset(p.Name, p.YAML)
	s := &Source{settings: fresh.Settings}
	s.settings.Secrets = []conf.Secret{conf.NewSecret("any")}
	s.compileChecks(conf.Node{})
	return s.Checks()
}

func noVariable(string) (string, bool) { return "", false }

// readPreset reads one entry of presets.yaml as a file of its own.
func readPreset(name, text string) (Preset, *conf.File) {
	f := conf.Parse("preset "+name, []byte(text), noVariable)
	var st presetSettings
	f.Root().Get(name).Decode(&st)
	p := Preset{Name: name, Provider: st.Provider, Note: st.Note, Weak: st.Weak, YAML: text, Settings: st.Settings}
	for _, c := range st.Verify.checks() {
		for _, e := range []conf.String{c.Key, c.Signature, c.Content, c.Assert} {
			r := readsOf(e.Text)
			p.Vars = append(p.Vars, r.vars...)
		}
	}
	slices.Sort(p.Vars)
	p.Vars = slices.Compact(p.Vars)
	return p, f
}

func presetNames() (names []string) {
	for _, p := range presets() {
		names = append(names, p.Name)
	}
	return names
}

// usePreset puts the preset under the settings. It returns the file that
// problems of the preset's own expressions are reported to; nil for no preset.
func (s *Source) usePreset(n conf.Node) *conf.File {
	p, ok := LookupPreset(s.settings.Preset)
	if !ok {
		n.Get("preset").Unknown("preset", s.settings.Preset, presetNames())
		return nil
	}
	fresh, f := readPreset(p.Name, p.YAML)
	s.settings.under(&fresh.Settings, n)
	if p.Weak && len(s.settings.AllowIPs) == 0 && !n.Get("verify").Present() {
		n.Get("preset").Warn("the signature of %s does not cover what happened: who saw one callback can forge the next; set allow_ips", p.Name)
	}
	return f
}
