package boltstore

import (
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/fnv"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"crypto/rand"

	"go.etcd.io/bbolt"
)

// An identity ties a database to its directory: the file beside the database
// and the record inside must say the same.
type identity struct {
	Store   string    `json:"store"`
	Created time.Time `json:"created"`
	Journal uint64    `json:"journal,omitzero,string"` // the epoch of the one that is in use
}

// ensure sees to it that dir holds the database that belongs there. A new one
// is made under another name first, then the identity is written, then it gets
// its name: a crash in between is carried on from, or started again.
func ensure(dir string) (identity, error) {
	db, fresh := filepath.Join(dir, dbFile), filepath.Join(dir, dbFile+newSuffix)
	want, err := readIdentity(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return create(dir)
	}
	if err != nil {
		return want, err
	}
	if _, err := os.Stat(db); errors.Is(err, fs.ErrNotExist) {
		if verify(fresh, want) != nil {
			return want, fmt.Errorf("%w: %s is missing. Put it back, or restore a backup into an empty directory (kurir restore); "+
				"to start with an empty log, remove %s", ErrDamaged, db, filepath.Join(dir, identityFile))
		}
		return want, rename(fresh, db)
	}
	return want, verify(db, want)
}

// create makes a database where there is none.
func create(dir string) (id identity, err error) {
	db := filepath.Join(dir, dbFile)
	if _, err := os.Stat(db); err == nil {
		return id, fmt.Errorf("%w: %s has no %s beside it, so it may not belong here. "+
			"If it does, restore it into an empty directory (kurir restore)", ErrDamaged, db, identityFile)
	}
	fresh := db + newSuffix
	if err := os.Remove(fresh); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return id, err
	}
	id = identity{Store: rand.Text(), Created: time.Now().UTC().Truncate(time.Second)}
	if err := createDB(fresh, id); err != nil {
		return id, err
	}
	if err := writeIdentity(dir, id); err != nil {
		return id, err
	}
	return id, rename(fresh, db)
}

// pageSize is that of the database. Pages of twice the usual size cost a small
// commit nothing more, and are half as many: that is what listing the free ones
// after a prune costs by, and a start after a crash.
const pageSize = 8 << 10

func createDB(path string, id identity) error {
	db, err := bbolt.Open(path, 0o600, &bbolt.Options{PageSize: pageSize})
	if err != nil {
		return err
	}
	err = db.Update(func(tx *bbolt.Tx) error {
		for _, name := range bucketNames {
			if _, err := tx.CreateBucket([]byte(name)); err != nil {
				return err
			}
		}
		meta := tx.Bucket([]byte("meta"))
		if err := meta.Put([]byte("schema"), binary.BigEndian.AppendUint32(nil, schema)); err != nil {
			return err
		}
		return meta.Put([]byte("identity"), []byte(id.Store))
	})
	return errors.Join(err, db.Close())
}

// verify checks, without writing, that the file at path is whole as far as its
// headers tell, can be read by this program and is the database of that identity.
func verify(path string, want identity) error {
	got, err := inspect(path)
	if err != nil {
		return advise(err)
	}
	if got != want.Store {
		return fmt.Errorf("%w: %s is the database of another store. Put the right one back, "+
			"or restore this one into an empty directory (kurir restore)", ErrDamaged, path)
	}
	return nil
}

// advise adds the way to recover to what is wrong with a database.
func advise(err error) error {
	return fmt.Errorf("%w. To recover, restore a backup into an empty directory (kurir restore), "+
		"or save what can be read (kurir compact --to FILE)", err)
}

// inspect gives the identity inside a database.
func inspect(path string) (store string, err error) {
	if err := checkHeaders(path); err != nil {
		return "", err
	}
	db, _, err := openDB(path, bbolt.Options{ReadOnly: true})
	if err != nil {
		return "", err
	}
	defer db.Close()
	err = viewDB(db, func(tx *bbolt.Tx) error {
		meta := tx.Bucket([]byte("meta"))
		if meta == nil {
			return fmt.Errorf("%w: %s is not a database of this program", ErrDamaged, path)
		}
		store = string(meta.Get([]byte("identity")))
		return checkSchema(meta)
	})
	return store, err
}

// The header page of a bbolt file: after 16 bytes about the page, magic,
// version, page size and flags (4 bytes each), root and sequence, free list,
// page count and transaction (8 bytes each), and FNV-1a of all that. Each of the
// first two pages holds one, written in turns.
const (
	headerSize  = 64
	headerMagic = 0xED0CDAED
)

// checkHeaders looks at both headers of a bbolt file and at its size, which
// bbolt itself doesn't: it would read beyond the end of a truncated file, and
// fall back in silence to the commit before last when a header is damaged.
func checkHeaders(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	first, err := readHeader(f, 0)
	if err != nil {
		return fmt.Errorf("%w: %s: first header: %w", ErrDamaged, path, err)
	}
	second, err := readHeader(f, int64(first.pageSize))
	if err != nil {
		return fmt.Errorf("%w: %s: second header: %w", ErrDamaged, path, err)
	}
	if need := max(first.pages, second.pages) * uint64(first.pageSize); uint64(info.Size()) < need {
		return fmt.Errorf("%w: %s is truncated: %d bytes of %d", ErrDamaged, path, info.Size(), need)
	}
	return nil
}

type header struct {
	pageSize uint32
	pages    uint64
}

func readHeader(r io.ReaderAt, at int64) (h header, err error) {
	var b [16 + headerSize]byte
	if _, err := r.ReadAt(b[:], at); err != nil {
		return h, fmt.Errorf("the file is too short: %w", err)
	}
	m, order := b[16:], binary.NativeEndian
	sum := fnv.New64a()
	sum.Write(m[:headerSize-8])
	if order.Uint32(m) != headerMagic || order.Uint64(m[headerSize-8:]) != sum.Sum64() {
		return h, errors.New("not a bbolt header, or damaged")
	}
	return header{pageSize: order.Uint32(m[8:]), pages: order.Uint64(m[40:])}, nil
}

func readIdentity(dir string) (id identity, err error) {
	path := filepath.Join(dir, identityFile)
	b, err := os.ReadFile(path)
	if err != nil {
		return id, err
	}
	if err := json.Unmarshal(b, &id); err != nil || id.Store == "" {
		return id, fmt.Errorf("%w: %s can't be read. Restore the database into an empty directory (kurir restore)", ErrDamaged, path)
	}
	return id, nil
}

// writeIdentity is durable on return, or leaves what was there.
func writeIdentity(dir string, id identity) error {
	b, err := json.Marshal(id)
	if err != nil {
		return err
	}
	path := filepath.Join(dir, identityFile)
	if err := writeFile(path+newSuffix, append(b, '\n')); err != nil {
		return err
	}
	return rename(path+newSuffix, path)
}

func writeFile(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// rename is durable on return.
func rename(from, to string) error {
	if err := os.Rename(from, to); err != nil {
		return err
	}
	d, err := os.Open(filepath.Dir(to))
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// removeLeftovers deletes the temporary copies of backups that were cut off.
func removeLeftovers(dir string) {
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), backupPrefix) {
			os.Remove(filepath.Join(dir, e.Name()))
		}
	}
}
