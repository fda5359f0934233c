// Package rules reads rules.yaml into one immutable, fully checked Set that
// says where a callback goes, and swaps it for a new one when the file changes.
//
//	document.go, quiet.go      the keys of the file, as structs: the schema and the reference page are made of them
//	load.go, sink.go, check.go a file becomes a Set; every mistake and every doubt has its place
//	set.go, route.go           what a Set knows, and where it sends a callback
//	live.go, watch.go, change.go the Set in force, and how it is replaced
//	explain.go, parts.go       why a callback goes where it goes
//	suite.go, report.go, astest.go tests of rules
//	compare.go                 what other rules would change
//	schema.go, start.go        help for who writes the file
package rules
