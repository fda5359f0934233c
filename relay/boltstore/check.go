package boltstore

import (
	"errors"
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// maxFaults is how many faults a check names.
const maxFaults = 100

// Check reads all of the database at path, which nobody may have open, and says
// what is wrong with it: pages, records, and whether every pending delivery can
// be claimed.
func Check(path string) error {
	if err := checkPages(path); err != nil {
		return err
	}
	return checkFile(path, func(tx *bbolt.Tx, fault func(string, ...any)) {
		c := &checker{reader: newReader(tx), tx: tx, fault: fault, sinks: map[uint32]*sinkCounts{}}
		c.run()
	})
}

// checkPages checks that all pages can be read and belong together.
func checkPages(path string) error {
	if _, err := inspect(path); err != nil {
		return err
	}
	return checkFile(path, func(tx *bbolt.Tx, fault func(string, ...any)) {
		for err := range tx.Check() {
			fault("%w", err)
		}
	})
}

// checkFile collects the faults that a check of the file finds.
func checkFile(path string, check func(tx *bbolt.Tx, fault func(string, ...any))) error {
	db, _, err := openDB(path, bbolt.Options{ReadOnly: true, PreLoadFreelist: true})
	if err != nil {
		return err
	}
	defer db.Close()
	var faults []error
	err = viewDB(db, func(tx *bbolt.Tx) error {
		check(tx, func(format string, args ...any) {
			if len(faults) < maxFaults {
				faults = append(faults, fmt.Errorf("%w: %s: %w", ErrDamaged, path, fmt.Errorf(format, args...)))
			}
		})
		return nil
	})
	return errors.Join(append(faults, err)...)
}

// A checker compares all records with what the store keeps about them.
type checker struct {
	*reader
	tx    *bbolt.Tx
	fault func(string, ...any)

	found counts
	sinks map[uint32]*sinkCounts
}

func (c *checker) run() {
	numbers := c.readSinks()
	log := c.log.Cursor()
	for k, v := log.First(); k != nil; k, v = log.Next() {
		c.callback(relay.ID(k), v, numbers)
	}
	open := c.tx.Bucket([]byte("open")).Cursor()
	for k, _ := open.First(); k != nil; k, _ = open.Next() {
		id := getDelivery(k[5:])
		if d, ok := c.delivery(id); !ok || stateCodes[d.State] != k[0] {
			c.fault("delivery %s is listed as %s, and is %s", id, stateNames[k[0]], d.State)
		}
	}
	c.compareCounts()
}

func (c *checker) readSinks() map[string]uint32 {
	numbers := map[string]uint32{}
	s := &Store{byName: map[string]*sinkCounts{}}
	if err := s.loadCounts(c.tx); err != nil {
		c.fault("%w", err)
	}
	for name, n := range s.byName {
		numbers[name] = n.number
		c.sinks[n.number] = &sinkCounts{number: n.number}
	}
	return numbers
}

func (c *checker) callback(id relay.ID, rec []byte, numbers map[string]uint32) {
	e, cut := outline(id, rec)
	c.follow(&e, true)
	fill(&e.Callback, cut)
	if e.Callback.Damaged {
		c.fault("the record of callback %s is damaged", id)
	}
	c.found.Callbacks++
	c.found.Unmatched += int64(bit(e.Callback.Unmatched, 1))
	c.found.Conflicts += int64(cut.flags & flagConflict / flagConflict)
	for i := range e.Deliveries {
		c.checkDelivery(&e.Deliveries[i], numbers)
	}
}

func (c *checker) checkDelivery(d *relay.Delivery, numbers map[string]uint32) {
	sink := c.sinks[numbers[d.Sink]]
	if sink == nil {
		c.fault("delivery %s is for sink %q, which is not counted", d.ID, d.Sink)
		return
	}
	*sink.of(d.State)++
	if d.State == relay.Delivered {
		return
	}
	if c.tx.Bucket([]byte("open")).Get(putDelivery(openPrefix(d.State, sink.number), d.ID)) == nil {
		c.fault("delivery %s is %s, and not listed", d.ID, d.State)
	}
	if d.State == relay.Pending && !c.claimable(d, sink.number) {
		c.fault("delivery %s is pending, and can't be claimed", d.ID)
	}
}

// claimable reports whether a delivery is due some time, or parked in its lane.
func (c *checker) claimable(d *relay.Delivery, sink uint32) bool {
	due := c.tx.Bucket([]byte("due"))
	if due.Get(freshKey(sink, d.ID)) != nil || due.Get(timedKey(sink, d.Due, d.ID)) != nil {
		return true
	}
	key := putDelivery(lanePrefix(sink, hashLane(d.Lane)), d.ID)
	return string(c.tx.Bucket([]byte("lanes")).Get(key)) == string(parked)
}

func (c *checker) compareCounts() {
	s := &Store{byName: map[string]*sinkCounts{}}
	if s.loadCounts(c.tx) != nil {
		return // it was said already
	}
	got, want := s.counts, c.found
	want.Duplicates, want.Keys = got.Duplicates, got.Keys
	if got != want {
		c.fault("the counts say %+v, the log has %+v", got, want)
	}
	for name, n := range s.byName {
		if found := c.sinks[n.number]; *found != *n {
			c.fault("the counts of sink %q say %+v, the log has %+v", name, *n, *found)
		}
	}
}
