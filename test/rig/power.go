package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// fsShutdown is FS_IOC_SHUTDOWN of linux/fs.h, which ext4 and xfs share; with
// noLogFlush what the journal has not on disk yet is lost, as in a power cut.
const (
	fsShutdown = 0x8004587d
	noLogFlush = 2
)

// A disk is a filesystem in an image file, mounted on a loop device.
type disk struct{ image, dir string }

func (r *rig) newDisk(ctx context.Context, options string) (*disk, error) {
	const size = 2 << 30 // of a sparse file
	k := &disk{image: filepath.Join(r.work, r.fs+".img"), dir: filepath.Join(r.work, r.fs)}
	f, err := os.Create(k.image)
	if err != nil {
		return nil, err
	}
	if err := f.Truncate(size); err != nil {
		return nil, err
	}
	f.Close()
	if err := os.Mkdir(k.dir, 0o700); err != nil {
		return nil, err
	}
	if out, err := exec.CommandContext(ctx, "mkfs."+r.fs, "-q", k.image).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w: mkfs.%s: %v %s", errSkip, r.fs, err, out)
	}
	r.atEnd(func() { unix.Unmount(k.dir, unix.MNT_DETACH) })
	if err := k.mount(options); err != nil {
		return nil, fmt.Errorf("%w: %v", errSkip, err)
	}
	return k, nil
}

func (k *disk) mount(options string) error {
	if out, err := exec.Command("mount", "-o", options, k.image, k.dir).CombinedOutput(); err != nil {
		return fmt.Errorf("mount: %v: %s", err, out)
	}
	return nil
}

func (k *disk) unmount() error {
	var last error
	for range 100 {
		if last = unix.Unmount(k.dir, 0); last == nil {
			return nil
		}
		time.Sleep(20 * time.Millisecond)
	}
	return fmt.Errorf("unmount: %w", last)
}

// cut shuts the filesystem down: from now on every write fails, and what was
// not synced is gone.
func (k *disk) cut() error {
	dir, err := os.Open(k.dir)
	if err != nil {
		return err
	}
	defer dir.Close()
	flag := uint32(noLogFlush)
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, dir.Fd(), fsShutdown, uintptr(unsafe.Pointer(&flag))); errno != 0 {
		return fmt.Errorf("%w: FS_IOC_SHUTDOWN: %v", errSkip, errno)
	}
	return nil
}

// power cuts the power under load: the filesystem is shut down while the daemon
// runs on it, the daemon is killed, and both come back.
func (r *rig) power(ctx context.Context) error {
	k, err := r.newDisk(ctx, "loop")
	if err != nil {
		return err
	}
	d, err := r.newDaemon(filepath.Join(k.dir, "data"))
	if err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	for cycle := range r.cycles {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		r.load(ctx, 400)
		if err := r.outage(ctx, k, d); err != nil {
			return err
		}
		r.progress(cycle)
	}
	c.end()
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	return d.terminate()
}

func (r *rig) outage(ctx context.Context, k *disk, d *daemon) error {
	if err := k.cut(); err != nil {
		return err
	}
	// A moment in which the daemon meets the dead disk: nothing may be acknowledged.
	time.Sleep(time.Duration(r.rand.IntN(50)) * time.Millisecond)
	d.kill()
	if err := k.unmount(); err != nil {
		return err
	}
	if err := k.mount("loop"); err != nil {
		return violations{"the filesystem does not come back: " + err.Error()}
	}
	return d.start(ctx)
}
