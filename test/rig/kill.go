package main

import (
	"context"
	"path/filepath"
	"time"
)

// kill sends SIGKILL at random moments under load: mostly while it works,
// sometimes while it starts or just after a restart.
func (r *rig) kill(ctx context.Context) error {
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
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
		d.kill()
		if r.rand.IntN(5) == 0 {
			if err := d.launch(); err != nil {
				return err
			}
			time.Sleep(time.Duration(r.rand.IntN(30)) * time.Millisecond)
			d.kill()
		}
		if err := d.start(ctx); err != nil {
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
