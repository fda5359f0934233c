package rules_test

import (
	"context"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/source"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// write makes a file, or writes it anew in place.
func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
}

// live loads a file that must be without errors.
func live(t testing.TB, path string, h rules.Hooks) *rules.Live {
	t.Helper()
	l, problems := rules.NewLive(path, rules.Options{Lookup: env}, h)
	if l == nil {
		t.Fatalf("refused:\n%v", problems)
	}
	t.Cleanup(l.Close)
	return l
}

const oneRule = head + "rules:\n  - {name: a, to: [ops]}\n"

func TestReloadSaysWhatChanged(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, oneRule)
	l := live(t, path, rules.Hooks{})
	for _, tt := range []struct{ name, file, want string }{
		{"nothing", oneRule, "nothing changed"},
		{"a comment", oneRule + "# note\n", "nothing changed"},
		{"a rule more", oneRule + "  - {name: b, to: [owner]}\n", "rules +b"},
		{"another order", head + "rules:\n  - {name: b, to: [owner]}\n  - {name: a, to: [ops]}\n", "order of rules"},
		{"other words", head + "rules:\n  - {name: b, to: [owner]}\n  - {name: a, to: [ops], text: hi}\n", "rules ~a"},
		{"a rule less", oneRule, "rules -b ~a"},
		{"a sink's limit", strings.Replace(oneRule, "ops: {log: {}}", "ops: {log: {}, rate: 5/1m}", 1), "sinks ~ops"},
		{"a sink more, a source's secret, the log", strings.NewReplacer("ops: {log: {}}", "ops: {log: {}}\n  x: {log: {}}",
			"${ISIKUOTA_SECRET_KEY}", "another").Replace(oneRule) + "log: {keep: 7d}\n", "sinks +x ~ops, sources ~isikuota, log"},
	} {
		write(t, path, tt.file)
		change, problems := l.Reload()
		if change.String() != tt.want || len(problems.Errors()) > 0 {
			t.Errorf("%s: got %q, want %q, problems %v", tt.name, change, tt.want, problems)
		}
	}
}

func TestABadFileIsRefusedAndTheOldSetStays(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, oneRule)
	var refused conf.Problems
	l := live(t, path, rules.Hooks{Refused: func(ps conf.Problems) { refused = ps }})
	before := l.Set()
	for name, bad := range map[string]string{"empty": "", "half": oneRule[:len(oneRule)-4], "a wrong sink": oneRule + "unmatched: opps\n"} {
		refused = nil
		write(t, path, bad)
		if _, problems := l.Reload(); len(problems.Errors()) == 0 || len(refused) == 0 || l.Set() != before {
			t.Errorf("%s: problems %v, told %v", name, problems, refused)
		}
	}
	os.Remove(path)
	if _, problems := l.Reload(); len(problems) == 0 || l.Set() != before {
		t.Errorf("missing: %v", problems)
	}
}

// Who watches whether the file is in force must learn that it is again.
func TestAFileThatIsMendedEndsTheRefusal(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, oneRule)
	var told []string
	l := live(t, path, rules.Hooks{Refused: func(conf.Problems) { told = append(told, "refused") },
		Reloaded: func(_ *rules.Set, c rules.Change, _ conf.Problems) { told = append(told, c.String()) }})
	first := l.Last()
	write(t, path, oneRule+"unmatched: opps\n")
	l.Reload()
	if last := l.Last(); first.Refused() || !last.Refused() || len(last.Problems) != 1 || last.At.Before(first.At) {
		t.Errorf("refused: %+v", last)
	}
	write(t, path, oneRule)
	l.Reload()
	l.Reload()
	if got := strings.Join(told, ", "); got != "refused, nothing changed" || l.Last().Refused() {
		t.Errorf("told %s; %+v", got, l.Last())
	}
	write(t, path, oneRule+"  - {name: b, to: [owner]}\n")
	l.Reload()
	if got := l.Last().Change.String(); got != "rules +b" {
		t.Errorf("the last change is %s", got)
	}
}

func TestASecretFileIsReadAgain(t *testing.T) {
	dir := t.TempDir()
	path, secret := filepath.Join(dir, "rules.yaml"), filepath.Join(dir, "secret")
	write(t, secret, "first\n")
	write(t, path, "sources:\n  isikuota: {preset: isikuota, secret_file: "+secret+"}\nsinks: {ops: {log: {}}}\nrules: [{name: a, to: ops}]\n")
	l := live(t, path, rules.Hooks{})
	write(t, secret, "second\n")
	if change, problems := l.Reload(); change.String() != "sources ~isikuota" {
		t.Errorf("%v, %v", change, problems)
	}
}

func TestUnchangedSinksLiveOn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, oneRule)
	l := live(t, path, rules.Hooks{})
	ops, _ := l.Set().Sink("ops")
	owner, _ := l.Set().Sink("owner")
	write(t, path, strings.Replace(oneRule, "ops: {log: {}}", "ops: {log: {level: warn}}", 1)+"unmatched: owner\n")
	if change, problems := l.Reload(); change.String() != "sinks ~ops, unmatched" {
		t.Fatal(change, problems)
	}
	if now, _ := l.Set().Sink("owner"); now != owner {
		t.Error("owner did not change, and is another")
	}
	if now, _ := l.Set().Sink("ops"); now == ops {
		t.Error("ops changed, and is the same")
	}
}

// Each step changes the file as some editor or tool does; whichever way, there
// is one swap for each real change.
func TestWatchSeesEachRealChangeOnce(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "rules.yaml")
	write(t, path, oneRule)
	swaps := make(chan string, 100)
	l := live(t, path, rules.Hooks{
		Reloaded: func(_ *rules.Set, c rules.Change, _ conf.Problems) { swaps <- c.String() },
		Refused:  func(ps conf.Problems) { swaps <- "refused" },
	})
	watch(t, l)
	for _, step := range []struct {
		name string
		do   func()
		want string
	}{
		{"saved in place", func() { write(t, path, oneRule+"  - {name: b, to: [ops], text: b}\n") }, "rules +b"},
		{"saved in pieces", func() { inPieces(t, path, oneRule+"  - {name: c, to: [ops], text: c}\n") }, "rules +c -b"},
		{"renamed over", func() {
			write(t, path+".new", oneRule+"  - {name: d, to: [ops], text: d}\n")
			os.Rename(path+".new", path)
		}, "rules +d -c"},
		{"deleted and made again", func() {
			os.Remove(path)
			write(t, path, oneRule+"  - {name: e, to: [ops], text: e}\n")
		}, "rules +e -d"},
		{"touched, then bad", func() {
			now := time.Now().Add(time.Hour)
			os.Chtimes(path, now, now)
			write(t, path, "rules: nonsense\n")
		}, "refused"},
		{"a link instead", func() {
			write(t, filepath.Join(dir, "other"), oneRule+"  - {name: f, to: [ops], text: f}\n")
			os.Symlink("other", path+".new")
			os.Rename(path+".new", path)
		}, "rules +f -e"},
	} {
		step.do()
		if got := <-swaps; got != step.want {
			t.Errorf("%s: got %q, want %q", step.name, got, step.want)
		}
	}
	if len(swaps) > 0 {
		t.Errorf("one swap more: %s", <-swaps)
	}
}

// A mounted config map is a link to a link that is swapped as a whole.
func TestWatchFollowsASwappedDirectory(t *testing.T) {
	dir := t.TempDir()
	version := func(name, content string) {
		os.Mkdir(filepath.Join(dir, name), 0o700)
		write(t, filepath.Join(dir, name, "rules.yaml"), content)
		os.Symlink(name, filepath.Join(dir, "..new"))
		os.Rename(filepath.Join(dir, "..new"), filepath.Join(dir, "..data"))
	}
	version("..1", oneRule)
	path := filepath.Join(dir, "rules.yaml")
	os.Symlink("..data/rules.yaml", path)
	swaps := make(chan string, 100)
	l := live(t, path, rules.Hooks{Reloaded: func(_ *rules.Set, c rules.Change, _ conf.Problems) { swaps <- c.String() }})
	watch(t, l)
	version("..2", oneRule+"  - {name: b, to: [ops], text: b}\n")
	if got := <-swaps; got != "rules +b" {
		t.Error(got)
	}
}

// watch runs Watch until the test ends.
func watch(t *testing.T, l *rules.Live) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- l.Watch(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
}

// inPieces writes a file in place, each line on its own.
func inPieces(t *testing.T, path, content string) {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_TRUNC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for line := range strings.Lines(content) {
		f.WriteString(line)
	}
}

// A sink that a reload replaces keeps its connection until what it sends has
// ended, and no longer; one that stays keeps it.
func TestAReplacedSinkIsClosedWhenItIsIdle(t *testing.T) {
	began, goOn, closed := make(chan bool), make(chan bool), make(chan bool, 10)
	far := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		began <- true
		<-goOn
	}))
	far.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			closed <- true
		}
	}
	far.Start()
	defer far.Close()
	file := strings.Replace(oneRule, "ops: {log: {}}", "ops: {http: {url: "+far.URL+"}}", 1)
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, file)
	l := live(t, path, rules.Hooks{})
	sent := make(chan error, 1)
	send := func() {
		d, _ := l.Destination("ops")
		c := order("order.failed", "A", nil)
		c.Header, c.Body = http.Header{}, []byte("{}")
		_, err := d.Sink.Send(context.Background(), []relay.Parcel{{Callback: c, Attempt: 1}})
		sent <- err
	}
	go send()
	<-began
	write(t, path, file+"unmatched: ops\n") // the same sink
	l.Reload()
	write(t, path, strings.Replace(file, far.URL, far.URL+"/new", 1)) // another one
	if change, problems := l.Reload(); change.String() != "sinks ~ops, unmatched" {
		t.Fatal(change, problems)
	}
	if len(closed) > 0 {
		t.Error("the connection was closed under the request")
	}
	goOn <- true
	if err := <-sent; err != nil {
		t.Error(err)
	}
	<-closed
}

// While the file changes under load, each callback is routed by one version of
// it: never by a part of each.
func TestEachCallbackIsRoutedByOneVersion(t *testing.T) {
	version := func(name string) string {
		return head + "rules:\n  - {name: " + name + "-1, to: [ops], text: " + name + "}\n  - {name: " + name + "-2, to: [owner], text: " + name + "}\n"
	}
	path := filepath.Join(t.TempDir(), "rules.yaml")
	write(t, path, version("a"))
	l := live(t, path, rules.Hooks{})
	stop := make(chan bool)
	var routers sync.WaitGroup
	for range 4 {
		routers.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				targets, _ := l.Route(order("order.failed", "A", nil))
				if got := brief(targets); got != "a-1>ops a-2>owner" && got != "b-1>ops b-2>owner" {
					t.Errorf("routed by %s", got)
					return
				}
			}
		})
	}
	for i := range 20 {
		write(t, path, version(string(rune('a'+(i+1)%2))))
		if change, problems := l.Reload(); change.Empty() {
			t.Errorf("%v, %v", change, problems)
		}
	}
	close(stop)
	routers.Wait()
}

func TestAPanicWhileTheFileIsReadRefusesIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "rules.yaml")
	file := "sources: {shop: {preset: isikuota, secret: x}}\nsinks: {log: {log: {}}}\nrules: [{name: all, to: [log]}]\n"
	write(t, path, file)
	broken := false
	var refused string
	live, problems := rules.NewLive(path, rules.Options{Samples: func(*source.Source) []relay.Callback {
		if broken {
			panic("on purpose")
		}
		return nil
	}}, rules.Hooks{Refused: func(p conf.Problems) { refused = p.Error() }})
	if live == nil {
		t.Fatal(problems)
	}
	defer live.Close()
	before := live.Set()
	broken = true
	write(t, path, file+"# more\n")
	if _, problems := live.Reload(); live.Set() != before || !strings.Contains(problems.Error(), "rules.yaml:1:1: ") || !strings.Contains(refused, "on purpose") {
		t.Errorf("got %v", problems)
	}
}
