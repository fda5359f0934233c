package main

import (
	"bufio"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kurir-relay/kurir/relay/conf"
)

// secretsFile holds, in the data directory, the variables that --make-secrets made,
// as NAME=value lines. Every command uses them where the environment has none.
const secretsFile = "secrets.env"

func (c *cli) secretsPath() string { return filepath.Join(c.data, secretsFile) }

// lookup gives a variable of the environment or, where that has none or an empty
// one, as in an .env that is not filled in, of the secrets in the data directory.
func (c *cli) lookup(name string) (string, bool) {
	v, ok := os.LookupEnv(name)
	if v != "" {
		return v, true
	}
	if kept, isKept := c.kept()[name]; isKept {
		return kept, true
	}
	return v, ok
}

// kept reads the secrets in the data directory; without a file there are none.
func (c *cli) kept() map[string]string {
	f, err := os.Open(c.secretsPath())
	if err != nil {
		return nil
	}
	defer f.Close()
	vars := map[string]string{}
	for lines := bufio.NewScanner(f); lines.Scan(); {
		line := strings.TrimPrefix(strings.TrimSpace(lines.Text()), "export ")
		name, value, ok := strings.Cut(line, "=")
		if ok && !strings.HasPrefix(line, "#") {
			vars[strings.TrimSpace(name)] = strings.Trim(strings.TrimSpace(value), `"'`)
		}
	}
	return vars
}

// hideSecrets takes the rights of others from the secrets in the data directory,
// which a copy may have given them.
func (c *cli) hideSecrets() error {
	info, err := os.Stat(c.secretsPath())
	if err != nil || info.Mode().Perm()&0o077 == 0 {
		return nil
	}
	if err := os.Chmod(c.secretsPath(), 0o600); err != nil {
		return fmt.Errorf("secrets that others may read: %w", err)
	}
	return nil
}

// missingSecrets names the variables that stand as secrets of sources in the rules,
// have no default, and are not set or empty.
func (c *cli) missingSecrets() (names []string) {
	var unset []string
	file := conf.Read(c.config, func(name string) (string, bool) {
		v, ok := c.lookup(name)
		if v == "" {
			unset = append(unset, name)
		}
		return v, ok
	})
	for _, secret := range sourceSecrets(file) {
		unset = nil
		if _, def := secret.Text(); !def {
			names = append(names, unset...)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// sourceSecrets are the secrets of all sources, as they stand in the rules.
func sourceSecrets(file *conf.File) (all []conf.Node) {
	for _, source := range file.Root().Get("sources").Entries() {
		all = append(all, source.Value.Get("secret"))
		all = append(all, source.Value.Get("secrets").Items()...)
	}
	return slices.DeleteFunc(all, func(n conf.Node) bool { return n.Kind() != "scalar" })
}

// makeSecrets makes a secret for each name and keeps them in the data directory.
func (c *cli) makeSecrets(names []string) error {
	if len(names) == 0 {
		return nil
	}
	if err := os.MkdirAll(c.data, 0o700); err != nil {
		return fmt.Errorf("make secrets: %w", err)
	}
	var text strings.Builder
	if _, err := os.Stat(c.secretsPath()); errors.Is(err, fs.ErrNotExist) {
		text.WriteString("# Secrets that kurir made. The environment goes before them.\n")
	}
	for _, name := range names {
		var key [32]byte
		rand.Read(key[:])
		text.WriteString(name + "=" + hex.EncodeToString(key[:]) + "\n")
	}
	f, err := os.OpenFile(c.secretsPath(), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err == nil {
		_, err = f.WriteString(text.String())
		err = errors.Join(err, f.Sync(), f.Close())
	}
	if err != nil {
		return fmt.Errorf("make secrets: %w", err)
	}
	return nil
}
