package conf

import (
	"fmt"
	"io"
	"strings"

	"golang.org/x/text/width"
)

// How a problem looks on a terminal.
const (
	bold, dim, red, yellow, cyan, plain = "\x1b[1m", "\x1b[2m", "\x1b[31m", "\x1b[33m", "\x1b[36m", "\x1b[0m"
)

// Render prints each problem with the line it is on, a caret under the spot,
// and what to write instead.
func Render(w io.Writer, ps Problems, color bool) {
	paint := func(style, s string) string {
		if !color || s == "" {
			return s
		}
		return style + s + plain
	}
	for _, p := range ps {
		mark, style := "", red
		if p.Warning {
			mark, style = "warning: ", yellow
		}
		fmt.Fprintf(w, "%s %s%s%s\n", paint(bold, fmt.Sprintf("%s:%d:%d:", p.File, p.Place.Line, p.Place.Col)),
			paint(style, mark), p.Message, paint(cyan, prefixed(": ", p.Hint)))
		if p.text == "" {
			continue
		}
		line, caret := p.excerpt()
		fmt.Fprintf(w, "%s%s\n", paint(dim, fmt.Sprintf("%6d | ", p.Place.Line)), line)
		fmt.Fprintf(w, "%s%s\n", paint(dim, "       | "), paint(style, caret))
	}
}

func prefixed(prefix, s string) string {
	if s == "" {
		return ""
	}
	return prefix + s
}

// excerptWidth is how much of a line is shown, in characters.
const excerptWidth = 110

// excerpt gives the line, or the part of a long one that matters, and the line
// with the caret to print below.
func (p Problem) excerpt() (line, caret string) {
	runes, at := p.nearby()
	from := 0
	if len(runes) > excerptWidth {
		from = max(0, min(at-excerptWidth/2, len(runes)-excerptWidth))
	}
	to := min(len(runes), from+excerptWidth)
	span := runes[at:min(max(at+p.Len, at+1), max(to, at), len(runes))]
	return visible(runes[from:to]), blanks(runes[from:at]) + strings.Repeat("^", max(1, columns(span)))
}

// visible has no character that would move the cursor or hide others, but tabs.
func visible(rs []rune) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' && r != '\t' || r >= 0x7f && r < 0xa0 || r >= 0x202a && r <= 0x202e || r >= 0x2066 && r <= 0x2069 {
			return '\ufffd'
		}
		return r
	}, string(rs))
}

// blanks is as wide as the text.
func blanks(rs []rune) string {
	var b strings.Builder
	for _, r := range rs {
		if r == '\t' {
			b.WriteByte('\t')
		} else {
			b.WriteString(strings.Repeat(" ", columns([]rune{r})))
		}
	}
	return b.String()
}

// columns is how wide a text is on a terminal.
func columns(rs []rune) (n int) {
	for _, r := range rs {
		switch k := width.LookupRune(r).Kind(); {
		case r == 0x200d || r >= 0xfe00 && r <= 0xfe0f || r >= 0x300 && r <= 0x36f: // joins or changes the one before
		case k == width.EastAsianWide || k == width.EastAsianFullwidth:
			n += 2
		default:
			n++
		}
	}
	return n
}
