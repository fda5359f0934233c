package sinks

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"

	"github.com/go-telegram/bot"
	"github.com/go-telegram/bot/models"
)

// A Chat is one that a Telegram bot has heard from.
type Chat struct {
	ID    int64  `json:"id"`
	Type  string `json:"type"` // private, group, supergroup or channel
	Title string `json:"title"`
	Topic int    `json:"topic,omitempty"` // the topic that was written in
}

// maxUpdates is how much of the bot's updates is read, in bytes: a hundred, each
// with a message and perhaps the one that it replies to.
const maxUpdates = 8 << 20

// Chats lists the chats that the bot of a telegram sink has heard from within
// the last day, also of one that prints on the console because it has no chat
// yet. It takes nothing away from another program that polls the bot. For a
// sink of another kind the error is errors.ErrUnsupported.
func Chats(ctx context.Context, s Sink) ([]Chat, error) {
	if c, ok := s.(*console); ok {
		s = c.Sink
	}
	t, ok := s.(*telegram)
	if !ok {
		return nil, errors.ErrUnsupported
	}
	if t.client.token == "" {
		return nil, errors.New("the sink has no token yet")
	}
	var updates []models.Update
	if err := t.client.post(ctx, "getUpdates", &updates); err != nil {
		return nil, err
	}
	return chatsOf(updates), nil
}

// chatsOf gives each chat and topic once, by id.
func chatsOf(updates []models.Update) (chats []Chat) {
	for _, u := range updates {
		for _, m := range []*models.Message{u.Message, u.EditedMessage, u.ChannelPost, u.EditedChannelPost} {
			if m != nil {
				chats = append(chats, newChat(m.Chat, m.MessageThreadID, m.IsTopicMessage))
			}
		}
		if u.MyChatMember != nil {
			chats = append(chats, newChat(u.MyChatMember.Chat, 0, false))
		}
	}
	slices.SortFunc(chats, func(a, b Chat) int { return cmp.Or(cmp.Compare(a.ID, b.ID), a.Topic-b.Topic) })
	return slices.CompactFunc(chats, func(a, b Chat) bool { return a.ID == b.ID && a.Topic == b.Topic })
}

func newChat(c models.Chat, topic int, inTopic bool) Chat {
	if !inTopic {
		topic = 0
	}
	return Chat{ID: c.ID, Type: string(c.Type), Topic: topic,
		Title: oneLine(cmp.Or(c.Title, c.FirstName+" "+c.LastName, c.Username))}
}

// Check asks Telegram whether it knows the bot, and the bot the chat.
func (t *telegram) Check(ctx context.Context) error {
	_, err := t.client.call(func(b *bot.Bot) error {
		_, err := b.GetMe(ctx)
		return err
	})
	if err != nil {
		return fmt.Errorf("the bot: %w", err)
	}
	_, err = t.client.call(func(b *bot.Bot) error {
		_, err := b.GetChat(ctx, &bot.GetChatParams{ChatID: t.settings.Chat.Text})
		return err
	})
	if err != nil {
		return fmt.Errorf("chat %s: %w", t.settings.Chat.Text, err)
	}
	return nil
}

// post calls a method that the library keeps to itself, without parameters.
func (c telegramClient) post(ctx context.Context, method string, result any) error {
	x := &exchange{client: c.http, limit: maxUpdates}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.api+"/bot"+c.token+"/"+method, bytes.NewReader(nil))
	if err == nil {
		_, err = x.Do(req)
	}
	if err != nil {
		return c.wrap(err, x)
	}
	answer := struct {
		OK          bool   `json:"ok"`
		Description string `json:"description"`
		Result      any    `json:"result"`
	}{Result: result}
	if err := json.Unmarshal(x.body, &answer); err != nil || !answer.OK {
		return c.wrap(errors.New(cmp.Or(answer.Description, "the answer cannot be read")), x)
	}
	return nil
}
