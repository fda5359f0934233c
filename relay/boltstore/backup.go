package boltstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// Backup implements relay.Backuper. The copy is made into a temporary file
// beside the database first, so a slow reader of w holds up nothing.
func (s *Store) Backup(ctx context.Context, w io.Writer) (n int64, err error) {
	f, err := os.CreateTemp(s.dir, backupPrefix+"*")
	if err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	defer os.Remove(f.Name())
	defer f.Close()
	if err := s.view(ctx, func(tx *bbolt.Tx) error { return copyTo(ctx, f, tx) }); err != nil {
		return 0, fmt.Errorf("backup: %w", classify(err))
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return 0, fmt.Errorf("backup: %w", err)
	}
	n, err = io.Copy(w, ctxReader{ctx, f})
	if err != nil {
		return n, fmt.Errorf("backup: %w", err)
	}
	return n, nil
}

// copyTo writes what a transaction sees, until ctx ends.
func copyTo(ctx context.Context, f *os.File, tx *bbolt.Tx) error {
	_, err := tx.WriteTo(ctxWriter{ctx, f})
	return err
}

type ctxReader struct {
	ctx context.Context
	r   io.Reader
}

func (r ctxReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	return r.r.Read(p)
}

type ctxWriter struct {
	ctx context.Context
	w   io.Writer
}

func (w ctxWriter) Write(p []byte) (int, error) {
	if err := w.ctx.Err(); err != nil {
		return 0, err
	}
	return w.w.Write(p)
}

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
	store, err := inspect(backup)
	if err != nil {
		return err
	}
	fresh := filepath.Join(dir, dbFile+newSuffix)
	if err := copyFile(fresh, backup); err != nil {
		return err
	}
	if err := Check(fresh); err != nil {
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

// Check reads the whole database at path, which nobody may have open, and says
// all that is wrong with it.
func Check(path string) (err error) {
	if _, err := inspect(path); err != nil {
		return err
	}
	db, _, err := openDB(path, bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		return err
	}
	defer db.Close()
	return viewDB(db, func(tx *bbolt.Tx) error {
		var errs []error
		for err := range tx.Check() {
			errs = append(errs, fmt.Errorf("%w: %s: %w", ErrDamaged, path, err))
		}
		return errors.Join(errs...)
	})
}

// Compact writes what can be read of the database src into a new file dst,
// without the free pages. Nobody may have src open.
func Compact(src, dst string) (err error) {
	defer recoverDamage(&err)
	if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("compact: %s exists already", dst)
	}
	from, _, err := openDB(src, bbolt.Options{ReadOnly: true})
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	defer from.Close()
	to, err := bbolt.Open(dst, 0o600, &bbolt.Options{NoSync: true, PageSize: pageSize})
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	err = bbolt.Compact(to, from, 1<<20)
	return errors.Join(err, to.Sync(), to.Close())
}
