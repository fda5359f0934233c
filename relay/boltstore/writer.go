package boltstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/kurir-relay/kurir/relay"
)

// What one transaction takes at most. A group as large as the queue is the
// most that can wait.
const (
	maxGroup      = 1024
	maxGroupBytes = 8 << 20
)

// work is something to be written. Apply runs in the writer's goroutine, inside
// the transaction; what it sets in itself is read once the commit is done. It
// has no effect outside the batch: the commit may fail.
type work interface {
	apply(b *batch) error
	size() int // bytes it will write, about
}

// A task is work that waits, with the caller who waits for it.
type task struct {
	work work
	err  error      // of this task alone
	done chan error // has room for one
}

// do has w written, together with whatever else waits, and returns when that is
// durable. When ctx ends first, w may still become durable.
func (s *Store) do(ctx context.Context, w work) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	t := &task{work: w, done: make(chan error, 1)}
	select {
	case s.queue <- t:
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
		return s.refusal()
	}
	select {
	case err := <-t.done:
		return err
	case <-ctx.Done():
		return ctx.Err()
	case <-s.stopped:
	}
	select { // the writer may have finished it before it stopped
	case err := <-t.done:
		return err
	default:
		return s.refusal()
	}
}

// offer has w written some time, if there is a place in the queue. Nobody waits
// for it.
func (s *Store) offer(w work) {
	select {
	case s.queue <- &task{work: w, done: make(chan error, 1)}:
	default:
	}
}

// refusal says why nothing is written any more.
func (s *Store) refusal() error {
	if err := s.failure.Load(); err != nil {
		return *err
	}
	return relay.ErrClosed
}

// write is the one goroutine that writes. It ends when the store is closed and
// nothing waits, or when a commit fails in a way that can't be trusted.
func (s *Store) write() {
	defer close(s.stopped)
	debug.SetPanicOnFault(true)
	group := make([]*task, 0, maxGroup)
	for {
		group = s.gather(group[:0])
		if len(group) == 0 {
			return
		}
		err := s.commit(group)
		for _, t := range group {
			err := cmp.Or(err, t.err)
			t.done <- err
		}
		clear(group)
		if err != nil && !errors.Is(err, relay.ErrFull) {
			s.fail(err)
			return
		}
	}
}

// gather waits for one task and takes all that wait with it. None at all means
// that the store was closed.
func (s *Store) gather(group []*task) []*task {
	select {
	case t := <-s.queue:
		group = append(group, t)
	case <-s.closing:
		select {
		case t := <-s.queue:
			group = append(group, t)
		default:
			return nil
		}
	}
	for size := group[0].work.size(); len(group) < maxGroup && size < maxGroupBytes; {
		select {
		case t := <-s.queue:
			group = append(group, t)
			size += t.work.size()
		default:
			return group
		}
	}
	return group
}

// A batch is the transaction of one group, and what becomes true in memory if
// it commits.
type batch struct {
	s   *Store
	tx  *bbolt.Tx
	now time.Time

	log, after, due, lanes, open, index, sinks, meta *bbolt.Bucket

	counts  counts
	byName  map[string]*sinkCounts // with the touched ones instead of the store's
	touched map[string]*sinkCounts
	hints   map[string]bool
	ended   []*lease
	then    []func() // what else becomes true, under the store's mutex
	known   int      // entries that were in memory before
	filters []filter // of the runs, as far as they were asked
	dirty   bool     // something was written
}

// commit writes a group in one transaction. Its error is every caller's, and
// nothing of the group is stored then.
func (s *Store) commit(group []*task) (err error) {
	defer recoverDamage(&err)
	tx, err := s.db.Begin(true)
	if err != nil {
		return err
	}
	defer tx.Rollback() // harmless after a commit
	s.makeRoom(tx, group)
	b := s.newBatch(tx)
	if err := b.write(group); err != nil {
		s.abandon(b)
		return classify(err)
	}
	s.adopt(b)
	return nil
}

// write applies a group and commits, if that changed anything.
func (b *batch) write(group []*task) error {
	for _, t := range group {
		if t.err != nil {
			continue
		}
		if err := t.work.apply(b); err != nil {
			return err
		}
	}
	if err := b.saveCounts(); err != nil || !b.dirty {
		return err
	}
	return b.tx.Commit()
}

// abandon gives back the leases that a failed batch would have ended, and
// forgets the keys it would have added.
func (s *Store) abandon(b *batch) {
	s.recent.truncate(b.known)
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, l := range b.ended {
		l.settling = false
	}
}

func (s *Store) newBatch(tx *bbolt.Tx) *batch {
	b := &batch{s: s, tx: tx, now: time.Now(), counts: s.counts, byName: maps.Clone(s.byName), known: len(s.recent.entries)}
	for i, bucket := range []**bbolt.Bucket{&b.log, &b.after, &b.due, &b.lanes, &b.open, &b.index, &b.sinks, &b.meta} {
		*bucket = tx.Bucket([]byte(bucketNames[i]))
	}
	for _, grows := range []*bbolt.Bucket{b.log, b.after} {
		grows.FillPercent = 1
	}
	return b
}

// adopt makes a committed batch the truth in memory.
func (s *Store) adopt(b *batch) {
	s.mu.Lock()
	s.counts, s.byName = b.counts, b.byName
	for _, l := range b.ended {
		s.claims.end(l)
	}
	for _, f := range b.then {
		f()
	}
	s.published = s.recent.entries
	full := len(s.published) >= s.opts.Recent
	s.mu.Unlock()
	if full {
		s.flushLater()
	}
	for _, sink := range slices.Sorted(maps.Keys(b.hints)) {
		select {
		case s.hints <- relay.Hint{Sink: sink}:
		default:
		}
	}
}

func (b *batch) hint(sink string) {
	if b.hints == nil {
		b.hints = map[string]bool{}
	}
	b.hints[sink] = true
}

// fail ends all writing: after a commit error the page cache can't be trusted.
// For who waits to write again, the store is closed.
func (s *Store) fail(err error) {
	err = fmt.Errorf("%w: it stopped writing: %w", relay.ErrClosed, err)
	s.failure.Store(&err)
	s.failed <- err
}

// classify tells a full disk, which only costs this commit, from all other
// errors. Only a write or a file growth that finds no space is harmless: the
// same error from a sync says that pages believed to be written are not.
func classify(err error) error {
	if err == nil {
		return nil
	}
	var path *fs.PathError
	if errors.As(err, &path) && path.Op == "write" && isFull(path.Err) {
		return fmt.Errorf("%w: %w", relay.ErrFull, err)
	}
	// bbolt formats this one without wrapping it.
	if text := err.Error(); strings.HasPrefix(text, "file resize error:") && isFullText(text) {
		return fmt.Errorf("%w: %w", relay.ErrFull, err)
	}
	return err
}

var fullErrors = []error{syscall.ENOSPC, syscall.EDQUOT, syscall.EFBIG}

func isFull(err error) bool {
	return slices.ContainsFunc(fullErrors, func(e error) bool { return errors.Is(err, e) })
}

func isFullText(text string) bool {
	return slices.ContainsFunc(fullErrors, func(e error) bool { return strings.Contains(text, e.Error()) })
}

// recoverDamage turns what bbolt does on damaged pages, a panic or a fault in
// the mapped file, into ErrDamaged.
func recoverDamage(err *error) {
	if r := recover(); r != nil {
		*err = fmt.Errorf("%w: %v", ErrDamaged, r)
	}
}

// view reads in a transaction of its own.
func (s *Store) view(ctx context.Context, read func(tx *bbolt.Tx) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	err := viewDB(s.db, read)
	if errors.Is(err, bolterrors.ErrDatabaseNotOpen) {
		return relay.ErrClosed
	}
	return err
}

func viewDB(db *bbolt.DB, read func(tx *bbolt.Tx) error) error {
	return guarded(func() error { return db.View(read) })
}

// guarded calls what may come upon damaged pages.
func guarded(call func() error) (err error) {
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer recoverDamage(&err)
	return call()
}
