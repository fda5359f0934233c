package main

import (
	"context"
	"fmt"
	"os/exec"
	"path/filepath"
	"time"
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
		when := 20 + r.rand.IntN(200)
		d.prefix = []string{"strace", "-f", "-qqq", "-o", filepath.Join(r.work, "trace"), "-e", "trace=fdatasync,fsync",
			"-e", fmt.Sprintf("inject=fdatasync:error=EIO:when=%d", when)}
		if err := d.start(ctx); err != nil {
			return err
		}
		if err := r.mustEnd(ctx, d); err != nil {
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

// exitStore is the code a daemon ends with when its store can't be trusted.
const exitStore = 5

func (r *rig) mustEnd(ctx context.Context, d *daemon) error {
	select {
	case <-d.done:
		if code := d.cmd.ProcessState.ExitCode(); code != exitStore {
			return violations{fmt.Sprintf("a failed sync ended the daemon with code %d, not %d\n%s", code, exitStore, d.log)}
		}
		return nil
	case <-time.After(60 * time.Second):
		d.kill()
		return violations{"the daemon went on after a failed sync"}
	case <-ctx.Done():
		return ctx.Err()
	}
}
