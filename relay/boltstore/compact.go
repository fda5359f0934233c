package boltstore

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// CompactIn compacts the database of dir, which no process may use meanwhile,
// and says how large it was and is. With a dst it writes what can be read into
// that new file, and leaves the database as it is, but for what its journal adds:
// for a damaged one. Without, it puts the compacted database, once that is checked,
// in place of the old one; a crash leaves one of the two.
func CompactIn(dir, dst string) (before, after int64, err error) {
	lock, err := acquire(dir)
	if err != nil {
		return 0, 0, fmt.Errorf("compact: %w", err)
	}
	defer release(lock)
	db := filepath.Join(dir, dbFile)
	if before, err = fileSize(db); err != nil {
		return 0, 0, fmt.Errorf("compact: %w", err)
	}
	settled := settleJournal(dir)
	switch {
	case dst != "" && errors.Is(settled, ErrDamaged):
		err = compactTo(dst, func() error { return salvage(db, dst) })
	case settled != nil:
		err = fmt.Errorf("compact: %w", settled)
	case dst != "":
		err = Compact(db, dst)
	default:
		dst, err = db, compactInPlace(dir, db)
	}
	if err != nil {
		return before, 0, err
	}
	after, err = fileSize(dst)
	return before, after, err
}

// settleJournal has the database hold what an end without notice left in its
// journal, and ends that. The caller has the lock.
func settleJournal(dir string) error {
	if id, err := readIdentity(dir); err != nil || id.Journal == 0 {
		return checkSettled(filepath.Join(dir, dbFile))
	}
	s, err := open(dir, Options{Journal: -1})
	if err != nil {
		return err
	}
	return s.closeDB()
}

func compactInPlace(dir, db string) error {
	want, err := readIdentity(dir)
	if err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	if err := verify(db, want); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	fresh := db + newSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("compact: %w", err)
	}
	err = copyWhole(db, fresh)
	if err == nil {
		err = checkPages(fresh)
	}
	if err != nil {
		return errors.Join(err, os.Remove(fresh))
	}
	return rename(fresh, db)
}

// Compact writes the database src into a new file dst, without the free pages.
// Of a damaged one it writes what can be read. Nobody may have src open.
func Compact(src, dst string) error {
	return compactTo(dst, func() error {
		err := copyWhole(src, dst)
		if errors.Is(err, ErrDamaged) {
			if err = os.Remove(dst); err == nil || errors.Is(err, fs.ErrNotExist) {
				err = salvage(src, dst)
			}
		}
		return err
	})
}

// compactTo makes a new file dst.
func compactTo(dst string, write func() error) error {
	_, err := os.Stat(dst)
	if !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("compact: %s exists already", dst)
	}
	if err := write(); err != nil {
		return fmt.Errorf("compact: %w", err)
	}
	return nil
}

// copyWhole copies a database in which every page can be read.
func copyWhole(src, dst string) (err error) {
	if err := checkHeaders(src); err != nil {
		return err
	}
	from, _, err := openDB(src, bbolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer from.Close()
	to, err := bbolt.Open(dst, 0o600, &bbolt.Options{NoSync: true, PageSize: pageSize})
	if err != nil {
		return err
	}
	err = guarded(func() error { return bbolt.Compact(to, from, 1<<20) })
	if errors.Is(err, ErrDamaged) {
		return err // the new file too is left as the panic left it
	}
	return errors.Join(err, to.Sync(), to.Close())
}

func fileSize(path string) (int64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	return info.Size(), nil
}
