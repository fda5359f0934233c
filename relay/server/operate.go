package server

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
)

// A Reload is what a reload came to.
type Reload struct {
	Changes  rules.Change  `json:"changes"`
	Summary  string        `json:"summary"` // of the changes, as one line
	Warnings conf.Problems `json:"warnings,omitempty"`
	Rules    string        `json:"rules"` // the path of the file
	Hash     string        `json:"hash"`  // of the rules in force
}

// reload is refused with 422 and the problems, each with its place.
func (a *Admin) reload(*gin.Context) (any, error) {
	change, problems := a.Rules.Reload()
	if bad := problems.Errors(); len(bad) > 0 {
		err := fmt.Errorf("%s has mistakes, and the rules before stay in force: %w", a.Path, bad)
		return nil, &failure{http.StatusUnprocessableEntity, err, map[string]any{"problems": problems}}
	}
	return Reload{Changes: change, Summary: change.String(), Warnings: problems, Rules: a.Path, Hash: a.Rules.Set().Hash()}, nil
}

// A PruneResult is what was forgotten.
type PruneResult struct {
	Callbacks int `json:"callbacks"`
	Keys      int `json:"keys"`
}

func (a *Admin) prune(c *gin.Context) (any, error) {
	n, err := a.Prune(c.Request)
	return PruneResult{n.Callbacks, n.Keys}, err
}

// backup streams a copy of the store. If it fails in the middle, the connection
// breaks, so that nobody takes a part for the whole.
func (a *Admin) backup(c *gin.Context) (any, error) {
	store, ok := a.Store.(relay.Backuper)
	if !ok {
		return nil, &failure{status: http.StatusNotImplemented, err: errors.New("this store is backed up with its own tools")}
	}
	h := c.Writer.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Disposition", `attachment; filename="kurir-`+time.Now().Format("20060102-150405")+`.db"`)
	n, err := store.Backup(c.Request.Context(), c.Writer)
	if err == nil {
		a.Log.Info("backup", "bytes", n)
		return nil, errAnswered
	}
	if c.Writer.Written() {
		a.Log.Error("a backup was cut off", "bytes", n, "error", err)
		panic(http.ErrAbortHandler)
	}
	h.Del("Content-Disposition")
	return nil, err
}
