package relay

import (
	"context"
	"errors"
	"io"
	"time"
)

// Errors that callers of a Store branch on.
var (
	ErrNotFound = errors.New("no such callback")
	ErrFull     = errors.New("no space left for the store")
	ErrClosed   = errors.New("the store is closed")
	ErrLease    = errors.New("the lease is lost") // settled by another, or its time is over
)

// A Store keeps callbacks and what is owed because of them. Every method is
// safe for concurrent use, and harmless when done twice.
//
//   - An accepted callback is durable, with its dedupe key and its deliveries,
//     when Append returns.
//   - A key is appended once, for as long as keys are kept.
//   - A settled delivery stays settled, until Reopen.
//   - A claimed delivery is hidden until it is settled or its lease ends.
//   - A poll with nothing due writes nothing.
//   - Prune never touches a callback that still owes a delivery.
//
// Package storetest proves each of them.
type Store interface {
	// Append stores callbacks with their keys and targets, all of one call in
	// one commit, in order. ErrFull means that nothing was stored and that a
	// later call may succeed. Of no callbacks at all, it stores nothing and
	// says whether one of common size would be stored.
	Append(ctx context.Context, in []Inbound) ([]Receipt, error)

	// Get gives one callback with its deliveries and all their attempts.
	Get(ctx context.Context, id ID) (Entry, error)

	// List gives the callbacks a Query selects, newest first, with their
	// deliveries but without attempts. It reads a bounded number of records,
	// so a page may be short, or empty, and still have a Next.
	List(ctx context.Context, q Query) (Page, error)

	// Claim leases deliveries that are due, earliest first, as far as the
	// gates let it. A sink without a gate is left alone.
	Claim(ctx context.Context, worker string, lease time.Duration, gates []Gate) ([]Lease, error)

	// Renew makes the leases end a lease from now, also those that are over, unless
	// another claim has taken the delivery: these are lost, and skipped; their
	// Settle will say so. Of a lease, the delivery's ID and the token count.
	Renew(ctx context.Context, leases []Lease, lease time.Duration) error

	// Settle records attempts and moves their deliveries on, all of one call
	// in one commit. The slice has one error for each outcome: nil, or ErrLease
	// if the outcome came too late and changed nothing. The second error means
	// that nothing was stored.
	Settle(ctx context.Context, out []Outcome) ([]error, error)

	// Reopen makes settled deliveries pending again, due at the given time. It
	// skips what is pending already or unknown, and says how many it opened.
	Reopen(ctx context.Context, ids []DeliveryID, due time.Time) (int, error)

	// Hasten makes pending deliveries due at the given time that would be due
	// later, and says how many. It skips what is due already, and what a worker
	// has; what waits for others of its lane goes on waiting.
	Hasten(ctx context.Context, ids []DeliveryID, due time.Time) (int, error)

	// Prune forgets callbacks older than p.Callbacks that owe nothing, and keys
	// older than p.Keys, in chunks that let other writers in between.
	Prune(ctx context.Context, p Prune) (Pruned, error)

	// Hints tells that something may be due. It only saves waiting: hints get
	// lost, and the poll is the guarantee.
	Hints() <-chan Hint

	Stats(ctx context.Context) (Stats, error)
	Close() error
}

// A Backuper is a Store that can write a consistent copy of itself while it works.
type Backuper interface {
	Backup(ctx context.Context, w io.Writer) (int64, error)
}

// A Key is what makes two callbacks the same one: the parts of the source's
// `dedupe`. The store keeps a hash of it in which each part has its length
// before it, so that ("a","b/c") and ("a/b","c") differ.
type Key []string

// An Inbound is a callback with all that becomes durable together with it. The
// store gives the callback its ID.
type Inbound struct {
	Callback Callback
	Key      Key
	Targets  []Target

	// RouteConflict asks that a callback whose key is known with another body
	// is routed all the same, instead of only kept.
	RouteConflict bool
}

// A Receipt says what became of an Inbound.
type Receipt struct {
	ID        ID   // the stored callback; for a duplicate the original
	Duplicate bool // the key was known
	Conflict  bool // and the body another: ID is then this callback's own
}

// An Entry is a callback in the log, with what is owed because of it.
type Entry struct {
	Callback   Callback
	Deliveries []Delivery
}

// A Query selects callbacks. A zero field selects all. State and Sink look at
// deliveries: an entry is selected if one delivery meets both.
type Query struct {
	Source, Event, RefID string
	State                State
	Sink                 string
	Since, Until         time.Time // received at Since or later, before Until: by ID.Time
	Text                 string    // contained in the ref_id or the body
	Unmatched, Conflict  bool

	Limit  int // entries a page; 0 means 50
	Cursor ID  // the Next of the page before
}

// A Page is a part of the log, newest first.
type Page struct {
	Entries []Entry
	Next    ID // zero at the end
}

// A Gate says how much of one sink's due deliveries may be leased.
type Gate struct {
	Sink        string
	Room        int  // leases of this claim at most
	Concurrency int  // leases out at once at most, over all workers; 0 is no limit
	Rate        Rate // starts at most, over all workers; a zero Rate is no limit
	Batch       bool // the leases of this claim go out as one message: they count as one
}

// A Rate is a number of starts in a time, such as 18 a minute.
type Rate struct {
	N   int
	Per time.Duration
}

// A Lease is a delivery handed to a worker for a time, with what it needs to be
// delivered.
type Lease struct {
	Delivery Delivery // without attempts
	Callback Callback
	Attempt  int    // the number the coming attempt has
	Token    uint64 // fences: a Settle with another token is refused
	Until    time.Time
}

// An Outcome is how an attempt at a leased delivery ended, and what follows.
type Outcome struct {
	ID      DeliveryID
	Token   uint64
	Attempt Attempt

	State   State     // Delivered, Dead, or Pending for another attempt
	Due     time.Time // when, if Pending
	Console bool      // it went to the console, for want of an address

	// Deferred says that no attempt was made: the delivery is due again at
	// Due, and Attempt is not recorded.
	Deferred bool

	// Next are further deliveries of the same callback that become due by
	// this outcome, in the same commit: a dead letter's way to the fallback.
	Next []Target
}

// Prune says what is old.
type Prune struct {
	Callbacks time.Time // callbacks received before it
	Keys      time.Time // keys of callbacks received before it
}

// Pruned says what was forgotten.
type Pruned struct {
	Callbacks int
	Keys      int
}

// A Hint says that a sink may have something due.
type Hint struct{ Sink string }

// Stats are the store's own figures.
type Stats struct {
	Callbacks  int64 // in the log
	Duplicates int64 // requests answered as already processed, since the store was made
	Conflicts  int64 // in the log: those whose key another body had
	Unmatched  int64 // in the log
	Keys       int64 // known
	Bytes      int64 // on disk
	Sinks      map[string]SinkStats
}

// SinkStats are the deliveries of one sink, by state.
type SinkStats struct {
	Pending, Delivered, Dead int64
	Oldest                   time.Time // when the oldest pending one was received; zero if none
}
