package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
)

// versioned rules take the secrets of four versions, and send each callback by
// two rules that are named after the version.
func (r *rig) versioned(version int64) string {
	secrets := make([]string, 4)
	for i := range secrets {
		secrets[i] = secretOf(max(version-int64(i), 0))
	}
	return fmt.Sprintf(`sources:
  rig: {preset: isikuota, secrets: [%s]}
sinks:
  peer: {http: {url: %q}, retry: [%s], timeout: 5s}
  note: {log: {level: debug}}
rules:
  - {name: a-%d, to: [peer]}
  - {name: b-%d, to: [note], text: "{{ ref_id }}"}
`, strings.Join(secrets, ", "), r.ledger.url, retries, version, version)
}

func secretOf(version int64) string {
	if version == 0 {
		return secret
	}
	return fmt.Sprint(secret, "-", version)
}

// reload gives the daemon new rules with a new secret all the time, in the ways
// in which files are saved, and bad ones in between. Each callback goes by
// exactly one version, and no secret in force is refused.
func (r *rig) reload(ctx context.Context) error {
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
	if err != nil {
		return err
	}
	if err := d.write(r.versioned(0)); err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	var version atomic.Int64 // whose secret is known to be in force
	c := startClients(ctx, r.ledger, d.url(), r.conns, func(c *clients) { c.version = &version })
	defer c.end()
	r.ledger.set(func(l *ledger) { l.fits = oneVersion })
	for cycle := range r.cycles {
		r.load(ctx, 200)
		if err := r.renew(ctx, d, version.Load()+1); err != nil {
			return err
		}
		version.Add(1)
		if err := r.spoil(d, version.Load()); err != nil {
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

// oneVersion says what is wrong with the deliveries of a callback.
func oneVersion(e entry) string {
	if len(e.Deliveries) != 2 {
		return "it has not gone by two rules"
	}
	a, b := e.Deliveries[0], e.Deliveries[1]
	if a.State != "delivered" || b.State != "delivered" || a.Rule[:2] != "a-" || b.Rule != "b-"+a.Rule[2:] {
		return "it has not gone by one version"
	}
	return ""
}

// renew puts a version in force, in one of the ways in which that is done.
func (r *rig) renew(ctx context.Context, d *daemon, version int64) error {
	switch text := r.versioned(version); r.rand.IntN(3) {
	case 0: // saved in place, and noticed
		if err := d.write(text); err != nil {
			return err
		}
	case 1: // renamed over, and a signal
		if err := os.WriteFile(d.file+".new", []byte(text), 0o600); err != nil {
			return err
		}
		if err := os.Rename(d.file+".new", d.file); err != nil {
			return err
		}
		d.cmd.Process.Signal(syscall.SIGHUP)
	case 2: // saved in pieces, and asked for
		if err := d.writePieces(text); err != nil {
			return err
		}
		d.ask("POST /api/reload")
	}
	return r.await(ctx, 10*time.Second, fmt.Sprintf("reload of version %d", version), func() bool {
		k := key{fmt.Sprintf("V%d-%d", version, r.rand.Uint64()), "order.failed"}
		probe := clients{ledger: r.ledger, http: newClient(1), url: d.url()}
		return probe.signed(k, payload(k, "probe"), secretOf(version)) == 200
	})
}

// spoil saves a file with a mistake, which must change nothing.
func (r *rig) spoil(d *daemon, version int64) error {
	bad := r.versioned(version + 1)
	switch r.rand.IntN(4) {
	case 0:
		bad = ""
	case 1:
		bad = bad[:r.rand.IntN(len(bad)-60)]
	case 2:
		bad += "  - {name: c, to: [nobody]}\n"
	case 3:
		return nil
	}
	if err := d.write(bad); err != nil {
		return err
	}
	var answer []byte
	if err := d.call("POST", "/api/reload", &answer); err == nil {
		return violations{fmt.Sprintf("rules with a mistake were taken: %s\n%s", answer, bad)}
	}
	return nil
}

// writePieces writes the rules in place, line by line.
func (d *daemon) writePieces(text string) error {
	f, err := os.Create(d.file)
	if err != nil {
		return err
	}
	defer f.Close()
	for line := range strings.Lines(text) {
		if _, err := f.WriteString(line); err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return nil
}
