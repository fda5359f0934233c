package load_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/load"
)

func TestEveryRequestIsSentOnceWholeAndCounted(t *testing.T) {
	var mu sync.Mutex
	got := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		mu.Lock()
		got[string(body)+r.Header.Get("X-Signature")]++
		mu.Unlock()
		if strings.HasPrefix(string(body), "bad") {
			w.WriteHeader(http.StatusUnauthorized)
		}
		io.WriteString(w, `{"status":"ok"}`)
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	var requests [][]byte
	for _, body := range []string{"a", "b", "bad1", "c", "d"} {
		requests = append(requests, load.Post(host, "/webhook/x", map[string]string{"X-Signature": "s"}, []byte(body)))
	}

	r := load.Run(context.Background(), load.Plan{Addr: host, Conns: 2, Requests: requests})

	if r.Sent != 5 || r.Status[200] != 4 || r.Status[401] != 1 || len(r.Errors) != 0 || r.Latency.Count() != 5 {
		t.Errorf("result %+v", r)
	}
	for _, body := range []string{"a", "b", "bad1", "c", "d"} {
		if got[body+"s"] != 1 {
			t.Errorf("the server got %q %d times", body, got[body+"s"])
		}
	}
}

func TestAServerThatHangsUpIsAnErrorAndTheNextRequestDialsAgain(t *testing.T) {
	n := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n++; n == 1 {
			panic(http.ErrAbortHandler)
		}
	}))
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	req := load.Post(host, "/", nil, nil)
	r := load.Run(context.Background(), load.Plan{Addr: host, Conns: 1, Requests: [][]byte{req, req, req}})
	if r.Status[200] != 2 || r.Errors["EOF"] != 1 {
		t.Errorf("answers %v, errors %v", r.Status, r.Errors)
	}
}

func TestQuantilesAreWithinThreePercent(t *testing.T) {
	var l load.Latency
	for i := 1; i <= 10_000; i++ {
		l.Add(time.Duration(i) * 100 * time.Microsecond)
	}
	for _, q := range []float64{.01, .5, .9, .99, 1} {
		want := q * 1e6
		got := float64(l.Quantile(q).Microseconds())
		if got < want*.97 || got > want*1.03 {
			t.Errorf("quantile %v is %v µs, want about %v", q, got, want)
		}
	}
}
