package sinks

import (
	"context"
	"fmt"
	"runtime"
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
	turn chan struct{} // holds one token while a message is on its way

	mu       sync.Mutex
	limits   []*window
	until    time.Time // Telegram asked for silence until then
	movedTo  string    // the group became a supergroup with this id
	noTopic  time.Time // the topic was refused: it is left out until then
	troubled bool      // the operator was told that nothing gets through
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
// would be longer, the error is a relay.RetryAfterError.
func (a *account) enter(ctx context.Context, c *chat) (leave func(), err error) {
	select {
	case c.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	now := time.Now()
	at := a.opening(c, now)
	if deadline, ok := ctx.Deadline(); ok && at.Sub(now) > deadline.Sub(now)/2 {
		<-c.turn
		return nil, &relay.RetryAfterError{Wait: at.Sub(now), Everyone: true,
			Err: fmt.Errorf("Telegram's limits for this chat are used up for another %v", at.Sub(now).Round(time.Second))}
	}
	if err := sleep(ctx, at.Sub(now)); err != nil {
		<-c.turn
		return nil, err
	}
	return func() {
		c.sent(time.Now())
		<-c.turn
	}, nil
}

// opening is when the next message may go to the chat, and reserves the
// account's share of that moment.
func (a *account) opening(c *chat, now time.Time) time.Time {
	c.mu.Lock()
	at := later(now, c.until)
	for _, w := range c.limits {
		at = later(at, w.opens())
	}
	c.mu.Unlock()
	a.mu.Lock()
	defer a.mu.Unlock()
	at = later(at, a.all.opens())
	a.all.use(at)
	return at
}

// sent counts a message that was through at now: what Telegram saw of it is
// not later.
func (c *chat) sent(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, w := range c.limits {
		w.use(now)
	}
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
	last []time.Time // the n latest uses, as a ring
	next int         // the oldest of them
}

func newWindow(n int, span time.Duration) *window {
	return &window{span: span, last: make([]time.Time, n)}
}

// opens is the earliest moment of another use.
func (w *window) opens() time.Time { return w.last[w.next].Add(w.span) }

// use counts a use at a moment.
func (w *window) use(at time.Time) {
	w.last[w.next] = at
	w.next = (w.next + 1) % len(w.last)
}
