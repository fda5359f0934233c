package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A server is a child process that takes callbacks.
type server struct {
	name  string
	addr  string // of the webhook
	admin string // of Kurir's admin API; "" for a baseline
	dir   string
	cmd   *exec.Cmd
	out   *bytes.Buffer
	ended chan error
}

// start runs a command whose arguments may name its address and directory.
func start(ctx context.Context, name, dir string, command func(addr, admin, dir string) []string) (*server, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	s := &server{name: name, dir: dir, addr: freeAddr(), admin: freeAddr(), out: new(bytes.Buffer)}
	args := command(s.addr, s.admin, dir)
	s.cmd = exec.CommandContext(ctx, args[0], args[1:]...)
	s.cmd.Env = append(os.Environ(), "SHOP_SECRET="+secret)
	s.cmd.Stderr = s.out
	s.cmd.Cancel = func() error { return s.cmd.Process.Signal(syscall.SIGTERM) }
	s.cmd.WaitDelay = 20 * time.Second
	if err := s.cmd.Start(); err != nil {
		return nil, err
	}
	s.ended = make(chan error, 1)
	go func() { s.ended <- s.cmd.Wait() }()
	return s, s.await(ctx)
}

func (s *server) await(ctx context.Context) error {
	for ctx.Err() == nil {
		if c, err := net.DialTimeout("tcp", s.addr, time.Second); err == nil {
			return c.Close()
		}
		select {
		case err := <-s.ended:
			return fmt.Errorf("%s ended: %w: %s", s.name, err, s.out)
		case <-time.After(2 * time.Millisecond):
		}
	}
	return ctx.Err()
}

// stop ends the child as an operator would.
func (s *server) stop() error {
	s.cmd.Process.Signal(syscall.SIGTERM)
	if err := <-s.ended; err != nil {
		var exit *exec.ExitError
		if errors.As(err, &exit) && !exit.Exited() {
			return nil // a baseline has no handler for the signal
		}
		return fmt.Errorf("%s: %w: %s", s.name, err, s.out)
	}
	return nil
}

func freeAddr() string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// kurir starts the program under test on a rule file, with a data directory.
func (b *bench) kurir(ctx context.Context, name, dir, rules string) (*server, error) {
	file := filepath.Join(b.work, name+".yaml")
	if err := os.WriteFile(file, []byte(rules), 0o600); err != nil {
		return nil, err
	}
	return start(ctx, name, dir, func(addr, admin, dir string) []string {
		return []string{b.binary, "run", "-c", file, "--data", dir, "--listen", addr, "--admin", admin, "--log-level", "error"}
	})
}

// baseline starts one of the servers Kurir is compared with.
func (b *bench) baseline(ctx context.Context, kind string) (*server, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return start(ctx, kind, filepath.Join(b.work, kind), func(addr, _, dir string) []string {
		return []string{self, "baseline", kind, addr, dir}
	})
}

// anonymousMemory is the resident memory of a process in bytes, mapped file pages aside.
func (s *server) anonymousMemory() (int64, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", s.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "RssAnon:"); ok {
			kb, err := strconv.ParseInt(strings.Fields(rest)[0], 10, 64)
			return kb << 10, err
		}
	}
	return 0, errors.New("no RssAnon in /proc/pid/status")
}

// diskBytes is what a directory's files take on disk.
func diskBytes(dir string) (total int64) {
	filepath.WalkDir(dir, func(path string, d os.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			if info, err := d.Info(); err == nil {
				total += info.Sys().(*syscall.Stat_t).Blocks * 512
			}
		}
		return nil
	})
	return total
}

// call asks Kurir's admin API.
func (s *server) call(ctx context.Context, method, path, body string) (*http.Response, error) {
	token, err := os.ReadFile(filepath.Join(s.dir, "admin.token"))
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://"+s.admin+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+strings.TrimSpace(string(token)))
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err == nil && resp.StatusCode >= 300 {
		resp.Body.Close()
		return nil, fmt.Errorf("%s %s: %s", method, path, resp.Status)
	}
	return resp, err
}
