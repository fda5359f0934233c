package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kurir-relay/kurir/relay/near"
)

var reference = regexp.MustCompile(`\$?\$\{([A-Za-z_][A-Za-z0-9_]*)(:-([^}]*))?\}`)

// An expansion is a scalar's text with ${NAME} replaced, and where each part of
// it stood before.
type expansion struct {
	text  string
	def   bool   // the whole text came from a default
	parts []part // in order
	unset []part // names that are not set, and have no default
}

// A part of an expanded text: out in the text stands for in of the scalar's value.
type part struct{ out, in, outLen, inLen int }

// expansion replaces ${NAME} and ${NAME:-default}; $${NAME} stands for ${NAME}.
func (n Node) expansion() (x expansion) {
	raw, at := n.y.Value, 0
	var b strings.Builder
	for _, m := range reference.FindAllStringSubmatchIndex(raw, -1) {
		b.WriteString(raw[at:m[0]])
		p := part{out: b.Len(), in: m[0], inLen: m[1] - m[0]}
		text, def, ok := n.f.replace(raw, m)
		b.WriteString(text)
		p.outLen = len(text)
		x.parts = append(x.parts, p)
		if !ok {
			x.unset = append(x.unset, p)
		}
		x.def = def && p.inLen == len(raw)
		at = m[1]
	}
	b.WriteString(raw[at:])
	x.text = b.String()
	return x
}

// replace gives the text for the reference that m found in raw; ok is false for
// a name that is not set and has no default.
func (f *File) replace(raw string, m []int) (text string, def, ok bool) {
	if strings.HasPrefix(raw[m[0]:], "$$") {
		return raw[m[0]+1 : m[1]], false, true
	}
	v, set := f.lookup(raw[m[2]:m[3]])
	if set && (v != "" || m[4] < 0) {
		return v, false, true
	}
	if m[4] < 0 {
		return "", false, false
	}
	return raw[m[6]:m[7]], true, true
}

// within maps an offset of the expanded text to the scalar's value.
func (x expansion) within(offset int) int {
	shift := 0
	for _, p := range x.parts {
		if offset < p.out {
			break
		}
		if offset < p.out+p.outLen {
			return p.in
		}
		shift = p.in + p.inLen - p.out - p.outLen
	}
	return offset + shift
}

// decodeFiles reads the secrets a key_file names; a trailing newline is trimmed.
func (n Node) decodeFiles(v reflect.Value) {
	for _, item := range n.Items() {
		name, _ := item.Text()
		text, err := readSecret(name)
		if err != nil {
			item.unusable("cannot read the secret: %v", cause(err))
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

// maxSecret is how large a file with a secret may be, in bytes.
const maxSecret = 1 << 20

func readSecret(path string) ([]byte, error) {
	file, err := open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := readUpTo(file, maxSecret)
	if len(text) > maxSecret {
		return nil, fmt.Errorf("it is larger than %d bytes", maxSecret)
	}
	return text, err
}

// cause is what happened to a file, without its name.
func cause(err error) error {
	if pe, ok := errors.AsType[*fs.PathError](err); ok {
		return pe.Err
	}
	return err
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
func (n Node) Unknown(what, name string, known []string) {
	n.Report(Problem{Len: utf8.RuneCountInString(name), Message: fmt.Sprintf("unknown %s %q", what, name), Hint: DidYouMean(name, known), unusable: true})
}

// DidYouMean is the hint for a name that is not known: the nearest one, or all
// of them if they are few.
func DidYouMean(name string, known []string) string {
	if meant := near.Nearest(name, known); meant != "" {
		return fmt.Sprintf("did you mean %q?", meant)
	}
	known = slices.DeleteFunc(slices.Clone(known), func(k string) bool { return k == "" })
	if len(known) == 0 || len(known) > 12 {
		return ""
	}
	return "there is " + strings.Join(known, ", ")
}
