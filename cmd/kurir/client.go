package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/server"
)

// A client talks to the admin API of the running daemon.
type client struct {
	base  string
	token string
	http  *http.Client
}

func (c *cli) tokenPath() string { return filepath.Join(c.data, server.TokenFile) }

// client makes a client. Without a token it asks all the same, and is refused.
func (c *cli) client() *client {
	base := strings.TrimRight(c.admin, "/")
	if !strings.Contains(base, "://") {
		base = "http://" + base
	}
	token, err := conf.ReadFile(c.tokenPath())
	if err != nil {
		token = []byte(os.Getenv("KURIR_ADMIN_PASSWORD"))
	}
	return &client{base: base, token: strings.TrimSpace(string(token)), http: &http.Client{
		Transport: &http.Transport{DialContext: (&net.Dialer{Timeout: 5 * time.Second}).DialContext},
	}}
}

// An apiError is a refusal of the daemon's.
type apiError struct {
	status  int
	message string
	body    []byte
}

func (e *apiError) Error() string { return e.message }

// open makes a request and gives the answer, whose body is to be closed. Any
// status but 200 is an *apiError; an error without an answer is errUnreachable.
func (cl *client) open(ctx context.Context, method, path string, in any) (*http.Response, error) {
	var body io.Reader
	if in != nil {
		text, err := json.Marshal(in)
		if err != nil {
			return nil, err
		}
		body = bytes.NewReader(text)
	}
	req, err := http.NewRequestWithContext(ctx, method, cl.base+path, body)
	if err != nil {
		return nil, misused("--admin is no address: write one such as %s", defaultAdmin)
	}
	req.Header.Set("Authorization", "Bearer "+cl.token)
	req.Header.Set("Content-Type", "application/json")
	resp, err := cl.http.Do(req)
	if err != nil {
		return nil, fmt.Errorf("%w at %s (%w): is it running, and is --admin right?", errUnreachable, req.URL.Scheme+"://"+req.URL.Host, cause(err))
	}
	if resp.StatusCode == http.StatusOK {
		return resp, nil
	}
	defer resp.Body.Close()
	return nil, refusal(resp)
}

// cause is what went wrong with a request, without its address, in which a
// secret may stand.
func cause(err error) error {
	if ue, ok := errors.AsType[*url.Error](err); ok {
		return ue.Err
	}
	return err
}

// refusal is what the daemon says when it does not do as asked.
func refusal(resp *http.Response) error {
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	var said struct {
		Error string `json:"error"`
	}
	if json.Unmarshal(text, &said) != nil || said.Error == "" {
		said.Error = "the daemon answers " + resp.Status
	}
	if resp.StatusCode == http.StatusUnauthorized {
		said.Error = "the daemon does not take the token: is --data the daemon's data directory?"
	}
	return &apiError{resp.StatusCode, said.Error, text}
}

// call makes a request and gives the answer as it came.
func (cl *client) call(ctx context.Context, method, path string, in any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Minute)
	defer cancel()
	resp, err := cl.open(ctx, method, path, in)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("the daemon's answer is cut off: %w", err)
	}
	return answer, nil
}

// ask makes a request and shows the answer: as it came with -o json, and by show,
// once it is read into out, otherwise.
func (c *cli) ask(ctx context.Context, method, path string, in, out any, show func()) error {
	answer, err := c.client().call(ctx, method, path, in)
	if refused, ok := errors.AsType[*apiError](err); ok && c.json() && json.Valid(refused.body) {
		c.out.Write(refused.body)
	}
	if err != nil {
		return err
	}
	if c.json() {
		_, err := c.out.Write(answer)
		return err
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	show()
	return nil
}
