package conf_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay/conf"
)

// settings has a field of every sort.
type settings struct {
	common
	Name   conf.String           `conf:"name,required"`
	Key    conf.Secret           `conf:"key"`
	Keys   []conf.Secret         `conf:"keys"`
	Wait   time.Duration         `conf:"wait" default:"15s"`
	Waits  []time.Duration       `conf:"waits" default:"[1s, 2s]"`
	Count  int                   `conf:"count"`
	Ratio  float64               `conf:"ratio"`
	On     bool                  `conf:"on" default:"true"`
	Labels conf.Map[conf.String] `conf:"labels"`
	Inner  *inner                `conf:"inner"`
	List   []inner               `conf:"list"`
	Any    conf.Node             `conf:"any"`
	Rest   conf.Map[conf.Node]   `conf:",rest"`
}

type common struct {
	Shared string `conf:"shared"`
}

type inner struct {
	X string `conf:"x,required" also:"nama"`
}

// decode reads src into settings; what is wrong comes as text.
func decode(src string) (s settings, problems string) {
	f := conf.Parse("f", []byte(src), func(name string) (string, bool) {
		v, ok := map[string]string{"SET": "value", "NUM": "7", "EMPTY": ""}[name]
		return v, ok
	})
	f.Root().Decode(&s)
	return s, f.Problems().Error()
}

func TestDecode(t *testing.T) {
	s, problems := decode(`
name: n
shared: s
key: secret
keys: one
wait: 1h30m
waits: []
count: 1_000
ratio: 0.5
on: false
labels: {b: 1, a: "2"}
inner: {x: y}
list: {x: z}
any: [1, 2.5, "3", true, null, {k: v}]
other: {more: 1}
`)
	if problems != "" {
		t.Fatal(problems)
	}
	got := fmt.Sprint(s.Name.Text, s.Shared, s.Key.Reveal(), s.Keys[0].Reveal(), s.Wait, len(s.Waits), s.Waits == nil, s.Count, s.Ratio, s.On,
		s.Labels[0].Key.Text, s.Labels[1].Value.Text, s.Inner.X, s.List[0].X, s.Rest[0].Key.Text)
	if want := "nssecretone1h30m0s 0 false 1000 0.5 falseb2yzother"; got != want {
		t.Errorf("got %s", got)
	}
	if text, _ := json.Marshal(s.Any.Value()); string(text) != `[1,2.5,"3",true,null,{"k":"v"}]` {
		t.Errorf("any: %s", text)
	}
}

func TestAnAbsentKeyHasItsDefault(t *testing.T) {
	s, problems := decode("name: n\nwaits:\n")
	if problems != "" || s.Wait != 15*time.Second || fmt.Sprint(s.Waits) != "[1s 2s]" || !s.On || s.Inner != nil {
		t.Errorf("%+v %s", s, problems)
	}
}

func TestEveryMistakeOfAKeyIsReportedAtItsPlace(t *testing.T) {
	for _, tt := range []struct{ in, want string }{
		{"name: n\nwait: soon\n", `f:2:7: "soon" is no duration: write a number and a unit (s m h d w), such as 30s or 1h30m`},
		{"name: n\ncount: many\n", `f:2:8: want a whole number, not "many"`},
		{"name: n\nratio: x\n", `f:2:8: want a number, not "x"`},
		{"name: n\non: yes\n", `f:2:5: want true or false, not "yes"`},
		{"name: n\non: 1\n", `f:2:5: want true or false, not "1"`},
		{"name: [a]\n", "f:1:7: want a text, not a list"},
		{"name: {a: b}\n", "f:1:7: want a text, not a mapping"},
		{"name: n\ninner: x\n", "f:2:8: want a mapping, not a scalar"},
		{"name: n\ninner: {long: 1}\n", "f:2:8: \"x\" is missing\nf:2:9: unknown key \"long\": there is x"},
		{"name: n\ninner: {Nama: 1}\n", `f:2:9: unknown key "Nama": did you mean "x"?`},
		{"name: n\nlabels:\n  - a: b\n", "f:3:3: want a mapping, not a list: write `name: ...` instead of hyphens"},
		{"name: n\nlabels: {a: 1, a: 2}\n", `f:2:16: "a" stands here twice`},
		{"name: n\nname: m\n", `f:2:1: "name" stands here twice`},
		{"wait: 1s\n", `f:1:1: "name" is missing`},
		{"name: ${UNSET}/x\n", "f:1:7: ${UNSET} is not set in the environment: set it, or write ${UNSET:-} if it may be empty"},
		{"name: n\nkey_file: /nowhere/x\n", "f:2:11: cannot read the secret: no such file or directory"},
	} {
		if _, problems := decode(tt.in); problems != tt.want {
			t.Errorf("%q:\ngot  %s\nwant %s", tt.in, problems, tt.want)
		}
	}
}

func TestANumberWithLeadingZerosIsAMistake(t *testing.T) {
	for in, want := range map[string]string{
		"v: {rc: 00}\n":                   "f:1:9: 00 is a number to YAML, which loses its leading zeros: put it in quotes",
		"v: [081234567890]\n":             "f:1:5: 081234567890 is a number to YAML, which loses its leading zeros: put it in quotes",
		"v: {rc: \"00\", n: 0, f: 0.5}\n": "",
	} {
		f := conf.Parse("f", []byte(in), none)
		f.Root().Get("v").Value()
		if got := f.Problems().Error(); got != want {
			t.Errorf("%q: got %s", in, got)
		}
	}
}

func TestATextThatIsReadInAnotherWayThanItLooksIsWarnedOf(t *testing.T) {
	const takenAsIs = "this is taken as it stands: it is no name of the environment: write ${NAME}, or ${NAME:-default}"
	const noName = "what follows ${ is no name of the environment: write ${NAME}, or ${NAME:-default}; a text has {{ data.price }}"
	for in, want := range map[string]string{
		"$SECRET": "f:1:7: warning: " + takenAsIs, "\"$(SECRET)\"": "f:1:7: warning: " + takenAsIs, "$100": "", "$${data.x}": "",
		"harga ${data.price}": "f:1:13: warning: " + noName, "'${SET}: ${MY SECRET}'": "f:1:16: warning: " + noName, "${SET": "f:1:7: warning: " + noName,
		"Order # {{ ref_id }}":           "f:1:13: warning: # begins a comment here: the value ends before it: put the whole value in quotes",
		`a == "x" #and b`:                "f:1:16: warning: # begins a comment here: the value ends before it: put the whole value in quotes",
		"x # android and {":              "",
		"Gagal {{ a }}\n  harga {{ b }}": "f:1:7: warning: the lines of this text become one: write | after the colon to keep them",
		"|\n  Gagal {{ a }}\n  harga":    "",
	} {
		if _, got := decode("name: " + in + "\n"); got != want {
			t.Errorf("%s:\ngot  %s\nwant %s", in, got, want)
		}
	}
}

func TestReferencesAreReplaced(t *testing.T) {
	for in, want := range map[string]string{
		"${SET}":            "value",
		"a ${SET}/${NUM} b": "a value/7 b",
		"${NONE:-other}":    "other",
		"${NONE:-}":         "",
		"${EMPTY:-other}":   "other",
		"${EMPTY}":          "",
		"$${SET}":           "${SET}",
		"$5":                "$5",
		"${NONE:-a b}c":     "a bc",
	} {
		s, problems := decode("name: '" + in + "'\n")
		if s.Name.Text != want || problems != "" {
			t.Errorf("%s: got %q, %s", in, s.Name.Text, problems)
		}
		if whole := in == "${NONE:-other}" || in == "${NONE:-}" || in == "${EMPTY:-other}"; s.Name.Default != whole {
			t.Errorf("%s: default is %v", in, s.Name.Default)
		}
	}
	if s, problems := decode("name: n\ncount: ${NUM}\n"); s.Count != 7 {
		t.Errorf("count %d, %s", s.Count, problems)
	}
}

func TestASecretComesFromAFileWithoutItsNewline(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(path, []byte("from file\r\n"), 0o600)
	s, problems := decode("name: n\nkey_file: " + path + "\nkeys_file: [" + path + ", " + path + "]\n")
	if s.Key.Reveal() != "from file" || len(s.Keys) != 2 || problems != "" {
		t.Errorf("%q, %d, %s", s.Key.Reveal(), len(s.Keys), problems)
	}
}

func TestASecretIsNeverPrinted(t *testing.T) {
	s, _ := decode("name: n\nkey: hidden-value\n")
	text, _ := json.Marshal(s.Key)
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%+v %#v %q", s.Key, s.Key, s.Key), string(text)} {
		if strings.Contains(got, "hidden-value") {
			t.Error(got)
		}
	}
}

func TestEqualSettingsHaveOneFingerprint(t *testing.T) {
	print := func(src string) string {
		return conf.Parse("f", []byte(src), func(string) (string, bool) { return "x", true }).Root().Fingerprint()
	}
	path := filepath.Join(t.TempDir(), "secret")
	os.WriteFile(path, []byte("1"), 0o600)
	for _, tt := range []struct {
		a, b string
		same bool
	}{
		{"a: {b: 1}", "# note\na:\n  b: 1\n", true},
		{"a: x", "a: ${X}", true},
		{"a: x", "a: 'x'", true},
		{"a: 1", "a: '1'", false},
		{"a: 1", "a: 2", false},
		{"a: [b, c]", "a: [c, b]", false},
		{"a: [b, c]", "a: ['b, c']", false},
	} {
		if same := print(tt.a) == print(tt.b); same != tt.same {
			t.Errorf("%q and %q: same is %v", tt.a, tt.b, same)
		}
	}
	before := print("key_file: " + path)
	os.WriteFile(path, []byte("2"), 0o600)
	if print("key_file: "+path) == before {
		t.Error("a secret's file changed, and the fingerprint did not")
	}
}

func TestRenderShowsTheLineAndTheSpot(t *testing.T) {
	f := conf.Parse("rules.yaml", []byte("a: 1\ntext: |\n  ❌ {{ evnt }}\n\tx: y\nsecret: plain-text-secret\n"), none)
	g := conf.Parse("rules.yaml", []byte("text: |\n  ❌ {{ evnt }}\nsecret: hunter2 \n"), none)
	v := g.Root().Get("text")
	v.ReportAt(strings.Index("❌ {{ evnt }}", "evnt"), conf.Problem{Len: 4, Message: "unknown name evnt", Hint: `did you mean "event"?`})
	g.Root().Get("secret").Warn("too short")
	ps := append(f.Problems(), g.Problems()...)
	var out bytes.Buffer
	conf.Render(&out, ps, false)
	want := `rules.yaml:4:1: a tab stands here: indent with spaces, two for each level
     4 | 	x: y
       | ^
rules.yaml:2:8: unknown name evnt: did you mean "event"?
     2 |   ❌ {{ evnt }}
       |         ^^^^
rules.yaml:3:9: warning: too short
     3 | secret: ********
       |         ^
`
	if out.String() != want {
		t.Errorf("got\n%s\nwant\n%s", out.String(), want)
	}
	out.Reset()
	conf.Render(&out, ps, true)
	if !strings.Contains(out.String(), "\x1b[31m^\x1b[0m") {
		t.Errorf("no colour:\n%q", out.String())
	}
}

func TestWhatIsWrongWithAValueThatCannotBeReadIsSaidOnce(t *testing.T) {
	for _, quote := range []string{"", `"`, "'"} {
		f := conf.Parse("rules.yaml", []byte("secret: "+quote+"${UNSET}"+quote), none)
		n := f.Root().Get("secret")
		n.Text()
		n.Problem("it is empty")
		if ps := f.Problems(); len(ps) != 1 || !strings.Contains(ps[0].Message, "is not set") {
			t.Errorf("within %q: %v", quote, ps)
		}
	}
}

func TestRenderNeverShowsASecret(t *testing.T) {
	for line, want := range map[string]string{
		`a: {pass: hunter2, bad: 1}`:                      `a: {pass: ****************`,
		`a: {kata_sandi: hunter2, bad: 1}`:                `a: {kata_sandi: ****************`,
		`a: {secret: hunter2, bad: 1}`:                    `a: {secret: ****************`,
		`a: {secrets: [hunter2, hunter3], bad: 1}`:        `a: {secrets: ***************************`,
		`a: {token: "hunter2", bad: 1}`:                   `a: {token: *********, bad: 1}`,
		`a: {token: "hunter2"x, bad: 1}`:                  `a: {token: *******************`,
		`a: {token: "${T}", key: 'hunter2', bad: 1}`:      `a: {token: "${T}", key: *********, bad: 1}`,
		`a: {token: ${T:-}, password: "hünter2", bad: 1}`: `a: {token: ${T:-}, password: *********, bad: 1}`,
		`a: {auth: {bearer: hunter2}, bad: 1}`:            `a: {auth: {bearer: *****************`,
		`a: {Authorization: "Bearer hunter2", bad: 1}`:    `a: {Authorization: ****************, bad: 1}`,
		`a: {url: "https://kurir:hunter2@host/", bad: 1}`: `a: {url: "https://kurir:*******@host/", bad: 1}`,
		`a: {url: "https://host/?api_key=hunter2&x=1"}`:   `a: {url: "https://host/?api_key=*******&x=1"}`,
		`a: {name: keys, bad: 1}`:                         `a: {name: keys, bad: 1}`,
	} {
		f := conf.Parse("rules.yaml", []byte(line), none)
		f.Root().Get("a").Problem("bad")
		var out bytes.Buffer
		conf.Render(&out, f.Problems(), false)
		if got := out.String(); !strings.Contains(got, "| "+want+"\n") {
			t.Errorf("%s is shown as\n%s", line, got)
		}
	}
	f := conf.Parse("rules.yaml", []byte("secrets:\n  # two\n  - hunter2\n  - hunter3\nlist:\n  - hunter4\n"), none)
	f.Root().Get("secrets").Items()[1].Problem("bad")
	f.Root().Get("list").Items()[0].Problem("bad")
	var out bytes.Buffer
	conf.Render(&out, f.Problems(), false)
	if got := out.String(); strings.Contains(got, "hunter3") || !strings.Contains(got, "hunter4") {
		t.Errorf("items are shown as\n%s", got)
	}
}

func TestReadRefusesWhatIsNoFile(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	os.WriteFile(big, nil, 0o600)
	os.Truncate(big, 100<<20)
	for path, want := range map[string]string{
		dir:                        "this is a directory",
		filepath.Join(dir, "none"): "no such file",
		big:                        "larger than",
	} {
		if got := conf.Read(path, none).Problems().Error(); !strings.Contains(got, want) {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

// A rules file, or a secret, that is a pipe must not hold up the daemon.
func TestAPipeIsReadWithoutWaitingForAWriter(t *testing.T) {
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if got := conf.Read(pipe, none).Problems().Error(); !strings.Contains(got, "the file is empty") {
		t.Errorf("nobody writes: got %s", got)
	}
	if s, problems := decode("name: n\nkey_file: " + pipe + "\n"); s.Key.Reveal() != "" || len(problems) != 0 {
		t.Errorf("a secret: got %q, %v", s.Key.Reveal(), problems)
	}
	r, w, err := os.Pipe() // as a shell's <(command)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	w.WriteString("a: b\n")
	w.Close()
	if f := conf.Read(fmt.Sprintf("/dev/fd/%d", r.Fd()), none); len(f.Problems()) != 0 || string(f.Source()) != "a: b\n" {
		t.Errorf("one with a writer: got %q, %v", f.Source(), f.Problems())
	}
}

func TestAProblemIsJSONForEditors(t *testing.T) {
	f := conf.Parse("f", []byte("a: [b\n"), none)
	text, _ := json.Marshal(f.Problems())
	if want := `[{"file":"f","line":1,"column":4,"length":1,"severity":"error","message":"[ is not closed","hint":"add ]"}]`; string(text) != want {
		t.Errorf("got %s", text)
	}
}

// A good file is not refused for its warnings, and no mistake is lost among them.
func TestWarningsNeitherRefuseAFileNorHideItsMistakes(t *testing.T) {
	f := conf.Parse("f", []byte("a: 1\n"), none)
	for range 300 {
		f.Root().Warn("odd")
	}
	if ps := f.Problems(); len(ps.Errors()) != 0 || len(ps) < 2 {
		t.Errorf("of warnings alone: %d errors of %d", len(ps.Errors()), len(ps))
	}
	for i := range 300 {
		f.Root().Get("a").Problem("wrong %d", i)
	}
	if ps := f.Problems().Errors(); len(ps) != 201 || !strings.Contains(ps[200].Message, "mend some first") {
		t.Errorf("%d errors, the last is %v", len(ps), ps[len(ps)-1])
	}
}
