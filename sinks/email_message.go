package sinks

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"

	mail "github.com/wneessen/go-mail"

	"github.com/kurir-relay/kurir/relay"
)

// compose makes the mail of the parcels. Its Message-ID comes from the first
// delivery, so it is the same at each attempt; mails about one order refer to
// the same message that never was, by which mail readers put them together.
func (e *email) compose(w words, parcels []relay.Parcel) (*mail.Msg, error) {
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(e.from)
	m.SetAddrHeaderFromMailAddress(mail.HeaderTo, e.to...)
	m.SetAddrHeaderFromMailAddress(mail.HeaderCc, e.cc...)
	m.Subject(w.Subject)
	m.SetDateWithValue(time.Now().In(zone(e.place.Location)))
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader(mail.HeaderXAutoResponseSuppress, "All")
	m.SetGenHeader(mail.HeaderUserAgent, strings.TrimSpace("Kurir "+e.place.Version))
	if len(parcels) > 0 {
		e.identify(m, parcels)
	}
	m.SetBodyString(mail.TypeTextPlain, mailText(w.Text))
	m.AddAlternativeString(mail.TypeTextHTML, mailHTML(w.Text))
	return m, nil
}

func zone(l *time.Location) *time.Location {
	if l == nil {
		return time.UTC
	}
	return l
}

func (e *email) identify(m *mail.Msg, parcels []relay.Parcel) {
	_, host, _ := strings.Cut(e.from.Address, "@")
	id := parcels[0].Delivery.ID.String()
	if len(parcels) > 1 {
		m.SetMessageIDWithValue(fmt.Sprintf("%s.digest@%s", id, host))
		return
	}
	m.SetMessageIDWithValue(id + "@" + host)
	m.SetGenHeader("Kurir-Delivery-Id", id)
	if c := parcels[0].Callback; c.RefID != "" {
		sum := sha256.Sum256([]byte(c.Source + "\x00" + c.RefID))
		thread := fmt.Sprintf("<order.%s@%s>", hex.EncodeToString(sum[:12]), host)
		m.SetGenHeader(mail.HeaderInReplyTo, thread)
		m.SetGenHeader(mail.HeaderReferences, thread)
	}
}

var (
	htmlLink  = regexp.MustCompile(`(?is)<a\s[^>]*?href\s*=\s*["']([^"']*)["'][^>]*>(.*?)</a>`)
	htmlBreak = regexp.MustCompile(`(?i)<br\s*/?>\n?|</(p|div|tr|h[1-6]|li|table)>\n?`)
	htmlTag   = regexp.MustCompile(`</?[A-Za-z][^<>]*>`)
	htmlBlock = regexp.MustCompile(`(?i)<(br|p|div|table|ul|ol|h[1-6])[\s/>]`)
)

// mailText is the text part of a mail whose words are HTML: links keep their
// address, tags go, entities are decoded.
func mailText(s string) string {
	s = htmlLink.ReplaceAllString(s, "$2 ($1)")
	s = htmlBreak.ReplaceAllString(s, "\n")
	return strings.TrimSpace(html.UnescapeString(htmlTag.ReplaceAllString(s, "")))
}

// mailHTML is the HTML part. Lines of a text without any layout of its own stay
// lines.
func mailHTML(s string) string {
	if !htmlBlock.MatchString(s) {
		s = breakLines(s)
	}
	return "<!DOCTYPE html>\n<html><head><meta charset=\"utf-8\"></head>\n<body style=\"font-family: sans-serif\">\n" + strings.TrimSpace(s) + "\n</body></html>\n"
}

// breakLines ends each line with <br>, except within <pre>.
func breakLines(s string) string {
	var b strings.Builder
	pre := false
	for line := range strings.Lines(s) {
		text := strings.TrimRight(line, "\r\n")
		b.WriteString(text)
		low := strings.ToLower(text)
		switch open, shut := strings.LastIndex(low, "<pre"), strings.LastIndex(low, "</pre"); {
		case open > shut:
			pre = true
		case shut > open:
			pre = false
		}
		if text != line && !pre {
			b.WriteString("<br>")
		}
		b.WriteString("\n")
	}
	return b.String()
}
