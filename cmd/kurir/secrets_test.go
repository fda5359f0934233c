package main

import "testing"

// An .env that was copied and not filled in sets its variables to nothing.
func TestASecretIsMadeForAnEmptyVariableToo(t *testing.T) {
	t.Chdir(t.TempDir())
	t.Setenv("ISIKUOTA_SECRET_KEY", "")
	save(t, "rules.yaml", `
sources:
  isikuota: {preset: isikuota, secret: "${ISIKUOTA_SECRET_KEY}"}
sinks: {all: {log: {}}}
rules: [{name: all, to: [all]}]
`)
	admin, end := beginDaemon(t, "run", "--make-secrets")
	t.Setenv("KURIR_ADMIN", admin)
	mustRun(t, "send", "order.failed")
	end()
	_, end = beginDaemon(t, "run")
	end()
}
