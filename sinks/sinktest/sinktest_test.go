package sinktest

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/nettest"
)

func TestConnectionsOfAPipeAreAsThoseOfANetwork(t *testing.T) {
	nettest.TestConn(t, func() (net.Conn, net.Conn, func(), error) {
		here, there := newConns()
		return here, there, func() { here.Close(); there.Close() }, nil
	})
}

// say calls the stand-in as any client would, and gives what it answers.
func say(t *testing.T, tg *Telegram, method, token string, form url.Values) string {
	t.Helper()
	r := httptest.NewRequest("POST", "/bot"+token+"/"+method, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	w := httptest.NewRecorder()
	tg.ServeHTTP(w, r)
	var answer struct {
		OK          bool
		Code        int `json:"error_code"`
		Description string
		Parameters  map[string]int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &answer); err != nil || answer.OK != (w.Code == 200) || !answer.OK && answer.Code != w.Code {
		t.Fatalf("%d %s (%v)", w.Code, w.Body, err)
	}
	if answer.OK {
		return "ok"
	}
	text := fmt.Sprint(answer.Code, " ", answer.Description)
	for k, v := range answer.Parameters {
		text += fmt.Sprint(" ", k, " ", v)
	}
	return text
}

func TestTelegramRefusesWhatTelegramRefuses(t *testing.T) {
	long := strings.Repeat("😀", 2048)
	for _, tt := range []struct{ method, token, form, want string }{
		{"getMe", "1:a", "", "ok"},
		{"getMe", "1:b", "", "401 Unauthorized"},
		{"getMe", "a", "", "404 Not Found"},
		{"getYou", "1:a", "", "404 Not Found"},
		{"getChat", "1:a", "chat_id=9", "400 Bad Request: chat not found"},
		{"sendMessage", "1:a", "chat_id=7&text=a", "ok"},
		{"sendMessage", "1:a", "chat_id=9&text=a", "400 Bad Request: chat not found"},
		{"sendMessage", "1:a", "chat_id=7&text=+", "400 Bad Request: message text is empty"},
		{"sendMessage", "1:a", "chat_id=7&text=<b></b>&parse_mode=HTML", "400 Bad Request: message text is empty"},
		{"sendMessage", "1:a", "chat_id=7&text=%ff", "400 Bad Request: strings must be encoded in UTF-8"},
		{"sendMessage", "1:a", "chat_id=7&text=" + long, "ok"},
		{"sendMessage", "1:a", "chat_id=7&parse_mode=HTML&text=<b>" + long + "</b>", "ok"},
		{"sendMessage", "1:a", "chat_id=7&text=a" + long, "400 Bad Request: message is too long"},
		{"sendMessage", "1:a", "chat_id=7&text=<br>", "ok"},
		{"sendMessage", "1:a", "chat_id=7&text=a<br>&parse_mode=HTML", `400 Bad Request: can't parse entities: Unsupported start tag "br" at byte offset 1`},
		{"sendMessage", "1:a", "chat_id=-3&text=a", "400 Bad Request: group chat was upgraded to a supergroup chat migrate_to_chat_id -4"},
		{"sendMessage", "1:a", "chat_id=-5&text=a&message_thread_id=1", "400 Bad Request: TOPIC_CLOSED"},
		{"sendMessage", "1:a", "chat_id=-5&text=a&message_thread_id=2", "400 Bad Request: message thread not found"},
		{"sendMessage", "1:a", "chat_id=6&text=a", "403 Forbidden: bot was blocked by the user"},
	} {
		tg := NewTelegram("1:a")
		tg.AddChat(6, "Rival")
		tg.AddChat(7, "Budi")
		tg.AddChat(-3, "Grup")
		tg.AddChat(-5, "Forum", 1)
		tg.Migrate(-3, -4, "Grup")
		tg.CloseTopic(-5, 1)
		tg.Bar(6, "bot was blocked by the user")
		form, err := url.ParseQuery(tt.form)
		if err != nil {
			t.Fatal(err)
		}
		if got := say(t, tg, tt.method, tt.token, form); got != tt.want {
			t.Errorf("%s %.60s: %s, want %s", tt.method, tt.form, got, tt.want)
		}
	}
}

func TestTelegramRefusesWhatComesTooFast(t *testing.T) {
	for name, tt := range map[string]struct {
		chats, n int
		pause    time.Duration
		first    int64
		want     string
	}{
		"two a second to a chat":           {1, 2, 0, 7, "429 Too Many Requests: retry after 1 retry_after 1"},
		"one a second to a chat":           {1, 100, time.Second, 7, "ok"},
		"twenty-one a minute to a group":   {1, 21, time.Second, -7, "429 Too Many Requests: retry after 40 retry_after 40"},
		"twenty a minute to a group":       {1, 100, 3 * time.Second, -7, "ok"},
		"thirty-one a second to as many":   {31, 31, 0, 100, "429 Too Many Requests: retry after 1 retry_after 1"},
		"thirty a second to as many chats": {30, 30, 0, 100, "ok"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tg := NewTelegram("1:a")
				for i := range tt.chats {
					tg.AddChat(tt.first+int64(i), "x")
				}
				got := ""
				for i := range tt.n {
					got = say(t, tg, "sendMessage", "1:a", url.Values{"chat_id": {fmt.Sprint(tt.first + int64(i%tt.chats))}, "text": {"a"}})
					time.Sleep(tt.pause)
				}
				if _, limited := tg.Calls(); got != tt.want || (limited == 0) != (got == "ok") {
					t.Errorf("the last is answered with %s, %d were too many", got, limited)
				}
			})
		})
	}
}
