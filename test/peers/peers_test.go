// Package peers_test shows that handlers as shops write them, in plain PHP,
// Express and Flask, accept what a sink of kind http forwards. install.sh
// installs what they run on; without it a test is skipped and says so.
package peers_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/internal/npm"
	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/sinks"
)

const secret = "rahasia-toko-9"

// bodies are callbacks as PHP writes them, and as it never would.
var bodies = map[string]string{
	"a failed order": `{"event":"order.failed","timestamp":"2025-01-15T14:30:00+07:00","data":{"ref_id":"T-1","price":11500,"message":"Nomor salah"}}`,
	"a success":      `{"event":"order.success","data":{"ref_id":"T-2","sn":"1234567890123456"}}`,
	"its serial":     `{"event":"order.sn_received","data":{"ref_id":"T-2","sn":"9\/8\u2013\u00e9"}}`,
	"spaces":         "{ \"event\" : \"order.failed\",\r\n\t\"data\" : {\"ref_id\":\"T-3\"} }\r\n\r\n",
	"raw UTF-8":      `{"event":"order.failed","data":{"ref_id":"T-4","message":"pulsa é ✓ 🎉"}}`,
	"invalid UTF-8":  "{\"event\":\"order.failed\",\"data\":{\"ref_id\":\"T-5\",\"message\":\"\xff\xfe\"}}",
	"NUL":            "{\"event\":\"\x00\"}\x00",
	"one mebibyte":   `{"event":"order.failed","data":{"ref_id":"T-6","message":"` + strings.Repeat(`\/x`, 1<<20/3-64) + `"}}`,
}

func TestPlainPHPAcceptsWhatIsForwarded(t *testing.T) {
	need(t, "php", "-v")
	accepts(t, "", "php", "-d", "display_errors=stderr", "-S", "127.0.0.1:0", here(t, "webhook.php"))
}

func TestExpressAcceptsWhatIsForwarded(t *testing.T) {
	folder := npm.Folder(t, "express@5.1.0")
	accepts(t, filepath.Join(folder, "node_modules"), "node", here(t, "webhook.js"))
}

func TestFlaskAcceptsWhatIsForwarded(t *testing.T) {
	need(t, "python3", "-c", "import flask")
	accepts(t, "", "python3", here(t, "webhook.py"))
}

// need skips the test, loudly, if a command does not work here.
func need(t *testing.T, name string, args ...string) {
	t.Helper()
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		t.Skipf("SKIPPED, nothing was shown: %s: %v\n%s\nRun test/peers/install.sh", name, err, out)
	}
}

func here(t *testing.T, file string) string {
	t.Helper()
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	return path
}

// accepts runs a handler and forwards to it: every body must arrive byte for
// byte, and with one byte flipped be refused.
func accepts(t *testing.T, nodePath string, command ...string) {
	received := t.TempDir()
	url := start(t, append(os.Environ(), "ISIKUOTA_SECRET_KEY="+secret, "RECEIVED="+received, "NODE_PATH="+nodePath), command)
	sink := openSink(t, url+"/webhook/isikuota")
	for name, body := range bodies {
		t.Run(name, func(t *testing.T) {
			signed := sign([]byte(body))
			for _, want := range []string{"ok", "already_processed"} {
				ans, err := forward(t, sink, []byte(body), signed)
				if err != nil || !strings.Contains(ans.Response, want) {
					t.Fatalf("not accepted as %s: %v, %d %s", want, err, ans.Status, ans.Response)
				}
			}
			arrived(t, received, []byte(body))
			for _, at := range []int{0, len(body) / 2, len(body) - 1} {
				flipped := []byte(body)
				flipped[at] ^= 1
				ans, err := forward(t, sink, flipped, signed)
				if err == nil || ans.Status != http.StatusUnauthorized || !strings.Contains(ans.Response, "Invalid signature") {
					t.Errorf("with byte %d flipped: %v, %d %s", at, err, ans.Status, ans.Response)
				}
			}
		})
	}
}

// start runs a handler until the test ends, and gives the address it prints.
func start(t *testing.T, env, command []string) (url string) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, command[0], command[1:]...)
	r, w := io.Pipe()
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = env, w, w, time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); w.CloseWithError(cmd.Wait()) }()
	t.Cleanup(func() { stop(); r.Close(); <-ended })

	var said strings.Builder
	for lines := bufio.NewScanner(r); lines.Scan(); {
		said.WriteString(lines.Text() + "\n")
		if url := address.FindString(lines.Text()); url != "" {
			go io.Copy(io.Discard, r)
			return url
		}
	}
	t.Fatalf("%s ended:\n%s", command[0], &said)
	return ""
}

var address = regexp.MustCompile(`http://127\.0\.0\.1:\d+`)

func openSink(t *testing.T, url string) sinks.Sink {
	t.Helper()
	kind, _ := sinks.Lookup("http")
	f := conf.Parse("rules.yaml", []byte("url: "+url), os.LookupEnv)
	s := kind.New(f.Root(), sinks.Place{Name: "legacy", Version: "test", Timeout: 15 * time.Second, Idle: 1})
	if len(f.Problems()) > 0 {
		t.Fatal(f.Problems())
	}
	t.Cleanup(s.Close)
	return s
}

func forward(t *testing.T, s sinks.Sink, body []byte, signature string) (relay.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	c := relay.Callback{Source: "isikuota", Method: "POST", URI: "/webhook/isikuota", Body: body, Header: http.Header{
		"Content-Type": {"application/json"}, "X-Signature": {signature}, "X-Type-Transaction": {"ppob"}, "User-Agent": {"GuzzleHttp/7"}}}
	return s.Send(ctx, []relay.Parcel{{Callback: c, Attempt: 1}})
}

func sign(body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return hex.EncodeToString(mac.Sum(nil))
}

// arrived looks for the body among what the handler kept.
func arrived(t *testing.T, folder string, body []byte) {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(folder, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if kept, err := os.ReadFile(file); err == nil && bytes.Equal(kept, body) {
			return
		}
	}
	t.Errorf("the handler has kept other bytes than the %d that were signed", len(body))
}
