package sinks_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/sinks"
	"github.com/kurir-relay/kurir/sinks/sinktest"
)

// startMailpit runs a real mail server on the loopback, with STARTTLS and a
// login required, that knows addresses at x.test only.
func startMailpit(t *testing.T) (smtp, api, ca string) {
	t.Helper()
	program, err := exec.LookPath("mailpit")
	if err != nil {
		t.Skip("SKIPPED, email was not tried against a real server: make peers installs mailpit")
	}
	dir := t.TempDir()
	cert, trust, err := sinktest.NewCert(time.Now().Add(time.Hour))
	if err != nil {
		t.Fatal(err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	ca, keyFile := filepath.Join(dir, "ca.pem"), filepath.Join(dir, "key.pem")
	os.WriteFile(ca, trust, 0o600)
	os.WriteFile(keyFile, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), 0o600)
	smtp, api = freeAddress(t), freeAddress(t)
	cmd := exec.Command(program, "--disable-version-check", "--smtp", smtp, "--listen", api, "--smtp-tls-cert", ca, "--smtp-tls-key", keyFile,
		"--smtp-require-starttls", "--smtp-allowed-recipients", `@x\.test$`, "--enable-chaos", "--database", filepath.Join(dir, "mail.db"))
	cmd.Env = append(os.Environ(), "MP_SMTP_AUTH=kurir:rahasia")
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	awaitLines(t, out, "[smtpd] starting", "accessible via")
	await(t, smtp)
	await(t, api)
	return smtp, "http://" + api, ca
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// awaitLines reads what a program prints until all texts were in it, and drains
// the rest.
func awaitLines(t *testing.T, out io.Reader, texts ...string) {
	t.Helper()
	var seen bytes.Buffer
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		fmt.Fprintln(&seen, lines.Text())
		missing := 0
		for _, text := range texts {
			if !strings.Contains(seen.String(), text) {
				missing++
			}
		}
		if missing == 0 {
			go io.Copy(io.Discard, out)
			return
		}
	}
	t.Fatalf("it ended:\n%s", &seen)
}

// await returns when something listens at an address.
func await(t *testing.T, addr string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for {
		c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
		if err == nil {
			c.Close()
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// ask calls mailpit's own API.
func ask(t *testing.T, method, url, body string, answer any) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if err := json.NewDecoder(resp.Body).Decode(answer); err != nil || resp.StatusCode != 200 {
		t.Fatalf("%s %s: %s, %v", method, url, resp.Status, err)
	}
}

func TestEmailReachesARealMailServer(t *testing.T) {
	smtp, api, ca := startMailpit(t)
	_, port, _ := net.SplitHostPort(smtp)
	const keys = "from: Kurir <kurir@shop.test>, username: kurir, "
	sink := func(scheme, to, password string) sinks.Sink {
		return open(t, "email", fmt.Sprintf("{server: '%s://localhost:%s', tls: {ca_file: '%s'}, %s password: %s, to: [%s]}", scheme, port, ca, keys, password, to))
	}
	chaos := func(code, probability int) {
		var got any
		ask(t, "PUT", api+"/api/v1/chaos", fmt.Sprintf(`{"Sender":{"ErrorCode":%d,"Probability":%d}}`, code, probability), &got)
	}
	s := sink("smtp", "owner@x.test, staff@y.test", "rahasia")
	parcel := about(t, s, rule{text: "❌ <b>{{ ref_id }}</b>", subject: "Gagal: {{ ref_id }} ❌"}, "INV-1", 1, nil)

	chaos(451, 100)
	_, err := attempt(t, s, parcel)
	fails(t, err, "451")
	chaos(554, 100)
	if _, err = attempt(t, s, parcel); !isPermanent(err) {
		t.Errorf("554: %v", err)
	}
	chaos(451, 0)
	answer, err := attempt(t, s, parcel)
	if !isPermanent(err) || !strings.Contains(err.Error(), "refused for staff@y.test (550") || answer.Note != "1 of 2 recipients have it" {
		t.Errorf("one of two: %+v, %v", answer, err)
	}
	logged(t)
	bad := sink("smtp", "owner@x.test", "salah")
	if _, err := attempt(t, bad, parcel); !isPermanent(err) || !strings.Contains(err.Error(), "refuses the login of kurir: ") {
		t.Errorf("a wrong password: %v", err)
	}

	var list struct {
		Messages []struct {
			ID, MessageID, Subject string
			To                     []struct{ Address string }
		}
	}
	ask(t, "GET", api+"/api/v1/messages", "", &list)
	if len(list.Messages) != 1 || list.Messages[0].Subject != "Gagal: INV-1 ❌" || list.Messages[0].MessageID != parcel.Delivery.ID.String()+"@shop.test" {
		t.Fatalf("it has %+v", list)
	}
	var got struct{ Text, HTML string }
	ask(t, "GET", api+"/api/v1/message/"+list.Messages[0].ID, "", &got)
	if strings.TrimSpace(got.Text) != "❌ INV-1" || !strings.Contains(got.HTML, "❌ <b>INV-1</b>") {
		t.Errorf("it reads %+v", got)
	}
}
