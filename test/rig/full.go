package main

import (
	"context"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// full fills the disk under load and frees it again. While it is full, accepting
// answers 503 with Retry-After and the log can be read; once there is room it
// accepts again within seconds, without a restart.
func (r *rig) full(ctx context.Context) error {
	dir := filepath.Join(r.work, "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return err
	}
	if out, err := exec.CommandContext(ctx, "mount", "-t", "tmpfs", "-o", "size=1g", "tmpfs", dir).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: mount: %v: %s", errSkip, err, out)
	}
	r.atEnd(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	d, err := r.newDaemon(filepath.Join(dir, "data"))
	if err != nil {
		return err
	}
	if err := d.start(ctx); err != nil {
		return err
	}
	for cycle := range r.cycles {
		c := startClients(ctx, r.ledger, d.url(), r.conns)
		r.load(ctx, 200)
		err := r.fillAndFree(ctx, d, filepath.Join(dir, "ballast"))
		c.end()
		if err != nil {
			return err
		}
		r.progress(cycle)
	}
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	return d.terminate()
}

func (r *rig) fillAndFree(ctx context.Context, d *daemon, ballast string) error {
	if err := fill(ballast); err != nil {
		return err
	}
	probe := key{fmt.Sprintf("probe-%d", time.Now().UnixNano()), "order.failed"}
	// The store goes on as far as it has allocated space: large probes use that up.
	if err := r.await(ctx, 2*time.Minute, "503 on a full disk", func() bool {
		probe.ref += "x"
		return r.refused(d, probe)
	}); err != nil {
		return err
	}
	var page struct{ Callbacks []entry }
	if err := d.call("GET", "/api/callbacks?limit=10", &page); err != nil || len(page.Callbacks) == 0 {
		return violations{fmt.Sprintf("the log can't be read on a full disk: %v, %d callbacks", err, len(page.Callbacks))}
	}
	if err := r.await(ctx, time.Minute, "word that it is not ready on a full disk", func() bool { return !ready(d) }); err != nil {
		return err // small callbacks may find room for a while after the probe
	}
	if err := os.Remove(ballast); err != nil {
		return err
	}
	if err := r.await(ctx, 10*time.Second, "being ready after space returned", func() bool { return ready(d) }); err != nil {
		return err
	}
	return r.await(ctx, 10*time.Second, "accepting after space returned", r.probe(d))
}

func ready(d *daemon) bool {
	resp, err := http.Get(d.url() + "/-/ready")
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	return resp.StatusCode == http.StatusOK
}

// fill writes zeros until there is no room left.
func fill(file string) error {
	f, err := os.Create(file)
	if err != nil {
		return err
	}
	defer f.Close()
	for size := 1 << 20; size >= 512; {
		if _, err := f.Write(make([]byte, size)); err != nil {
			size /= 2 // nearly full
		}
	}
	return nil
}

// refused reports whether a callback is answered 503 with a Retry-After.
func (r *rig) refused(d *daemon, k key) bool {
	body := payload(k, strings.Repeat("probe ", 4<<10))
	signature := sign(body, secret)
	r.ledger.sending(k, body, signature)
	req, err := http.NewRequest(http.MethodPost, d.url()+"/webhook/rig", strings.NewReader(body))
	if err != nil {
		panic(err)
	}
	req.Header.Set("X-Signature", signature)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	defer resp.Body.Close()
	if resp.StatusCode == http.StatusOK {
		r.ledger.acked(k, `"ok"`)
	}
	return resp.StatusCode == http.StatusServiceUnavailable && resp.Header.Get("Retry-After") != ""
}

// await asks until something is so; if it never is, a promise is broken.
func (r *rig) await(ctx context.Context, limit time.Duration, what string, so func() bool) error {
	for deadline := time.Now().Add(limit); time.Now().Before(deadline); {
		if so() {
			return nil
		}
		if ctx.Err() != nil {
			return ctx.Err()
		}
		time.Sleep(20 * time.Millisecond)
	}
	return violations{fmt.Sprintf("no %s within %v", what, limit)}
}
