package sinks

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync/atomic"
	"time"

	"github.com/go-telegram/bot"
	"github.com/go-telegram/bot/models"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

func init() {
	Register(Kind{
		Name:     "telegram",
		Doc:      "a message of a Telegram bot to a person, a group or a channel",
		Settings: telegramSettings{},
		Digests:  true,
		Defaults: Defaults{Concurrency: 1},
		New:      newTelegram,
	})
}

type telegramSettings struct {
	Token          conf.Secret      `conf:"token,required" also:"bot_token api_token" doc:"the bot's token, as @BotFather gave it"`
	Chat           conf.String      `conf:"chat,required" also:"chat_id group group_id channel to" doc:"the chat's id, or the @name of a public channel or group; kurir sinks chat-id lists those the bot sees"`
	Topic          int              `conf:"topic" doc:"the topic's number, in a group with topics"`
	Silent         bool             `conf:"silent" doc:"messages come without a sound"`
	Buttons        []telegramButton `conf:"buttons" doc:"links under each message, one a row"`
	DisablePreview bool             `conf:"disable_preview" doc:"no preview of links in the text"`
	API            conf.String      `conf:"api" doc:"another Bot API server, such as http://localhost:8081" default:"https://api.telegram.org"`
}

type telegramButton struct {
	Text conf.String `conf:"text,required" doc:"what the button says; a template"`
	URL  conf.String `conf:"url,required" doc:"where it leads; a template whose values are percent-encoded"`
}

// telegramLimit is how long a message may be, in UTF-16 units after its
// entities were parsed (https://core.telegram.org/bots/api#sendmessage).
const telegramLimit = 4096

// topicPause is how long a topic that was refused is left out.
const topicPause = 10 * time.Minute

// telegram sends to one chat of one bot.
type telegram struct {
	settings telegramSettings
	place    Place
	buttons  []buttonTemplate
	client   telegramClient
	account  *account
	noTopic  atomic.Int64 // the topic was refused: left out until this Unix second
	troubled atomic.Bool  // the operator was told that nothing gets through
}

type buttonTemplate struct{ text, url *lang.Template }

func newTelegram(n conf.Node, p Place) Sink {
	t := &telegram{place: p}
	n.Decode(&t.settings)
	s := &t.settings
	unset := empty(s.Token.Reveal(), s.Token.Default || !s.Token.Node.Present(), s.Token.Node, "the token")
	nowhere := empty(s.Chat.Text, s.Chat.Default || !s.Chat.Node.Present(), s.Chat.Node, "the chat")
	s.check()
	for _, b := range s.Buttons {
		if text, link := compile(b.Text, lang.Line), compile(b.URL, lang.Query); text != nil && link != nil {
			t.buttons = append(t.buttons, buttonTemplate{text, link})
		}
	}
	api := cmp.Or(strings.TrimRight(s.API.Text, "/"), "https://api.telegram.org")
	t.client = newTelegramClient(api, s.Token.Reveal(), p)
	t.account = accountOf(api, s.Token.Reveal())
	switch {
	case unset:
		return onConsole(t, "telegram", "token", p)
	case nowhere:
		return onConsole(t, "telegram", "chat", p)
	}
	return t
}

var (
	telegramToken = regexp.MustCompile(`^[A-Za-z0-9:_-]+$`)
	telegramChat  = regexp.MustCompile(`^(-?[0-9]+|@[A-Za-z][A-Za-z0-9_]*)$`)
)

// check reports what is wrong with the settings at its place.
func (s *telegramSettings) check() {
	if text := s.Token.Reveal(); text != "" && !telegramToken.MatchString(text) {
		s.Token.Node.Report(conf.Problem{Message: "this is no bot token",
			Hint: "@BotFather gives one like 123456:ABC-DEF; ${NAME:-} may be empty, and prints on the console instead"})
	}
	if s.Chat.Text != "" && !telegramChat.MatchString(s.Chat.Text) {
		s.Chat.Node.Report(conf.Problem{Message: fmt.Sprintf("%q is no chat", s.Chat.Text),
			Hint: "write a number such as -1001234567890, or @name of a public channel or group"})
	}
	if !isServer(s.API.Text) {
		s.API.Node.Report(conf.Problem{Message: "this is no address of a Bot API server", Hint: "write one like http://localhost:8081"})
	}
	for _, b := range s.Buttons {
		scheme, rest, _ := strings.Cut(b.URL.Text, "://")
		host, _, _ := strings.Cut(rest, "/")
		switch {
		case scheme != "https" && scheme != "http" && scheme != "tg" || host == "":
			b.URL.Node.Problem("a button leads to http://, https:// or tg://, not to %q", b.URL.Text)
		case strings.Contains(host, "{{"):
			b.URL.Node.Problem("where a button leads, the host can't be a template")
		}
	}
}

// isServer reports whether a text is an http URL and nothing besides; "" is.
func isServer(text string) bool {
	u, err := url.Parse(text)
	return text == "" || err == nil && u.Host != "" && (u.Scheme == "http" || u.Scheme == "https") && u.User == nil && u.RawQuery == ""
}

func (t *telegram) Writer(m Message) Writer {
	checkTemplate(m.Text)
	checkTemplate(m.Line)
	m.Subject = conf.String{} // it has none
	g := newWording(m, telegramLimit)
	return func(o Occasion) ([]byte, error) {
		w, err := g.render(o)
		if err != nil {
			return nil, err
		}
		w.Subject = ""
		for _, b := range t.buttons {
			said, err := b.render(o.Vars)
			if err != nil {
				return nil, err
			}
			w.Buttons = append(w.Buttons, said)
		}
		return w.pack()
	}
}

// checkTemplate reports tags in a template's own text that Telegram would
// refuse. What an expression yields counts as text.
func checkTemplate(s conf.String) {
	text := lang.Blank(s.Text, hole)
	for i := range 20 { // more help nobody
		e := checkMarkup(text)
		if e == nil {
			return
		}
		if i == 0 || !strings.HasPrefix(text[e.offset:], "</") { // the end of a tag that was told is none either
			s.Node.ReportAt(e.offset, conf.Problem{Len: e.len, Message: e.message, Hint: e.hint})
		}
		if nextPiece(text[e.offset:]).raw != "<" {
			return // what is wrong with the order of tags may go on to the end
		}
		text = text[:e.offset] + strings.Repeat(string(hole), e.len) + text[e.offset+e.len:]
	}
}

func (b buttonTemplate) render(v lang.Vars) (out button, err error) {
	if out.Text, err = b.text.Render(v); err != nil {
		return out, err
	}
	out.Text = cmp.Or(oneLine(out.Text), "→")
	out.URL, err = b.url.Render(v)
	return out, err
}

func (t *telegram) Preview(p relay.Parcel) Preview { return t.PreviewDigest([]relay.Parcel{p}) }

// PreviewDigest shows what is made of several parcels.
func (t *telegram) PreviewDigest(parcels []relay.Parcel) Preview {
	w, err := readWords(parcels, telegramLimit)
	if err != nil {
		return Preview{To: t.address(), Text: err.Error()}
	}
	return Preview{To: t.address(), Text: shorten(w.Text, telegramLimit, cutNote)}
}

// address names the chat to a reader.
func (t *telegram) address() string {
	to := "telegram " + cmp.Or(t.settings.Chat.Text, "(no chat)")
	if t.settings.Topic != 0 {
		to += fmt.Sprintf(" topic %d", t.settings.Topic)
	}
	return to
}

// Limit is what Telegram takes for the chat.
func (t *telegram) Limit() relay.Rate {
	if isGroup(t.settings.Chat.Text) {
		return relay.Rate{N: telegramGroupMinute, Per: time.Minute}
	}
	return relay.Rate{N: 1, Per: telegramChatPause}
}

func (t *telegram) Close() { t.client.close() }

func (t *telegram) Send(ctx context.Context, parcels []relay.Parcel) (relay.Answer, error) {
	w, err := readWords(parcels, telegramLimit)
	if err != nil {
		return relay.Answer{}, err
	}
	return t.deliver(ctx, w)
}

// deliver sends a message, and again without what Telegram refused of it.
func (t *telegram) deliver(ctx context.Context, w words) (relay.Answer, error) {
	m := t.compose(w)
	for asked := false; ; asked = true {
		answer, err := t.attempt(ctx, m)
		if err != nil && t.adapt(m, err) {
			continue
		}
		if wait, ok := errors.AsType[*relay.RetryAfterError](err); ok && asked {
			wait.Unsent = false // the limits came between two calls
		}
		answer.Note = strings.Join(m.notes, ", ")
		return answer, t.judge(err)
	}
}

// A telegramMessage is one message, with what was changed to get it through.
type telegramMessage struct {
	bot.SendMessageParams
	chat  *chat
	notes []string
}

func (m *telegramMessage) note(s string) { m.notes = append(m.notes, s) }

func (t *telegram) compose(w words) *telegramMessage {
	m := &telegramMessage{chat: t.account.chat(t.settings.Chat.Text)}
	m.ChatID = t.settings.Chat.Text
	m.Text = shorten(w.Text, telegramLimit, cutNote)
	m.ParseMode = models.ParseModeHTML
	m.DisableNotification = w.Silent || t.settings.Silent
	if t.settings.DisablePreview {
		m.LinkPreviewOptions = &models.LinkPreviewOptions{IsDisabled: bot.True()}
	}
	if len(w.Buttons) > 0 {
		m.ReplyMarkup = keyboard(w.Buttons)
	}
	if m.MessageThreadID = t.settings.Topic; m.MessageThreadID != 0 && time.Now().Unix() < t.noTopic.Load() {
		t.omitTopic(m)
	}
	for id := m.chat.moved(); id != "" && len(m.notes) < 4; id = m.chat.moved() {
		t.redirect(m, id)
	}
	return m
}

func keyboard(bs []button) models.InlineKeyboardMarkup {
	var rows [][]models.InlineKeyboardButton
	for _, b := range bs {
		rows = append(rows, []models.InlineKeyboardButton{{Text: b.Text, URL: b.URL}})
	}
	return models.InlineKeyboardMarkup{InlineKeyboard: rows}
}

// redirect sends the message to the supergroup that a group has become.
func (t *telegram) redirect(m *telegramMessage, id string) {
	m.ChatID, m.chat = id, t.account.chat(id)
	m.note("chat moved to " + id)
}

// attempt makes one call, when the limits allow it.
func (t *telegram) attempt(ctx context.Context, m *telegramMessage) (relay.Answer, error) {
	leave, err := t.account.enter(ctx, m.chat)
	if err != nil {
		return relay.Answer{}, err
	}
	defer leave()
	answer, err := t.client.send(ctx, &m.SendMessageParams)
	if te, ok := errors.AsType[*telegramError](err); ok && te.code == http.StatusTooManyRequests {
		m.chat.hush(te.retryAfter)
	}
	return answer, err
}

// adapt takes out of m what err says is refused. It is false if there is
// nothing left to change.
func (t *telegram) adapt(m *telegramMessage, err error) bool {
	te, ok := errors.AsType[*telegramError](err)
	switch {
	case !ok:
		return false
	case te.movedTo != "" && te.movedTo != m.ChatID:
		t.follow(m, te.movedTo)
	case te.code != http.StatusBadRequest:
		return false
	case te.says("can't parse entities") && m.ParseMode != "":
		m.ParseMode = ""
		m.Text = plainText(m.Text) // no longer than the HTML shows
		m.note("plain text")
	case te.says("message thread not found", "topic_", "topic closed") && m.MessageThreadID != 0:
		t.leaveTopic(m)
	case te.says("button", "reply markup", "keyboard") && m.ReplyMarkup != nil:
		m.ReplyMarkup = nil
		m.note("without buttons")
	default:
		return false
	}
	return true
}

func (t *telegram) follow(m *telegramMessage, id string) {
	m.chat.move(id)
	t.log().Warn("a telegram group has a new id: write it into rules.yaml", "sink", t.place.Name, "chat", m.ChatID, "new", id)
	t.redirect(m, id)
}

func (t *telegram) leaveTopic(m *telegramMessage) {
	t.noTopic.Store(time.Now().Add(topicPause).Unix())
	t.log().Warn("a telegram topic is closed or gone: its messages go to the group", "sink", t.place.Name, "topic", m.MessageThreadID)
	t.omitTopic(m)
}

func (t *telegram) omitTopic(m *telegramMessage) {
	m.MessageThreadID = 0
	m.note("without topic")
}

// judge turns what became of a message into the decision on its delivery, and
// tells the operator once when nothing gets through any more.
func (t *telegram) judge(err error) error {
	te, ok := errors.AsType[*telegramError](err)
	if err != nil && !ok {
		return err
	}
	switch {
	case te == nil:
		t.alarm(nil)
		return nil
	case te.code == http.StatusTooManyRequests:
		return &relay.RetryAfterError{Wait: te.retryAfter, Everyone: true, Err: te}
	case te.shutsOut():
		t.alarm(te)
		return relay.Permanent(te)
	case te.code == http.StatusBadRequest || te.code == http.StatusRequestEntityTooLarge:
		return relay.Permanent(te)
	}
	return te
}

// alarm logs when the chat stops taking messages, and when it takes them again.
func (t *telegram) alarm(err *telegramError) {
	was := t.troubled.Swap(err != nil)
	switch {
	case err != nil && !was:
		t.log().Error("telegram refuses every message of this sink", "sink", t.place.Name, "chat", t.settings.Chat.Text, "error", err)
	case err == nil && was:
		t.log().Info("telegram takes messages of this sink again", "sink", t.place.Name, "chat", t.settings.Chat.Text)
	}
}

func (t *telegram) log() *slog.Logger { return cmp.Or(t.place.Log, slog.Default()) }

// BurstOver tells the chat that the digests end.
func (t *telegram) BurstOver(ctx context.Context, b relay.Burst) error {
	_, err := t.deliver(ctx, burstOver(b, t.place.Location))
	return err
}
