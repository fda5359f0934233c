package rules

import (
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"regexp"
	"time"
	_ "time/tzdata" // for machines that have no time zones

	"github.com/robfig/cron/v3"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/source"
)

// Options are what a file is read with. The zero value is ready.
type Options struct {
	Lookup  func(name string) (string, bool) // of ${NAME}; nil is os.LookupEnv
	Version string                           // of Kurir, which sinks tell their far side
	Console io.Writer                        // where sinks without an address print; nil is the standard output
	Log     *slog.Logger                     // of sinks of kind log; nil is slog's default

	// Samples gives known callbacks of a source: of events and fields that none of
	// them has, and of rules that fail for one, there are warnings. Nil, or a
	// source without samples, warns of none.
	Samples func(*source.Source) []relay.Callback

	// Dial opens the connections of telegram and email; nil is net.Dialer's.
	Dial func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Load reads and checks the file at path. The Set is nil if, and only if, there
// are errors among the problems; warnings come with a Set.
func Load(path string, o Options) (*Set, conf.Problems) {
	return o.load(conf.Read(path, o.lookup()), nil)
}

// Parse is Load of a text that is not in a file.
func Parse(name string, source []byte, o Options) (*Set, conf.Problems) {
	return o.load(conf.Parse(name, source, o.lookup()), nil)
}

func (o Options) lookup() func(string) (string, bool) {
	if o.Lookup == nil {
		return os.LookupEnv
	}
	return o.Lookup
}

// load reads a file into a Set. Sinks that before has with the same settings
// are taken over.
func (o Options) load(file *conf.File, before *Set) (*Set, conf.Problems) {
	l := loader{Options: o, file: file, before: before}
	l.set = &Set{file: file, sum: sha256.Sum256(file.Source())}
	if file.Root().Present() {
		l.read()
	}
	problems := file.Problems()
	if len(problems.Errors()) > 0 {
		l.abandon()
		return nil, problems
	}
	return l.set, problems
}

// A loader makes a Set of a file.
type loader struct {
	Options
	file   *conf.File
	before *Set // nil: none
	set    *Set
	made   []*running // sinks that were not taken over

	sinkNames []string // those in the file, also those that are wrong
	unnamed   bool     // a rule has no name of its own
}

func (l *loader) read() {
	l.file.Root().Decode(&l.set.doc)
	l.readTimezone()
	l.readLog()
	sound := l.readSources()
	l.readSinks()
	l.readFallbacks()
	l.readRules()
	l.readUnmatched()
	l.readTests()
	l.takePrints()
	if len(l.file.Problems().Errors()) == 0 {
		l.warn()
	}
	l.warnEach()
	if sound {
		l.warnKnown()
	}
}

// abandon closes what was made for a Set that is not to be.
func (l *loader) abandon() {
	for _, r := range l.made {
		r.retire()
	}
}

func (l *loader) readTimezone() {
	tz := l.set.doc.Timezone
	loc, err := time.LoadLocation(tz.Text)
	if err != nil {
		tz.Node.Report(conf.Problem{Len: len(tz.Text), Message: fmt.Sprintf("unknown time zone %q", tz.Text),
			Hint: "write a name such as Asia/Jakarta, Asia/Makassar, Asia/Jayapura or UTC"})
		loc = time.UTC
	}
	l.set.location = loc
}

func (l *loader) readLog() {
	keys := l.set.doc.Log
	l.set.log = Log{Keep: keys.Keep, KeepKeys: keys.KeepKeys, Prune: keys.Prune.Text}
	if schedule, err := cron.ParseStandard(keys.Prune.Text); err != nil {
		keys.Prune.Node.Report(conf.Problem{Len: len(keys.Prune.Text), Message: "prune is no schedule",
			Hint: `write five fields (minute, hour, day, month, weekday), such as "17 3 * * *"`})
	} else if leap := time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC); schedule.Next(leap).IsZero() {
		keys.Prune.Node.Report(conf.Problem{Len: len(keys.Prune.Text), Message: "prune never comes: its month has no such day",
			Hint: `write * for the day and the month, such as "17 3 * * *", or a day that comes`})
	}
	log := l.file.Root().Get("log")
	if keys.Keep <= 0 {
		log.Get("keep").Problem("keep must be more than 0")
	}
	if at := log.Get("keep_keys"); keys.KeepKeys < keys.Keep {
		if !at.Present() {
			at = log.Get("keep")
		}
		at.Problem("keep_keys must not be shorter than keep: a callback in the log must stay known")
	}
}

// A name of a source stands in a path, that of a sink in many places.
var goodName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// checkName checks the name of a source or sink.
func checkName(what string, name conf.String) {
	if !goodName.MatchString(name.Text) {
		name.Node.Report(conf.Problem{Len: len(name.Text), Message: fmt.Sprintf("%q is no name for a %s", name.Text, what),
			Hint: "use letters, digits, dots, hyphens and underscores, 64 at most"})
	}
}

// readSources reports whether nothing is wrong with them.
func (l *loader) readSources() (sound bool) {
	wrong := len(l.file.Problems().Errors())
	l.set.byName.sources = map[string]*source.Source{}
	for _, p := range l.set.doc.Sources {
		checkName("source", p.Key)
		s := source.New(p.Key.Text, p.Value)
		if l.before != nil {
			if old, ok := l.before.Source(p.Key.Text); ok {
				s.Succeed(old)
			}
		}
		l.set.sources = append(l.set.sources, s)
		l.set.byName.sources[p.Key.Text] = s
	}
	return len(l.file.Problems().Errors()) == wrong
}

func (l *loader) readUnmatched() {
	to := l.set.doc.Unmatched
	if to.Text == "log" {
		return
	}
	if k, ok := l.knownSink(to, "log"); ok {
		l.set.unmatched = l.way(k, ruleKeys{Name: conf.String{Text: "unmatched"}})
	}
}
