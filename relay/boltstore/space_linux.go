package boltstore

import (
	"errors"
	"os"
	"syscall"
)

// dataSync makes durable what was written to a file whose length did not change.
func dataSync(f *os.File) error {
	for {
		if err := syscall.Fdatasync(int(f.Fd())); !errors.Is(err, syscall.EINTR) {
			return err
		}
	}
}

// allocate gives a file n more bytes beyond its size, and blocks for them. Where
// that is not known, it does nothing.
func allocate(f *os.File, size, n int64) error {
	for {
		err := syscall.Fallocate(int(f.Fd()), 0, size, n)
		switch {
		case errors.Is(err, syscall.EINTR):
		case errors.Is(err, syscall.EOPNOTSUPP), errors.Is(err, syscall.ENOSYS):
			return nil
		default:
			return err
		}
	}
}
