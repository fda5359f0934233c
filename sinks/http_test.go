package sinks_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
)

// A got is a request as a far side received it.
type got struct {
	method, uri, host string
	header            http.Header
	body              string
}

// far is a far side that keeps what it gets and gives one answer.
func far(t *testing.T, answer http.HandlerFunc) (url string, requests chan got) {
	t.Helper()
	requests = make(chan got, 100)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		requests <- got{r.Method, r.RequestURI, r.Host, r.Header, string(b)}
		if answer != nil {
			answer(w, r)
		}
	}))
	t.Cleanup(srv.Close)
	return srv.URL, requests
}

func send(t *testing.T, s interface {
	Send(context.Context, []relay.Parcel) (relay.Answer, error)
}, p relay.Parcel) (relay.Answer, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 15*time.Second)
	defer cancel()
	return s.Send(ctx, []relay.Parcel{p})
}

func TestARawForwardIsTheCallbackItself(t *testing.T) {
	url, requests := far(t, func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "ok") })
	s := open(t, "http", "url: "+url+"/cb?shop=1")
	c := order("{\"a\":\"\\/\x00\xff\"}\r\n")
	p := parcelOf(t, s, c, "")
	if p.Delivery.Payload != nil {
		t.Errorf("a raw forward stores %q", p.Delivery.Payload)
	}
	ans, err := send(t, s, p)
	if err != nil || ans.Status != 200 || ans.Response != "ok" {
		t.Fatalf("answer %+v, error %v", ans, err)
	}
	r := <-requests
	if r.method != "POST" || r.uri != "/cb?shop=1" || r.body != string(c.Body) {
		t.Errorf("got %s %s %q", r.method, r.uri, r.body)
	}
	for name, want := range map[string]string{"X-Signature": "2f8a", "Content-Type": "application/json", "User-Agent": "Kurir/1.2.3",
		"Idempotency-Key": p.Delivery.ID.String(), "Kurir-Delivery-Id": p.Delivery.ID.String(), "Kurir-Callback-Id": c.ID.String(),
		"Kurir-Attempt": "1", "Kurir-Replay": ""} {
		if v := r.header.Get(name); v != want {
			t.Errorf("%s is %q, want %q", name, v, want)
		}
	}
}
