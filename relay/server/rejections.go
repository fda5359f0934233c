package server

import (
	"context"
	"log/slog"
	"strings"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// A Rejection is a request that was refused. Nothing else is kept of it.
type Rejection struct {
	Time    time.Time `json:"time"`
	Source  string    `json:"source"` // as the path names it
	Address string    `json:"address"`
	Reason  string    `json:"reason"`
}

// maxRejections is how many are kept, and maxWord how long their texts may be:
// they are what anybody may send.
const (
	maxRejections = 1000
	maxWord       = 200
)

// Rejections keeps the newest 1,000 rejections in memory.
type Rejections struct {
	log   *slog.Logger
	flood *flood

	mu   sync.Mutex
	ring []Rejection
	next int // where the next one goes, once the ring is full
}

// NewRejections makes a log of rejections that writes to log, too: of a flood,
// ten lines a second.
func NewRejections(log *slog.Logger) *Rejections {
	return &Rejections{log: log, flood: newFlood()}
}

func (rs *Rejections) add(r Rejection) {
	r.Source, r.Reason = word(r.Source), word(r.Reason)
	rs.mu.Lock()
	if len(rs.ring) < maxRejections {
		rs.ring = append(rs.ring, r)
	} else {
		rs.ring[rs.next] = r
		rs.next = (rs.next + 1) % maxRejections
	}
	rs.mu.Unlock()
	if unlogged, say := rs.flood.line(r.Time); say {
		rs.log.LogAttrs(context.Background(), slog.LevelWarn, "callback rejected", slog.String("source", r.Source),
			slog.String("address", r.Address), slog.String("reason", r.Reason), slog.Int("unlogged", unlogged))
	}
}

// Newest lists them, newest first.
func (rs *Rejections) Newest() []Rejection {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	out := make([]Rejection, 0, len(rs.ring))
	for i := range rs.ring {
		out = append(out, rs.ring[(rs.next+len(rs.ring)-1-i)%len(rs.ring)])
	}
	return out
}

// A flood is lines of the log that anybody may cause.
type flood struct {
	mu       sync.Mutex
	quiet    *rate.Limiter
	unlogged int
}

// newFlood makes one of ten lines a second.
func newFlood() *flood { return &flood{quiet: rate.NewLimiter(10, 50)} }

// line says whether the next line is written, and how many before it were not.
func (f *flood) line(now time.Time) (unlogged int, say bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.quiet.AllowN(now, 1) {
		f.unlogged++
		return 0, false
	}
	unlogged, f.unlogged = f.unlogged, 0
	return unlogged, true
}

// word is a text that is short and safe to print: a part of it that holds no
// more of the request.
func word(s string) string {
	if len(s) > maxWord {
		s = s[:maxWord]
	}
	printable := func(r rune) rune {
		if r < ' ' || r > '~' {
			return '?'
		}
		return r
	}
	return strings.Clone(strings.Map(printable, s))
}
