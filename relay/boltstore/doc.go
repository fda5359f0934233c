// Package boltstore is relay.Store in one bbolt file.
//
// What a callback was is written once and never changed; what happened to it
// afterwards lies beside it under keys of the same order, so the file grows at
// its ends only.
//
//	log    id                    -> the callback and its targets, as they came
//	after  id, number, sequence  -> 0,0 the callback's mark; n,0 the state of delivery n; n,k its k-th attempt
//	due    sink, due, delivery   -> what a claim may lease
//	lanes  sink, lane, delivery  -> the members of a lane that are known to be open, and which of them wait
//	open   state, sink, delivery -> pending and dead deliveries
//	index  hash                  -> dedupe keys, and the callbacks of an order; with filters and runs, see runs.go
//	sinks  name                  -> its number, and its deliveries by state
//	meta   "identity", "schema", "counts", "keysFrom", "journal"
//
// One goroutine writes. It takes all that waits into one group, so one sync
// serves every caller that came during the sync before. A group is durable by a
// frame in a journal beside the file, and the file follows once a second, or when
// somebody reads it: see journal.go. At a good end the journal is gone.
//
// Leases live in memory: a claim writes nothing, and a restart voids them. It
// looks at what is due in the writer's own transaction, so it need not wait for
// the file.
package boltstore
