// Package testdata holds sample callbacks, as their providers send them: for
// `kurir send`, for the fields that rules may name, and for tests.
package testdata

import (
	"bufio"
	"bytes"
	"embed"
	"net/http"
	"path"
	"strings"
)

//go:embed callbacks
var files embed.FS

// A Sample is a callback without its signature.
type Sample struct {
	Preset string // whose provider sends it
	Event  string
	Header http.Header // with the Content-Type
	Body   []byte      // the very bytes a provider sends, such as PHP's json_encode makes them
}

// Samples lists all samples, by preset and event. Each call gives copies.
//
// A sample is a file callbacks/<preset>/<event>.json or .form, and its headers
// are in <event>.headers beside it, if it has any.
func Samples() (all []Sample) {
	presets, _ := files.ReadDir("callbacks")
	for _, p := range presets {
		dir := path.Join("callbacks", p.Name())
		entries, _ := files.ReadDir(dir)
		for _, e := range entries {
			event, kind := strings.CutSuffix(e.Name(), ".json")
			contentType := "application/json"
			if !kind {
				event, kind = strings.CutSuffix(e.Name(), ".form")
				contentType = "application/x-www-form-urlencoded"
			}
			if !kind {
				continue
			}
			body, _ := files.ReadFile(path.Join(dir, e.Name()))
			header := headers(path.Join(dir, event+".headers"))
			header.Set("Content-Type", contentType)
			all = append(all, Sample{Preset: p.Name(), Event: event, Header: header, Body: body})
		}
	}
	return all
}

// Of lists the samples of one preset.
func Of(preset string) (some []Sample) {
	for _, s := range Samples() {
		if s.Preset == preset {
			some = append(some, s)
		}
	}
	return some
}

// headers reads lines of "Name: value".
func headers(name string) http.Header {
	h := http.Header{}
	text, err := files.ReadFile(name)
	if err != nil {
		return h
	}
	for s := bufio.NewScanner(bytes.NewReader(text)); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), ":"); ok {
			h.Add(k, strings.TrimSpace(v))
		}
	}
	return h
}
