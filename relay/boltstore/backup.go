package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// Backup implements relay.Backuper. The copy is made into a temporary file
// beside the database first, so a slow reader of w holds up nothing.
func (s *Store) Backup(ctx context.Context, w io.Writer) (n int64, err error) {
	f, err := os.CreateTemp(s.dir, backupPrefix+"*")
	if err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	defer discard(f)
	if err := s.do(ctx, committing{}); err != nil { // a copy that lacks something is none
		return 0, fmt.Errorf("backup: %w", err)
	}
	if err := s.viewFile(ctx, func(tx *bbolt.Tx) error { return copyTo(ctx, f, tx) }); err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	n, err = io.Copy(w, &pacedReader{ctx: ctx, r: f, yield: s.yielding()})
	if err != nil {
		return n, fmt.Errorf("backup: %w", err)
	}
	return n, nil
}

// copyTo writes what a transaction sees, until ctx ends. A disk without room for
// the copy, and some more for what comes in meanwhile, is found out at once.
func copyTo(ctx context.Context, f *os.File, tx *bbolt.Tx) error {
	if err := allocate(f, 0, tx.Size()+mostAhead); err != nil {
		if isFull(err) {
			err = fmt.Errorf("%w: %w", relay.ErrFull, err)
		}
		return err
	}
	if err := f.Truncate(tx.Size()); err != nil {
		return err
	}
	_, err := tx.WriteTo(&pacedWriter{ctx: ctx, f: f})
	return classify(err)
}

// A pacedWriter leaves two thirds of the disk's time to others: a copy that piled up in
// memory would make the next commit wait for all of it.
type pacedWriter struct {
	ctx      context.Context
	f        *os.File
	unsynced int
}

// pace is how much is written before it is synced, in bytes: the sync of a
// callback may have to wait for that of as much.
const pace = 64 << 10

func (w *pacedWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	if w.unsynced += len(p); w.unsynced > pace {
		w.unsynced = 0
		begun := time.Now()
		if err := w.f.Sync(); err != nil {
			return 0, err
		}
		time.Sleep(2 * time.Since(begun))
	}
	return w.f.Write(p)
}

// discard removes a file little by little: a file system that gives back much
// space at once has all others wait meanwhile.
func discard(f *os.File) {
	defer os.Remove(f.Name())
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return
	}
	for size := info.Size() - discardStep; size > 0; size -= discardStep {
		begun := time.Now()
		if f.Truncate(size) != nil {
			return
		}
		time.Sleep(time.Since(begun))
	}
}

const discardStep = 4 << 20

// A pacedReader reads until ctx ends, and leaves half of the CPU's time to those
// who write.
type pacedReader struct {
	ctx   context.Context
	r     io.Reader
	yield func()
	read  int // at a stretch
}

func (r *pacedReader) Read(p []byte) (n int, err error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if n, err = r.r.Read(p); r.read > stretch {
		r.read = 0
		r.yield()
	}
	r.read += n
	return n, err
}

const stretch = 256 << 10

// Restore puts a backup into dir, which must not hold a store yet.
func Restore(dir, backup string) error {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	lock, err := acquire(dir)
	if err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	defer release(lock)
	if err := restore(dir, backup); err != nil {
		return fmt.Errorf("restore: %w", err)
	}
	return nil
}

func restore(dir, backup string) error {
	for _, name := range []string{dbFile, identityFile} {
		if _, err := os.Stat(filepath.Join(dir, name)); !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("%s exists already: a restore never overwrites", filepath.Join(dir, name))
		}
	}
	if id, err := readIdentity(filepath.Dir(backup)); err == nil && id.Journal != 0 && filepath.Base(backup) == dbFile {
		return lacking(backup)
	}
	store, err := inspect(backup)
	if err == nil && filepath.Base(backup) == dbFile {
		err = checkSettled(backup)
	}
	if err != nil {
		return err
	}
	fresh := filepath.Join(dir, dbFile+newSuffix)
	if err := copyFile(fresh, backup); err != nil {
		return err
	}
	if err := checkPages(fresh); err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	if err := writeIdentity(dir, identity{Store: store}); err != nil {
		return err
	}
	return rename(fresh, filepath.Join(dir, dbFile))
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Sync(), out.Close())
}
