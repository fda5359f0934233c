package conf

import (
	"io"
	"os"
	"syscall"
	"time"
)

// patience is how long a file may take to be read. Only a pipe takes any time.
const patience = 5 * time.Second

// open opens a file that is to be read whole, and at once: a pipe to which
// nobody writes is empty, and one whose writer falls silent is an error. A plain
// open would wait for a writer for ever.
func open(path string) (*os.File, error) {
	file, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err == nil {
		file.SetReadDeadline(time.Now().Add(patience)) // a plain file knows none
	}
	return file, err
}

// readUpTo reads a file, but hardly more than limit bytes.
func readUpTo(file *os.File, limit int64) ([]byte, error) {
	text, err := io.ReadAll(io.LimitReader(file, limit+1))
	return text, cause(err)
}
