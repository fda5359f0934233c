package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http/httptest"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kurir-relay/kurir/sinks/sinktest"
)

// raceExit keeps a race-enabled process from sleeping a second when it ends.
const raceExit = "atexit_sleep_ms=10"

func TestMain(m *testing.M) {
	os.Setenv("GORACE", raceExit)
	testscript.Main(m, map[string]func(){"kurir": main})
}

// The scripts in testdata/script are sessions at a shell, with processes of their
// own. Beside the usual commands they know:
//
//	exits CODE COMMAND...   the command ends with this code
//	daemon FLAGS...         starts `kurir run` on free ports and waits for "Ready."; $WEBHOOK and $KURIR_ADMIN are then set
//	stop                    ends it by SIGTERM, which must be a clean end; its output can be matched then
//	kill                    ends it by SIGKILL
//	far                     starts a Bot API and a mail server that has no user no@x.test; $BOT_API and $MAIL are their addresses
//	await COMMAND...        runs the command again and again until it succeeds and prints what $AWAIT matches
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("NO_COLOR", "1")
			env.Setenv("GORACE", raceExit)
			env.Setenv("ISIKUOTA_SECRET_KEY", "script-secret-0123456789")
			env.Values[theDaemon{}] = &process{}
			env.Defer(env.Values[theDaemon{}].(*process).kill)
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			"exits": exits, "daemon": startDaemon, "stop": stopDaemon, "kill": killDaemon, "await": await, "far": farSides,
		},
	})
}

type theDaemon struct{}

func exits(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	code := 0
	if err := ts.Exec(args[1], args[2:]...); err != nil {
		exit, ok := errors.AsType[*exec.ExitError](err)
		if !ok {
			ts.Fatalf("%v", err)
		}
		code = exit.ExitCode()
	}
	if code != want {
		ts.Fatalf("it exits with %d, not %d", code, want)
	}
}

func startDaemon(ts *testscript.TestScript, _ bool, args []string) {
	p := ts.Value(theDaemon{}).(*process)
	cmd := exec.Command("kurir", append([]string{"run", "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"}, args...)...)
	cmd.Dir = ts.MkAbs(".")
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + ts.Getenv("HOME"), "TMPDIR=" + os.TempDir(), "GORACE=" + raceExit}
	for _, name := range []string{"ISIKUOTA_SECRET_KEY", "LEGACY_URL", "KURIR_ADMIN_PASSWORD", "KURIR_CONFIG", "KURIR_DATA", "BOT_API", "MAIL"} {
		if v := ts.Getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	ts.Check(p.start(cmd))
	ts.Setenv("WEBHOOK", p.webhook)
	ts.Setenv("KURIR_ADMIN", p.admin)
}

func stopDaemon(ts *testscript.TestScript, _ bool, _ []string) {
	p := ts.Value(theDaemon{}).(*process)
	err := p.stop()
	fmt.Fprint(ts.Stdout(), p.out.String())
	fmt.Fprint(ts.Stderr(), p.err.String())
	ts.Check(err)
}

func killDaemon(ts *testscript.TestScript, _ bool, _ []string) {
	ts.Value(theDaemon{}).(*process).kill()
}

func farSides(ts *testscript.TestScript, _ bool, _ []string) {
	tg := sinktest.NewTelegram("123456:script-token")
	tg.AddChat(-100, "Operator", 5)
	tg.AddChat(7, "Budi")
	api := httptest.NewServer(tg)
	ts.Defer(api.Close)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	ts.Check(err)
	mail := &sinktest.SMTP{Refuse: func(step, about string) error {
		if step == "RCPT" && about == "no@x.test" {
			return sinktest.Code(550, "no such user")
		}
		return nil
	}}
	go mail.Serve(l)
	ts.Defer(mail.Close)
	ts.Setenv("BOT_API", api.URL)
	ts.Setenv("MAIL", l.Addr().String())
}

func await(ts *testscript.TestScript, _ bool, args []string) {
	want := regexp.MustCompile("(?m)" + ts.Getenv("AWAIT"))
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		err := ts.Exec(args[0], args[1:]...)
		if err == nil && want.MatchString(ts.ReadFile("stdout")) {
			return
		}
		if time.Now().After(deadline) {
			ts.Fatalf("in vain waited for %s", want)
		}
	}
}

// A process is a `kurir run` of its own.
type process struct {
	cmd      *exec.Cmd
	out, err output
	done     chan error
	webhook  string // up to the source's name
	admin    string
}

// start begins it and waits until it is ready.
func (p *process) start(cmd *exec.Cmd) error {
	*p = process{cmd: cmd, done: make(chan error, 1)}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	cmd.Stderr = &p.err
	if err := cmd.Start(); err != nil {
		return err
	}
	ready := make(chan bool, 1)
	go func() {
		p.read(stdout, ready)
		p.done <- cmd.Wait()
	}()
	select {
	case ok := <-ready:
		if !ok {
			return fmt.Errorf("the daemon does not start: %s%s", p.out.String(), p.err.String())
		}
		return nil
	case <-time.After(30 * time.Second):
		return errors.New("the daemon is not ready")
	}
}

// read keeps the output, and learns the addresses that stand in it before "Ready."
func (p *process) read(stdout io.Reader, ready chan<- bool) {
	for lines := bufio.NewScanner(stdout); lines.Scan(); {
		fmt.Fprintln(&p.out, lines.Text())
		fields := strings.Fields(lines.Text())
		switch {
		case lines.Text() == "Ready.":
			ready <- true
		case len(fields) > 1 && fields[0] == "Webhook":
			p.webhook = fields[1][:strings.LastIndex(fields[1], "/")+1]
		case len(fields) > 1 && fields[0] == "Admin":
			p.admin = strings.TrimPrefix(fields[1], "http://")
		}
	}
	select {
	case ready <- false:
	default:
	}
}

func (p *process) stop() error {
	p.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-p.done:
		p.cmd = nil
		return err
	case <-time.After(20 * time.Second):
		return errors.New("the daemon does not stop")
	}
}

func (p *process) kill() {
	if p.cmd == nil {
		return
	}
	p.cmd.Process.Kill()
	<-p.done
	p.cmd = nil
}

// An output is what a process prints, while it prints.
type output struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (o *output) Write(b []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.Write(b)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.buf.String()
}
