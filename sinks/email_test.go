package sinks_test

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/sinks"
	"github.com/kurir-relay/kurir/sinks/sinktest"
)

// mailServer serves the stand-in in memory, with STARTTLS, and gives the file
// that trusts it.
func mailServer(t *testing.T, s *sinktest.SMTP) (place sinks.Place, ca string) {
	t.Helper()
	cert, trust, err := sinktest.NewCert(time.Now().Add(time.Hour), "mail.test")
	if err != nil {
		t.Fatal(err)
	}
	s.Cert = &cert
	ca = filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, trust, 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := sinktest.NewPipe()
	go s.Serve(pipe)
	t.Cleanup(func() { pipe.Close(); s.Close() })
	return sinks.Place{Dial: pipe.Dial}, ca
}

func emailSettings(ca, more string) string {
	return "{server: 'smtp://mail.test', from: Kurir <kurir@shop.test>, tls: {ca: " + ca + "}" + more + "}"
}

func TestEmailSends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		server := &sinktest.SMTP{Users: map[string]string{"kurir": "pass word"}}
		place, ca := mailServer(t, server)
		d := newDesk(t, "email", emailSettings(ca, ", to: [a@x.test], username: kurir, password: pass word"), "text: '<b>{{ ref_id }}</b> gagal'", place)
		answer, err := d.send(t, d.parcel(t, "INV-1", nil))
		if err != nil || answer.Status != 250 {
			t.Fatalf("answer %+v, error %v", answer, err)
		}
		mails := server.Mails()
		if len(mails) != 1 || !mails[0].TLS || mails[0].User != "kurir" {
			t.Fatalf("%+v", mails)
		}
		m, err := mails[0].Message()
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(m.Body)
		if m.Header.Get("Subject") != "order.failed INV-1" || !strings.Contains(string(body), "INV-1 gagal") || !strings.Contains(string(body), "<b>INV-1</b>") {
			t.Fatalf("%v\n%s", m.Header, body)
		}
		d.Close()
	})
}
