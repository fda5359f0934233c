package main

import (
	"encoding/json"
	"fmt"
	"io"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/relay"
)

// printJSON writes v as one line of JSON.
func (c *cli) printJSON(v any) error {
	enc := json.NewEncoder(c.out)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// The colours of what is printed.
const (
	red    = "\x1b[31m"
	green  = "\x1b[32m"
	yellow = "\x1b[33m"
	dim    = "\x1b[2m"
	bold   = "\x1b[1m"
)

// paint colours a text, if there is a terminal to see it.
func (c *cli) paint(style, text string) string {
	if style == "" || text == "" || !colored(c.out) {
		return text
	}
	return style + text + "\x1b[0m"
}

var stateStyles = map[relay.State]string{relay.Delivered: green, relay.Pending: yellow, relay.Dead: red}

// printable is a text of a provider's or a far side's on one line, with nothing
// in it that a terminal would obey.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case !unicode.IsGraphic(r) || unicode.Is(unicode.Cf, r):
			return '\ufffd'
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// shortened cuts a text to at most n characters.
func shortened(s string, n int) string {
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// at writes a time for people: the day only if it is not today.
func at(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	t = t.Local()
	if y, d := t.Year(), t.YearDay(); y == time.Now().Year() && d == time.Now().YearDay() {
		return t.Format("15:04:05")
	}
	return t.Format("2006-01-02 15:04:05")
}

// took writes a duration with as many digits as matter.
func took(ms float64) string {
	d := time.Duration(ms * float64(time.Millisecond))
	switch {
	case d < 10*time.Millisecond:
		return d.Round(10 * time.Microsecond).String()
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Millisecond).String()
}

// count writes "1 callback", "2 callbacks".
func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}

// size writes a number of bytes for people.
func size(n int64) string {
	units := []string{"bytes", "KiB", "MiB", "GiB", "TiB"}
	f, i := float64(n), 0
	for ; f >= 1024 && i < len(units)-1; i++ {
		f /= 1024
	}
	if i == 0 {
		return fmt.Sprint(n, " bytes")
	}
	return fmt.Sprintf("%.1f %s", f, units[i])
}

// A table lines up what is printed in columns; the first row is the head.
type table struct {
	rows   [][]string
	styles map[[2]int]string // of cells, by row and column
}

func (t *table) add(cells ...string) int {
	t.rows = append(t.rows, cells)
	return len(t.rows) - 1
}

// style colours the cell of a row.
func (t *table) style(row, column int, style string) {
	if t.styles == nil {
		t.styles = map[[2]int]string{}
	}
	t.styles[[2]int{row, column}] = style
}

func (t *table) print(c *cli) {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	for r, row := range t.rows {
		var line strings.Builder
		for i, cell := range row {
			style := t.styles[[2]int{r, i}]
			if r == 0 {
				style = dim
			}
			line.WriteString(c.paint(style, cell))
			if i < len(row)-1 {
				line.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
			}
		}
		io.WriteString(c.out, strings.TrimRight(line.String(), " ")+"\n")
	}
}
