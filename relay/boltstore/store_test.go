package boltstore_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
	"github.com/kurir-relay/kurir/relay/storetest"
)

// place is a directory with a store in it.
type place struct {
	dir  string
	opts boltstore.Options
}

// Open checks the whole file first.
func (p place) Open() (relay.Store, error) {
	path := filepath.Join(p.dir, "kurir.db")
	if _, err := os.Stat(path); err == nil {
		if err := boltstore.Check(path); err != nil {
			return nil, err
		}
	}
	return boltstore.Open(p.dir, p.opts)
}

func TestStoreKeepsItsPromises(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		return place{t.TempDir(), boltstore.Options{NoSync: true, Journal: small}}
	})
}

// With little of everything, pages are short, and the index goes into many runs.
func TestStoreKeepsItsPromisesWithLittle(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		return place{t.TempDir(), boltstore.Options{NoSync: true, Scan: 3, Recent: 5, Journal: 16 << 10}}
	})
}

func TestStoreKeepsItsPromisesWithoutAJournal(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		return place{t.TempDir(), boltstore.Options{NoSync: true, Journal: -1}}
	})
}
