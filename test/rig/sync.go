package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
)

// sync lets one fdatasync fail with EIO, by strace. What the page cache then
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
		d.prefix = []string{"strace", "-f", "-qqq", "-o", filepath.Join(r.work, "trace"), "-e", "trace=fdatasync",
			"-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", 20+r.rand.IntN(200))}
		if err := d.start(ctx); err != nil {
			return err
		}
		if err := d.mustEnd(ctx, "a failed sync"); err != nil {
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
