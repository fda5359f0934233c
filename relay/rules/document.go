package rules

import (
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
)

// document is rules.yaml as it is written.
type document struct {
	Timezone  conf.String         `conf:"timezone" default:"Asia/Jakarta" doc:"the time zone of date and time in texts, of quiet hours and of log.prune"`
	Sources   conf.Map[conf.Node] `conf:"sources" also:"source provider providers webhook webhooks" doc:"the providers that send callbacks: the key is the last part of POST /webhook/KEY"`
	Sinks     conf.Map[sinkKeys]  `conf:"sinks" also:"destinations targets outputs tujuan" doc:"where callbacks can go: each has a name, one kind and common settings"`
	Rules     []ruleKeys          `conf:"rules,required" also:"aturan routes rule" doc:"what goes where: every rule that matches fires, in this order"`
	Unmatched conf.String         `conf:"unmatched" default:"log" doc:"where a callback goes that no rule took: log leaves it in the log, marked; or a sink's name"`
	Log       logKeys             `conf:"log" default:"{}" doc:"how long things are kept"`
	Tests     []testKeys          `conf:"tests" doc:"examples with what must come of them, run by kurir test"`
}

// sinkKeys are the common settings of a sink; its kind is the key beside them.
type sinkKeys struct {
	Rate        rate                `conf:"rate" doc:"attempts at most in a time, such as 18/1m"`
	Retry       []time.Duration     `conf:"retry" default:"[5s, 30s, 2m, 10m, 1h, 3h, 6h, 12h, 24h]" doc:"waits before the 2nd, 3rd, ... attempt; after the last one a delivery is a dead letter"`
	Ordered     bool                `conf:"ordered" default:"true" doc:"one order's callbacks arrive one at a time, in the order they came"`
	Digest      digestKeys          `conf:"digest" doc:"in a burst, collect messages"`
	Fallback    conf.String         `conf:"fallback" doc:"the sink that gets what this one could not deliver"`
	Timeout     time.Duration       `conf:"timeout" default:"15s" doc:"how long one attempt may take"`
	Concurrency int                 `conf:"concurrency" doc:"attempts at once; 8 if absent, 1 for telegram and email"`
	Quiet       *quietHours         `conf:"quiet" doc:"hours in which this sink is not to ring; a rule with urgent passes"`
	Kind        conf.Map[conf.Node] `conf:",rest"`
}

// digestKeys collect a burst into few messages.
type digestKeys struct {
	After int           `conf:"after" default:"5" doc:"how many go one by one before the rest is collected"`
	Every time.Duration `conf:"every,required" doc:"how often what was collected goes as one message"`
	Line  conf.String   `conf:"line" doc:"the line each callback gets in it, a text with {{ }}"`
}

// ruleKeys are what a rule says.
type ruleKeys struct {
	Name    conf.String   `conf:"name,required" also:"nama id" doc:"what the rule is called, unique in the file"`
	When    conf.String   `conf:"when" also:"if condition jika kondisi match" doc:"the condition; without one the rule takes every callback"`
	To      []conf.String `conf:"to" also:"then ke send sink sinks" doc:"the sinks it goes to"`
	Subject conf.String   `conf:"subject" also:"title judul" doc:"the subject of an email, a text with {{ }}; event and ref_id if absent"`
	Text    conf.String   `conf:"text" also:"message msg teks pesan body template" doc:"what to say, with {{ expressions }}; each sink has a default"`
	Stop    bool          `conf:"stop" doc:"no later rule is tried if this one matches"`
	Urgent  bool          `conf:"urgent" doc:"pass the sinks' quiet hours"`
}

// logKeys say how long things are kept.
type logKeys struct {
	Keep     time.Duration `conf:"keep" default:"30d" doc:"callbacks, and deliveries that are done or dead"`
	KeepKeys time.Duration `conf:"keep_keys" default:"400d" doc:"the keys by which a callback sent again is recognised"`
	Prune    conf.String   `conf:"prune" default:"17 3 * * *" doc:"when old entries are removed: minute, hour, day, month, weekday"`
}

// A rate is written 18/1m, or 18/m.
type rate relay.Rate

var rateForm = regexp.MustCompile(`^(\d{1,9})\s*/\s*(.+)$`)

// UnmarshalConf implements conf.Unmarshaler.
func (r *rate) UnmarshalConf(n conf.Node) {
	text, _ := n.Text()
	m := rateForm.FindStringSubmatch(text)
	if m == nil {
		n.Problem("%q is no rate: write a number of attempts and a time, such as 18/1m", text)
		return
	}
	per := m[2]
	if !strings.ContainsAny(per, "0123456789") {
		per = "1" + per
	}
	d, err := conf.ParseDuration(per)
	count, _ := strconv.Atoi(m[1])
	if err != nil || d == 0 || count == 0 {
		n.Problem("%q is no rate: write a number of attempts and a time, such as 18/1m", text)
		return
	}
	*r = rate{N: count, Per: d}
}
