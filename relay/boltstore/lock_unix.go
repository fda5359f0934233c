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
