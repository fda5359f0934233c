package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

const rules = `sources:
  rig:
    preset: isikuota
    secret: ` + secret + `
sinks:
  peer:
    http: {url: %q}
    retry: [100ms, 100ms, 200ms, 200ms, 500ms, 500ms, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s]
    timeout: 5s
rules:
  - name: forward-all
    to: [peer]
`

// A daemon is the real program on a data directory that outlives it.
type daemon struct {
	binary string
	dir    string
	file   string
	addr   string
	admin  string
	prefix []string // a command to run it under

	cmd  *exec.Cmd
	log  *tail
	done chan error
}

// newDaemon writes the rules and picks addresses that stay the same over restarts.
func (r *rig) newDaemon(dir string) (*daemon, error) {
	d := &daemon{binary: r.binary, dir: dir, file: filepath.Join(r.work, "rules.yaml"), addr: freeAddr(), admin: freeAddr(), log: new(tail)}
	return d, os.WriteFile(d.file, fmt.Appendf(nil, rules, r.ledger.url), 0o600)
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

func (d *daemon) url() string { return "http://" + d.addr }

// launch starts the process without waiting for it to be ready.
func (d *daemon) launch() error {
	args := append(d.prefix[:len(d.prefix):len(d.prefix)], d.binary, "run", "-c", d.file, "--data", d.dir, "--listen", d.addr, "--admin", d.admin, "--log-level", "warn")
	d.cmd = exec.Command(args[0], args[1:]...)
	d.cmd.Stdout, d.cmd.Stderr = d.log, d.log
	d.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := d.cmd.Start(); err != nil {
		return err
	}
	d.done = make(chan error, 1)
	cmd, done := d.cmd, d.done
	go func() { done <- cmd.Wait() }()
	return nil
}

// start launches it and waits until it is ready.
func (d *daemon) start(ctx context.Context) error {
	if err := d.launch(); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for time.Now().Before(deadline) && ctx.Err() == nil {
		select {
		case err := <-d.done:
			return violations{fmt.Sprintf("the daemon does not start: %v\n%s", err, d.log)}
		default:
		}
		resp, err := http.Get(d.url() + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return violations{"the daemon is not ready after 30 s\n" + d.log.String()}
}

// kill ends it with SIGKILL, with whatever it runs under.
func (d *daemon) kill() {
	syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.done
}

// terminate ends it with SIGTERM, which must be a clean stop.
func (d *daemon) terminate() error {
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-d.done:
		if err != nil {
			return violations{fmt.Sprintf("SIGTERM: %v\n%s", err, d.log)}
		}
		return nil
	case <-time.After(15 * time.Second):
		d.kill()
		return violations{"still running 15 s after SIGTERM"}
	}
}

// call asks the admin API and decodes its JSON answer into v, or gives the raw
// answer if v is a *[]byte.
func (d *daemon) call(method, path string, v any) error {
	token, err := os.ReadFile(filepath.Join(d.dir, "admin.token"))
	if err != nil {
		return err
	}
	req, err := http.NewRequest(method, "http://"+d.admin+path, nil)
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("%s %s: %s: %.200s", method, path, resp.Status, answer)
	}
	if raw, ok := v.(*[]byte); ok {
		*raw = answer
		return nil
	}
	return json.Unmarshal(answer, v)
}

// A tail keeps the end of what a process prints.
type tail struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.buf.Len() > 64<<10 {
		t.buf.Next(t.buf.Len() - 16<<10)
	}
	return t.buf.Write(p)
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.buf.String()
}
