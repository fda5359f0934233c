package boltstore

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"go.etcd.io/bbolt"
	bolterrors "go.etcd.io/bbolt/errors"

	"github.com/kurir-relay/kurir/relay"
)

// Errors that callers of Open branch on.
var (
	// ErrLocked is wrapped by an error that names the process holding the store.
	ErrLocked = errors.New("the data directory is in use")
	// ErrDamaged is wrapped by an error that says what is wrong, and how to
	// recover. Nothing was changed.
	ErrDamaged = errors.New("the database is damaged")
	// ErrNewer means that a newer version of the program made the database.
	ErrNewer = errors.New("the database is of a newer version")
)

// The files of a store, in its directory.
const (
	dbFile       = "kurir.db"
	identityFile = "kurir.id"   // says which database belongs here
	lockFile     = "kurir.lock" // locked while the store is open; names the holder
	newSuffix    = ".new"       // a database that is still being made
	backupPrefix = "kurir.backup-"
)

// schema is the version of all formats in the database.
const schema = 1

// The buckets; the first ones in the order of the fields of batch.
var bucketNames = [...]string{"log", "after", "due", "lanes", "open", "index", "sinks", "meta", "filters", "runs"}

// Options tune a store. The zero value is what a daemon should use.
type Options struct {
	// Scan is how many callbacks a List reads at most; 0 means 4096.
	Scan int

	// Queue is how many writers may wait for the next commit; those beyond it
	// wait for a place. 0 means 1024.
	Queue int

	// Recent is how many dedupe keys are kept in memory before they are sorted
	// into the file, about; 0 means 131,072, which take 8 MB.
	Recent int

	// Journal is the length of the journal in bytes; 0 means 8 MiB, and a
	// negative one that there is none: each group is then a commit of its own.
	Journal int64

	// NoSync leaves out every sync: what was acknowledged is lost with the
	// power. It is for tests of tests.
	NoSync bool
}

// A Store is a relay.Store and a relay.Backuper in one directory.
type Store struct {
	dir  string
	id   identity
	opts Options
	db   *bbolt.DB
	file *os.File // of db
	lock *os.File
	ids  relay.IDSource

	queue   chan *task
	hints   chan relay.Hint
	closing chan struct{} // closed by Close
	stopped chan struct{} // closed by the writer
	failed  chan error
	failure atomic.Pointer[error]
	once    sync.Once
	listed  bool // the list of free pages is in the file

	// The writer's own.
	tx      *bbolt.Tx // what is to be committed next; nil if nothing was changed since
	journal *journal  // nil if there is none
	frame   []byte    // to be used again
	growth  int64     // bytes for which the next commit needs room
	late    *time.Timer
	behind  atomic.Bool // the database lacks what is in the journal

	mu     sync.Mutex // guards what follows; the writer alone changes it, claims aside
	claims claims
	wall   time.Time // the latest reading of the wall clock
	counts counts
	byName map[string]*sinkCounts

	recent    *keyTable // the newest keys; the writer's own
	published []entry   // those of them that are durable
	frozen    *keyTable // keys on their way into a run
	runs      []run     // newest first
	flushed   relay.ID  // the newest callback whose key is in a run
	keysFrom  relay.ID  // keys of older callbacks are forgotten

	flushing    sync.Mutex     // held while a run is made
	flushQueued atomic.Bool    // a flush that nobody waits for
	background  sync.WaitGroup // such flushes
}

// Open opens the store in dir, and makes one if dir is missing or empty of one.
// A database that is not the one that belongs there, or that can't be read, is
// an ErrDamaged: never a new one in its place.
func Open(dir string, opts Options) (*Store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	lock, err := acquire(dir)
	if err != nil {
		return nil, fmt.Errorf("open store: %w", err)
	}
	s, err := open(dir, opts)
	if err != nil {
		release(lock)
		return nil, fmt.Errorf("open store: %w", err)
	}
	s.lock = lock
	keepPrivate(dir)
	go s.write()
	return s, nil
}

// keepPrivate takes the rights of others from files that were copied here by
// hand. Files of another owner are theirs to protect.
func keepPrivate(dir string) {
	for _, name := range []string{dbFile, identityFile, lockFile, journalFile} {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.Mode().Perm()&0o077 != 0 {
			os.Chmod(path, 0o600)
		}
	}
}

func open(dir string, opts Options) (_ *Store, err error) {
	removeLeftovers(dir)
	id, err := ensure(dir)
	if err != nil {
		return nil, err
	}
	s := newStore(dir, opts)
	s.db, s.file, err = openDB(filepath.Join(dir, dbFile), bbolt.Options{NoSync: opts.NoSync || neverSync, InitialMmapSize: mapSize})
	if errors.Is(err, ErrDamaged) {
		err = advise(err)
	}
	if err != nil {
		return nil, err
	}
	if err := guarded(func() error { return s.takeUp(id) }); err != nil {
		closeMapped(s.file)
		return nil, advise(fmt.Errorf("%s: %w", filepath.Join(dir, dbFile), err))
	}
	return s, nil
}

// takeUp goes on where the last end left the store: with the journal of an end
// without notice, or else with a new one.
func (s *Store) takeUp(id identity) error {
	s.id = id
	switch {
	case id.Journal != 0:
		if err := s.findJournal(); err != nil {
			return err
		}
	case unsettled(s.db, s.dir):
		return fmt.Errorf("%w: it lacks what is in %s, which %s does not name", ErrDamaged, journalFile, identityFile)
	}
	tx, err := s.transaction()
	if err != nil {
		return err
	}
	if err := s.load(tx); err != nil {
		return err
	}
	if s.journal.ahead() {
		s.behind.Store(true)
		s.late.Reset(0)
	}
	if s.journal != nil || s.opts.Journal < 0 {
		return nil
	}
	if err := s.startJournal(); isFull(err) || errors.Is(classify(err), relay.ErrFull) {
		return nil // without one, each group is a commit of its own
	} else if err != nil {
		return fmt.Errorf("begin a journal: %w", err)
	}
	return nil
}

// findJournal opens the journal that the identity names, if the database beside
// it is the one it goes on from.
func (s *Store) findJournal() (err error) {
	epoch, held, err := heldBy(s.db)
	if err != nil {
		return err
	}
	if epoch != s.id.Journal {
		return fmt.Errorf("%w: it is not the database that %s goes on from", ErrDamaged, journalFile)
	}
	s.journal, err = findJournal(s.dir, epoch, held, s.syncing())
	return err
}

// heldBy gives the epoch of the journal that a database knew last, 0 if none, and
// the number of the last frame that it holds of it.
func heldBy(db *bbolt.DB) (epoch, number uint64, err error) {
	err = viewDB(db, func(tx *bbolt.Tx) error {
		if held := tx.Bucket([]byte("meta")).Get(journalKey); len(held) == 16 {
			epoch, number = binary.BigEndian.Uint64(held), binary.BigEndian.Uint64(held[8:])
		}
		return nil
	})
	return epoch, number, err
}

// unsettled reports whether the journal in dir has what a database lacks, though
// no identity says so: that may have been lost, or put back from before.
func unsettled(db *bbolt.DB, dir string) bool {
	epoch, held, err := heldBy(db)
	if err != nil || epoch == 0 {
		return false
	}
	j, err := findJournal(dir, epoch, held, nil)
	if err != nil {
		return false
	}
	defer j.f.Close()
	return j.nothingBehind(held) != nil
}

// checkSettled refuses a database beside a journal that has what it lacks.
func checkSettled(path string) error {
	db, _, err := openDB(path, bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer db.Close()
	if unsettled(db, filepath.Dir(path)) {
		return lacking(path)
	}
	return nil
}

func lacking(path string) error {
	return fmt.Errorf("%w: %s lacks what is in the %s beside it. Make a backup of it (kurir backup), "+
		"or after a crash a whole copy (kurir compact --to FILE)", ErrDamaged, path, journalFile)
}

// startJournal makes a journal and names it: from then on it is needed.
func (s *Store) startJournal() error {
	j, err := makeJournal(s.dir, cmp.Or(s.opts.Journal, journalSize), s.syncing())
	if err != nil {
		return err
	}
	s.journal = j
	err = s.commitAll() // the database knows it now
	if err == nil {
		id := s.id
		id.Journal = j.epoch
		if err = writeIdentity(s.dir, id); err == nil {
			s.id = id
			return nil
		}
	}
	s.journal = nil
	if named, unread := readIdentity(s.dir); unread == nil && named.Journal != j.epoch { // else it is needed, though it is empty
		j.remove()
	}
	return err
}

// syncing is how the journal becomes durable.
func (s *Store) syncing() func(*os.File) error {
	if s.opts.NoSync || neverSync {
		return nil
	}
	return dataSync
}

// endJournal is done with the journal: the database has what it has.
func (s *Store) endJournal() error {
	id := s.id
	id.Journal = 0
	if err := writeIdentity(s.dir, id); err != nil {
		return err
	}
	s.id = id
	s.journal.remove()
	s.journal = nil
	return nil
}

func newStore(dir string, opts Options) *Store {
	if opts.Scan <= 0 {
		opts.Scan = 4096
	}
	if opts.Recent <= 0 {
		opts.Recent = 1 << 17
	}
	if opts.Queue <= 0 {
		opts.Queue = maxGroup
	}
	return &Store{
		dir: dir, opts: opts,
		queue:   make(chan *task, opts.Queue),
		hints:   make(chan relay.Hint, 64),
		closing: make(chan struct{}),
		stopped: make(chan struct{}),
		late:    newTimer(),
		failed:  make(chan error, 1),
		byName:  map[string]*sinkCounts{},
		claims:  newClaims(),
		recent:  &keyTable{},
		frozen:  &keyTable{},
	}
}

// newTimer is a timer that does not run.
func newTimer() *time.Timer {
	t := time.NewTimer(0)
	t.Stop()
	return t
}

// mapSize is the address space kept for the database where there is plenty of it,
// so that the file can grow while somebody reads: mapping it anew waits for all
// readers.
const mapSize = (64 << 30) * (math.MaxInt >> 62)

// openDB opens a bbolt file whose headers are whole. On damaged pages bbolt
// panics with the file open and locked; then it is closed here.
func openDB(path string, o bbolt.Options) (db *bbolt.DB, file *os.File, err error) {
	defer func() {
		if err != nil && file != nil {
			closeMapped(file)
		}
	}()
	defer debug.SetPanicOnFault(debug.SetPanicOnFault(true))
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("%w: %s: %v", ErrDamaged, path, r)
		}
	}()
	o.Timeout = time.Second
	o.FreelistType = bbolt.FreelistMapType
	o.OpenFile = func(name string, flag int, mode os.FileMode) (*os.File, error) {
		file, err = os.OpenFile(name, flag, mode)
		return file, err
	}
	db, err = bbolt.Open(path, 0o600, &o)
	if errors.Is(err, syscall.ENOMEM) {
		o.InitialMmapSize = 0
		db, err = bbolt.Open(path, 0o600, &o)
	}
	if errors.Is(err, bolterrors.ErrTimeout) {
		return nil, file, fmt.Errorf("%w: another process has %s open", ErrLocked, path)
	}
	if err != nil {
		return nil, file, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err)
	}
	return db, file, nil
}

// load reads into memory what the store needs at hand.
func (s *Store) load(tx *bbolt.Tx) error {
	for _, name := range bucketNames {
		if tx.Bucket([]byte(name)) == nil {
			return fmt.Errorf("%w: %s has no %s", ErrDamaged, dbFile, name)
		}
	}
	if last, _ := tx.Bucket([]byte("log")).Cursor().Last(); last != nil {
		s.ids.Seen(relay.ID(last))
		s.wall = relay.ID(last).Time()
	}
	meta := tx.Bucket([]byte("meta"))
	copy(s.keysFrom[:], meta.Get(keysFromKey))
	if err := s.loadIndex(tx); err != nil {
		return err
	}
	s.published = s.recent.entries
	return s.loadCounts(tx)
}

// checkSchema refuses what this program can't read.
func checkSchema(meta *bbolt.Bucket) error {
	v := meta.Get([]byte("schema"))
	if len(v) != 4 {
		return fmt.Errorf("%w: %s has no schema version", ErrDamaged, dbFile)
	}
	if found := binary.BigEndian.Uint32(v); found > schema {
		return fmt.Errorf("%w: schema %d, this program knows up to %d", ErrNewer, found, schema)
	}
	return nil
}

// Failed gives one error if a commit fails so that nothing more can be trusted
// to be written. All further writes are refused; the process should end.
func (s *Store) Failed() <-chan error { return s.failed }

// Hints implements relay.Store.
func (s *Store) Hints() <-chan relay.Hint { return s.hints }

// Close writes what waits and closes the database. What comes later is
// relay.ErrClosed.
func (s *Store) Close() (err error) {
	s.once.Do(func() {
		close(s.closing)
		<-s.stopped
		s.background.Wait()
		err = s.closeDB()
		release(s.lock)
	})
	return err
}

// closeDB closes the database in good order. After a failure its locks may be
// held for ever: then the file is closed, and the rest is left to the end of the
// process.
func (s *Store) closeDB() error {
	if s.failure.Load() != nil {
		return s.abort()
	}
	err := guarded(s.finish)
	if errors.Is(err, ErrDamaged) {
		return errors.Join(err, s.abort())
	}
	s.saveFreeList()
	return errors.Join(err, s.db.Close())
}

// abort closes the files, and nothing else.
func (s *Store) abort() error {
	if s.journal != nil {
		s.journal.f.Close()
	}
	return closeMapped(s.file)
}

// finish has the database hold everything, and ends the journal. If it can't,
// the journal stays, for the next start.
func (s *Store) finish() (err error) {
	defer s.rollback()
	if s.journal == nil {
		return nil
	}
	if s.journal.ahead() {
		if _, err := s.transaction(); err != nil {
			return err
		}
		if err := s.commitAll(); err != nil {
			s.journal.f.Close()
			return err
		}
	}
	return s.endJournal()
}
