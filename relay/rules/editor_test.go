package rules_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/kurir-relay/kurir/relay/rules"
)

// server is what editors check YAML with.
const server = "yaml-language-server@1.19.2"

// languageServer gives a directory that has the language server, out of
// .cache/ if it is there.
func languageServer(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("../../.cache/" + server)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, "node_modules")); err == nil {
		return dir
	}
	if _, err := exec.LookPath("npm"); err != nil {
		t.Skip("NOT TESTED: what editors make of the schema, because npm is not installed")
	}
	install := exec.Command("npm", "install", "--prefix", dir, "--no-audit", "--no-fund", "--ignore-scripts", server)
	if out, err := install.CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		t.Skipf("NOT TESTED: what editors make of the schema, because npm cannot install %s: %v\n%s", server, err, out)
	}
	return dir
}

// An editor marks nothing in a good file, and something in each of those with a
// mistake that a schema can know.
func TestAnEditorMarksMistakes(t *testing.T) {
	dir := languageServer(t)
	schema := filepath.Join(t.TempDir(), "rules.schema.json")
	write(t, schema, string(rules.Schema()))
	good := []string{"../../rules.example.yaml", "start/rules.yaml"}
	var bad []string
	for _, name := range []string{"key-top", "key-source", "key-sink", "key-kind", "key-telegram", "key-rule", "key-log", "key-test",
		"key-digest", "value-duration", "value-rate", "value-bool", "value-number", "value-quiet-time", "value-text-is-list",
		"sink-two-kinds", "sink-without-kind", "name-rule-missing", "no-rules", "yaml-quote-open", "yaml-tab"} {
		bad = append(bad, "../../testdata/broken/"+name+".yaml")
	}
	args := append([]string{"testdata/editor.cjs", dir, schema}, append(good, bad...)...)
	out, err := exec.Command("node", args...).Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	var said map[string][]string
	if err := json.Unmarshal(out, &said); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	for _, file := range good {
		if len(said[file]) > 0 {
			t.Errorf("%s: %q", file, said[file])
		}
	}
	for _, file := range bad {
		if len(said[file]) == 0 {
			t.Errorf("%s: nothing is marked", file)
		}
	}
}
