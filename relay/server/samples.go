package server

import (
	"cmp"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// A Sample is a callback of the log, as it came, from which a check of rules
// learns what its source sends.
type Sample struct {
	Source string      `json:"source"`
	Method string      `json:"method"`
	URI    string      `json:"uri"`
	Header http.Header `json:"header"` // without secrets
	Body   []byte      `json:"body"`   // in base64
}

// Samples are what GET /api/samples gives.
type Samples struct {
	Samples []Sample `json:"samples"`
}

// How much the samples are at most: the newest callbacks tell enough.
const (
	maxSamples     = 20 // of an event of a source
	maxSampleBytes = 8 << 20
)

// samples gives callbacks since a time, the newest first; a day if none is named.
func (a *Admin) samples(c *gin.Context) (any, error) {
	q, err := Filter{Since: cmp.Or(c.Query("since"), "24h")}.query(time.Now(), a.Rules.Set().Location())
	if err != nil {
		return nil, badRequest(err)
	}
	q.Limit = 500
	out := Samples{Samples: []Sample{}}
	room, seen := maxSampleBytes, map[[2]string]int{}
	for cb := range a.callbacks(c.Request.Context(), q, &err) {
		key := [2]string{cb.Source, cb.Event}
		if seen[key]++; seen[key] > maxSamples {
			continue
		}
		if room -= len(cb.Body); room < 0 {
			break
		}
		out.Samples = append(out.Samples, Sample{Source: cb.Source, Method: cb.Method, URI: cb.URI, Header: masked(cb.Header), Body: cb.Body})
	}
	return out, err
}
