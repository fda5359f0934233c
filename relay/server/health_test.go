package server_test

import (
	"net/http"
	"testing"

	"github.com/kurir-relay/kurir/relay/server"
)

func TestHealthIsAnsweredToGetAndHeadOnBothListeners(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	for _, address := range []string{h.public, h.admin} {
		for _, path := range []string{"/-/healthy", "/-/ready"} {
			for method, want := range map[string]int{http.MethodGet: 200, http.MethodHead: 200, http.MethodPost: 405} {
				req, err := http.NewRequest(method, "http://"+address+path, nil)
				if err != nil {
					t.Fatal(err)
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				resp.Body.Close()
				if resp.StatusCode != want || want == 405 && resp.Header.Get("Allow") != "GET, HEAD" {
					t.Errorf("%s %s: %s, Allow %q", method, path, resp.Status, resp.Header.Get("Allow"))
				}
			}
		}
	}
	http.DefaultClient.CloseIdleConnections()
}
