package rules

import (
	"crypto/sha256"
	"fmt"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/sinks"
)

// A Set is rules.yaml, read and checked: who may send, where a callback goes,
// and the sinks that carry it. It is immutable, and safe for concurrent use. It
// is a relay.Router and relay.Destinations.
type Set struct {
	sum       [sha256.Size]byte
	location  *time.Location
	log       Log
	sources   []*source.Source
	sinks     []*sink
	rules     []*rule
	unmatched *way // nil: what no rule takes stays in the log
	tests     []Test

	file   *conf.File
	doc    document
	prints prints
	byName struct {
		sources map[string]*source.Source
		sinks   map[string]*sink
		rules   map[string]*rule
	}
}

// Log says how long things are kept.
type Log struct {
	Keep     time.Duration // callbacks and settled deliveries
	KeepKeys time.Duration // dedupe keys
	Prune    string        // when to prune, as a cron spec of five fields in Location
}

// Hash names the content of the file: equal bytes, equal hash.
func (s *Set) Hash() string { return fmt.Sprintf("%x", s.sum[:6]) }

// Location is the time zone of the file.
func (s *Set) Location() *time.Location { return s.location }

// Log says how long things are kept.
func (s *Set) Log() Log { return s.log }

// Source gives a source by name.
func (s *Set) Source(name string) (*source.Source, bool) {
	src, ok := s.byName.sources[name]
	return src, ok
}

// Sources lists the sources in the order of the file.
func (s *Set) Sources() []*source.Source { return s.sources }

// Rules lists the names of the rules in the order of the file.
func (s *Set) Rules() []string {
	names := make([]string, len(s.rules))
	for i, r := range s.rules {
		names[i] = r.name
	}
	return names
}

// SinkNames lists the sinks in the order of the file.
func (s *Set) SinkNames() []string {
	names := make([]string, len(s.sinks))
	for i, k := range s.sinks {
		names[i] = k.name
	}
	return names
}

// Sink gives a sink by name, for what only its kind can do.
func (s *Set) Sink(name string) (sinks.Sink, bool) {
	k, ok := s.byName.sinks[name]
	if !ok {
		return nil, false
	}
	return k.running.Sink, true
}

// Kind is the kind of a sink; "" if there is none of that name.
func (s *Set) Kind(name string) string {
	if k, ok := s.byName.sinks[name]; ok {
		return k.kind.Name
	}
	return ""
}

// Destination gives a sink by name.
func (s *Set) Destination(name string) (relay.Destination, bool) {
	k, ok := s.byName.sinks[name]
	if !ok {
		return relay.Destination{}, false
	}
	return k.destination, true
}

// Preview shows what a sink would send, without sending; false if there is no
// sink of that name.
func (s *Set) Preview(name string, p relay.Parcel) (sinks.Preview, bool) {
	k, ok := s.byName.sinks[name]
	if !ok {
		return sinks.Preview{}, false
	}
	return k.running.Preview(p), true
}

// Close lets go of the sinks' connections. What is under way may finish.
func (s *Set) Close() {
	for _, k := range s.sinks {
		k.running.retire()
	}
}
