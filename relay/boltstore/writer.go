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

// A looker is work that only looks at what is durable: it need not wait for its
// group to be.
type looker interface{ look(tx *bbolt.Tx) }

// A committer is work whose group goes into the database at once.
type committer interface{ commits() }

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
	defer s.late.Stop()
	group := make([]*task, 0, maxGroup)
	for {
		group = s.gather(group[:0])
		if len(group) == 0 {
			return
		}
		group = slices.DeleteFunc(group, s.look)
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
	case <-s.late.C:
		group = append(group, &task{work: committing{}, done: make(chan error, 1)})
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

	log, after, due, lanes, open, index, sinks, meta, filters, runs bucket

	counts  counts
	byName  map[string]*sinkCounts // with the touched ones instead of the store's
	touched map[string]*sinkCounts
	hints   map[string]bool
	ended   []*lease
	then    []func() // what else becomes true, under the store's mutex
	known   int      // entries that were in memory before
	asked   []filter // of the runs, as far as they were asked
	frame   []byte   // what was changed, for the journal
	commits bool     // the database is to have it at once
}

// A bucket knows its number in bucketNames.
type bucket struct {
	*bbolt.Bucket
	number byte
}

func (b *batch) put(in bucket, key, value []byte) error {
	b.frame = putString(putString(append(b.frame, in.number), key), value)
	return in.Put(key, value)
}

func (b *batch) del(from bucket, key []byte) error {
	b.frame = putString(append(b.frame, from.number|deletion), key)
	return from.Delete(key)
}

// dirty reports whether something was changed.
func (b *batch) dirty() bool { return len(b.frame) > frameHead }

// commit makes a group durable. Its error is every caller's, and nothing of the
// group is stored then.
func (s *Store) commit(group []*task) (err error) {
	defer recoverDamage(&err)
	tx, err := s.transaction()
	if err != nil {
		return classify(err)
	}
	grown := s.growth
	s.makeRoom(tx, group)
	b := s.newBatch(tx)
	if err := b.write(group); err != nil {
		s.rollback()
		s.growth = grown
		s.abandon(b)
		return classify(err)
	}
	s.adopt(b)
	if !b.dirty() {
		s.growth = min(grown, s.growth) // what was only asked for takes no room
	}
	if !s.journal.ahead() {
		s.rollback() // of nothing: the next group begins with all pages that are free by then
	}
	return nil
}

// transaction gives the one transaction that writes. With changes in it, it stays
// open from group to group, until a commit; when it begins, it has all that is in
// the journal.
func (s *Store) transaction() (*bbolt.Tx, error) {
	if s.tx != nil {
		return s.tx, nil
	}
	tx, err := s.db.Begin(true)
	if err != nil {
		return nil, err
	}
	defer func() {
		if s.tx == nil { // also when damaged pages make it panic
			tx.Rollback()
		}
	}()
	if s.journal.ahead() {
		if err := s.journal.replay(tx); err != nil {
			return nil, err
		}
	}
	s.tx = tx
	return tx, nil
}

// rollback drops the transaction with what the journal does not have.
func (s *Store) rollback() {
	if s.tx != nil {
		s.tx.Rollback()
		s.tx = nil
	}
}

// write applies a group and makes it durable, if that changed anything.
func (b *batch) write(group []*task) error {
	for _, t := range group {
		if t.err != nil {
			continue
		}
		if err := t.work.apply(b); err != nil {
			return err
		}
		if _, ok := t.work.(committer); ok {
			b.commits = true
		}
	}
	if err := b.saveCounts(); err != nil {
		return err
	}
	return b.s.keep(b)
}

// keep makes a batch durable: in the journal, or by a commit of the database
// where the journal has no room for it.
func (s *Store) keep(b *batch) error {
	s.frame = b.frame[:0]
	switch {
	case b.commits && (b.dirty() || s.journal.ahead()), b.dirty() && !s.journal.fits(b.frame):
		return s.commitAll()
	case !b.dirty():
		return nil
	}
	if !s.behind.Swap(true) {
		s.late.Reset(lateness)
	}
	err := s.journal.append(b.frame)
	if errors.Is(classify(err), relay.ErrFull) { // this file system writes nothing in place
		s.journal.number++ // whatever there is of the frame, the database has it
		if err = s.commitAll(); err != nil {
			s.journal.number--
		}
	}
	return err
}

// lateness is for how long the database may lack what is in the journal.
const lateness = time.Second

// commitAll commits what was changed since the last commit.
func (s *Store) commitAll() error {
	defer s.behind.Store(false) // also if it fails: the next try is when it is late
	if j := s.journal; j != nil {
		if err := s.tx.Bucket([]byte("meta")).Put(journalKey, j.held(j.number)); err != nil {
			return err
		}
	}
	s.listFreePages()
	if err := s.tx.Commit(); err != nil {
		s.tx = nil
		s.late.Reset(lateness) // the journal has what there was before this group
		return err
	}
	s.tx, s.growth = nil, 0
	if s.journal != nil {
		s.journal.begin()
	}
	return nil
}

// committing is the work of having the database up to date.
type committing struct{}

func (committing) size() int          { return 0 }
func (committing) apply(*batch) error { return nil }
func (committing) commits()           {}

// look lets a looker look, before anything of its group is written, and is then
// done with it.
func (s *Store) look(t *task) (done bool) {
	l, ok := t.work.(looker)
	if !ok {
		return false
	}
	t.done <- guarded(func() error {
		tx, err := s.transaction()
		if err == nil {
			l.look(tx)
		}
		return err
	})
	return true
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
	b := &batch{s: s, tx: tx, now: time.Now(), counts: s.counts, byName: maps.Clone(s.byName), known: len(s.recent.entries),
		frame: append(s.frame[:0], make([]byte, frameHead)...)}
	for i, in := range []*bucket{&b.log, &b.after, &b.due, &b.lanes, &b.open, &b.index, &b.sinks, &b.meta, &b.filters, &b.runs} {
		*in = bucket{tx.Bucket([]byte(bucketNames[i])), byte(i)}
	}
	for _, grows := range []bucket{b.log, b.after} {
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

// catchUp has the database follow the journal, for those who read it. On a full
// disk it may not be able to: they read what is there.
func (s *Store) catchUp(ctx context.Context) {
	if s.behind.Load() {
		s.do(ctx, committing{})
	}
}

// yielding gives what a long read calls between two stretches: it leaves half of
// the time to others, as long as they write.
func (s *Store) yielding() func() {
	begun := time.Now()
	return func() {
		if s.behind.Load() {
			time.Sleep(time.Since(begun))
		}
		begun = time.Now()
	}
}

// view reads in a transaction of its own, which has all that was written before.
func (s *Store) view(ctx context.Context, read func(tx *bbolt.Tx) error) error {
	s.catchUp(ctx)
	return s.viewFile(ctx, read)
}

// viewFile reads what the database has.
func (s *Store) viewFile(ctx context.Context, read func(tx *bbolt.Tx) error) error {
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
