package sinks

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// words are what a delivery tells a reader: the payload of the kinds that are
// read by people.
type words struct {
	Text    string   `json:"text"`              // HTML
	Line    string   `json:"line"`              // HTML on one line: its part of a digest
	Subject string   `json:"subject,omitempty"` // one line
	Product string   `json:"product"`           // what digests count
	Reason  string   `json:"reason,omitempty"`  // and what they count it by
	Silent  bool     `json:"silent,omitempty"`
	Buttons []button `json:"buttons,omitempty"`
}

// A button is a link under a message.
type button struct {
	Text string `json:"text"`
	URL  string `json:"url"`
}

// A wording is a Message, compiled; a nil template is the default.
type wording struct {
	text, line, subject *lang.Template
	limit               int // UTF-16 units that a text shows at most
}

func newWording(m Message, limit int) wording {
	return wording{text: compile(m.Text, lang.HTML), line: compile(m.Line, lang.HTML), subject: compile(m.Subject, lang.Line), limit: limit}
}

// compile gives nil for an empty template, and for a wrong one, which is reported.
func compile(s conf.String, to lang.Escape) *lang.Template {
	if strings.TrimSpace(s.Text) == "" {
		return nil
	}
	return template(lang.Message, s, to)
}

// render puts an occasion into words.
func (g wording) render(o Occasion) (w words, err error) {
	w = words{Product: clip(cmp.Or(fact(o.Vars.Data, productKeys), o.Vars.Event, o.Vars.Source), 60),
		Reason: clip(fact(o.Vars.Data, reasonKeys), 120), Silent: o.Silent}
	if w.Text, err = renderOr(g.text, o, defaultText); err != nil {
		return words{}, err
	}
	if w.Line, err = renderOr(g.line, o, defaultLine); err != nil {
		return words{}, err
	}
	if w.Subject, err = renderOr(g.subject, o, defaultSubject); err != nil {
		return words{}, err
	}
	w.Line = strings.Join(strings.Fields(w.Line), " ")
	w.Subject = oneLine(w.Subject)
	if o.Failed != "" {
		w.undelivered(o.Failed, o.Reason)
	}
	w.Text, w.Line = shorten(w.Text, g.limit, cutNote), shorten(w.Line, 300, "…")
	return w, nil
}

// undelivered marks the words as those that a sink could not deliver.
func (w *words) undelivered(sink, why string) {
	sink, why = clip(sink, 60), clip(why, 500)
	w.Subject = oneLine(fmt.Sprintf("[gagal: %s] %s", sink, w.Subject))
	sink = lang.HTML.Text(sink)
	w.Text = fmt.Sprintf("⚠️ Gagal terkirim ke <b>%s</b>: %s\n\n%s", sink, lang.HTML.Text(why), w.Text)
	w.Line = fmt.Sprintf("⚠️ %s: %s", sink, w.Line)
}

// pack makes the words a payload.
func (w words) pack() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // it is full of tags, and no page
	err := e.Encode(w)
	return bytes.TrimSpace(b.Bytes()), err
}

// renderOr renders t; the default stands in for a template that is missing, or
// that has nothing to say.
func renderOr(t *lang.Template, o Occasion, def func(lang.Vars) string) (string, error) {
	if t == nil {
		return def(o.Vars), nil
	}
	s, err := t.Render(o.Vars)
	if err != nil {
		return "", err
	}
	if s = strings.TrimSpace(strings.ToValidUTF8(s, "\uFFFD")); isBlank(s) {
		return def(o.Vars), nil
	}
	return s, nil
}

// The keys under which the providers' `data` names things, best first.
var (
	productKeys  = []string{"product_name", "product", "produk", "product_code", "buyer_sku_code", "service", "layanan", "code"}
	customerKeys = []string{"customer_number", "customer_no", "customer_id", "target", "tujuan", "destination", "phone"}
	priceKeys    = []string{"price", "harga", "amount", "total_amount", "gross_amount"}
	snKeys       = []string{"sn", "serial_number"}
	reasonKeys   = []string{"message", "reason", "keterangan", "note", "status_message", "status", "rc"}
)

// fact is the first value that data has under one of the keys, as text; "" if
// there is none.
func fact(data any, keys []string) string {
	m, ok := data.(map[string]any)
	if !ok {
		return ""
	}
	for _, k := range keys {
		switch m[k].(type) {
		case nil, map[string]any, []any:
			continue
		}
		if s := strings.TrimSpace(lang.Print(m[k])); s != "" {
			return s
		}
	}
	return ""
}

// defaultText says what happened to which order, and what is known of it.
func defaultText(v lang.Vars) string {
	text := "<b>" + lang.HTML.Text(cmp.Or(v.Event, v.Source)) + "</b>"
	if v.RefID != "" {
		text += " " + lang.HTML.Text(clip(v.RefID, 200))
	}
	for _, f := range []struct{ label, value string }{{"Produk", fact(v.Data, productKeys)}, {"Tujuan", fact(v.Data, customerKeys)},
		{"Harga", rupiah(fact(v.Data, priceKeys))}, {"SN", fact(v.Data, snKeys)}, {"Keterangan", fact(v.Data, reasonKeys)}} {
		if f.value != "" {
			text += "\n" + f.label + ": " + lang.HTML.Text(clip(f.value, 500))
		}
	}
	return text
}

var wholeNumber = regexp.MustCompile(`^[1-9][0-9]{0,14}$`)

// rupiah writes an amount as Rp11.500. What is no whole number stays as it is.
func rupiah(amount string) string {
	if !wholeNumber.MatchString(amount) {
		return amount
	}
	for i := len(amount) - 3; i > 0; i -= 3 {
		amount = amount[:i] + "." + amount[i:]
	}
	return "Rp" + amount
}

// defaultLine is an order's line in a digest.
func defaultLine(v lang.Vars) string {
	line := fmt.Sprintf("<b>%s</b>", lang.HTML.Text(clip(cmp.Or(v.RefID, v.Event, v.Source), 80)))
	if to := fact(v.Data, customerKeys); to != "" {
		line += " → " + lang.HTML.Text(clip(to, 40))
	}
	if why := fact(v.Data, reasonKeys); why != "" {
		line += ": " + lang.HTML.Text(clip(why, 80))
	}
	return line
}

func defaultSubject(v lang.Vars) string {
	return strings.TrimSpace(cmp.Or(v.Event, v.Source) + " " + v.RefID)
}

// maxLine is how many characters a text in a header has at most.
const maxLine = 200

// oneLine makes a text fit for a header: what ends lines, controls the
// terminal or turns the direction of writing is a space, and it is at most
// maxLine characters.
func oneLine(s string) string {
	s = strings.Map(func(r rune) rune {
		if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) || unicode.Is(unicode.Zl, r) || unicode.Is(unicode.Zp, r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
	return clip(strings.Join(strings.Fields(s), " "), maxLine)
}

// clip shortens a text to n characters, the last of which is then an ellipsis.
func clip(s string, n int) string {
	if rs := []rune(s); len(rs) > n {
		return string(rs[:n-1]) + "…"
	}
	return s
}

// readWords gives what the parcels say as one message: their own words, or
// for several a digest that shows at most limit UTF-16 units.
func readWords(parcels []relay.Parcel, limit int) (words, error) {
	if len(parcels) == 1 {
		return unpack(parcels[0])
	}
	all := make([]told, len(parcels))
	for i, p := range parcels {
		w, err := unpack(p)
		if err != nil {
			w.Line = lang.HTML.Text(err.Error())
		}
		all[i] = told{w, orderOf(p)}
	}
	return digest(all, limit), nil
}

// orderOf tells orders apart, also those of two sources that count alike.
func orderOf(p relay.Parcel) string {
	if p.Callback.RefID == "" {
		return p.Delivery.ID.String()
	}
	return p.Callback.Source + " " + p.Callback.RefID
}

func unpack(p relay.Parcel) (w words, err error) {
	if err := json.Unmarshal(p.Delivery.Payload, &w); err != nil {
		return words{}, relay.Permanent(fmt.Errorf("the stored message of %s cannot be read: %w", p.Delivery.ID, err))
	}
	return w, nil
}

// told are the words about an order.
type told struct {
	words
	order string
}

// digest makes one message of many: how many, counts by product and reason,
// and the latest line of each order, as many as fit. The counts take half of the
// room at most: reasons may be long, and differ from order to order.
func digest(all []told, limit int) words {
	d := words{Silent: true, Subject: fmt.Sprintf("%d notifikasi", len(all))}
	lines := map[string]string{}
	var orders []string
	for _, t := range all {
		d.Silent = d.Silent && t.Silent
		if _, ok := lines[t.order]; !ok {
			orders = append(orders, t.order)
		}
		lines[t.order] = t.Line
	}
	d.Text = fmt.Sprintf("<b>%s</b>\n%s\n", d.Subject, shorten(counts(all), limit/2, "\n…"))
	room := limit - units(d.Text)
	for i, o := range orders {
		line := "\n• " + digestLine(lines[o])
		more := fmt.Sprintf("\n+%d lainnya", len(orders)-i)
		if room -= units(line); room < units(more) {
			d.Text += more
			break
		}
		d.Text += line
	}
	return d
}

// digestLine is a line that does not break the message around it.
func digestLine(s string) string {
	if checkMarkup(s) != nil {
		return lang.HTML.Text(plainText(s))
	}
	return s
}

// What stands for those that are rare.
const (
	otherProducts = "produk lain"
	otherReasons  = "lainnya"
)

// counts says how often each product, and why: "Telkomsel 10.000 ×7: Nomor salah 5, Gangguan 2".
func counts(all []told) string {
	var products []string
	for _, t := range all {
		products = append(products, t.Product)
	}
	products = top(products, 10, otherProducts)
	reasons := map[string][]string{}
	for i, t := range all {
		reasons[products[i]] = append(reasons[products[i]], cmp.Or(t.Reason, "-"))
	}
	var lines []string
	for _, p := range tallied(products, otherProducts) {
		var why []string
		for _, r := range tallied(top(reasons[p.name], 4, otherReasons), otherReasons) {
			why = append(why, fmt.Sprintf("%s %d", lang.HTML.Text(r.name), r.n))
		}
		lines = append(lines, fmt.Sprintf("%s ×%d: %s", lang.HTML.Text(p.name), p.n, strings.Join(why, ", ")))
	}
	return strings.Join(lines, "\n")
}

// A tally is how often a name comes.
type tally struct {
	name string
	n    int
}

// tallied counts names, the most frequent first, and one at the end.
func tallied(names []string, last string) (ts []tally) {
	counts := map[string]int{}
	for _, name := range names {
		counts[name]++
	}
	for _, name := range slices.Sorted(maps.Keys(counts)) {
		ts = append(ts, tally{name, counts[name]})
	}
	slices.SortStableFunc(ts, func(a, b tally) int { return b.n - a.n })
	if i := slices.IndexFunc(ts, func(t tally) bool { return t.name == last }); i >= 0 {
		ts = append(slices.Delete(slices.Clone(ts), i, i+1), ts[i])
	}
	return ts
}

// top gives the names with another in place of those that are not among the n
// most frequent.
func top(names []string, n int, other string) (out []string) {
	ts := tallied(names, other)
	for _, name := range names {
		if i := slices.IndexFunc(ts, func(t tally) bool { return t.name == name }); i >= n {
			name = other
		}
		out = append(out, name)
	}
	return out
}

// burstOver says that a burst, and with it the digests, have ended.
func burstOver(b relay.Burst, zone *time.Location) words {
	since := b.Since
	if zone != nil {
		since = since.In(zone)
	}
	text := fmt.Sprintf("✅ Reda: %d notifikasi diringkas dalam %d pesan sejak %s.", b.Parcels, b.Digests, since.Format("15.04"))
	return words{Text: text, Subject: "Reda", Silent: true}
}
