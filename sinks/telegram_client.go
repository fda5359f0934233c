package sinks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/go-telegram/bot"

	"github.com/kurir-relay/kurir/relay"
)

// A telegramClient calls the Bot API for one token, which appears in nothing
// that it returns.
type telegramClient struct {
	api, token string
	secrets    secrets
	http       *http.Client
}

func newTelegramClient(api, token string, p Place) telegramClient {
	dial := (&net.Dialer{KeepAlive: 30 * time.Second}).DialContext
	if p.Dial != nil {
		dial = p.Dial
	}
	_, secret, _ := strings.Cut(token, ":")
	return telegramClient{api: api, token: token, secrets: newSecrets(token, url.PathEscape(token), secret), http: &http.Client{
		Transport: &http.Transport{
			DialContext:            dial,
			ForceAttemptHTTP2:      true,
			MaxIdleConnsPerHost:    max(p.Idle, 1),
			IdleConnTimeout:        90 * time.Second,
			MaxResponseHeaderBytes: maxAnswer,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

func (c telegramClient) close() { c.http.CloseIdleConnections() }

// A telegramError is a call that failed. It holds no token.
type telegramError struct {
	code       int // of the Bot API, else of HTTP; 0 if there was no answer
	message    string
	retryAfter time.Duration
	movedTo    string
	cause      error // context.Canceled or context.DeadlineExceeded, or nil
}

func (e *telegramError) Error() string { return e.message }
func (e *telegramError) Unwrap() error { return e.cause }

// says reports whether the description has one of the phrases, in either case.
func (e *telegramError) says(phrases ...string) bool {
	for _, p := range phrases {
		if strings.Contains(strings.ToLower(e.message), p) {
			return true
		}
	}
	return false
}

// shutsOut reports whether no message gets through until somebody changes the
// token, the chat or the bot's rights.
func (e *telegramError) shutsOut() bool {
	switch e.code {
	case http.StatusUnauthorized, http.StatusForbidden, http.StatusNotFound:
		return true
	}
	return e.code == http.StatusBadRequest && e.says("chat not found", "not enough rights", "have no rights", "kicked", "peer_id_invalid")
}

// An exchange is the HTTP side of one call: it keeps what came back.
type exchange struct {
	client *http.Client
	limit  int64 // bytes of the answer that are read
	status int
	body   []byte
	whole  bool // body is all there is, or limit of it
}

func (x *exchange) Do(req *http.Request) (*http.Response, error) {
	resp, err := x.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	x.status = resp.StatusCode
	x.body, err = io.ReadAll(io.LimitReader(resp.Body, x.limit))
	if err != nil {
		return nil, err
	}
	x.whole = true
	resp.Body = io.NopCloser(bytes.NewReader(x.body))
	return resp, nil
}

// call makes one call with a bot of the library.
func (c telegramClient) call(do func(*bot.Bot) error) (relay.Answer, error) {
	x := &exchange{client: c.http, limit: maxAnswer}
	b, err := bot.New(c.token, bot.WithSkipGetMe(), bot.WithServerURL(c.api), bot.WithHTTPClient(0, x),
		bot.WithErrorsHandler(func(error) {}), bot.WithUpdatesChannelCap(1))
	if err == nil {
		err = do(b)
	}
	answer := relay.Answer{Status: x.status, Response: printable([]byte(c.secrets.hide(string(x.body))), 4096)}
	if err != nil {
		te := c.wrap(err, x)
		answer.Status = te.code
		return answer, te
	}
	return answer, nil
}

func (c telegramClient) send(ctx context.Context, m *bot.SendMessageParams) (relay.Answer, error) {
	return c.call(func(b *bot.Bot) error {
		_, err := b.SendMessage(ctx, m)
		return err
	})
}

// maxRetryAfter bounds what Telegram asks for to what fits, in seconds; the
// dispatcher waits an hour at most.
const maxRetryAfter = 1 << 31

// wrap reads the library's error, and in the answer what the library leaves out.
func (c telegramClient) wrap(err error, x *exchange) *telegramError {
	var body struct {
		Code        int    `json:"error_code"`
		Description string `json:"description"`
	}
	te := &telegramError{message: c.secrets.hideIn(err).Error()}
	if notJSON := json.Unmarshal(x.body, &body); notJSON != nil && x.whole {
		te.message = fmt.Sprintf("HTTP %d: %s", x.status, string(x.body))
	}
	te.code = cmp.Or(body.Code, x.status)
	te.message = printable([]byte(c.secrets.hide(cmp.Or(body.Description, te.message))), 300)
	if limit, ok := errors.AsType[*bot.TooManyRequestsError](err); ok {
		te.retryAfter = time.Duration(min(max(limit.RetryAfter, 1), maxRetryAfter)) * time.Second
	}
	if moved, ok := errors.AsType[*bot.MigrateError](err); ok {
		te.movedTo = strconv.Itoa(moved.MigrateToChatID)
	}
	for _, cause := range []error{context.Canceled, context.DeadlineExceeded} {
		if errors.Is(err, cause) {
			te.cause = cause
		}
	}
	return te
}
