package main

import (
	"context"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/sinks/sinktest"
	"github.com/kurir-relay/kurir/testdata"
)

// A readme is what README.md tells its readers to type.
type readme struct {
	rules     string     // the rules.yaml it shows
	commands  [][]string // in the order it shows them, without variables and comments
	mentioned [][]string // commands within sentences
}

var (
	readmeBlock   = regexp.MustCompile("(?ms)^```(\\w*)\n(.*?)^```$")
	readmeCommand = regexp.MustCompile(`(?m)^    (?:\w+=\S+ )*((?:bin/)?kurir .*?|make .*?)(?: +#.*)?$`)
	readmeMention = regexp.MustCompile("`((?:kurir|make) [^`]*)`")
)

func readReadme(t *testing.T) (r readme) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, block := range readmeBlock.FindAllStringSubmatch(string(text), -1) {
		if block[1] == "yaml" {
			r.rules = block[2]
		}
	}
	prose := readmeBlock.ReplaceAllString(string(text), "")
	for _, m := range readmeCommand.FindAllStringSubmatch(prose, -1) {
		r.commands = append(r.commands, strings.Fields(strings.TrimPrefix(m[1], "bin/")))
	}
	for _, m := range readmeMention.FindAllStringSubmatch(prose, -1) {
		r.mentioned = append(r.mentioned, strings.Fields(m[1]))
	}
	if r.rules == "" || len(r.commands) < 10 {
		t.Fatalf("README.md is not read as it is meant: %+v", r)
	}
	return r
}

func TestReadmeMakesWhatTheMakefileHas(t *testing.T) {
	if _, err := exec.LookPath("make"); err != nil {
		t.Skip("SKIPPED: there is no make")
	}
	r := readReadme(t)
	for _, c := range slices.Concat(r.commands, r.mentioned) {
		if c[0] != "make" {
			continue
		}
		if out, err := exec.Command("make", append([]string{"-n", "-C", "../.."}, c[1:]...)...).CombinedOutput(); err != nil {
			t.Errorf("%s: %s", strings.Join(c, " "), out)
		}
	}
}

// Every command is run as it stands there, by a reader who has copied its rules.yaml.
func TestReadmeCommandsRun(t *testing.T) {
	r := readReadme(t)
	bot := sinktest.NewTelegram("1:readme")
	bot.AddChat(7, "Budi")
	telegram, shop := httptest.NewServer(bot), httptest.NewServer(&shop{})
	t.Cleanup(func() { telegram.Close(); shop.Close() })

	t.Chdir(t.TempDir())
	for name, value := range map[string]string{"ISIKUOTA_SECRET_KEY": townSecret, "TELEGRAM_BOT_TOKEN": "1:readme", "TELEGRAM_CHAT_ID": "7",
		"KURIR_CONFIG": "", "KURIR_DATA": "", "KURIR_ADMIN": ""} {
		t.Setenv(name, value)
	}
	rules := r.rules
	save(t, "rules.yaml", rules)
	mustRun(t, "check", "--strict")
	rules = strings.Replace(rules, "https://shop.example.com", shop.URL, 1)
	rules = strings.Replace(rules, "telegram: {", `telegram: {api: "`+telegram.URL+`", `, 1)
	if strings.Count(rules, "127.0.0.1") != 2 {
		t.Fatalf("the far sides of README.md's rules are not those of the test:\n%s", rules)
	}
	save(t, "rules.yaml", rules)
	mustRun(t, "check", "--strict") // a shop on this machine is no loop
	save(t, "FILE", string(testdata.Samples()[0].Body))

	begin := slices.IndexFunc(r.commands, func(c []string) bool { return slices.Equal(c, []string{"kurir", "run"}) })
	if begin < 0 {
		t.Fatal("README.md begins no daemon")
	}
	admin, end := beginDaemon(t, "run")
	t.Setenv("KURIR_ADMIN", admin)
	mustRun(t, "send", "order.success") // so that there is an order ORDER-2025-001
	for i, c := range slices.Concat(r.commands, r.mentioned) {
		switch {
		case i == begin || c[0] == "make":
		case c[1] == "run":
			_, end := beginDaemon(t, append(c[1:], "--data", filepath.Join(t.TempDir(), "data"))...)
			end()
		case c[1] == "tail":
			tailUntilItShows(t, c[1:])
		default:
			mustRun(t, c[1:]...)
		}
	}
	end()
}

func save(t *testing.T, name, text string) {
	t.Helper()
	if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

func mustRun(t *testing.T, args ...string) {
	t.Helper()
	out := &output{}
	if code := run(t.Context(), args, out, out); code != 0 {
		t.Errorf("kurir %s ends with %d: %s", strings.Join(args, " "), code, out)
	}
}

// beginDaemon runs a daemon on free ports, and gives where its admin listener is
// and what ends it.
func beginDaemon(t *testing.T, args ...string) (admin string, end func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	p, stderr := &process{}, &output{}
	out, in := io.Pipe()
	ready, code := make(chan bool, 1), make(chan int, 1)
	go p.read(out, ready)
	go func() {
		code <- run(ctx, append(args, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0"), in, stderr)
		in.Close()
	}()
	if !<-ready {
		t.Fatalf("kurir %s does not start: %s", strings.Join(args, " "), stderr)
	}
	return p.admin, func() {
		cancel()
		if c := <-code; c != 0 {
			t.Errorf("kurir %s ends with %d: %s", strings.Join(args, " "), c, stderr)
		}
	}
}

// tailUntilItShows runs a command that shows what comes, lets something come, and
// ends it as ^C would.
func tailUntilItShows(t *testing.T, args []string) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	out, code := &output{}, make(chan int, 1)
	go func() { code <- run(ctx, args, out, out) }()
	for deadline := time.Now().Add(30 * time.Second); !strings.Contains(out.String(), "order.failed"); {
		if time.Now().After(deadline) {
			t.Fatalf("kurir %s shows nothing: %s", strings.Join(args, " "), out)
		}
		mustRun(t, "send", "order.failed", "--new")
	}
	cancel()
	<-code
}
