//go:build unix

package boltstore

import (
	"errors"
	"os"
	"syscall"
)

var errHeld = errors.New("held by another")

// flock takes the lock without waiting. It ends with the file or the process.
func flock(f *os.File) error {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return errHeld
	}
	return err
}

// closeMapped closes a file that may stay mapped: the mapping alone would keep
// its lock.
func closeMapped(f *os.File) error {
	return errors.Join(syscall.Flock(int(f.Fd()), syscall.LOCK_UN), f.Close())
}
