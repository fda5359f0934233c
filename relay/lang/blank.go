package lang

import "strings"

// Blank gives a template's source with each {{ expression }} replaced by as
// many fillers, so that what is found in the rest stands where it was. What
// follows an expression without an end is kept.
func Blank(src string, filler byte) string {
	out := []byte(src)
	for at := 0; ; {
		open := strings.Index(src[at:], "{{")
		if open < 0 {
			return string(out)
		}
		open += at
		end, mistake := closing(src, open)
		if mistake != nil {
			return string(out)
		}
		at = end + 2
		for i := open; i < at; i++ {
			out[i] = filler
		}
	}
}
