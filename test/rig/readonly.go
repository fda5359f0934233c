package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// readonly lets ext4 find an error in itself under the running daemon, and turn
// read-only as it does then. What is not synced is not acknowledged; the daemon
// ends with its code, refuses to start on a disk that takes nothing, and goes on
// once the filesystem is mended.
func (r *rig) readonly(ctx context.Context) error {
	const options = "loop,errors=remount-ro"
	k, err := r.newDisk(ctx, options)
	if err != nil {
		return err
	}
	d, err := r.newDaemon(filepath.Join(k.dir, "data"))
	if err != nil {
		return err
	}
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	for cycle := range r.cycles {
		if err := d.start(ctx); err != nil {
			return err
		}
		r.load(ctx, 400)
		if err := r.turnsReadOnly(ctx, k, d); err != nil {
			return err
		}
		if err := k.mend(options); err != nil {
			return err
		}
		r.progress(cycle)
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	c.end()
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	return d.terminate()
}

func (r *rig) turnsReadOnly(ctx context.Context, k *disk, d *daemon) error {
	if err := k.fail(); err != nil {
		return err
	}
	if err := d.mustEnd(ctx, "a disk that turned read-only"); err != nil {
		return err
	}
	if err := d.launch(); err != nil {
		return err
	}
	if d.ready(ctx) {
		return violations{"it started on a disk that takes nothing"}
	}
	return nil
}

// fail makes ext4 meet an error, as its own tests do.
func (k *disk) fail() error {
	out, err := exec.Command("findmnt", "-n", "-o", "SOURCE", k.dir).Output()
	if err != nil {
		return fmt.Errorf("%w: findmnt: %v", errSkip, err)
	}
	trigger := filepath.Join("/sys/fs/ext4", filepath.Base(strings.TrimSpace(string(out))), "trigger_fs_error")
	if err := os.WriteFile(trigger, []byte("1"), 0); err != nil {
		return fmt.Errorf("%w: %v", errSkip, err)
	}
	return nil
}

// mend repairs the filesystem, and mounts it again.
func (k *disk) mend(options string) error {
	if err := k.unmount(); err != nil {
		return err
	}
	if out, err := exec.Command("e2fsck", "-p", "-f", k.image).CombinedOutput(); err != nil && len(out) == 0 {
		return fmt.Errorf("e2fsck: %w", err)
	}
	return k.mount(options)
}
