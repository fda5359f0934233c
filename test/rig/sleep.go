package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"
)

// lease is how long the daemon's leases are.
const lease = 30 * time.Second

const patientSink = `sources:
  rig: {preset: isikuota, secret: ` + secret + `}
sinks:
  peer: {http: {url: %q}, retry: [` + retries + `], timeout: 5m}
rules:
  - {name: forward-all, to: [peer]}
`

// sleep stops the daemon with SIGSTOP, as the sleep of its machine does, for longer
// than its leases are, while the sink is busy with requests of it. When it goes on,
// nothing that was on its way is sent again.
func (r *rig) sleep(ctx context.Context) error {
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
	if err != nil {
		return err
	}
	if err := d.write(fmt.Sprintf(patientSink, r.ledger.url)); err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	r.ledger.set(func(l *ledger) { l.steady = true })
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	for cycle := 0; cycle < r.cycles && ctx.Err() == nil; cycle++ {
		r.load(ctx, 200)
		r.ledger.set(func(l *ledger) { l.takes = lease + 10*time.Second })
		time.Sleep(time.Second)
		d.cmd.Process.Signal(syscall.SIGSTOP)
		time.Sleep(lease + 2*time.Second)
		r.ledger.set(func(l *ledger) { l.takes = 0 })
		d.cmd.Process.Signal(syscall.SIGCONT)
		time.Sleep(10 * time.Second) // until the sink is done with them
		r.progress(cycle)
	}
	c.end()
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	if err := r.ledger.once(); err != nil {
		return err
	}
	return d.terminate()
}

// once checks that nothing has arrived twice.
func (l *ledger) once() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	var broken violations
	for k, f := range l.facts {
		if f.arrivals > 1 {
			broken = append(broken, fmt.Sprintf("%v arrived %d times", k, f.arrivals))
		}
	}
	if broken != nil {
		return broken
	}
	return nil
}
