// Package rules reads rules.yaml into one immutable, fully checked Set that
// says where a callback goes, and swaps it for a new one when the file changes.
package rules
