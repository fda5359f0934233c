package main

import (
	"context"
	"fmt"
	"net/url"
	"time"
)

// An entry is a callback as the admin API lists it.
type entry struct {
	ID         string `json:"id"`
	RefID      string `json:"ref_id"`
	Event      string `json:"event"`
	Conflict   bool   `json:"conflict"`
	Unparsed   bool   `json:"unparsed"`
	Damaged    bool   `json:"damaged"`
	Deliveries []struct {
		Rule  string `json:"rule"`
		State string `json:"state"`
	} `json:"deliveries"`
}

// audit waits until the daemon owes nothing any more, and compares its log with
// the ledger. It gives the ledger's violations, also those noted before.
func (r *rig) audit(ctx context.Context, d *daemon) error {
	l := r.ledger
	l.set(func(l *ledger) { l.steady = true })
	if err := r.drain(ctx, d); err != nil {
		return err
	}
	log, err := d.list()
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.compare(log, d)
	if len(l.broken) > 0 {
		return l.broken
	}
	return nil
}

// patience is for how long nothing may move before what is owed counts as lost.
// A sink that failed is given rests of up to half a minute.
const patience = 90 * time.Second

// drain waits until everything acknowledged has been taken by the sink.
func (r *rig) drain(ctx context.Context, d *daemon) error {
	last, since := -1, time.Now()
	for ctx.Err() == nil {
		var stats struct{ Pending int }
		if err := d.call("GET", "/api/stats", &stats); err != nil {
			return err
		}
		n, example := r.ledger.missing()
		if n == 0 && stats.Pending == 0 {
			return nil
		}
		if left := n + stats.Pending; left != last {
			last, since = left, time.Now()
		}
		if time.Since(since) > patience {
			return violations{fmt.Sprintf("%d acknowledged callbacks never reached the sink, such as %s; %d deliveries are pending", n, example, stats.Pending)}
		}
		time.Sleep(50 * time.Millisecond)
	}
	return ctx.Err()
}

// list reads the whole log through the API.
func (d *daemon) list() (all []entry, err error) {
	for cursor := ""; ; {
		var page struct {
			Callbacks []entry `json:"callbacks"`
			Next      string  `json:"next"`
		}
		if err := d.call("GET", "/api/callbacks?limit=1000&cursor="+url.QueryEscape(cursor), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Callbacks...)
		if cursor = page.Next; cursor == "" {
			return all, nil
		}
	}
}

// compare notes every difference between the log and the ledger. Of the bodies
// it reads every 50th back.
func (l *ledger) compare(log []entry, d *daemon) {
	seen := map[key]string{}
	for i, e := range log {
		k := key{e.RefID, e.Event}
		f := l.facts[k]
		switch {
		case f == nil:
			l.breach("the log has %v, which nobody sent", k)
			continue
		case seen[k] != "":
			l.breach("the log has %v twice: %s and %s", k, seen[k], e.ID)
		case e.Conflict || e.Unparsed:
			l.breach("%v is marked: conflict %v, unparsed %v", k, e.Conflict, e.Unparsed)
		case l.fits(e) != "":
			l.breach("%v: %s: %+v", k, l.fits(e), e.Deliveries)
		}
		seen[k] = e.ID
		if i%50 == 0 {
			l.compareBody(k, e.ID, f.body, d)
		}
	}
	for k, f := range l.facts {
		if f.acks > 0 && seen[k] == "" && !(l.pruned && f.taken > 0) {
			l.breach("%v was acknowledged and is not in the log", k)
		}
	}
}

func oneDelivered(e entry) string {
	if len(e.Deliveries) != 1 || e.Deliveries[0].State != "delivered" {
		return "it is not delivered once"
	}
	return ""
}

func (l *ledger) compareBody(k key, id, want string, d *daemon) {
	var raw []byte
	if err := d.call("GET", "/api/callbacks/"+id+"/raw", &raw); err != nil {
		l.breach("%v: %v", k, err)
	} else if string(raw) != want {
		l.breach("%v has other bytes in the log: %.80q", k, raw)
	}
}
