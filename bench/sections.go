package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/load"
)

// A section is one table of the report.
type section struct {
	name    string
	measure func(*bench, context.Context) error
}

var sections = []section{
	{"ingest", (*bench).ingest},
	{"refused", (*bench).refused},
	{"routed", (*bench).routed},
	{"end to end", (*bench).endToEnd},
	{"disturbed", (*bench).disturbed},
	{"size", (*bench).size},
	{"routing", (*bench).routing},
	{"conditions", (*bench).conditions},
}

const source = `sources:
  shop:
    preset: isikuota
    secret: ${SHOP_SECRET}
`

// unmatched is a rule file whose rule takes nothing that is sent here.
const unmatched = source + `sinks:
  out: {log: {}}
rules:
  - {name: none, when: event == "order.never", to: [out]}
`

// rate sends fresh callbacks to a server for one span and gives the 200s a second.
func (b *bench) rate(ctx context.Context, s *server, conns int) (float64, error) {
	return b.send(ctx, s, load.Plan{Conns: conns, For: b.span, Requests: b.fresh(s.addr, b.enough(conns)), Repeat: s.name == "bare"}, 200)
}

// enough requests for a span: more than any server here answers.
func (b *bench) enough(conns int) int {
	perSecond := map[bool]int{true: 8_000, false: 60_000}[conns == 1]
	return int(float64(perSecond) * b.span.Seconds())
}

func (b *bench) send(ctx context.Context, s *server, p load.Plan, want int) (float64, error) {
	p.Addr = s.addr
	r := load.Run(ctx, p)
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	if r.Status[want] != r.Sent {
		return 0, fmt.Errorf("%s answered %v, errors %v, of %d requests: want %d", s.name, r.Status, r.Errors, r.Sent, want)
	}
	return r.PerSecond(want), nil
}

// ingest compares the accepting of new callbacks, at each number of connections.
func (b *bench) ingest(ctx context.Context) error {
	var servers []*server
	defer func() { stopAll(servers) }()
	for _, kind := range []string{"bare", "bbolt-one", "sqlite"} {
		s, err := b.baseline(ctx, kind)
		if err != nil {
			return err
		}
		servers = append(servers, s)
	}
	s, err := b.kurir(ctx, "kurir", filepath.Join(b.work, "kurir"), unmatched)
	if err != nil {
		return err
	}
	servers = append(servers, s)
	t := b.report.table("Durable ingest", "A 200 means that the callback is on disk. `bare` verifies and decodes, and stores nothing.")
	for _, conns := range b.conns {
		figures := map[string][]float64{}
		for range b.rounds {
			for _, s := range servers {
				n, err := b.rate(ctx, s, conns)
				if err != nil {
					return err
				}
				figures[s.name] = append(figures[s.name], n)
			}
		}
		for _, s := range servers[:3] {
			t.add(fmt.Sprintf("%s, %d conn", s.name, conns), "req/s", figures[s.name], "", nil, "")
		}
		b.compare(t, conns, figures)
	}
	return nil
}

func (b *bench) compare(t *table, conns int, figures map[string][]float64) {
	targets := map[string]string{"bare64": "≥ 0.45", "bbolt-one1": "≥ 0.9"}
	for _, base := range []string{"bare", "bbolt-one", "sqlite"} {
		t.add(fmt.Sprintf("**kurir**, %d conn", conns), "req/s", figures["kurir"], base, figures[base],
			targets[fmt.Sprint(base, conns)])
	}
}

func stopAll(servers []*server) {
	for _, s := range servers {
		if err := s.stop(); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
}

// refused measures what is answered without a commit: duplicates and forgeries.
func (b *bench) refused(ctx context.Context) error {
	s, err := b.kurir(ctx, "refused", filepath.Join(b.work, "refused"), unmatched)
	if err != nil {
		return err
	}
	defer stopAll([]*server{s})
	seen := b.fresh(s.addr, 20_000)
	if _, err := b.send(ctx, s, load.Plan{Conns: 64, Requests: seen}, 200); err != nil {
		return err
	}
	var fresh, again, forged []float64
	for range b.rounds {
		n, err := b.rate(ctx, s, 64)
		if err != nil {
			return err
		}
		fresh = append(fresh, n)
		if n, err = b.send(ctx, s, load.Plan{Conns: 64, For: b.span, Requests: seen, Repeat: true}, 200); err != nil {
			return err
		}
		again = append(again, n)
		if n, err = b.send(ctx, s, load.Plan{Conns: 64, For: b.span, Requests: b.forged(s.addr, 20_000), Repeat: true}, 401); err != nil {
			return err
		}
		forged = append(forged, n)
	}
	t := b.report.table("Answers without a new callback", "64 connections.")
	t.add("new callbacks", "req/s", fresh, "", nil, "")
	t.add("duplicates only", "req/s", again, "new", fresh, "")
	t.add("bad signatures only", "req/s", forged, "new", fresh, "")
	return nil
}

// forward is a rule file with one http sink, or several, that take everything.
func forward(urls ...string) string {
	var sinks, names strings.Builder
	for i, u := range urls {
		fmt.Fprintf(&sinks, "  s%d: {http: {url: %q}, concurrency: 32}\n", i, u)
		fmt.Fprintf(&names, "s%d, ", i)
	}
	return source + "sinks:\n" + sinks.String() + "rules:\n  - name: all\n    to: [" + strings.TrimSuffix(names.String(), ", ") + "]\n"
}

// routed measures ingest while callbacks are also planned for sinks that do not
// take them yet, so that only accepting and storing counts.
func (b *bench) routed(ctx context.Context) error {
	closed := "http://" + freeAddr() + "/"
	kinds := []struct{ name, rules string }{
		{"no rule matches", unmatched},
		{"one sink", forward(closed)},
		{"five sinks", forward(closed, closed, closed, closed, closed)},
	}
	figures := make([][]float64, len(kinds))
	for round := range b.rounds {
		for i, k := range kinds {
			n, err := b.freshServer(ctx, fmt.Sprintf("routed-%d-%d", i, round), k.rules)
			if err != nil {
				return err
			}
			figures[i] = append(figures[i], n)
		}
	}
	t := b.report.table("Ingest by what is owed", "64 connections; the sinks are down, so each callback stays owed.")
	t.add(kinds[0].name, "req/s", figures[0], "", nil, "")
	t.add(kinds[1].name, "req/s", figures[1], "no rule", figures[0], "")
	t.add(kinds[2].name, "req/s", figures[2], "no rule", figures[0], "")
	return nil
}

// freshServer measures ingest on a new server, which is removed afterwards.
func (b *bench) freshServer(ctx context.Context, name, rules string) (float64, error) {
	dir := filepath.Join(b.work, name)
	s, err := b.kurir(ctx, name, dir, rules)
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(dir)
	defer stopAll([]*server{s})
	return b.rate(ctx, s, 64)
}

// endToEnd measures until the last accepted callback has reached a loopback sink:
// one that costs as little as the load generator does, and a server of net/http.
func (b *bench) endToEnd(ctx context.Context) error {
	plain, err := b.kurir(ctx, "plain", filepath.Join(b.work, "plain"), unmatched)
	if err != nil {
		return err
	}
	servers := []*server{plain}
	defer func() { stopAll(servers) }()
	var peers []*peer
	for i, serve := range []func(*peer){(*peer).serveRaw, (*peer).serveHTTP} {
		p, err := startPeer(serve)
		if err != nil {
			return err
		}
		defer p.l.Close()
		name := fmt.Sprint("e2e-", i)
		s, err := b.kurir(ctx, name, filepath.Join(b.work, name), forward(p.url()))
		if err != nil {
			return err
		}
		peers, servers = append(peers, p), append(servers, s)
	}
	var alone []float64
	whole := make([][]float64, len(peers))
	for range b.rounds {
		n, err := b.rate(ctx, plain, 64)
		if err != nil {
			return err
		}
		alone = append(alone, n)
		for i, p := range peers {
			if n, err = b.delivered(ctx, servers[i+1], p); err != nil {
				return err
			}
			whole[i] = append(whole[i], n)
		}
	}
	t := b.report.table("End to end", "64 connections; callback in to request answered by a loopback HTTP sink, until the last one has arrived. The sink shares\n"+
		"the machine: the first one costs as little of it as the load generator, the second is a server of net/http.")
	t.add("ingest alone", "req/s", alone, "", nil, "")
	t.add("delivered to a sink that only counts", "req/s", whole[0], "ingest alone", alone, "≥ 0.5")
	t.add("delivered to a net/http server", "req/s", whole[1], "ingest alone", alone, "")
	return nil
}

func (b *bench) delivered(ctx context.Context, s *server, p *peer) (float64, error) {
	plan := load.Plan{Addr: s.addr, Conns: 64, For: b.span, Requests: b.fresh(s.addr, b.enough(64))}
	before := p.arrived.Load()
	began := time.Now()
	r := load.Run(ctx, plan)
	for p.arrived.Load()-before < int64(r.Status[200]) {
		if err := ctx.Err(); err != nil {
			return 0, err
		}
		if time.Since(began) > 2*time.Minute {
			return 0, fmt.Errorf("only %d of %d callbacks reached the sink", p.arrived.Load()-before, r.Status[200])
		}
		time.Sleep(time.Millisecond)
	}
	return float64(r.Status[200]) / time.Since(began).Seconds(), nil
}
