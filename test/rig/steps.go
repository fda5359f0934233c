package main

import (
	"context"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/kurir-relay/kurir/test/overlay"
)

// failPoints are laid over the program for this rig: at each of them it kills
// itself if KURIR_FAIL says so, as in "sent:17", the 17th time it gets there.
var failPoints = []overlay.Patch{
	{File: "relay/failpoint.go", New: failPoint},
	{File: "relay/server/public.go", Old: "\tseen, err := v.source.Verify(", New: "\trelay.FailPoint(\"verify\")\n\tseen, err := v.source.Verify("},
	{File: "relay/receive.go", Old: "\ttargets, unmatched = router.Route(c)\n", New: "\ttargets, unmatched = router.Route(c)\n\tFailPoint(\"route\")\n"},
	{File: "relay/boltstore/writer.go", Old: "\terr := s.journal.append(b.frame)\n",
		New: "\trelay.FailPoint(\"journal\")\n\terr := s.journal.append(b.frame)\n\trelay.FailPoint(\"journaled\")\n"},
	{File: "relay/boltstore/writer.go", Old: "\ts.tx, s.growth = nil, 0\n",
		New: "\trelay.FailPoint(\"committed\")\n\ts.tx, s.growth = nil, 0\n"},
	{File: "relay/boltstore/writer.go", Old: "\ts.listFreePages()\n\tif err := s.tx.Commit()",
		New: "\trelay.FailPoint(\"commit\")\n\ts.listFreePages()\n\tif err := s.tx.Commit()"},
	{File: "relay/server/public.go", Old: "\t\tv.reply(v.source.Reply(source.Accepted))\n",
		New: "\t\trelay.FailPoint(\"answer\")\n\t\tv.reply(v.source.Reply(source.Accepted))\n\t\trelay.FailPoint(\"answered\")\n"},
	{File: "relay/deliver.go", Old: "\td.heard(ctx, err)\n", New: "\tif len(leases) > 0 {\n\t\tFailPoint(\"claim\")\n\t}\n\td.heard(ctx, err)\n"},
	{File: "relay/attempt.go", Old: "\tt.answer, t.err = d.send(ctx, j.dest, j.leases)\n",
		New: "\tt.answer, t.err = d.send(ctx, j.dest, j.leases)\n\tFailPoint(\"sent\")\n"},
	{File: "relay/attempt.go", Old: "\td.record(j.line, outs)\n", New: "\tFailPoint(\"settle\")\n\td.record(j.line, outs)\n"},
	{File: "relay/attempt.go", Old: "\t*l.owed(outs)--\n", New: "\tFailPoint(\"settled\")\n\t*l.owed(outs)--\n"},
	{File: "relay/boltstore/flush.go", Old: "func (w *indexing) apply(b *batch) error {\n",
		New: "func (w *indexing) apply(b *batch) error {\n\trelay.FailPoint(\"index\")\n"},
	{File: "relay/boltstore/flush.go", Old: "\tb.then = append(b.then, func() { b.s.publish(w) })\n",
		New: "\trelay.FailPoint(\"publish\")\n\tb.then = append(b.then, func() { b.s.publish(w) })\n"},
	{File: "relay/boltstore/prune.go", Old: "\t\tok, err := b.prune(r, id)\n", New: "\t\trelay.FailPoint(\"prune\")\n\t\tok, err := b.prune(r, id)\n"},
	{File: "relay/boltstore/backup.go", Old: "\tif w.unsynced += len(p); ", New: "\trelay.FailPoint(\"backup\")\n\tif w.unsynced += len(p); "},
}

const failPoint = `package relay

import (
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
)

var (
	failAt, failAfter, _ = strings.Cut(os.Getenv("KURIR_FAIL"), ":")
	failed               atomic.Int64
)

// FailPoint is one step; the process may die here.
func FailPoint(step string) {
	if step != failAt {
		return
	}
	if n, _ := strconv.ParseInt(failAfter, 10, 64); failed.Add(1) == n {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
}
`

// A step is a fail point, how often it is passed at most before the process
// dies there, and what must be asked of the daemon for it to get there.
type step struct {
	name string
	most int
	ask  string
}

var stepsOfTheWay = []step{
	{"verify", 300, ""}, {"route", 300, ""}, {"journal", 100, ""}, {"journaled", 100, ""}, {"commit", 3, ""}, {"committed", 3, ""}, {"answer", 300, ""}, {"answered", 300, ""},
	{"index", 20, ""}, {"publish", 2, ""}, {"claim", 100, ""}, {"sent", 300, ""}, {"settle", 300, ""}, {"settled", 300, ""}, {"backup", 1, "GET /api/backup"}, {"prune", 100, "POST /api/prune"},
}

// steps kills the process at each step of the way, at a random callback.
func (r *rig) steps(ctx context.Context) error {
	d, err := r.newDaemon(filepath.Join(r.work, "data"))
	if err != nil {
		return err
	}
	r.ledger.pruned = true
	if err := d.write(fmt.Sprintf(rules, r.ledger.url) + "log: {keep: 1s}\n"); err != nil {
		return err
	}
	c := startClients(ctx, r.ledger, d.url(), r.conns)
	defer c.end()
	for cycle := range r.cycles {
		for _, at := range r.rand.Perm(len(stepsOfTheWay)) {
			if err := r.dieAt(ctx, d, stepsOfTheWay[at]); err != nil {
				return err
			}
		}
		r.progress(cycle)
	}
	d.env = nil
	if err := d.start(ctx); err != nil {
		return err
	}
	c.end()
	if err := r.audit(ctx, d); err != nil {
		return err
	}
	return d.terminate()
}

// dieAt runs the daemon until it has killed itself at a step.
func (r *rig) dieAt(ctx context.Context, d *daemon, s step) error {
	d.env = []string{fmt.Sprintf("KURIR_FAIL=%s:%d", s.name, 1+r.rand.IntN(s.most))}
	if err := d.launch(); err != nil {
		return err
	}
	ready := false
	for deadline := time.Now().Add(60 * time.Second); !d.ended(); time.Sleep(20 * time.Millisecond) {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if time.Now().After(deadline) {
			return violations{fmt.Sprintf("it never got to %s\n%s", s.name, d.stacks())}
		}
		if ready = ready || d.ready(ctx); ready && s.ask != "" {
			d.ask(s.ask)
		}
	}
	if status := d.cmd.ProcessState.Sys().(syscall.WaitStatus); !status.Signaled() || status.Signal() != syscall.SIGKILL {
		return violations{fmt.Sprintf("at %s it ended otherwise: %v\n%s", s.name, d.err, d.log)}
	}
	return nil
}

// ask calls the admin API without caring for its answer, such as "GET /path".
func (d *daemon) ask(what string) {
	var method, path string
	fmt.Sscan(what, &method, &path)
	var answer []byte
	d.call(method, path, &answer)
}
