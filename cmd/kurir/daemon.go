package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
)

// A daemon is one `kurir run`.
type daemon struct {
	*cli
	flags   runFlags
	log     *slog.Logger
	started time.Time
	made    []string // the secrets that were made

	live       *rules.Live
	store      *boltstore.Store
	public     net.Listener
	admin      net.Listener
	token      string
	password   string
	metrics    *server.Metrics
	feed       *server.Feed
	rejections *server.Rejections
	receiver   *relay.Receiver
	dispatcher *relay.Dispatcher
	accepting  atomic.Bool
}

// run lives until ctx ends, a signal comes or something breaks that can't be
// mended.
func (d *daemon) run(ctx context.Context) error {
	d.started = time.Now()
	d.metrics, d.feed, d.rejections = server.NewMetrics(version), server.NewFeed(), server.NewRejections(d.log)
	defer d.close()
	ctx, hup, forget := catchSignals(ctx)
	defer forget()
	for _, step := range []func() error{d.openRules, d.openStore, d.listen} {
		if err := step(); err != nil {
			return err
		}
	}
	d.wire()
	context.AfterFunc(ctx, func() {
		d.accepting.Store(false)
		d.log.Info("stopping")
	})
	d.announce()
	return d.actors(ctx, hup)
}

// catchSignals ends the context on SIGTERM and SIGINT; by then a second one ends
// the process at once. SIGHUPs come on the channel, from now on.
func catchSignals(parent context.Context) (ctx context.Context, hup chan os.Signal, forget func()) {
	ctx, cancel := context.WithCancel(parent)
	hup, end := make(chan os.Signal, 1), make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	signal.Notify(end, os.Interrupt, syscall.SIGTERM)
	go func() {
		select {
		case <-end:
		case <-ctx.Done():
		}
		signal.Stop(end)
		cancel()
	}()
	return ctx, hup, func() {
		cancel()
		signal.Stop(hup)
	}
}

// actors lets them act until ctx ends. The first error ends all of them.
func (d *daemon) actors(ctx context.Context, hup <-chan os.Signal) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return server.Serve(ctx, d.public, d.publicHandler(), d.flags.limits, d.log) })
	g.Go(func() error { return server.Serve(ctx, d.admin, d.adminHandler(), adminLimits, d.log) })
	g.Go(func() error { return d.dispatcher.Run(ctx) })
	g.Go(func() error { return d.watchRules(ctx) })
	g.Go(func() error { return d.reloadOnSignal(ctx, hup) })
	g.Go(func() error { return d.pruneOnSchedule(ctx) })
	g.Go(func() error { return d.watchStore(ctx) })
	return g.Wait()
}

// adminLimits give a slow client of a backup, and a tail, the time they need.
var adminLimits = server.Limits{Answer: -1}

// openRules makes secrets if asked to, and reads the rules.
func (d *daemon) openRules() error {
	if err := d.hideSecrets(); err != nil {
		return err
	}
	missing := d.missingSecrets()
	if d.flags.makeSecrets {
		if err := d.makeSecrets(missing); err != nil {
			return err
		}
		d.made = missing
	}
	live, problems := rules.NewLive(d.config, d.options(d.log), rules.Hooks{Reloaded: d.reloaded, Refused: d.refused})
	d.report(problems)
	if live == nil {
		if len(missing) > 0 && !d.flags.makeSecrets {
			fmt.Fprintf(d.err, "To try Kurir out, kurir run --make-secrets makes %s and keeps it in %s.\n", strings.Join(missing, ", "), d.secretsPath())
		}
		return errReported
	}
	d.live = live
	d.metrics.Reloaded(true)
	return nil
}

func (d *daemon) reloaded(s *rules.Set, c rules.Change, warnings conf.Problems) {
	d.metrics.Reloaded(true)
	d.log.Info("rules reloaded", "changes", c.String(), "hash", s.Hash(), "warnings", len(warnings))
	if len(warnings) > 0 {
		d.log.Warn("the rules have warnings", "file", d.config, "problems", warnings.Error())
	}
}

func (d *daemon) refused(problems conf.Problems) {
	d.metrics.Reloaded(false)
	d.log.Error("rules refused, those before stay in force", "file", d.config, "problems", problems.Error())
}

func (d *daemon) openStore() (err error) {
	if d.store, err = boltstore.Open(d.data, boltstore.Options{}); err != nil {
		return err
	}
	d.token, err = server.Token(d.data)
	return err
}

// listen opens both listeners. Beyond this machine, the admin one wants a
// password.
func (d *daemon) listen() (err error) {
	if d.password, err = d.flags.adminPassword(); err != nil {
		return err
	}
	if d.public, err = net.Listen("tcp", d.flags.listen); err != nil {
		return fmt.Errorf("--listen %s: %w", d.flags.listen, err)
	}
	if d.admin, err = net.Listen("tcp", d.cli.admin); err != nil {
		return fmt.Errorf("--admin %s: %w", d.cli.admin, err)
	}
	if !server.IsLoopback(d.admin.Addr()) && d.password == "" {
		return fmt.Errorf("--admin %s is open to other machines: set KURIR_ADMIN_PASSWORD or --admin-password-file, or bind it to 127.0.0.1", d.cli.admin)
	}
	return nil
}

// wire puts the parts together.
func (d *daemon) wire() {
	store := d.metrics.Timed(d.store)
	d.metrics.Watch(d.store, d.live.Set)
	d.receiver = relay.NewReceiver(store, relay.ReceiverOptions{Log: d.log, Panicked: d.metrics.Panicked, Accepted: func(c relay.Callback, r relay.Receipt, n int) {
		d.metrics.Accepted(c, r, n)
		d.feed.Accepted(c, r, n)
	}})
	d.dispatcher = relay.NewDispatcher(store, func() relay.Destinations { return d.live.Set() },
		relay.DispatcherOptions{Log: d.log, Panicked: d.metrics.Panicked, Attempted: func(dv relay.Delivery, o relay.Outcome) {
			d.metrics.Attempted(dv, o)
			d.feed.Attempted(dv, o)
		}})
	d.accepting.Store(true)
}

func (d *daemon) publicHandler() http.Handler {
	p := &server.Public{Rules: d.live.Set, Receiver: d.receiver, Ready: d.ready, Rejections: d.rejections, Metrics: d.metrics, Log: d.log}
	return p.Handler()
}

func (d *daemon) adminHandler() http.Handler {
	a := &server.Admin{Store: d.store, Rules: d.live, Prune: d.prune, Sinks: d.dispatcher.Sinks, Ready: d.ready,
		Rejections: d.rejections, Feed: d.feed, Metrics: d.metrics, Log: d.log,
		Token: d.token, Password: d.password, Hosts: d.adminNames(), Open: server.IsLoopback(d.admin.Addr()),
		Version: version, Started: d.started, Webhook: d.webhook(), Path: absolute(d.config)}
	return a.Handler()
}

// adminNames are the names by which the admin listener may be called.
func (d *daemon) adminNames() []string {
	names := append([]string{"localhost", "127.0.0.1", "::1"}, d.flags.adminHosts...)
	if host, _, err := net.SplitHostPort(d.cli.admin); err == nil && host != "" {
		names = append(names, host)
	}
	return names
}

// ready says why nothing is accepted now, if so.
func (d *daemon) ready() error {
	if !d.accepting.Load() {
		return errors.New("stopping")
	}
	return d.receiver.Ready()
}

// watchRules reloads the rules when their file changes.
func (d *daemon) watchRules(ctx context.Context) error {
	if err := d.live.Watch(ctx); err != nil {
		d.log.Warn("changes of the rules go unnoticed: reload them with SIGHUP or kurir reload", "error", err)
	}
	return nil
}

// reloadOnSignal reloads the rules on SIGHUP; the hooks say what came of it.
func (d *daemon) reloadOnSignal(ctx context.Context, hup <-chan os.Signal) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-hup:
			d.live.Reload()
		}
	}
}

// watchStore ends the process when the store can't be trusted any more.
func (d *daemon) watchStore(ctx context.Context) error {
	select {
	case <-ctx.Done():
		return nil
	case err := <-d.store.Failed():
		d.log.Error("the store failed: start again, and what was acknowledged is there", "error", err)
		return fmt.Errorf("%w: %w", errUntrusted, err)
	}
}

// close ends what run began, in the order in which it depends on each other.
func (d *daemon) close() {
	for _, l := range []net.Listener{d.public, d.admin} {
		if l != nil {
			l.Close()
		}
	}
	if d.receiver != nil {
		d.receiver.Close()
	}
	if d.store != nil {
		if err := d.store.Close(); err != nil {
			d.log.Error("closing the store", "error", err)
		}
	}
	if d.live != nil {
		d.live.Close()
	}
}

func absolute(path string) string {
	if abs, err := filepath.Abs(path); err == nil {
		return abs
	}
	return path
}

// reachable is an address under which a listener is reached from this machine.
func reachable(addr net.Addr) string {
	host, port, _ := net.SplitHostPort(addr.String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "localhost"
	}
	return net.JoinHostPort(cmp.Or(host, "localhost"), port)
}
