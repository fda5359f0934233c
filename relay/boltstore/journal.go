package boltstore

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"

	"go.etcd.io/bbolt"
)

// A journal makes a group durable by one write and one sync, where a commit of
// bbolt takes two syncs and writes every page anew that the group touched. The
// database follows with a commit now and then, after which the journal begins
// again at its start. It holds what groups changed, not what they were asked to
// do, so that changing it again after a crash needs no decision.
//
// It is made at every start, at its full length, and removed at a good end.
// Meanwhile the identity file names it: it can't go missing in silence.
//
//	page 0       magic 8 | epoch 8 | checksum 4
//	from page 1  frames, each from the beginning of a page:
//	             checksum 4 | length 4 | number 8 | epoch 8 | changes
//	change       bucket 1, and 128 for a deletion | key | value
//
// Frames are numbered from 1 on. The database keeps the number of the last one
// it holds, with the epoch: those up to it are of no use any more, wherever they
// lie.
type journal struct {
	path  string
	f     *os.File
	epoch uint64
	size  int64
	sync  func(*os.File) error // nil in tests that need none

	at     int64  // where the next frame goes
	number uint64 // of the newest frame
	since  uint64 // of the newest one that the database holds
	unread bool   // what an end without notice left is not known yet
}

const (
	journalFile  = "kurir.journal"
	journalMagic = "kurirjnl"
	journalSize  = 8 << 20
	journalPage  = 4 << 10 // no write touches a page with an older frame that still counts
	frameHead    = 4 + 4 + 8 + 8
	deletion     = 128
)

// makeJournal makes the file of a journal that begins.
func makeJournal(dir string, size int64, sync func(*os.File) error) (*journal, error) {
	j := &journal{path: filepath.Join(dir, journalFile), epoch: rand.Uint64() | 1, sync: sync, at: journalPage}
	j.size = max(size/journalPage, 2) * journalPage
	whole := make([]byte, j.size)
	copy(whole, j.head())
	if err := writeFile(j.path+newSuffix, whole); err != nil {
		return nil, errors.Join(err, os.Remove(j.path+newSuffix))
	}
	if err := rename(j.path+newSuffix, j.path); err != nil {
		return nil, err
	}
	return j, j.open()
}

// findJournal opens the journal that an identity names, of which the database
// holds the frames up to a number.
func findJournal(dir string, epoch, held uint64, sync func(*os.File) error) (*journal, error) {
	j := &journal{path: filepath.Join(dir, journalFile), epoch: epoch, sync: sync, number: held, since: held, at: journalPage, unread: true}
	if err := j.open(); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = fmt.Errorf("%w: %s is missing, which holds what was accepted last. Put it back", ErrDamaged, j.path)
		}
		return nil, err
	}
	head := make([]byte, len(j.head()))
	if _, err := j.f.ReadAt(head, 0); err != nil || string(head) != string(j.head()) {
		j.f.Close()
		return nil, fmt.Errorf("%w: %s does not belong to the database beside it, or its beginning is damaged", ErrDamaged, j.path)
	}
	return j, nil
}

func (j *journal) open() (err error) {
	if j.f, err = os.OpenFile(j.path, os.O_RDWR, 0); err != nil {
		return err
	}
	info, err := j.f.Stat()
	if err == nil {
		j.size = info.Size()
	}
	return err
}

func (j *journal) head() []byte {
	b := binary.BigEndian.AppendUint64([]byte(journalMagic), j.epoch)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// remove ends the journal. A file that stays behind is named by nobody.
func (j *journal) remove() {
	j.f.Close()
	os.Remove(j.path)
}

// ahead reports whether the journal has, or may have, what the database lacks.
func (j *journal) ahead() bool { return j != nil && (j.unread || j.number > j.since) }

// fits reports whether there is room for a frame.
func (j *journal) fits(frame []byte) bool { return j != nil && j.at+paged(len(frame)) <= j.size }

func paged(n int) int64 { return (int64(n) + journalPage - 1) / journalPage * journalPage }

// append writes a frame, whose first frameHead bytes are for its head, and is
// durable on return.
func (j *journal) append(frame []byte) error {
	length := len(frame)
	frame = append(frame, make([]byte, paged(length)-int64(length))...)
	binary.BigEndian.PutUint32(frame[4:], uint32(length))
	binary.BigEndian.PutUint64(frame[8:], j.number+1)
	binary.BigEndian.PutUint64(frame[16:], j.epoch)
	binary.BigEndian.PutUint32(frame, crc32.Checksum(frame[4:length], castagnoli))
	if _, err := j.f.WriteAt(frame, j.at); err != nil {
		return err
	}
	if j.sync != nil {
		if err := j.sync(j.f); err != nil {
			return &fs.PathError{Op: "sync", Path: j.path, Err: err}
		}
	}
	j.at += int64(len(frame))
	j.number++
	return nil
}

// begin starts at the front again: the database holds all frames.
func (j *journal) begin() { j.at, j.since = journalPage, j.number }

// held is what the database says of frames that it holds: the epoch, and the
// number of the last one.
func (j *journal) held(number uint64) []byte {
	return binary.BigEndian.AppendUint64(binary.BigEndian.AppendUint64(nil, j.epoch), number)
}

var journalKey = []byte("journal")

// frame reads the frame at an offset: its number, and the bytes of its changes;
// zero and nil if there is none.
func (j *journal) frame(at int64) (number uint64, changes []byte) {
	var head [frameHead]byte
	if _, err := j.f.ReadAt(head[:], at); err != nil || binary.BigEndian.Uint64(head[16:]) != j.epoch {
		return 0, nil
	}
	length := int64(binary.BigEndian.Uint32(head[4:]))
	if length < frameHead || at+length > j.size {
		return 0, nil
	}
	b := make([]byte, length)
	if _, err := j.f.ReadAt(b, at); err != nil || crc32.Checksum(b[4:], castagnoli) != binary.BigEndian.Uint32(b) {
		return 0, nil
	}
	return binary.BigEndian.Uint64(b[8:]), b[frameHead:]
}

// replay makes the changes in tx that the database lacks, and goes on behind
// them. The last frame of all may be cut off: then nobody was told that it is
// durable.
func (j *journal) replay(tx *bbolt.Tx) error {
	last := j.number
	j.at, j.number = journalPage, j.since
	for j.unread || j.number < last {
		number, changes := j.frame(j.at)
		if number != j.number+1 {
			break
		}
		if err := redo(tx, changes); err != nil {
			return fmt.Errorf("%s: frame %d: %w", j.path, number, err)
		}
		j.at += paged(frameHead + len(changes))
		j.number = number
	}
	if err := j.nothingBehind(last); err != nil {
		return err
	}
	j.unread = false
	return nil
}

// nothingBehind checks that the end is where it seems to be: behind the last
// frame that is known, or where no later one follows. Frames are written one
// after the other, so one before it would be damaged.
func (j *journal) nothingBehind(last uint64) error {
	for at := j.at; j.unread && at < j.size; at += journalPage {
		number, _ := j.frame(at)
		last = max(last, number)
	}
	if last > j.number {
		return fmt.Errorf("%w: %s: frame %d of %d can't be read", ErrDamaged, j.path, j.number+1, last)
	}
	return nil
}

// redo makes the changes of a frame.
func redo(tx *bbolt.Tx, changes []byte) error {
	for d := (decoder{b: changes}); len(d.b) > 0; {
		what, key := d.byte(), d.bytes()
		if d.err != nil || int(what&^deletion) >= len(bucketNames) {
			return errDamaged
		}
		in := tx.Bucket([]byte(bucketNames[what&^deletion]))
		if what&deletion != 0 {
			if err := in.Delete(key); err != nil {
				return err
			}
			continue
		}
		value := d.bytes()
		if d.err != nil {
			return errDamaged
		}
		if err := in.Put(key, value); err != nil {
			return err
		}
	}
	return nil
}
