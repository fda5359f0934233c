package boltstore_test

import (
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

func (p place) Open() (relay.Store, error) { return boltstore.Open(p.dir, p.opts) }

func TestStoreKeepsItsPromises(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place { return place{t.TempDir(), boltstore.Options{NoSync: true}} })
}

// A page that may read three records only is short or empty, but all is found.
func TestListsReadLittleAtATime(t *testing.T) {
	storetest.Run(t, func(t *testing.T) storetest.Place {
		return place{t.TempDir(), boltstore.Options{NoSync: true, Scan: 3}}
	})
}
