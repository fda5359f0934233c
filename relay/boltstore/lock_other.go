//go:build !unix

package boltstore

import (
	"errors"
	"os"
)

var errHeld = errors.New("held by another")

// flock leaves the locking to bbolt, which locks the database itself.
func flock(*os.File) error { return nil }

// closeMapped closes a file that may stay mapped.
func closeMapped(f *os.File) error { return f.Close() }
