package boltstore

import (
	"fmt"

	"go.etcd.io/bbolt"

	"github.com/kurir-relay/kurir/relay"
)

// The file is kept a little longer than it is full, with its blocks allocated.
// So a full disk is found out before a commit begins; and while new callbacks are
// refused, what is left of the allocated space is for the outcomes of deliveries,
// and for pruning.
const (
	leastAhead = 1 << 20
	mostAhead  = 32 << 20
	reserved   = 512 << 10 // only for work that isn't growth
	overhead   = 256 << 10 // what a commit writes beside its records, at most, about
)

// growth is work that must wait when the disk is full.
type growth interface{ grows() }

func (*appending) grows() {}
func (*indexing) grows()  {}

// makeRoom refuses the growth in a group for which there is no space, beside that
// of the groups before it which the next commit writes too.
func (s *Store) makeRoom(tx *bbolt.Tx, group []*task) {
	room, size, err := s.room(tx)
	if err != nil {
		return // bbolt will find out
	}
	need := overhead + reserved + s.growth
	for _, t := range group {
		if _, ok := t.work.(growth); !ok {
			continue
		}
		more := 2 * int64(t.work.size())
		if need+more > room {
			ahead := max(min(size/4, mostAhead), leastAhead)
			if err := allocate(s.file, size, ahead+need+more-room); err == nil {
				room, size, _ = s.room(tx)
			} else if need+more > room && isFull(err) {
				t.err = fmt.Errorf("%w: %w", relay.ErrFull, err)
				continue
			}
		}
		need += more
		s.growth += more
	}
}

// room is how much a transaction can write without the file growing, and the
// size of the file.
func (s *Store) room(tx *bbolt.Tx) (room, size int64, err error) {
	info, err := s.file.Stat()
	if err != nil {
		return 0, 0, err
	}
	st := s.db.Stats()
	return info.Size() - tx.Size() + int64(st.FreePageN)*pageSize, info.Size(), nil
}

// mostListed is how many free pages are written down with each commit: a few
// pages full. Beyond them, such as after a large prune, the list is left out of
// the file until the store is closed; after a crash it is made again by looking
// at every page, which takes about a second for a million callbacks.
const mostListed = 2000

// listFreePages decides whether the next commit writes the list.
func (s *Store) listFreePages() {
	st := s.db.Stats()
	s.db.NoFreelistSync = st.FreePageN+st.PendingPageN > mostListed
	s.listed = !s.db.NoFreelistSync
}

// saveFreeList writes the list if the last commit didn't. If it can't, the next
// start takes longer.
func (s *Store) saveFreeList() {
	if s.listed {
		return
	}
	s.db.NoFreelistSync = false
	s.db.Update(func(*bbolt.Tx) error { return nil })
}
