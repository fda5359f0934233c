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
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"
)

// rules forward everything to one sink, which is asked again often enough to
// take everything in the end.
const rules = `sources:
  rig: {preset: isikuota, secret: ` + secret + `}
sinks:
  peer: {http: {url: %q}, retry: [` + retries + `], timeout: 5s}
rules:
  - {name: forward-all, to: [peer]}
`

const retries = "100ms, 100ms, 200ms, 200ms, 500ms, 500ms, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s, 1s"

// A daemon is the real program on a data directory that outlives it.
type daemon struct {
	binary string
	dir    string
	file   string // the rules
	addr   string
	admin  string
	prefix []string // a command to run it under
	env    []string
	flags  []string

	cmd  *exec.Cmd
	log  *tail
	done chan struct{} // closed when the process has ended
	err  error         // how, after that
}

// newDaemon writes the rules and picks addresses that stay the same over
// restarts. The run ends it, if nothing else does.
func (r *rig) newDaemon(dir string) (*daemon, error) {
	d := &daemon{binary: r.binary, dir: dir, file: filepath.Join(r.work, "rules.yaml"), addr: freeAddr(), admin: freeAddr(), log: new(tail)}
	r.atEnd(d.kill)
	return d, d.write(fmt.Sprintf(rules, r.ledger.url))
}

func (d *daemon) write(rules string) error { return os.WriteFile(d.file, []byte(rules), 0o600) }

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
	args = append(args, d.flags...)
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Stdout, cmd.Stderr = d.log, d.log
	cmd.Env = append(os.Environ(), d.env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	if err := cmd.Start(); err != nil {
		return err
	}
	done := make(chan struct{})
	d.cmd, d.done = cmd, done
	go func() {
		d.err = cmd.Wait()
		close(done)
	}()
	return nil
}

// start launches it and waits until it is ready.
func (d *daemon) start(ctx context.Context) error {
	if err := d.launch(); err != nil {
		return err
	}
	if d.ready(ctx) {
		return nil
	}
	return violations{fmt.Sprintf("the daemon does not start: ended %v\n%s", d.ended(), d.log)}
}

// ready waits until it accepts; false if it ended, or did not get there in 30 s.
func (d *daemon) ready(ctx context.Context) bool {
	for deadline := time.Now().Add(30 * time.Second); time.Now().Before(deadline) && ctx.Err() == nil && !d.ended(); {
		resp, err := http.Get(d.url() + "/-/ready")
		if err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return true
			}
		}
		time.Sleep(5 * time.Millisecond)
	}
	return false
}

// ended reports whether the process is gone.
func (d *daemon) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// kill ends it with SIGKILL, with whatever it runs under.
func (d *daemon) kill() {
	if d.cmd == nil || d.ended() {
		return
	}
	syscall.Kill(-d.cmd.Process.Pid, syscall.SIGKILL)
	<-d.done
}

// stacks ends it so that it prints what all its goroutines are doing.
func (d *daemon) stacks() *tail {
	d.cmd.Process.Signal(syscall.SIGQUIT)
	<-d.done
	return d.log
}

// terminate ends it with SIGTERM, which must be a clean stop.
func (d *daemon) terminate() error {
	d.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-d.done:
		if d.err != nil {
			return violations{fmt.Sprintf("SIGTERM: %v\n%s", d.err, d.log)}
		}
		return nil
	case <-time.After(15 * time.Second):
		d.kill()
		return violations{"still running 15 s after SIGTERM"}
	}
}

// exitStore is the code a daemon ends with when its store can't be trusted.
const exitStore = 5

// mustEnd waits for it to end with the code of a store failure.
func (d *daemon) mustEnd(ctx context.Context, why string) error {
	select {
	case <-d.done:
		if code := d.cmd.ProcessState.ExitCode(); code != exitStore {
			return violations{fmt.Sprintf("%s ended the daemon with code %d, not %d\n%s", why, code, exitStore, d.log)}
		}
		return nil
	case <-time.After(60 * time.Second):
		return violations{"the daemon went on after " + why}
	case <-ctx.Done():
		return ctx.Err()
	}
}

// memory is the process's own memory in bytes: resident, without mapped files.
func (d *daemon) memory() int64 {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", d.cmd.Process.Pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kilobytes, _, _ := strings.Cut(strings.TrimSpace(rest), " ")
	n, _ := strconv.ParseInt(kilobytes, 10, 64)
	return n << 10
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
