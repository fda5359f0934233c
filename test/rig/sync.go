package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// faults are what a sick disk does, in the words of strace. That a sync finds no
// space is no full disk: what was believed to be written is not.
var faults = []string{"fdatasync:error=EIO", "fdatasync:error=ENOSPC", "pwrite64:error=EIO"}

// sync lets one system call of a commit fail, by strace. What the page cache then
// holds can't be trusted: the daemon must not acknowledge it, must end with its
// documented code, and must start clean.
func (r *rig) sync(ctx context.Context) error {
	if _, err := exec.LookPath("strace"); err != nil {
		return fmt.Errorf("%w: no strace", errSkip)
	}
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
	if err != nil {
		return err
	}
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	for cycle := range r.cycles {
		d.prefix = []string{"strace", "-f", "-qqq", "-o", filepath.Join(r.work, "trace"), "-e", "trace=fdatasync,pwrite64",
			"-e", fmt.Sprintf("inject=%s:when=%d", faults[cycle%len(faults)], 40+r.rand.IntN(200))}
		if err := d.launch(); err != nil { // the fault may come before it is ready: with what the journal had
			return err
		}
		if err := d.mustEnd(ctx, faults[cycle%len(faults)]); err != nil {
			return err
		}
		r.progress(cycle)
	}
	d.prefix = nil
	if err := d.start(ctx); err != nil {
		return err
	}
	c.end()
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	return d.terminate()
}
