package source_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"reflect"
	"regexp"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/source"
)

var update = flag.Bool("update", false, "write the generated parts of docs/providers.md")

const page = "../../docs/providers.md"

// generated finds a generated part: <!-- NAME --> ... <!-- end -->.
var generated = regexp.MustCompile(`(?s)( *)<!-- (presets|fields|inspection|names|functions) -->\n.*?<!-- end -->`)

func TestThePageOfProvidersIsCurrent(t *testing.T) {
	old, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string]string{"presets": presetTable(), "fields": fieldTable(), "inspection": sampleInspection(t),
		"names": nameTable(), "functions": functionTable()}
	now := generated.ReplaceAllStringFunc(string(old), func(part string) string {
		m := generated.FindStringSubmatch(part)
		var b strings.Builder
		for line := range strings.Lines("<!-- " + m[2] + " -->\n" + parts[m[2]] + "<!-- end -->") {
			b.WriteString(m[1] + line)
		}
		return b.String()
	})
	if *update {
		if err := os.WriteFile(page, []byte(now), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if now != string(old) {
		t.Errorf("%s is out of date: go test ./relay/source -run ThePageOfProviders -update", page)
	}
}

func cell(s string) string { return strings.ReplaceAll(s, "|", `\|`) }

// code is an expression in a cell; "" stays so.
func code(s string) string {
	if s == "" {
		return ""
	}
	return "`" + cell(strings.Join(strings.Fields(s), " ")) + "`"
}

func presetTable() string {
	b := "| preset | provider | what is checked | needs | to know |\n|---|---|---|---|---|\n"
	for _, p := range source.Presets() {
		var needs []string
		for _, v := range p.Vars {
			needs = append(needs, "`vars."+v+"`")
		}
		if p.Weak {
			needs = append(needs, "`allow_ips`")
		}
		checks := make([]string, len(p.Checks))
		for i, c := range p.Checks {
			checks[i] = code(c)
		}
		b += fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", p.Name, cell(p.Provider), strings.Join(checks, " or "), strings.Join(needs, ", "), cell(p.Note))
	}
	return b
}

func fieldTable() string {
	b := "| preset | event | ref_id | data | dedupe |\n|---|---|---|---|---|\n"
	for _, p := range source.Presets() {
		st := p.Settings
		var key []string
		for _, d := range st.Dedupe {
			key = append(key, code(d.Text))
		}
		b += fmt.Sprintf("| `%s` | %s | %s | %s | %s |\n", p.Name, or(st.Event, "body.event"), or(st.RefID, "body.data.ref_id"),
			or(st.Data, "body.data"), strings.Join(orDefault(key), ", "))
	}
	return b
}

func or(s conf.String, def string) string {
	if s.Text == "" {
		return code(def)
	}
	return code(s.Text)
}

func orDefault(key []string) []string {
	if len(key) == 0 {
		return []string{"`ref_id`", "`event`"}
	}
	return key
}

// sampleInspection is of a provider that signs the body without the line break
// that was saved with it.
func sampleInspection(t *testing.T) string {
	s := parse(t, "supplier", "secret: key\nverify: {type: hmac, algorithm: sha256, signature: 'header(\"X-Supplier-Signature\")', content: raw}\n")
	i := s.Inspect(request(`{"reference":"A-1","status":"SUCCESS"}`+"\n", "X-Supplier-Signature", mac("key", `{"reference":"A-1","status":"SUCCESS"}`)), trapTime)
	return "```\n" + strings.Join(i.Lines(), "\n") + "\n```\n"
}

func nameTable() string {
	b := "| name | what it is |\n|---|---|\n"
	for _, n := range source.Names() {
		b += fmt.Sprintf("| `%s` | %s |\n", n.Name, cell(n.Doc))
	}
	return b
}

func functionTable() string {
	b := "| function | what it gives | for example |\n|---|---|---|\n"
	for _, f := range source.Functions() {
		yields := f.Yields
		if len(yields) > 40 {
			yields = yields[:16] + `..."`
		}
		b += fmt.Sprintf("| `%s` | %s | `%s` is `%s` |\n", f.Name, cell(f.Doc), cell(f.Example), cell(yields))
	}
	return b
}

var yamlBlock = regexp.MustCompile("(?s)```yaml\n(.*?)```")

func TestTheExamplesOfThePageAreSound(t *testing.T) {
	text, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	blocks := yamlBlock.FindAllStringSubmatch(string(text), -1)
	if len(blocks) < 9 {
		t.Fatalf("only %d examples were found", len(blocks))
	}
	key := rsaPEM(t)
	t.Chdir(t.TempDir())
	if err := os.WriteFile("bank.pem", []byte(key), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, block := range blocks {
		f := conf.Parse("providers.md", []byte(block[1]), func(name string) (string, bool) {
			if name == "USER_AND_PASSWORD" {
				return "user:password", true
			}
			return "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", true
		})
		for _, e := range f.Root().Get("sources").Entries() {
			source.New(e.Name(), e.Value)
		}
		if ps := f.Problems(); len(ps) > 0 {
			t.Errorf("%s\n%v", block[1], ps)
		}
	}
}

// What the reference says of a function is what it does.
func TestEachFunctionDoesWhatItsExampleSays(t *testing.T) {
	for _, f := range source.Functions() {
		s := parse(t, "shop", "preset: token\nsecret: k\ndata: "+quoted(f.Example)+"\n")
		v, err := s.Verify(request("{}", "X-Callback-Token", "k"), trapTime)
		if err != nil {
			t.Fatal(err)
		}
		var want any
		if err := json.Unmarshal([]byte(f.Yields), &want); err != nil {
			t.Fatalf("%s: %v", f.Name, err)
		}
		if got := v.Callback.Parsed.Data; !reflect.DeepEqual(got, want) {
			t.Errorf("%s is %#v, want %#v", f.Example, got, want)
		}
	}
}

func TestThePresetsThatArePromisedExist(t *testing.T) {
	for name := range strings.FieldsSeq(`isikuota digiflazz tripay midtrans midtrans-iris xendit duitku doku snap-bi vip-reseller tokovoucher
		apigames iak isiaja flip moota standard-webhooks svix stripe github gitlab slack shopify twilio square paddle discord sendgrid telegram
		meta zoom hmac-sha256 token`) {
		p, ok := source.LookupPreset(name)
		if !ok || len(p.Checks) == 0 || p.Provider == "" || !strings.HasPrefix(p.Doc, p.Provider+": ") {
			t.Errorf("%s: %+v", name, p)
		}
	}
}
