package conf

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// What in rules.yaml is followed by a secret that should have been a ${NAME}: a key
// that is named so, the login in an address, a parameter of one.
var (
	secretKey   = regexp.MustCompile(`(?i)(?:secrets?|pass(?:word|wd|phrase)?|pwd|sandi|token|key|bearer|authorization|cookie)["']?: *`)
	secretLogin = regexp.MustCompile(`(://[^/\s:@"']*:)([^\s@"']+)(@)`)
	secretParam = regexp.MustCompile(`(?i)([?&][\w.-]*(?:secret|passw|token|key|sign)[\w.-]*=)([^&\s"']+)()`)
	listItem    = regexp.MustCompile(`^( *)- +`)
)

// reach is how far from its spot a problem's line is looked at, in characters, and
// above it, in lines.
const reach = 4096

// nearby is the problem's line, or what of a very long one is near the spot, with
// its secrets hidden character for character; and where the spot is in it.
func (p Problem) nearby() (line []rune, at int) {
	line = []rune(p.text)
	at = min(p.Place.Col-1, len(line))
	from, to := max(0, at-reach), min(len(line), at+reach)
	near := string(line[from:to])
	if m := listItem.FindString(near); m != "" && from == 0 && p.file.holdsSecrets(p.Place.Line) {
		near = m + stars(near[len(m):])
	}
	return []rune(masked(near)), at - from
}

// holdsSecrets reports whether the list that the n-th line is an item of stands
// under a key that is named as secrets are.
func (f *File) holdsSecrets(n int) bool {
	dash := leading(f.line(n))
	for last := max(0, n-reach); n > last+1; {
		n--
		line := f.line(n)
		above, isItem := strings.TrimSpace(line), listItem.MatchString(line)
		if above == "" || above[0] == '#' || leading(line) > dash || isItem && leading(line) == dash {
			continue
		}
		return secretKey.MatchString(above + " ")
	}
	return false
}

func masked(line string) string {
	for _, in := range []*regexp.Regexp{secretLogin, secretParam} {
		line = in.ReplaceAllStringFunc(line, func(s string) string {
			m := in.FindStringSubmatch(s)
			return m[1] + stars(m[2]) + m[3]
		})
	}
	var b strings.Builder
	for m := secretKey.FindStringIndex(line); m != nil; m = secretKey.FindStringIndex(line) {
		value := secretAt(line[m[1]:])
		b.WriteString(line[:m[1]])
		b.WriteString(stars(value))
		line = line[m[1]+len(value):]
	}
	b.WriteString(line)
	return b.String()
}

func stars(s string) string { return strings.Repeat("*", utf8.RuneCountInString(s)) }

var (
	noSecret    = regexp.MustCompile(`^(?:\{|["']?\$\{\w+(?::-)?\}["']?)`) // a mapping, or the name of a variable
	quotedValue = regexp.MustCompile(`^("[^"\\]*"|'[^']*') *(?:[,}\]#]|$)`)
)

// secretAt is the secret that s begins with: a quoted one up to its quote, anything
// else to the end of the line, which is rather too much than not enough.
func secretAt(s string) string {
	if noSecret.MatchString(s) {
		return ""
	}
	if m := quotedValue.FindStringSubmatch(s); m != nil {
		return m[1]
	}
	return s
}
