package sinktest

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf16"
	"unicode/utf8"
)

// Telegram stands in for the Bot API (https://core.telegram.org/bots/api): an
// http.Handler for one bot. It knows getMe, getChat, getUpdates and
// sendMessage, refuses what Telegram refuses, in its words, and keeps what it
// took. More than PerSecond messages in a second, or one to a chat, or
// PerMinute to a group in a minute, are answered with 429 and how long to wait;
// who doesn't wait is answered so again.
type Telegram struct {
	Token     string
	PerSecond int           // over all chats: 30
	Pause     time.Duration // between messages to one chat: a second
	PerMinute int           // to a group or channel: 20

	mu       sync.Mutex
	chats    map[string]*tgChat
	messages []Message
	script   []http.HandlerFunc
	calls    int
	limited  int
}

// A Message is one that the stand-in took.
type Message struct {
	ID        int
	Chat      string
	Topic     int
	Source    string // the text as it came
	Text      string // what it shows, after entities were parsed
	HTML      bool   // it was sent in HTML mode
	Silent    bool
	NoPreview bool
	Buttons   []Button
	At        time.Time
}

// A Button is a link under a Message.
type Button struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

type tgChat struct {
	title    string
	movedTo  int64
	barred   string         // why the bot may not write: a 403's description
	topics   map[int]string // open topics map to "", others to their refusal
	sent     []time.Time
	waitTill time.Time
}

// NewTelegram makes a stand-in for the bot of a token, with no chats.
func NewTelegram(token string) *Telegram {
	return &Telegram{Token: token, PerSecond: 30, Pause: time.Second, PerMinute: 20, chats: map[string]*tgChat{}}
}

// AddChat makes a chat that the bot may write to: a person if id is positive,
// a group with the topics if it is negative.
func (t *Telegram) AddChat(id int64, title string, topics ...int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	c := &tgChat{title: title, topics: map[int]string{}}
	for _, n := range topics {
		c.topics[n] = ""
	}
	t.chats[strconv.FormatInt(id, 10)] = c
}

// Migrate turns a group into a supergroup with another id.
func (t *Telegram) Migrate(from, to int64, title string) {
	t.AddChat(to, title)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chats[strconv.FormatInt(from, 10)].movedTo = to
}

// Bar keeps the bot out of a chat: "bot was blocked by the user", "bot was
// kicked from the supergroup chat". An empty reason lets it in again.
func (t *Telegram) Bar(id int64, reason string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chats[strconv.FormatInt(id, 10)].barred = reason
}

// CloseTopic makes a topic refuse messages.
func (t *Telegram) CloseTopic(id int64, topic int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.chats[strconv.FormatInt(id, 10)].topics[topic] = "TOPIC_CLOSED"
}

// Next lets h answer the next call that no earlier Next is for.
func (t *Telegram) Next(h http.HandlerFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.script = append(t.script, h)
}

// Refuse is an answer for Next: the error as the Bot API words it. A
// retryAfter of 0 is left out.
func Refuse(code int, description string, retryAfter int) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		e := &apiError{Code: code, Description: description}
		if retryAfter != 0 {
			e.Parameters = map[string]any{"retry_after": retryAfter}
		}
		e.write(w)
	}
}

// Messages are those taken so far.
func (t *Telegram) Messages() []Message {
	t.mu.Lock()
	defer t.mu.Unlock()
	return slices.Clone(t.messages)
}

// Calls counts the calls so far, and how many of them broke a limit.
func (t *Telegram) Calls() (all, limited int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.calls, t.limited
}

type apiError struct {
	Code        int            `json:"error_code"`
	Description string         `json:"description"`
	Parameters  map[string]any `json:"parameters,omitempty"`
	OK          bool           `json:"ok"`
}

func (e *apiError) write(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(e.Code)
	json.NewEncoder(w).Encode(e)
}

func refused(code int, format string, args ...any) *apiError {
	return &apiError{Code: code, Description: http.StatusText(code) + ": " + fmt.Sprintf(format, args...)}
}

// ServeHTTP answers one call, /bot<token>/<method>.
func (t *Telegram) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	token, method, ok := strings.Cut(strings.TrimPrefix(r.URL.Path, "/bot"), "/")
	r.ParseMultipartForm(1 << 20)
	io.Copy(io.Discard, r.Body) // to its end, so that a client that goes is noticed
	if h := t.scripted(); h != nil {
		h(w, r)
		return
	}
	var result any
	var e *apiError
	switch {
	case !ok || !strings.Contains(token, ":"):
		e = &apiError{Code: 404, Description: "Not Found"}
	case token != t.Token:
		e = &apiError{Code: 401, Description: "Unauthorized"}
	default:
		result, e = t.answer(method, r.Form)
	}
	if e != nil {
		e.write(w)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	json.NewEncoder(w).Encode(map[string]any{"ok": true, "result": result})
}

func (t *Telegram) scripted() (h http.HandlerFunc) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.calls++
	if len(t.script) > 0 {
		h, t.script = t.script[0], t.script[1:]
	}
	return h
}

func (t *Telegram) answer(method string, form url.Values) (any, *apiError) {
	t.mu.Lock()
	defer t.mu.Unlock()
	switch method {
	case "getMe":
		return map[string]any{"id": 1, "is_bot": true, "first_name": "Kurir", "username": "kurir_bot"}, nil
	case "getChat":
		id := form.Get("chat_id")
		c := t.chats[id]
		if c == nil {
			return nil, refused(400, "chat not found")
		}
		return t.describe(id, c), nil
	case "getUpdates":
		return t.updates(), nil
	case "sendMessage":
		return t.sendMessage(form)
	}
	return nil, &apiError{Code: 404, Description: "Not Found"}
}

func (t *Telegram) describe(id string, c *tgChat) map[string]any {
	n, _ := strconv.ParseInt(id, 10, 64)
	if n > 0 {
		return map[string]any{"id": n, "type": "private", "first_name": c.title}
	}
	return map[string]any{"id": n, "type": "supergroup", "title": c.title, "is_forum": len(c.topics) > 0}
}

// updates has one message from each chat.
func (t *Telegram) updates() []any {
	all := []any{}
	for id, c := range t.chats {
		all = append(all, map[string]any{"update_id": len(all) + 1, "message": map[string]any{
			"message_id": 1, "date": 1, "text": "hi", "chat": t.describe(id, c)}})
	}
	return all
}

func (t *Telegram) sendMessage(form url.Values) (any, *apiError) {
	m := Message{ID: len(t.messages) + 1, Chat: form.Get("chat_id"), Source: form.Get("text"), At: time.Now(),
		HTML: form.Get("parse_mode") == "HTML", Silent: form.Get("disable_notification") == "true",
		NoPreview: strings.Contains(form.Get("link_preview_options"), `"is_disabled":true`)}
	m.Topic, _ = strconv.Atoi(form.Get("message_thread_id"))
	c := t.chats[m.Chat]
	if c == nil {
		return nil, refused(400, "chat not found")
	}
	for _, check := range []func(*Message, *tgChat) *apiError{admit, readText, readButtons(form.Get("reply_markup")), t.limit} {
		if e := check(&m, c); e != nil {
			return nil, e
		}
	}
	c.sent = append(c.sent, m.At)
	t.messages = append(t.messages, m)
	return map[string]any{"message_id": m.ID, "date": m.At.Unix(), "chat": t.describe(m.Chat, c), "text": m.Text}, nil
}

// admit refuses what the chat doesn't let in.
func admit(m *Message, c *tgChat) *apiError {
	switch {
	case c.movedTo != 0:
		e := refused(400, "group chat was upgraded to a supergroup chat")
		e.Parameters = map[string]any{"migrate_to_chat_id": c.movedTo}
		return e
	case c.barred != "":
		return refused(403, "%s", c.barred)
	case m.Topic == 0:
		return nil
	}
	if why, ok := c.topics[m.Topic]; !ok {
		return refused(400, "message thread not found")
	} else if why != "" {
		return refused(400, "%s", why)
	}
	return nil
}

// readText parses the text as Telegram does, and refuses one that is empty or
// longer than 4,096 UTF-16 units.
func readText(m *Message, _ *tgChat) *apiError {
	if !utf8.ValidString(m.Source) {
		return refused(400, "strings must be encoded in UTF-8")
	}
	m.Text = m.Source
	if m.HTML {
		var err error
		if m.Text, err = ParseHTML(m.Source); err != nil {
			return refused(400, "can't parse entities: %v", err)
		}
	}
	if m.Text = strings.TrimSpace(m.Text); m.Text == "" {
		return refused(400, "message text is empty")
	}
	if len(utf16.Encode([]rune(m.Text))) > 4096 {
		return refused(400, "message is too long")
	}
	return nil
}

func readButtons(markup string) func(*Message, *tgChat) *apiError {
	return func(m *Message, _ *tgChat) *apiError {
		if markup == "" {
			return nil
		}
		var keyboard struct {
			Rows [][]Button `json:"inline_keyboard"`
		}
		if err := json.Unmarshal([]byte(markup), &keyboard); err != nil {
			return refused(400, "can't parse reply keyboard markup JSON object")
		}
		m.Buttons = slices.Concat(keyboard.Rows...)
		for _, b := range m.Buttons {
			if u, err := url.Parse(b.URL); err != nil || !strings.Contains(u.Host, ".") {
				return refused(400, "inline keyboard button URL '%s' is invalid: Wrong HTTP URL", b.URL)
			}
		}
		return nil
	}
}

// limit refuses what comes too fast.
func (t *Telegram) limit(m *Message, c *tgChat) *apiError {
	wait := c.waitTill.Sub(m.At)
	wait = max(wait, over(c.sent, 1, t.Pause, m.At))
	if strings.HasPrefix(m.Chat, "-") {
		wait = max(wait, over(c.sent, t.PerMinute, time.Minute, m.At))
	}
	var all []time.Time
	for _, s := range t.messages[max(0, len(t.messages)-t.PerSecond):] {
		all = append(all, s.At)
	}
	wait = max(wait, over(all, t.PerSecond, time.Second, m.At))
	if wait <= 0 {
		return nil
	}
	t.limited++
	c.waitTill = m.At.Add(wait)
	seconds := int(math.Ceil(wait.Seconds()))
	e := refused(429, "retry after %d", seconds)
	e.Parameters = map[string]any{"retry_after": seconds}
	return e
}

// over is how long it is until fewer than n of the times lie within span.
func over(times []time.Time, n int, span time.Duration, now time.Time) time.Duration {
	if len(times) < n {
		return 0
	}
	return times[len(times)-n].Add(span).Sub(now)
}
