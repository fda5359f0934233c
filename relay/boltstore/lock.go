package boltstore

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"
)

// A holder of the lock, as the lock file names it.
type owner struct {
	PID   int       `json:"pid"`
	Host  string    `json:"host"`
	Since time.Time `json:"since"`
}

// acquire locks dir for this process, or says who holds it.
func acquire(dir string) (*os.File, error) {
	path := filepath.Join(dir, lockFile)
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	if err := flock(f); err != nil {
		defer f.Close()
		if !errors.Is(err, errHeld) {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		return nil, fmt.Errorf("%w: %s is held by %s", ErrLocked, dir, holderOf(f))
	}
	sign(f)
	return f, nil
}

// sign writes who holds the lock, if the disk has room for it.
func sign(f *os.File) {
	host, _ := os.Hostname()
	b, _ := json.Marshal(owner{PID: os.Getpid(), Host: host, Since: time.Now().UTC().Truncate(time.Second)})
	f.Truncate(0)
	f.WriteAt(append(b, '\n'), 0)
}

func holderOf(f *os.File) string {
	var o owner
	b, _ := io.ReadAll(io.NewSectionReader(f, 0, 4096))
	if json.Unmarshal(b, &o) != nil {
		return "another process"
	}
	return fmt.Sprintf("process %d on %s since %s", o.PID, o.Host, o.Since.Format(time.RFC3339))
}

// release gives the lock up. The file stays: removing it would let two
// processes lock two files of one name.
func release(f *os.File) {
	f.Truncate(0)
	f.Close()
}
