package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// A harm is one way in which the files of a store are damaged.
type harm struct {
	name string
	do   func(r *rig, dir string) error
	must bool // it must be refused
}

var harms = []harm{
	{"the database is empty", func(_ *rig, dir string) error { return os.Truncate(db(dir), 0) }, true},
	{"the database is cut off", func(r *rig, dir string) error {
		return change(db(dir), func(b []byte) []byte { return b[:r.rand.IntN(len(b)/2)] })
	}, false},
	{"the database is missing", func(_ *rig, dir string) error { return os.Remove(db(dir)) }, true},
	{"the database is noise", func(r *rig, dir string) error {
		return change(db(dir), func(b []byte) []byte { return r.noise(len(b)) })
	}, true},
	{"the database is of another store", func(r *rig, dir string) error { return copyFile(db(dir), db(filepath.Join(r.work, "foreign"))) }, true},
	{"the identity is missing", func(_ *rig, dir string) error { return os.Remove(filepath.Join(dir, "kurir.id")) }, true},
	{"the identity is empty", func(_ *rig, dir string) error { return os.Truncate(filepath.Join(dir, "kurir.id"), 0) }, true},
	{"a bit of a header", func(r *rig, dir string) error { return r.flip(db(dir), 0, 16+64) }, false},
	{"a bit of a body", func(r *rig, dir string) error { return r.flipNear(dir, `"ref_id":"R`) }, false},
	{"a bit anywhere", func(r *rig, dir string) error { return r.flip(db(dir), 0, -1) }, false},
	{"a page of zeros", func(r *rig, dir string) error { return r.blank(dir) }, false},
	{"the journal is missing", func(_ *rig, dir string) error { return os.Remove(journal(dir)) }, true},
	{"the journal is empty", func(_ *rig, dir string) error { return os.Truncate(journal(dir), 0) }, true},
	{"the journal is noise", func(r *rig, dir string) error {
		return change(journal(dir), func(b []byte) []byte { return r.noise(len(b)) })
	}, true},
	{"a bit of the journal", func(r *rig, dir string) error { return r.flip(journal(dir), 0, 64<<10) }, false},
}

func db(dir string) string      { return filepath.Join(dir, "kurir.db") }
func journal(dir string) string { return filepath.Join(dir, "kurir.journal") }

// store is which store is harmed: one whose daemon was stopped, or one with a
// journal, whose daemon was killed.
func (h harm) store() string {
	if strings.Contains(h.name, "journal") {
		return "killed"
	}
	return "stopped"
}

// damage harms the files of a daemon that has ended. It then refuses to start, with the
// code and the way to recover, or it serves what is sound and marks what is not:
// it never shows other bytes than came, and never an empty log in silence.
func (r *rig) damage(ctx context.Context) error {
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
	if err != nil {
		return err
	}
	whole, err := r.fillStores(ctx, d)
	if err != nil {
		return err
	}
	refused, shorter := 0, 0
	for cycle := range r.cycles {
		for _, h := range harms {
			n, err := r.harm(ctx, d, h)
			if err != nil {
				return fmt.Errorf("%s: %w", h.name, err)
			}
			if n < 0 {
				refused++
			} else if n < whole[h.store()] {
				shorter++
				fmt.Printf("  %s: %d of %d callbacks are listed\n", h.name, n, whole[h.store()])
			}
		}
		r.progress(cycle)
	}
	fmt.Printf("damage: of %d damaged stores %d refused or said so, %d served, %d of these without a part\n",
		r.cycles*len(harms), refused, r.cycles*len(harms)-refused, shorter)
	return nil
}

// fillStores makes an empty store, one that was stopped with something in it, and
// a copy of it that took more and was killed. It says how many callbacks were
// acknowledged by each.
func (r *rig) fillStores(ctx context.Context, d *daemon) (whole map[string]int, err error) {
	whole = map[string]int{}
	for _, dir := range []string{"foreign", "stopped", "killed"} {
		d.dir = filepath.Join(r.work, dir)
		if dir == "killed" {
			if err := os.CopyFS(d.dir, os.DirFS(filepath.Join(r.work, "stopped"))); err != nil {
				return nil, err
			}
		}
		if err := r.fillStore(ctx, d, dir); err != nil {
			return nil, fmt.Errorf("the store that is %s: %w", dir, err)
		}
		whole[dir] = r.ledger.acknowledged()
	}
	return whole, nil
}

func (r *rig) fillStore(ctx context.Context, d *daemon, dir string) error {
	if err := d.start(ctx); err != nil || dir == "foreign" {
		return errors.Join(err, d.terminate())
	}
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	r.load(ctx, 1000)
	if dir == "killed" {
		d.kill()
		return nil
	}
	c.end()
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	return d.terminate()
}

// harm runs the daemon on a damaged copy. It gives the number of callbacks that
// are served, or -1 if the daemon refuses.
func (r *rig) harm(ctx context.Context, d *daemon, h harm) (served int, err error) {
	d.dir = filepath.Join(r.work, "copy")
	if err := os.RemoveAll(d.dir); err != nil {
		return 0, err
	}
	if err := os.CopyFS(d.dir, os.DirFS(filepath.Join(r.work, h.store()))); err != nil {
		return 0, err
	}
	if err := h.do(r, d.dir); err != nil {
		return 0, err
	}
	d.log = new(tail)
	if err := d.launch(); err != nil {
		return 0, err
	}
	defer d.kill()
	if !d.ready(ctx) {
		return -1, d.refuses()
	}
	if h.must {
		return 0, violations{"it started"}
	}
	served, err = r.serves(d)
	if d.ended() {
		return -1, d.refuses()
	}
	return served, err
}

// refuses checks how the daemon ended.
func (d *daemon) refuses() error {
	text := d.log.String()
	if !d.ended() {
		return violations{"it neither starts nor ends\n" + text}
	}
	if code := d.cmd.ProcessState.ExitCode(); code != exitStore {
		return violations{fmt.Sprintf("it ended with code %d, not %d\n%s", code, exitStore, text)}
	}
	if !strings.Contains(text, "restore") && !strings.Contains(text, "the store failed") {
		return violations{"it does not say how to recover\n" + text}
	}
	return nil
}

// serves compares what a damaged store shows with the ledger. An error of the
// API is an honest answer, and counts as a refusal.
func (r *rig) serves(d *daemon) (n int, err error) {
	r.probe(d)()
	log, err := d.list()
	if err != nil {
		return -1, nil
	}
	if len(log) < 2 {
		return 0, violations{"an empty log in silence"}
	}
	for _, e := range log {
		var raw []byte
		if err := d.call("GET", "/api/callbacks/"+e.ID+"/raw", &raw); err != nil || e.Damaged {
			continue
		}
		if f := r.ledger.facts[keyOf(string(raw))]; f == nil || f.body != string(raw) {
			return 0, violations{fmt.Sprintf("%s %s %s shows bytes that never came: %.100q", e.ID, e.RefID, e.Event, raw)}
		}
	}
	return len(log), nil
}

func (r *rig) noise(n int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(r.rand.Uint32())
	}
	return b
}

// flip changes one bit between two offsets of a file; -1 is its end.
func (r *rig) flip(path string, from, to int) error {
	return change(path, func(b []byte) []byte {
		if to < 0 {
			to = len(b)
		}
		b[from+r.rand.IntN(to-from)] ^= 1 << r.rand.IntN(8)
		return b
	})
}

// flipNear changes a bit of every copy of a text.
func (r *rig) flipNear(dir, text string) error {
	return change(db(dir), func(b []byte) []byte {
		for at := 0; ; at++ {
			i := bytes.Index(b[at:], []byte(text))
			if i < 0 {
				return b
			}
			at += i
			b[at+r.rand.IntN(len(text))] ^= 1 << r.rand.IntN(8)
		}
	})
}

// blank makes one page zeros, behind the headers.
func (r *rig) blank(dir string) error {
	size := os.Getpagesize()
	return change(db(dir), func(b []byte) []byte {
		at := (2 + r.rand.IntN(len(b)/size-2)) * size
		return slices.Concat(b[:at], make([]byte, size), b[at+size:])
	})
}

func change(path string, how func([]byte) []byte) error {
	b, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	return os.WriteFile(path, how(b), 0o600)
}

func copyFile(to, from string) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	return os.WriteFile(to, b, 0o600)
}
