//go:build !linux

package boltstore

import "os"

func dataSync(f *os.File) error { return f.Sync() }

// allocate leaves it to bbolt to make the file longer.
func allocate(*os.File, int64, int64) error { return nil }
