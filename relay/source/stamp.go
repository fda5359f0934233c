package source

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay/lang"
)

// A stamp is a signed time that must be near.
type stamp struct {
	value     *expression
	unit      string
	tolerance time.Duration
}

func compileStamp(st *timestampSettings) *stamp {
	oneOf("unit", st.Unit, "s", "ms", "rfc3339")
	if st.Tolerance <= 0 {
		st.Value.Node.Problem("a timestamp's tolerance must be more than 0, such as 5m")
	}
	return &stamp{compile(st.Value, lang.Text, noFields, noSecret, noStamp), st.Unit.Text, st.Tolerance}
}

// check sets ts, and refuses a time that is not near.
func (st *stamp) check(v *vars, now time.Time) *refusal {
	text, ok := st.value.text(v)
	if !ok || text == "" {
		return &refusal{untimely, "timestamp missing"}
	}
	v.Ts = text
	at, err := parseStamp(text, st.unit)
	if err != nil {
		return &refusal{untimely, "timestamp malformed"}
	}
	if off := now.Sub(at).Abs(); off > st.tolerance {
		return &refusal{untimely, fmt.Sprintf("timestamp off by %v, more than %v", off.Round(time.Second), st.tolerance)}
	}
	return nil
}

var errNoTime = errors.New("no time")

func parseStamp(text, unit string) (time.Time, error) {
	if unit == "rfc3339" {
		return time.Parse(time.RFC3339, text)
	}
	if len(text) > 16 || strings.Trim(text, "0123456789") != "" {
		return time.Time{}, errNoTime
	}
	n, err := strconv.ParseInt(text, 10, 64)
	if unit == "ms" {
		return time.UnixMilli(n), err
	}
	return time.Unix(n, 0), err
}

// write is the inverse of parseStamp.
func (st *stamp) write(now time.Time) string {
	switch st.unit {
	case "ms":
		return strconv.FormatInt(now.UnixMilli(), 10)
	case "rfc3339":
		return now.Format(time.RFC3339)
	}
	return strconv.FormatInt(now.Unix(), 10)
}
