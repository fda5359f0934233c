package server_test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
)

// await waits until a condition holds; it is for what other goroutines do.
func (h *house) await(what string, is func() bool) {
	h.Helper()
	for deadline := time.Now().Add(20 * time.Second); !is(); time.Sleep(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			h.Fatalf("in vain waited for: %s", what)
		}
	}
}

func (h *house) settled() {
	h.Helper()
	h.await("no pending delivery", func() bool {
		var s server.Stats
		h.api("GET", "/api/stats", "", &s)
		return s.Pending == 0
	})
}

func TestTheAPIListsShowsAndCounts(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	for i := range 7 {
		h.good(fmt.Sprint("R", i))
	}
	h.raw(signed(order("R6")))
	h.raw(signed(strings.Replace(order("R5"), "11500", "9", 1)))
	h.settled()

	var page server.Page
	if h.api("GET", "/api/callbacks?limit=5", "", &page); len(page.Callbacks) != 5 || page.Next == "" {
		t.Fatalf("a page of 5 has %d, next %q", len(page.Callbacks), page.Next)
	}
	if c := page.Callbacks[0]; !c.Conflict || c.RefID != "R5" || len(c.Deliveries) != 0 {
		t.Errorf("a conflict is kept and not routed: %+v", c)
	}
	c := page.Callbacks[1]
	if c.RefID != "R6" || c.Duplicates != 1 || c.Source != "shop" || c.Event != "order.failed" || c.Unparsed || c.Conflict || len(c.Deliveries) != 1 {
		t.Errorf("got %+v", c)
	}
	if d := c.Deliveries[0]; d.Sink != "log" || d.Rule != "all" || d.State != relay.Delivered || d.Attempts.N != 1 || d.ID.Callback != c.ID {
		t.Errorf("got %+v", d)
	}
	var rest server.Page
	if h.api("GET", "/api/callbacks?limit=5&cursor="+page.Next, "", &rest); len(rest.Callbacks) != 3 || rest.Next != "" {
		t.Errorf("the last page has %d, next %q", len(rest.Callbacks), rest.Next)
	}

	var d server.Detail
	h.api("GET", "/api/callbacks/"+c.ID.String(), "", &d)
	if d.RefID != "R6" || d.Header.Get("Content-Type") != "application/json" || d.Header.Get("X-Signature") == "" || fmt.Sprint(d.Data) != "map[price:11500 ref_id:R6]" {
		t.Errorf("got %+v", d)
	}
	if each := d.Deliveries[0].Attempts.Each; len(each) != 1 || !each[0].OK || each[0].StartedAt.IsZero() {
		t.Errorf("attempts: %+v", each)
	}
	resp := h.do("GET", "/api/callbacks/"+c.ID.String()+"/raw", "", "Authorization", "Bearer "+token)
	raw, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if string(raw) != order("R6") || !strings.HasPrefix(resp.Header.Get("Content-Disposition"), "attachment") {
		t.Errorf("raw gives %q, %v", raw, resp.Header)
	}

	var s server.Stats
	h.api("GET", "/api/stats", "", &s)
	if s.Callbacks != 8 || s.Pending != 0 || s.Dead != 0 || s.Delivered != 7 || s.Duplicates < 1 || s.Conflicts != 1 || s.StoreBytes == 0 {
		t.Errorf("got %+v", s)
	}
}

// The names that scripts rely on, as they stand in the JSON.
func TestTheFieldsHaveTheirNames(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.good("N")
	h.settled()
	_, list := h.ask("GET", "/api/callbacks", "", "Authorization", "Bearer "+token)
	for _, want := range []string{`{"callbacks":[{`, `"id":"`, `"source":"shop"`, `"ref_id":"N"`, `"event":"order.failed"`, `"received_at":"2`, `"duplicates":0`,
		`"conflict":false`, `"unparsed":false`, `"deliveries":[{`, `"sink":"log"`, `"rule":"all"`, `"state":"delivered"`, `"attempts":1`} {
		if !bytes.Contains(list, []byte(want)) {
			t.Errorf("the list lacks %s", want)
		}
	}
	if bytes.Contains(list, []byte(`"next"`)) {
		t.Error("there is a next at the end")
	}
	id := h.entries()[0].Callback.ID.String()
	_, show := h.ask("GET", "/api/callbacks/"+id, "", "Authorization", "Bearer "+token)
	for _, want := range []string{`"header":{`, `"data":{"price":11500,"ref_id":"N"}`, `"attempts":[{`, `"started_at":"2`, `"duration_ms":`} {
		if !bytes.Contains(show, []byte(want)) {
			t.Errorf("the detail lacks %s in %s", want, show)
		}
	}
	_, stats := h.ask("GET", "/api/stats", "", "Authorization", "Bearer "+token)
	for _, want := range []string{`"callbacks":1`, `"pending":0`, `"dead":0`, `"store_bytes":`} {
		if !bytes.Contains(stats, []byte(want)) {
			t.Errorf("the stats lack %s", want)
		}
	}
}

func TestFiltersSelect(t *testing.T) {
	h := open(t, strings.Replace(yaml, "{name: all, to: [log]}", "{name: all, when: ref_id != \"lone\", to: [log]}", 1), server.Limits{})
	h.good("a")
	h.good("b")
	h.good("lone")
	h.settled()
	for query, want := range map[string]int{"": 3, "source=shop": 3, "source=none": 0, "event=order.failed": 3, "event=order.success": 0, "ref_id=a": 1,
		"state=delivered": 2, "state=dead": 0, "sink=log": 2, "sink=log&state=pending": 0, "since=1h": 3, "until=1h": 0, "since=2020-01-01": 3,
		"until=2020-01-01T00:00:00Z": 0, "q=lone": 1, "q=11500": 3, "q=nothing": 0, "unmatched=true": 1, "conflict=1": 0, "limit=2": 2, "limit=100000": 3} {
		var page server.Page
		if status := h.api("GET", "/api/callbacks?"+query, "", &page); status != 200 || len(page.Callbacks) != want {
			t.Errorf("%s: %d, %d callbacks, want %d", query, status, len(page.Callbacks), want)
		}
	}
}

func TestWhatTheAPICanNotReadItExplains(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.good("X")
	for _, tt := range []struct {
		method, path, body string
		status             int
		says               string
	}{
		{"GET", "/api/callbacks?limit=0", "", 400, "limit"},
		{"GET", "/api/callbacks?limit=many", "", 400, "from 1 to 1000"},
		{"GET", "/api/callbacks?cursor=x", "", 400, "next"},
		{"GET", "/api/callbacks?refid=A", "", 400, "ref_id"},
		{"GET", "/api/callbacks?state=lost", "", 400, "pending, delivered and dead"},
		{"GET", "/api/callbacks?since=yesterday", "", 400, "1h"},
		{"GET", "/api/callbacks/x", "", 400, "ref_id"},
		{"GET", "/api/callbacks/01890a5d-ac96-774b-bcce-b302099a8057", "", 404, "no such callback"},
		{"GET", "/api/callbacks/01890a5d-ac96-774b-bcce-b302099a8057/raw", "", 404, "no such callback"},
		{"GET", "/api/nothing", "", 404, "Not found"},
		{"DELETE", "/api/callbacks", "", 405, "Method"},
		{"POST", "/api/replay", "", 400, "what to replay"},
		{"POST", "/api/replay", "{}", 400, "what to replay"},
		{"POST", "/api/replay", "no", 400, "JSON"},
		{"POST", "/api/replay", `{"idz":[]}`, 400, "idz"},
		{"POST", "/api/replay", `{"ids":["x"]}`, 400, "not an id"},
		{"POST", "/api/replay", `{"ids":["01890a5d-ac96-774b-bcce-b302099a8057"]}`, 404, "no such callback"},
		{"POST", "/api/replay", `{"filter":{"state":"lost"}}`, 400, "filter"},
		{"POST", "/api/replay", `{"filter":{"ref_id":"X"},"sink":"lgo"}`, 400, `no sink "lgo", and no delivery to one: did you mean "log"?`},
		{"POST", "/api/replay", `{"filter":{"sink":"elsewhere"},"dry_run":true}`, 400, "there is log"},
		{"POST", "/api/replay", `{"filter":{"source":"shpo"}}`, 400, `did you mean "shop"?`},
		{"POST", "/api/replay", `{"ids":["01890a5d-ac96-774b-bcce-b302099a8057"],"filter":{}}`, 400, "not both"},
		{"POST", "/api/explain", "{}", 400, "what to explain"},
		{"POST", "/api/explain", `{"source":"nobody"}`, 400, "nobody"},
		{"GET", "/api/tail?state=lost", "", 400, "pending"},
	} {
		var said struct{ Error string }
		if status := h.api(tt.method, tt.path, tt.body, &said); status != tt.status || !strings.Contains(said.Error, tt.says) {
			t.Errorf("%s %s %s: %d %q, want %d with %q", tt.method, tt.path, tt.body, status, said.Error, tt.status, tt.says)
		}
	}
}

func TestReplayCountsFirstAndDeliversAgain(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.good("A")
	h.good("B")
	h.settled()
	id := h.entries()[0].Callback.ID
	for _, tt := range []struct {
		body string
		want int
	}{{`{"filter":{"state":"delivered"},"sink":"log","dry_run":true}`, 2}, {`{"filter":{"state":"dead"}}`, 0},
		{`{"filter":{"ref_id":"A"},"dry_run":true}`, 1}, {`{"ids":["` + id.String() + `"]}`, 1}} {
		var n server.Replayed
		if status := h.api("POST", "/api/replay", tt.body, &n); status != 200 || n.Replayed != tt.want {
			t.Errorf("%s: %d, %d, want %d", tt.body, status, n.Replayed, tt.want)
		}
	}
	h.settled()
	var d server.Detail
	h.api("GET", "/api/callbacks/"+id.String(), "", &d)
	if dv := d.Deliveries[0]; dv.Replays != 1 || len(dv.Attempts.Each) != 2 || !dv.Attempts.Each[1].Replay {
		t.Errorf("got %+v", dv)
	}
}

// A sink that the rules have no more may still be owed something.
func TestAReplayKnowsWhatIsPendingAndWhatIsMisspelt(t *testing.T) {
	h := open(t, strings.ReplaceAll(yaml, "log: {log: {}}", "log: {http: {url: 'http://127.0.0.1:1/'}, retry: [1h]}"), server.Limits{})
	h.good("A")
	h.await("the attempt that fails", func() bool {
		d := h.entries()[0].Deliveries[0]
		return d.Tries == 1 && d.Due.After(time.Now())
	})
	h.reload(strings.NewReplacer("log: {log: {}}", "new: {log: {}}", "to: [log]", "to: [new]").Replace(yaml))
	for _, tt := range []struct{ body, want string }{
		{`{"filter":{"ref_id":"A"},"dry_run":true}`, `{"replayed":0,"pending":1,"dry_run":true}`},
		{`{"filter":{"state":"dead"},"sink":"log"}`, `{"replayed":0}`},
		{`{"filter":{"state":"dead","event":"order.failed"},"sink":"log"}`, `{"replayed":0}`},
		{`{"filter":{"event":"order.fialed"}}`, `{"replayed":0,"hint":"no callback of late has the event \"order.fialed\": did you mean \"order.failed\"?"}`},
		{`{"filter":{},"sink":"log"}`, `{"replayed":0,"pending":1}`},
		{`{"filter":{},"sink":"log","now":true}`, `{"replayed":0,"hastened":1}`},
		{`{"filter":{},"sink":"log","now":true}`, `{"replayed":0,"pending":1}`},
	} {
		status, got := h.ask("POST", "/api/replay", tt.body, "Authorization", "Bearer "+token)
		if status != 200 || strings.TrimSpace(string(got)) != tt.want {
			t.Errorf("%s: %d %s, want %s", tt.body, status, got, tt.want)
		}
	}
	if d := h.entries()[0].Deliveries[0]; d.State != relay.Pending || d.Due.After(time.Now()) {
		t.Errorf("hastened: %+v", d)
	}
}

func TestExplainSendsNothing(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.good("A")
	h.settled()
	id, body := h.entries()[0].Callback.ID, order("B")
	var e rules.Explanation
	if status := h.api("POST", "/api/explain", `{"id":"`+id.String()+`"}`, &e); status != 200 || e.Fields.RefID != "A" || len(e.Deliveries) != 1 ||
		e.Verify == nil || !e.Verify.OK || len(e.Fields.Key) == 0 {
		t.Errorf("got %d %+v", status, e)
	}
	for signature, ok := range map[string]bool{sign(body): true, "00": false} {
		req, _ := json.Marshal(server.ExplainRequest{Source: "shop", Body: body, Headers: map[string]string{"X-Signature": signature}})
		e = rules.Explanation{}
		if h.api("POST", "/api/explain", string(req), &e); e.Verify == nil || e.Verify.OK != ok || e.Fields.RefID != "B" {
			t.Errorf("%s: got %+v", signature, e)
		}
	}
	if n := len(h.entries()); n != 1 {
		t.Errorf("%d callbacks are stored", n)
	}
}

func TestReloadSaysWhatChangedOrWhatIsWrong(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.write(yaml + "  - {name: more, to: [log]}\n")
	var r server.Reload
	if status := h.api("POST", "/api/reload", "", &r); status != 200 || r.Summary != "rules +more" {
		t.Errorf("got %d %+v", status, r)
	}
	h.write(yaml + "  - {name: more, to: [lag]}\n")
	var no struct {
		Error    string
		Problems []struct {
			Line    int
			Message string
		}
	}
	if status := h.api("POST", "/api/reload", "", &no); status != 422 || len(no.Problems) != 1 || no.Problems[0].Line == 0 || !strings.Contains(no.Error, "stay in force") {
		t.Errorf("got %d %+v", status, no)
	}
	if rules := h.live.Set().Rules(); len(rules) != 2 {
		t.Errorf("the rules in force are %v", rules)
	}
	h.good("after")
}

func TestPruneAndBackup(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.good("A")
	h.settled()
	status, copied := h.ask("GET", "/api/backup", "", "Authorization", "Bearer "+token)
	file := filepath.Join(t.TempDir(), "kurir.bak")
	if err := os.WriteFile(file, copied, 0o600); err != nil || status != 200 {
		t.Fatal(status, err)
	}
	dir := filepath.Join(t.TempDir(), "restored")
	if err := boltstore.Restore(dir, file); err != nil {
		t.Fatal(err)
	}
	store, err := boltstore.Open(dir, boltstore.Options{NoSync: true})
	if err != nil {
		t.Fatal(err)
	}
	defer store.Close()
	if page, err := store.List(t.Context(), relay.Query{}); err != nil || len(page.Entries) != 1 || page.Entries[0].Callback.RefID != "A" {
		t.Errorf("the copy has %+v, %v", page, err)
	}
	var n server.PruneResult
	if status := h.api("POST", "/api/prune", "", &n); status != 200 || n.Callbacks != 1 {
		t.Errorf("pruned %d %+v", status, n)
	}
}

func TestSinksSourcesAndRejectionsAreListed(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.good("A")
	h.raw(post("/webhook/shop", "{}", "X-Signature: 00"))
	h.raw(post("/webhook/nob\x7fody", "{}"))
	h.raw(post("/webhook/nobody", "{}"))
	h.settled()
	h.reload(strings.ReplaceAll(yaml, "log: {log: {}}", "log: {log: {level: warn}}"))
	var s struct{ Sinks []server.SinkStatus }
	if h.api("GET", "/api/sinks", "", &s); len(s.Sinks) != 1 || s.Sinks[0].Kind != "log" || s.Sinks[0].Delivered != 1 || s.Sinks[0].LastSuccessAt.IsZero() {
		t.Errorf("got %+v", s)
	}
	var o struct{ Sources []server.SourceStatus }
	if h.api("GET", "/api/sources", "", &o); len(o.Sources) != 1 || o.Sources[0].Preset != "isikuota" || len(o.Sources[0].Checks) != 1 || len(o.Sources[0].SecretsUsed) != 1 {
		t.Errorf("got %+v", o)
	}
	var r struct{ Rejections []server.Rejection }
	if h.api("GET", "/api/rejections", "", &r); len(r.Rejections) < 2 || r.Rejections[0].Source != "nobody" || r.Rejections[0].Address != "127.0.0.1" || r.Rejections[0].Reason != "unknown source" || r.Rejections[len(r.Rejections)-1].Source != "shop" {
		t.Errorf("got %+v", r)
	}
}

func TestASinkThatIsGoneFromTheRulesShowsWhatWaits(t *testing.T) {
	h := open(t, strings.ReplaceAll(yaml, "log: {log: {}}", "log: {http: {url: 'http://127.0.0.1:1/'}}"), server.Limits{})
	h.good("A")
	h.reload(strings.NewReplacer("log: {log: {}}", "new: {log: {}}", "to: [log]", "to: [new]").Replace(yaml))
	var s struct{ Sinks []server.SinkStatus }
	h.api("GET", "/api/sinks", "", &s)
	if len(s.Sinks) != 2 || s.Sinks[1].Name != "log" || s.Sinks[1].Kind != "" || s.Sinks[1].Pending != 1 || s.Sinks[1].OldestPendingAt.IsZero() {
		t.Errorf("got %+v", s.Sinks)
	}
}

func TestTailTellsAsItHappens(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	resp := h.do("GET", "/api/tail?event=order.failed", "", "Authorization", "Bearer "+token)
	defer resp.Body.Close()
	lines := bufio.NewScanner(resp.Body)
	if lines.Scan(); lines.Text() != ": watching" || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Fatalf("it begins with %q", lines.Text())
	}
	h.raw(signed(strings.Replace(order("no"), "order.failed", "order.success", 1)))
	h.good("yes")
	h.settled()
	h.raw(signed(order("yes")))
	seen := map[string]string{}
	for kind := ""; len(seen) < 3 && lines.Scan(); {
		if name, ok := strings.CutPrefix(lines.Text(), "event: "); ok {
			kind = name
		}
		if data, ok := strings.CutPrefix(lines.Text(), "data: "); ok {
			seen[kind] = data
		}
	}
	for kind, want := range map[string]string{"callback": `"deliveries":[{`, "attempt": `"state":"delivered"`, "duplicate": `"duplicates":1`} {
		if data := seen[kind]; !strings.Contains(data, want) || !strings.Contains(data, `"ref_id":"yes"`) || !json.Valid([]byte(data)) {
			t.Errorf("%s: %s", kind, data)
		}
	}
}

func TestTheAPIWantsTheTokenAndAKnownName(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	bearer := "Bearer " + token
	for _, tt := range []struct {
		name, method, path string
		header             []string
		status             int
	}{
		{"no token", "GET", "/api/stats", nil, 401},
		{"another token", "GET", "/api/stats", []string{"Authorization", "Bearer x"}, 401},
		{"a longer token", "GET", "/api/stats", []string{"Authorization", bearer + "x"}, 401},
		{"an empty token", "GET", "/api/stats", []string{"Authorization", "Bearer "}, 401},
		{"the token in the query", "GET", "/api/stats?token=" + token, nil, 401},
		{"an unknown path without a token", "GET", "/api/none", nil, 401},
		{"the token", "GET", "/api/stats", []string{"Authorization", bearer}, 200},
		{"the password", "GET", "/api/stats", []string{"Authorization", "Bearer house-password"}, 200},
		{"the password as basic", "GET", "/api/stats", []string{"Authorization", "Basic eDpob3VzZS1wYXNzd29yZA=="}, 200},
		{"another password as basic", "GET", "/api/stats", []string{"Authorization", "Basic eDp5"}, 401},
		{"a name that is allowed", "GET", "/api/stats", []string{"Host", "relay.example.com:8081", "Authorization", bearer}, 200},
		{"another name", "GET", "/api/stats", []string{"Host", "evil.example.com", "Authorization", bearer}, 403},
		{"another name that ends alike", "GET", "/api/stats", []string{"Host", "xlocalhost", "Authorization", bearer}, 403},
		{"another name for metrics", "GET", "/metrics", []string{"Host", "evil.example.com"}, 403},
		{"from another site", "POST", "/api/prune", []string{"Authorization", bearer, "Origin", "https://evil.example.com"}, 403},
		{"from another site, as browsers say it", "POST", "/api/prune", []string{"Authorization", bearer, "Sec-Fetch-Site", "cross-site"}, 403},
		{"metrics on this machine", "GET", "/metrics", nil, 200},
		{"health under any name", "GET", "/-/healthy", []string{"Host", "10.0.0.1"}, 200},
		{"ready", "GET", "/-/ready", nil, 200},
		{"the page that says what there is", "GET", "/", nil, 200},
	} {
		resp := h.do(tt.method, tt.path, "", tt.header...)
		resp.Body.Close()
		if resp.StatusCode != tt.status {
			t.Errorf("%s: %d, want %d", tt.name, resp.StatusCode, tt.status)
		}
		if csp := resp.Header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || resp.Header.Get("X-Content-Type-Options") != "nosniff" {
			t.Errorf("%s: the headers are %v", tt.name, resp.Header)
		}
	}
}

func TestWhoGuessesIsLoggedAndSlowedDownAndTheTokenIsTakenAllTheSame(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	synctest.Test(t, func(t *testing.T) { // time stands still but for the waits
		var log bytes.Buffer
		handler := h.newAdmin(slog.New(slog.NewTextHandler(&log, nil))).Handler()
		ask := func(authorization string) int {
			w := newRecorder()
			req, _ := http.NewRequest("GET", "http://localhost/api/none", nil)
			req.RemoteAddr = "192.0.2.7:1234"
			req.Header.Set("Authorization", authorization)
			handler.ServeHTTP(w, req)
			if (w.Code == 429) != (w.Header().Get("Retry-After") != "") {
				t.Errorf("%d with %v", w.Code, w.Header())
			}
			return w.Code
		}
		expect := func(what, authorization string, want int) {
			t.Helper()
			if got := ask(authorization); got != want {
				t.Errorf("%s is answered %d, want %d", what, got, want)
			}
		}
		const right, wrong = "Bearer house-password", "Bearer guessed-password"
		for range 20 {
			expect("a guess", wrong, 401)
			expect("nothing", "", 401)
		}
		expect("a guess after 20", wrong, 429)
		expect("the password then", right, 429)
		expect("the token then", "Bearer "+token, 404)
		time.Sleep(time.Second)
		expect("the password a second later", right, 404)
		expect("the password again", right, 404)
		for range 1000 {
			ask(wrong)
		}
		if n := strings.Count(log.String(), `level=WARN msg="admin request denied" address=192.0.2.7 status=4`); n != 60 {
			t.Errorf("%d lines in\n%s", n, &log)
		}
		time.Sleep(time.Second)
		expect("one more", wrong, 401)
		if !strings.HasSuffix(log.String(), "unlogged=962\n") || strings.Contains(log.String(), "guessed") {
			t.Errorf("log:\n%s", &log)
		}
	})
	if _, text := h.ask("GET", "/metrics", ""); !bytes.Contains(text, []byte("kurir_admin_denied_total 1023")) {
		t.Error("they are not counted")
	}
}

func TestAPanicOfTheAPIIsA500AndCounted(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	a := h.newAdmin(slog.New(slog.NewTextHandler(h.log, nil)))
	a.Sinks = func() map[string]relay.SinkState { panic("on purpose") }
	w := newRecorder()
	req, _ := http.NewRequest("GET", "http://localhost/api/sinks", nil)
	req.Header.Set("Authorization", "Bearer "+token)
	if a.Handler().ServeHTTP(w, req); w.Code != 500 || strings.Contains(w.Body.String(), "purpose") || !strings.Contains(h.log.String(), "on purpose") {
		t.Errorf("got %d %s", w.Code, w.Body)
	}
	if _, text := h.ask("GET", "/metrics", ""); !bytes.Contains(text, []byte("kurir_panics_total 1")) {
		t.Error("it is not counted")
	}
}

func TestBeyondThisMachineMetricsWantATokenToo(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	a := h.newAdmin(nil)
	a.Open = false
	handler := a.Handler()
	for auth, want := range map[string]int{"": 401, "Bearer " + token: 200} {
		w := newRecorder()
		req, _ := http.NewRequest("GET", "http://localhost/metrics", nil)
		req.Header.Set("Authorization", auth)
		if handler.ServeHTTP(w, req); w.Code != want {
			t.Errorf("%q: %d, want %d", auth, w.Code, want)
		}
	}
}

func TestMetricsHaveTheirNames(t *testing.T) {
	h := open(t, yaml, server.Limits{})
	h.good("A")
	h.raw(signed(order("A")))
	h.raw(post("/webhook/shop", "{}", "X-Signature: 00"))
	h.settled()
	h.metrics.Reloaded(true)
	_, text := h.ask("GET", "/metrics", "")
	for _, want := range []string{`kurir_callbacks_total{outcome="accepted",source="shop"} 1`, `kurir_callbacks_total{outcome="duplicate",source="shop"} 1`,
		`kurir_rejected_total{reason="signature",source="shop"} 1`, `kurir_pending{sink="log"} 0`, `kurir_dead{sink="log"} 0`, `kurir_oldest_pending_seconds{sink="log"} 0`,
		"kurir_store_bytes", "kurir_log_callbacks 1", "kurir_accept_seconds_bucket", "kurir_reload_ok 1", "kurir_reload_timestamp_seconds",
		`kurir_secret_used_timestamp_seconds{secret="1",source="shop"} 1`, `kurir_build_info{version="test"} 1`, "go_goroutines", "process_open_fds"} {
		if !bytes.Contains(text, []byte(want)) {
			t.Errorf("there is no %s", want)
		}
	}
	h.metrics.Reloaded(false)
	_, refused := h.ask("GET", "/metrics", "")
	for _, want := range []string{"kurir_reload_ok 0", `kurir_reloads_total{outcome="refused"} 1`, `kurir_reloads_total{outcome="ok"} 1`} {
		if !bytes.Contains(refused, []byte(want)) {
			t.Errorf("after a refused reload there is no %s", want)
		}
	}
	if regexp.MustCompile(`order|house-secret`).Match(text) {
		t.Error("metrics hold what a provider sent, or a secret")
	}
}

func TestCredentialsInHeadersAreNotShown(t *testing.T) {
	h := open(t, `
sources: {shop: {verify: {type: token, signature: 'header("X-Callback-Token")'}, secret: `+secret+`}}
sinks: {log: {log: {}}}
rules: [{name: all, to: [log]}]
`, server.Limits{})
	h.raw(post("/webhook/shop", order("A"), "X-Callback-Token: "+secret, "Cookie: a="+secret, "Authorization: Bearer "+secret))
	_, text := h.ask("GET", "/api/callbacks/"+h.entries()[0].Callback.ID.String(), "", "Authorization", "Bearer "+token)
	if bytes.Contains(text, []byte(secret)) || !bytes.Contains(text, []byte(`"X-Callback-Token":["[secret]"]`)) {
		t.Errorf("got %s", text)
	}
}

func TestATokenIsMadeOnceAndReadByNobodyElse(t *testing.T) {
	dir := t.TempDir()
	first, err := server.Token(dir)
	if err != nil || len(first) < 20 {
		t.Fatalf("%q, %v", first, err)
	}
	file := filepath.Join(dir, server.TokenFile)
	if err := os.Chmod(file, 0o644); err != nil {
		t.Fatal(err)
	}
	if again, err := server.Token(dir); again != first || err != nil {
		t.Errorf("%q, %v", again, err)
	}
	if info, _ := os.Stat(file); info.Mode().Perm() != 0o600 {
		t.Errorf("its mode is %v", info.Mode())
	}
	os.WriteFile(file, []byte("\n"), 0o600)
	if _, err := server.Token(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("an empty one: %v", err)
	}
}

func TestAPipeInThePlaceOfTheTokenHoldsNobodyUp(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mkfifo(filepath.Join(dir, server.TokenFile), 0o600); err != nil {
		t.Skipf("SKIPPED: there are no pipes here: %v", err)
	}
	if _, err := server.Token(dir); err == nil || !strings.Contains(err.Error(), "remove it") {
		t.Errorf("got %v", err)
	}
}
