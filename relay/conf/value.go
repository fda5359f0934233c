package conf

import (
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var reference = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// expand replaces ${NAME} and ${NAME:-default}; $${NAME} stands for itself.
func (n Node) expand(text string) (out string, def bool) {
	out = reference.ReplaceAllStringFunc(text, func(ref string) string {
		if strings.HasPrefix(ref, "$$") {
			return ref[1:]
		}
		m := reference.FindStringSubmatch(ref)
		if v, ok := n.f.lookup(m[1]); ok && (v != "" || m[2] == "") {
			return v
		}
		if m[2] == "" {
			n.ReportAt(strings.Index(text, ref), Problem{Len: len(ref), Message: ref + " is not set in the environment",
				Hint: "set it, or write ${" + m[1] + ":-} if it may be empty"})
			return ""
		}
		def = ref == text
		return m[3]
	})
	return out, def
}

// decodeFiles reads the secrets a key_file names; a trailing newline is trimmed.
func (n Node) decodeFiles(v reflect.Value) {
	for _, item := range n.Items() {
		name, _ := item.Text()
		text, err := os.ReadFile(name)
		if err != nil {
			item.Problem("cannot read the secret: %v", err)
			continue
		}
		s := reflect.ValueOf(Secret{text: strings.TrimRight(string(text), "\r\n"), Node: item})
		if v.Kind() == reflect.Slice {
			v.Set(reflect.Append(v, s))
		} else {
			v.Set(s)
		}
	}
}

var durationPart = regexp.MustCompile(`^(\d+(?:\.\d+)?)(ms|s|m|h|d|w)`)

var units = map[string]time.Duration{"ms": time.Millisecond, "s": time.Second, "m": time.Minute,
	"h": time.Hour, "d": 24 * time.Hour, "w": 7 * 24 * time.Hour}

// ParseDuration reads a positive time such as "30s", "1h30m", "30d" or "2w".
func ParseDuration(s string) (d time.Duration, err error) {
	bad := fmt.Errorf("%q is no duration: write a number and a unit (s m h d w), such as 30s or 1h30m", s)
	if s == "0" {
		return 0, nil
	}
	for rest := s; rest != ""; {
		m := durationPart.FindStringSubmatch(rest)
		if m == nil {
			return 0, bad
		}
		f, err := strconv.ParseFloat(m[1], 64)
		if err != nil || f*float64(units[m[2]]) > float64(1<<62) {
			return 0, bad
		}
		d += time.Duration(f * float64(units[m[2]]))
		rest = rest[len(m[0]):]
	}
	if s == "" || d < 0 {
		return 0, bad
	}
	return d, nil
}

// Unknown reports a name that is not among those known, with the nearest one.
func (n Node) Unknown(what, name string, known []string) { n.unknown(what, name, known) }

func (n Node) unknown(what, name string, known []string) {
	p := Problem{Len: len(name), Message: fmt.Sprintf("unknown %s %q", what, name)}
	if near := Nearest(name, known); near != "" {
		p.Hint = fmt.Sprintf("did you mean %q?", near)
	}
	n.Report(p)
}

// Nearest gives the known name most like name, or "" if none is near.
func Nearest(name string, known []string) string {
	best, near := 1+max(1, len(name)/3), ""
	for _, k := range known {
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < best {
			best, near = d, k
		}
	}
	return near
}

// distance is the number of letters to insert, delete, change or swap
// (optimal string alignment) between a and b.
func distance(a, b string) int {
	prev2, prev, cur := []int(nil), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range prev {
		prev[j] = j
	}
	for i := 1; i <= len(a); i++ {
		cur[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			cur[j] = min(prev[j]+1, cur[j-1]+1, prev[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				cur[j] = min(cur[j], prev2[j-2]+1)
			}
		}
		prev2, prev, cur = prev, cur, make([]int, len(b)+1)
	}
	return prev[len(b)]
}
