// Package overlay lays changes over the source for one build, without touching
// the tree.
package overlay

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// A Patch is a text in place of another, which stands once in a file. If Old is
// empty, New is a whole file that is not in the tree.
type Patch struct{ File, Old, New string }

// Write lays patches over the tree in the current directory. Its result, a file
// in dir, is what -overlay takes. A patch that does not apply is an error: the
// code has moved on, and so must the patch.
func Write(dir string, patches ...Patch) (file string, err error) {
	changed := map[string]string{} // contents by path
	for _, p := range patches {
		if err := p.apply(changed); err != nil {
			return "", err
		}
	}
	replace := map[string]string{}
	for path, text := range changed {
		laid := filepath.Join(dir, fmt.Sprintf("laid%d.go", len(replace)))
		if err := os.WriteFile(laid, []byte(text), 0o600); err != nil {
			return "", err
		}
		whole, err := filepath.Abs(path)
		if err != nil {
			return "", err
		}
		replace[whole] = laid
	}
	data, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	file = filepath.Join(dir, "overlay.json")
	return file, os.WriteFile(file, data, 0o600)
}

func (p Patch) apply(changed map[string]string) error {
	if p.Old == "" {
		changed[p.File] = p.New
		return nil
	}
	text, ok := changed[p.File]
	if !ok {
		b, err := os.ReadFile(p.File)
		if err != nil {
			return err
		}
		text = string(b)
	}
	if n := strings.Count(text, p.Old); n != 1 {
		return fmt.Errorf("%s has the text to replace %d times, not once: the code has moved on, and so must the patch:\n%s", p.File, n, p.Old)
	}
	changed[p.File] = strings.Replace(text, p.Old, p.New, 1)
	return nil
}
