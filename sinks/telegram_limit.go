package sinks

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"
	"weak"

	"github.com/kurir-relay/kurir/relay"
)

// What Telegram bears of one bot
// (https://core.telegram.org/bots/faq#my-bot-is-hitting-limits-how-do-i-avoid-this).
const (
	telegramPerSecond   = 30 // over all chats
	telegramChatPause   = time.Second
	telegramGroupMinute = 20
)

// accounts are the bots this process speaks for. Telegram counts by token,
// whichever sinks share it, and across reloads of the rules. An account lasts
// as long as a sink that uses it.
var accounts struct {
	sync.Mutex
	byToken map[string]weak.Pointer[account]
}

// An account is what this process knows of one bot at one API server.
type account struct {
	mu    sync.Mutex
	all   *window
	chats map[string]*chat
}

// A chat is what this process knows of one chat of a bot.
type chat struct {
	turn chan struct{} // holds a token while a message is on its way

	mu      sync.Mutex
	limits  []*window
	until   time.Time // Telegram asked for silence until then
	movedTo string    // the group became a supergroup with this id
}

// accountOf gives the account of a token, the same one to everybody.
func accountOf(api, token string) *account {
	key := api + " " + token
	accounts.Lock()
	defer accounts.Unlock()
	if a := accounts.byToken[key].Value(); a != nil {
		return a
	}
	if accounts.byToken == nil {
		accounts.byToken = map[string]weak.Pointer[account]{}
	}
	a := &account{all: newWindow(telegramPerSecond, time.Second), chats: map[string]*chat{}}
	accounts.byToken[key] = weak.Make(a)
	runtime.AddCleanup(a, forgetAccount, key)
	return a
}

func forgetAccount(key string) {
	accounts.Lock()
	defer accounts.Unlock()
	if accounts.byToken[key].Value() == nil {
		delete(accounts.byToken, key)
	}
}

// chat gives what is known of a chat by its id or @name.
func (a *account) chat(id string) *chat {
	a.mu.Lock()
	defer a.mu.Unlock()
	c := a.chats[id]
	if c == nil {
		c = &chat{turn: make(chan struct{}, 1), limits: []*window{newWindow(1, telegramChatPause)}}
		if isGroup(id) {
			c.limits = append(c.limits, newWindow(telegramGroupMinute, time.Minute))
		}
		a.chats[id] = c
	}
	return c
}

// isGroup reports whether a chat id is that of a group or channel.
func isGroup(id string) bool { return strings.HasPrefix(id, "-") || strings.HasPrefix(id, "@") }

// enter waits until a message may go to the chat, for half of ctx's time at
// most. It gives what must be called when the message is through. If the wait
// would be longer, the error is a relay.RetryAfterError, and nothing was sent.
func (a *account) enter(ctx context.Context, c *chat) (leave func(), err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, busy(ctx.Err(), telegramChatPause)
	}
	now := time.Now()
	wait := a.reserve(c, now, patience(ctx, now))
	if wait > patience(ctx, now) {
		<-c.turn
		return nil, busy(context.DeadlineExceeded, wait)
	}
	if err := sleep(ctx, wait); err != nil {
		<-c.turn
		return nil, err
	}
	return func() {
		c.sent(time.Now())
		<-c.turn
	}, nil
}

// patience is how long a message may wait for its turn.
func patience(ctx context.Context, now time.Time) time.Duration {
	if deadline, ok := ctx.Deadline(); ok {
		return deadline.Sub(now) / 2
	}
	return time.Minute
}

// busy is the error of a message that was not sent, because the limits allow it
// only after a wait.
func busy(cause error, wait time.Duration) error {
	if !errors.Is(cause, context.DeadlineExceeded) {
		return cause
	}
	return &relay.RetryAfterError{Wait: wait, Everyone: true, Unsent: true,
		Err: fmt.Errorf("not sent: Telegram's limits for this chat allow it in %v", wait.Round(time.Second))}
}

// reserve gives the wait until the next message may go to the chat. If it is no
// longer than limit, the account's share of that moment is taken.
func (a *account) reserve(c *chat, now time.Time, limit time.Duration) time.Duration {
	c.mu.Lock()
	at := later(now, c.until)
	for _, w := range c.limits {
		at = later(at, w.opens())
	}
	c.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	at = later(at, a.all.opens())
	if at.Sub(now) <= limit {
		a.all.use(at)
	}
	return at.Sub(now)
}

// sent counts a message that was through at now: Telegram saw it no later.
func (c *chat) sent(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.limits {
		w.use(now)
	}
}

// hush keeps the chat silent for as long as Telegram asked, an hour at most.
func (c *chat) hush(wait time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.until = later(c.until, time.Now().Add(min(wait, time.Hour)))
}

// moved is the id of the supergroup that the chat has become, or "".
func (c *chat) moved() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.movedTo
}

// move notes what the chat has become.
func (c *chat) move(id string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.movedTo = id
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// sleep waits for d, or until ctx ends.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// A window lets n uses through in any span of a length.
type window struct {
	span time.Duration
	last []time.Time // the n latest uses, also those to come, oldest first
}

func newWindow(n int, span time.Duration) *window {
	return &window{span: span, last: make([]time.Time, n)}
}

// opens is the earliest moment of another use.
func (w *window) opens() time.Time { return w.last[0].Add(w.span) }

// use counts a use at a moment, which may be one to come.
func (w *window) use(at time.Time) {
	if i, _ := slices.BinarySearchFunc(w.last, at, time.Time.Compare); i > 0 {
		copy(w.last, w.last[1:i])
		w.last[i-1] = at
	}
}
