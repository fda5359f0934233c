//go:build !linux

package boltstore

import "os"

// allocate leaves it to bbolt to make the file longer.
func allocate(*os.File, int64, int64) error { return nil }
