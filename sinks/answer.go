package sinks

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/lang"
)

// readAnswer reads what is kept of an answer. An answer that breaks off or does
// not end in time is an error; of one that is too long, the rest is left unread.
func readAnswer(resp *http.Response) (relay.Answer, error) {
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	ans := relay.Answer{Status: resp.StatusCode, Response: printable(body, maxAnswer)}
	if err != nil {
		return ans, fmt.Errorf("the answer (%s) broke off: %w", statusText(resp.StatusCode), err)
	}
	return ans, nil
}

// judge says what an answer means: nil is success, which without a condition of
// its own is any 2xx.
func (s *httpSink) judge(resp *http.Response, ans relay.Answer, attempt int) error {
	if looped(resp) {
		return relay.Permanent(errors.New("the url leads back to this relay"))
	}
	err := s.refusal(resp, ans, attempt)
	if err == nil {
		return nil
	}
	if ans.Status == http.StatusGone {
		return relay.Permanent(err)
	}
	if wait := retryAfter(resp.Header.Get("Retry-After"), time.Now()); wait > 0 {
		everyone := ans.Status == http.StatusTooManyRequests || ans.Status == http.StatusServiceUnavailable
		return &relay.RetryAfterError{Wait: wait, Everyone: everyone, Err: err}
	}
	return err
}

// refusal is why an answer is no success.
func (s *httpSink) refusal(resp *http.Response, ans relay.Answer, attempt int) error {
	status := statusText(ans.Status)
	if s.success != nil {
		ok, err := s.success.Bool(lang.AnswerVars{Status: ans.Status, Response: ans.Response, Headers: &lang.Headers{Header: resp.Header}, Attempt: attempt})
		switch {
		case err != nil:
			return fmt.Errorf("success cannot be told of the answer (%s): %w", status, err)
		case !ok:
			return fmt.Errorf("the answer (%s) does not meet success: %s", status, s.success.Source())
		}
		return nil
	}
	switch ans.Status / 100 {
	case 2:
		return nil
	case 3:
		return fmt.Errorf("the answer is %s%s: redirects are not followed, url must be the final address", status, target(resp))
	}
	return fmt.Errorf("the answer is %s", status)
}

// target is where a redirect points, for the eyes of people.
func target(resp *http.Response) string {
	u, err := resp.Location()
	if err != nil {
		return ""
	}
	return " to " + showURL(u)
}

func statusText(code int) string {
	return strings.TrimSpace(strconv.Itoa(code) + " " + http.StatusText(code))
}

// retryAfter reads a Retry-After (RFC 9110, section 10.2.3), seconds or a date,
// as a wait from now. What is neither, or not in the future, is 0.
func retryAfter(value string, now time.Time) time.Duration {
	value = strings.TrimSpace(value)
	if value != "" && strings.Trim(value, "0123456789") == "" {
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil || n > math.MaxInt64/int64(time.Second) {
			return math.MaxInt64
		}
		return time.Duration(n) * time.Second
	}
	at, err := http.ParseTime(value)
	if err != nil {
		return 0
	}
	return max(at.Sub(now), 0)
}

// unanswered puts a failure to get an answer into words that show no secret.
func (s *httpSink) unanswered(ctx context.Context, err error) error {
	if errors.Is(err, context.DeadlineExceeded) || errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return fmt.Errorf("no whole answer within %s: %w", s.place.Timeout, context.DeadlineExceeded)
	}
	if errors.Is(err, io.EOF) {
		return fmt.Errorf("the connection was closed before an answer came: %w", err)
	}
	return s.secrets.hideIn(err)
}
