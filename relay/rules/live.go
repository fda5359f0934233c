package rules

import (
	"cmp"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

// Live holds the Set in force and swaps it for a new one as the file changes.
// Who verifies and routes a callback takes one Set for both.
type Live struct {
	path  string
	o     Options
	hooks Hooks

	reload sync.Mutex // one at a time
	set    atomic.Pointer[Set]
	last   atomic.Pointer[Reading]
}

// A Reading is what came of reading the file.
type Reading struct {
	At       time.Time
	Change   Change        // of the rules in force
	Problems conf.Problems // with errors among them, the file was refused
}

// Refused reports whether the rules in force are not those of the file.
func (r Reading) Refused() bool { return len(r.Problems.Errors()) > 0 }

// Hooks are told what became of the file. They are called one at a time; nil
// ones are left out.
type Hooks struct {
	// Reloaded is called after a new Set is in force.
	Reloaded func(s *Set, c Change, warnings conf.Problems)

	// Refused is called when a file is refused; the Set before stays in force.
	Refused func(conf.Problems)
}

// NewLive loads the file at path. With errors there is no Live.
func NewLive(path string, o Options, h Hooks) (*Live, conf.Problems) {
	set, problems := Load(path, o)
	if set == nil {
		return nil, problems
	}
	l := &Live{path: path, o: o, hooks: h}
	l.set.Store(set)
	l.read(Change{}, problems)
	return l, problems
}

func (l *Live) read(c Change, problems conf.Problems) {
	l.last.Store(&Reading{At: time.Now(), Change: c, Problems: problems})
}

// Last is the last reading that did anything: that changed the rules in force,
// was refused, or ended a refusal.
func (l *Live) Last() Reading { return *l.last.Load() }

// Set is the Set in force.
func (l *Live) Set() *Set { return l.set.Load() }

// Parse reads a file that is not in force, as if it were to be: for comparing
// the two. Its problems have the name; that of the file in force if it is empty.
// Who asks closes the Set.
func (l *Live) Parse(name string, source []byte) (*Set, conf.Problems) {
	return Parse(cmp.Or(name, l.path), source, l.o)
}

// Reload reads the file again. A file with errors is refused, and the Set in
// force stays. Sinks whose settings are the same go on undisturbed; those that
// are changed or gone are closed when nothing is under way in them. A file that
// says what it said before changes nothing, unless it was refused in between.
func (l *Live) Reload() (Change, conf.Problems) {
	l.reload.Lock()
	defer l.reload.Unlock()
	before := l.Set()
	set, problems := l.load(before)
	if set == nil {
		l.read(Change{}, problems)
		if l.hooks.Refused != nil {
			l.hooks.Refused(problems)
		}
		return Change{}, problems
	}
	change := before.Changes(set)
	if change.Empty() && set.sum == before.sum && !l.Last().Refused() {
		return change, problems
	}
	l.set.Store(set)
	l.read(change, problems)
	before.retireAllBut(set)
	if l.hooks.Reloaded != nil {
		l.hooks.Reloaded(set, change, problems)
	}
	return change, problems
}

// load reads the file. If that panics the file is refused as if it had a mistake:
// what comes in goes on being routed.
func (l *Live) load(before *Set) (set *Set, problems conf.Problems) {
	defer func() {
		if p := recover(); p != nil {
			message := fmt.Sprintf("reading this file panicked, which is a fault of Kurir's: %v", p)
			set, problems = nil, conf.Problems{{File: l.path, Place: conf.Place{Line: 1, Col: 1}, Message: message}}
		}
	}()
	return l.o.load(conf.Read(l.path, l.o.lookup()), before)
}

// retireAllBut retires the sinks that next did not take over.
func (s *Set) retireAllBut(next *Set) {
	kept := map[*running]bool{}
	for _, k := range next.sinks {
		kept[k.running] = true
	}
	for _, k := range s.sinks {
		if !kept[k.running] {
			k.running.retire()
		}
	}
}

// Close closes the sinks of the Set in force.
func (l *Live) Close() { l.Set().Close() }

// Route implements relay.Router with the Set in force.
func (l *Live) Route(c relay.Callback) ([]relay.Target, bool) { return l.Set().Route(c) }

// Destination implements relay.Destinations with the Set in force.
func (l *Live) Destination(name string) (relay.Destination, bool) { return l.Set().Destination(name) }

// SinkNames implements relay.Destinations with the Set in force.
func (l *Live) SinkNames() []string { return l.Set().SinkNames() }

// Fallback implements relay.Destinations with the Set in force.
func (l *Live) Fallback(c relay.Callback, d relay.Delivery) (relay.Target, bool) {
	return l.Set().Fallback(c, d)
}
