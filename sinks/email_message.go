package sinks

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"html"
	"regexp"
	"slices"
	"strings"
	"time"

	mail "github.com/wneessen/go-mail"

	"github.com/kurir-relay/kurir/relay"
)

// An identity is what a mail is known by.
type identity struct {
	message  string // its own: the left part of the Message-ID
	order    string // that of the order it is about; "" if it is about several
	delivery string // "" if it is several
}

// identify names the mail of the parcels: the same name at each attempt. A
// digest of others has another name, so that no mailbox takes it for a
// repetition. All mails about one order name the order.
func (e *email) identify(parcels []relay.Parcel) identity {
	ids := deliveries(parcels)
	id := ids[0]
	if len(ids) > 1 {
		return identity{message: hashOf(ids...) + ".digest"} // short: a header that fits its line is not folded
	}
	c := parcels[0].Callback
	if c.RefID == "" {
		return identity{message: id, delivery: id}
	}
	return identity{message: id, delivery: id, order: "order." + hashOf(c.Source, c.RefID)}
}

// deliveries are the ids of the parcels in an order of their own.
func deliveries(parcels []relay.Parcel) (ids []string) {
	for _, p := range parcels {
		ids = append(ids, p.Delivery.ID.String())
	}
	slices.Sort(ids)
	return ids
}

func hashOf(texts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(texts, "\x00")))
	return hex.EncodeToString(sum[:12])
}

// compose makes a mail. Mails about one order refer to the same message, that
// never was, by which mail programs put them together.
func (e *email) compose(w words, id identity) *mail.Msg {
	_, host, _ := strings.Cut(e.from.Address, "@")
	m := mail.NewMsg(mail.WithNoDefaultUserAgent())
	m.FromMailAddress(e.from)
	m.SetAddrHeaderFromMailAddress(mail.HeaderTo, e.to...)
	m.SetAddrHeaderFromMailAddress(mail.HeaderCc, e.cc...)
	m.Subject(clip(strings.ReplaceAll(w.Subject, "=?", "= ?"), maxLine)) // data that looks encoded would be decoded
	m.SetDateWithValue(time.Now().In(cmp.Or(e.place.Location, time.UTC)))
	m.SetMessageIDWithValue(id.message + "@" + host)
	m.SetGenHeader("Auto-Submitted", "auto-generated")
	m.SetGenHeader(mail.HeaderXAutoResponseSuppress, "All")
	m.SetGenHeader(mail.HeaderUserAgent, strings.TrimSpace("Kurir "+e.place.Version))
	if id.delivery != "" {
		m.SetGenHeader("Kurir-Delivery-Id", id.delivery)
	}
	if id.order != "" {
		m.SetGenHeader(mail.HeaderInReplyTo, "<"+id.order+"@"+host+">")
		m.SetGenHeader(mail.HeaderReferences, "<"+id.order+"@"+host+">")
	}
	m.SetBodyString(mail.TypeTextPlain, mailText(w.Text))
	m.AddAlternativeString(mail.TypeTextHTML, mailHTML(w.Text))
	return m
}

var (
	htmlTag   = regexp.MustCompile(`</?([A-Za-z][A-Za-z0-9-]*)[^<>]*>`)
	htmlHref  = regexp.MustCompile(`(?i)\shref\s*=\s*["']?([^"'\s>]*)`)
	htmlBlock = regexp.MustCompile(`(?i)<(br|p|div|table|ul|ol|h[1-6])[\s/>]`)
)

// htmlEnds are the elements whose end ends a line.
var htmlEnds = []string{"p", "div", "tr", "li", "table", "h1", "h2", "h3", "h4", "h5", "h6"}

// mailText is the text part of a mail whose words are HTML: tags go, entities
// are decoded, and links keep their address.
func mailText(s string) string {
	var b strings.Builder
	href, from, at := "", 0, 0
	for _, m := range htmlTag.FindAllStringSubmatchIndex(s, -1) {
		b.WriteString(html.UnescapeString(s[at:m[0]]))
		tag, name := s[m[0]:m[1]], strings.ToLower(s[m[2]:m[3]])
		end := tag[1] == '/'
		at = m[1]
		switch {
		case name == "br" || end && slices.Contains(htmlEnds, name):
			b.WriteString("\n")
			at += len(s[at:]) - len(strings.TrimPrefix(s[at:], "\n"))
		case name == "a" && !end:
			href, from = hrefOf(tag), b.Len()
		case name == "a" && href != "" && b.String()[from:] != href:
			b.WriteString(" (" + href + ")")
			href = ""
		}
	}
	b.WriteString(html.UnescapeString(s[at:]))
	return strings.TrimSpace(b.String())
}

func hrefOf(tag string) string {
	if m := htmlHref.FindStringSubmatch(tag); m != nil {
		return html.UnescapeString(m[1])
	}
	return ""
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
