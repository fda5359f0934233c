package server

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
)

// Metrics are what Prometheus may ask for. All names begin with kurir_, and no
// label holds what a provider sent.
type Metrics struct {
	registry *prometheus.Registry

	callbacks  *prometheus.CounterVec
	unmatched  *prometheus.CounterVec
	refusals   *prometheus.CounterVec
	attempts   *prometheus.CounterVec
	deliveries *prometheus.CounterVec
	reloads    *prometheus.CounterVec
	reloaded   prometheus.Gauge
	current    prometheus.Gauge
	panics     prometheus.Counter
	denied     prometheus.Counter
	answers    prometheus.Histogram
	commits    *prometheus.HistogramVec
}

// NewMetrics makes metrics of a program of the given version.
func NewMetrics(version string) *Metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	buckets := []float64{.0005, .001, .002, .005, .01, .02, .05, .1, .2, .5, 1, 2, 5}
	m := &Metrics{
		registry:   prometheus.NewRegistry(),
		callbacks:  counter("kurir_callbacks_total", "Verified callbacks, by outcome: accepted, duplicate, conflict.", "source", "outcome"),
		unmatched:  counter("kurir_unmatched_total", "Callbacks that no rule took.", "source"),
		refusals:   counter("kurir_rejected_total", "Requests that were refused. The source is empty if it is unknown.", "source", "reason"),
		attempts:   counter("kurir_attempts_total", "Attempts at deliveries, by outcome: delivered, retry, dead.", "sink", "outcome"),
		deliveries: counter("kurir_deliveries_total", "Deliveries that were settled: delivered or dead.", "sink", "state"),
		reloads:    counter("kurir_reloads_total", "Reloads of the rules, by outcome: ok, refused.", "outcome"),
		reloaded:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "kurir_reload_timestamp_seconds", Help: "When the rules in force were loaded."}),
		current:    prometheus.NewGauge(prometheus.GaugeOpts{Name: "kurir_reload_ok", Help: "1 if the rules in force are those of the file, 0 if the file was refused."}),
		panics:     prometheus.NewCounter(prometheus.CounterOpts{Name: "kurir_panics_total", Help: "Panics that were recovered: in requests, rules and sinks."}),
		denied:     prometheus.NewCounter(prometheus.CounterOpts{Name: "kurir_admin_denied_total", Help: "Requests to the admin API with a wrong token or password, or with a password after too many wrong ones."}),
		answers:    prometheus.NewHistogram(prometheus.HistogramOpts{Name: "kurir_accept_seconds", Help: "Time from a callback's headers to its answer.", Buckets: buckets}),
		commits:    prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "kurir_commit_seconds", Help: "Time of a commit, by what it stores.", Buckets: buckets}, []string{"of"}),
	}
	build := prometheus.NewGauge(prometheus.GaugeOpts{Name: "kurir_build_info", Help: "1, with the version.", ConstLabels: prometheus.Labels{"version": version}})
	build.Set(1)
	m.registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), build,
		m.callbacks, m.unmatched, m.refusals, m.attempts, m.deliveries, m.reloads, m.reloaded, m.current, m.panics, m.denied, m.answers, m.commits)
	return m
}

// Handler gives the metrics in Prometheus' text form.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{})
}

// Accepted counts a callback; it is a relay.ReceiverOptions hook.
func (m *Metrics) Accepted(c relay.Callback, r relay.Receipt, deliveries int) {
	outcome := "accepted"
	switch {
	case r.Conflict:
		outcome = "conflict"
	case r.Duplicate:
		outcome = "duplicate"
	}
	m.callbacks.WithLabelValues(c.Source, outcome).Inc()
	if c.Unmatched {
		m.unmatched.WithLabelValues(c.Source).Inc()
	}
}

// Attempted counts an attempt; it is a relay.DispatcherOptions hook.
func (m *Metrics) Attempted(d relay.Delivery, o relay.Outcome) {
	outcome := string(o.State)
	if o.State == relay.Pending {
		outcome = "retry"
	} else {
		m.deliveries.WithLabelValues(d.Sink, outcome).Inc()
	}
	m.attempts.WithLabelValues(d.Sink, outcome).Inc()
}

// Reloaded notes that the file was loaded or, with ok false, refused.
func (m *Metrics) Reloaded(ok bool) {
	if !ok {
		m.current.Set(0)
		m.reloads.WithLabelValues("refused").Inc()
		return
	}
	m.current.Set(1)
	m.reloaded.SetToCurrentTime()
	m.reloads.WithLabelValues("ok").Inc()
}

func (m *Metrics) rejected(source, reason string) { m.refusals.WithLabelValues(source, reason).Inc() }
func (m *Metrics) answered(took time.Duration)    { m.answers.Observe(took.Seconds()) }

// Panicked counts a panic that was recovered; it is a hook of the receiver and of
// the dispatcher.
func (m *Metrics) Panicked() { m.panics.Inc() }

// Timed gives a Store that measures the commits of another.
func (m *Metrics) Timed(s relay.Store) relay.Store {
	return &timedStore{s, m.commits.WithLabelValues("callbacks"), m.commits.WithLabelValues("outcomes")}
}

type timedStore struct {
	relay.Store
	appends, settles prometheus.Observer
}

func (t *timedStore) Append(ctx context.Context, in []relay.Inbound) ([]relay.Receipt, error) {
	begun := time.Now()
	out, err := t.Store.Append(ctx, in)
	t.appends.Observe(time.Since(begun).Seconds())
	return out, err
}

func (t *timedStore) Settle(ctx context.Context, out []relay.Outcome) ([]error, error) {
	begun := time.Now()
	errs, err := t.Store.Settle(ctx, out)
	t.settles.Observe(time.Since(begun).Seconds())
	return errs, err
}

// Watch adds the figures that are asked for when Prometheus asks: those of the
// store, and of the secrets of the rules in force.
func (m *Metrics) Watch(store relay.Store, set func() *rules.Set) {
	m.registry.MustRegister(&figures{store, set})
}

type figures struct {
	store relay.Store
	set   func() *rules.Set
}

var (
	storeBytes    = desc("kurir_store_bytes", "Size of the database on disk.")
	logCallbacks  = desc("kurir_log_callbacks", "Callbacks in the log.")
	pending       = desc("kurir_pending", "Deliveries that are owed.", "sink")
	dead          = desc("kurir_dead", "Dead letters in the log.", "sink")
	oldestPending = desc("kurir_oldest_pending_seconds", "Age of the oldest callback that is still owed.", "sink")
	secretUsed    = desc("kurir_secret_used_timestamp_seconds", "When a secret last verified a request of this process, by its place in the source's list; 0 is never.", "source", "secret")
)

func desc(name, help string, labels ...string) *prometheus.Desc {
	return prometheus.NewDesc(name, help, labels, nil)
}

// Describe implements prometheus.Collector.
func (f *figures) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{storeBytes, logCallbacks, pending, dead, oldestPending, secretUsed} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (f *figures) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v float64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v, labels...)
	}
	for _, s := range f.set().Sources() {
		for i, t := range s.SecretsUsed() {
			gauge(secretUsed, float64(max(t.Unix(), 0)), s.Name(), strconv.Itoa(i+1))
		}
	}
	st, err := f.store.Stats(context.Background())
	if err != nil {
		return
	}
	gauge(storeBytes, float64(st.Bytes))
	gauge(logCallbacks, float64(st.Callbacks))
	for name, s := range st.Sinks {
		gauge(pending, float64(s.Pending), name)
		gauge(dead, float64(s.Dead), name)
		age := 0.0
		if !s.Oldest.IsZero() {
			age = max(time.Since(s.Oldest).Seconds(), 0)
		}
		gauge(oldestPending, age, name)
	}
}
