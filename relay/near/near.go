// Package near finds the name somebody meant by a misspelt one.
package near

import "strings"

// maxName bounds the work: a longer name is near to nothing.
const maxName = 80

// Nearest gives the known name most like name, in any case of its letters, or
// "" if none is near: at most a third of its letters may differ, and one always.
func Nearest(name string, known []string) string {
	if len(name) > maxName {
		return ""
	}
	best, found := 1+max(1, len(name)/3), ""
	for _, k := range known {
		if len(k) > maxName {
			continue
		}
		if d := distance(strings.ToLower(name), strings.ToLower(k)); d < best {
			best, found = d, k
		}
	}
	return found
}

// distance is the number of letters to insert, delete, change or swap
// (optimal string alignment) between a and b.
func distance(a, b string) int {
	prev2, prev, cur := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
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
		prev2, prev, cur = prev, cur, prev2
	}
	return prev[len(b)]
}
