// Package relay is the domain of Kurir: callbacks, what is owed because of
// them, and the steps that carry one from its provider to its sinks.
//
//	receive   receive.go   a verified callback is routed, stored durably, answered
//	store     store.go     the Store: what it promises, in callbacks and deliveries
//	deliver   deliver.go   what is due is claimed, sent by its Sink and settled
//	prune     prune.go     what is settled and old is forgotten
//
// Callbacks that come at about the same time share a commit, and so do outcomes
// (batch.go). For each sink the dispatcher has a line (line.go), which knows when
// to leave it alone (breaker.go) and what to collect for it (digest.go); an
// attempt (attempt.go) ends with what its schedule says (retry.go). On request
// deliveries are made again (replay.go).
//
// Who sent a callback is decided before it gets here (package source), where it
// goes by a Router (package rules), and how a far side is spoken to by a Sink
// (package sinks). This package knows none of them and imports only the
// standard library.
package relay
