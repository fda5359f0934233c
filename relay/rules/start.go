package rules

import (
	"embed"
	"io/fs"
)

//go:embed start
var start embed.FS

// A StartFile is a file of a new set-up.
type StartFile struct {
	Name    string // in the directory of rules.yaml
	Content []byte
}

// Start gives the files that kurir init writes: rules.yaml with its schema, a
// passing test, and what to set in the environment.
func Start() (files []StartFile) {
	for _, f := range []struct{ name, from string }{
		{"rules.yaml", "rules.yaml"}, {"rules_test.yaml", "rules_test.yaml"}, {".env.example", "env.example"},
	} {
		content, err := fs.ReadFile(start, "start/"+f.from)
		if err != nil {
			panic(err) // it is part of the program
		}
		files = append(files, StartFile{f.name, content})
	}
	return append(files, StartFile{"rules.schema.json", Schema()})
}
