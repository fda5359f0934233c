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
// that new file, and leaves the database as it is: for a damaged one. Without, it
// puts the compacted database, once that is checked, in place of the old one; a
// crash leaves one of the two.
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
	if dst == "" {
		err = compactInPlace(dir, db)
		dst = db
	} else {
		err = Compact(db, dst)
	}
	if err != nil {
		return before, 0, err
	}
	after, err = fileSize(dst)
	return before, after, err
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
	if _, err := os.Stat(dst); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("compact: %s exists already", dst)
	}
	err := copyWhole(src, dst)
	if errors.Is(err, ErrDamaged) {
		if err = os.Remove(dst); err == nil || errors.Is(err, fs.ErrNotExist) {
			err = salvage(src, dst)
		}
	}
	if err != nil {
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
