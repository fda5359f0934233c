package rules

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/kurir-relay/kurir/relay/conf"
)

const (
	// settle is how long the file must be left alone before it is read: editors
	// and copies write it in pieces.
	settle = 500 * time.Millisecond

	// look is how often the file is looked at without being told: network and
	// container mounts do not always tell.
	look = 5 * time.Second
)

// Watch reloads the file whenever its content changes, until ctx ends: written
// in place or in pieces, renamed over, deleted and made again, or behind a
// symbolic link that is changed. A file that is only touched, or missing for a
// while, changes nothing.
func (l *Live) Watch(ctx context.Context) error {
	w, err := fsnotify.NewWatcher()
	if err != nil {
		return fmt.Errorf("watch %s: %w", l.path, err)
	}
	defer w.Close()
	watch := watcher{live: l, notify: w, read: l.Set().sum}
	watch.follow()
	watch.loop(ctx)
	return nil
}

// A watcher knows what the file was when it was last looked at.
type watcher struct {
	live   *Live
	notify *fsnotify.Watcher
	seen   stamp             // as the file was when something happened last
	read   [sha256.Size]byte // of the bytes that were last loaded or refused
}

// A stamp is another one whenever a file may have other content.
type stamp struct {
	size    int64
	changed time.Time
	target  string // of a symbolic link
}

func (w *watcher) loop(ctx context.Context) {
	settled := time.NewTimer(settle) // for what happened before the watch began
	poll := time.NewTicker(look)
	defer poll.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case e := <-w.notify.Events:
			if e.Op == fsnotify.Write && !w.ours(e.Name) {
				continue // a neighbour, such as a database, may write all the time
			}
		case <-w.notify.Errors: // events got lost
		case <-poll.C:
		case <-settled.C:
			w.look()
		}
		if w.moved() {
			settled.Reset(settle)
		}
	}
}

// ours reports whether a name may be that of the file.
func (w *watcher) ours(name string) bool {
	base := filepath.Base(name)
	return base == filepath.Base(w.live.path) || base == filepath.Base(w.seen.target)
}

// moved reports whether the file is not what it was at the last call. What
// happens to its neighbours is none of our business.
func (w *watcher) moved() bool {
	before := w.seen
	w.seen = w.stamp()
	return w.seen != before
}

// look reloads the file if its content is another. A file that is missing may
// come back.
func (w *watcher) look() {
	w.follow()
	if w.moved() {
		w.seen = stamp{size: -1} // so that it is looked at again
		return
	}
	content, err := conf.ReadFile(w.live.path)
	sum := sha256.Sum256(content)
	if err != nil || sum == w.read {
		return
	}
	w.read = sum
	w.live.Reload()
}

func (w *watcher) stamp() (s stamp) {
	s.target, _ = filepath.EvalSymlinks(w.live.path)
	if info, err := os.Stat(w.live.path); err == nil {
		s.size, s.changed = info.Size(), info.ModTime()
	}
	return s
}

// follow watches the directories of the file and of what it is a link to.
func (w *watcher) follow() {
	w.notify.Add(filepath.Dir(w.live.path))
	if target, err := filepath.EvalSymlinks(w.live.path); err == nil {
		w.notify.Add(filepath.Dir(target))
	}
}
