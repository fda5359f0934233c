package sinks

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/conf"
	"github.com/kurir-relay/kurir/relay/lang"
)

// begin example

// A sink of kind file appends a line for each callback to a file.
func init() {
	Register(Kind{
		Name:     "file",
		Doc:      "a line in a file",
		Settings: fileSettings{},
		Defaults: Defaults{Concurrency: 1},
		New:      newFile,
	})
}

type fileSettings struct {
	Path conf.String `conf:"path,required" doc:"the file that lines are appended to"`
}

type fileSink struct{ path string }

func newFile(n conf.Node, p Place) Sink {
	var set fileSettings
	n.Decode(&set) // reports unknown and missing keys, with their places
	s := &fileSink{set.Path.Text}
	if set.Path.Node.Present() && empty(set.Path.Text, set.Path.Default, set.Path.Node, "path") {
		return onConsole(s, "file", "path", p)
	}
	return s
}

// Writer runs when a callback is routed; what it returns is stored.
func (s *fileSink) Writer(m Message) Writer {
	text := compile(m.Text, lang.Line)
	return func(o Occasion) ([]byte, error) {
		line, err := renderOr(text, o, defaultSubject)
		if o.Failed != "" {
			line = fmt.Sprintf("%s (%s failed: %s)", line, o.Failed, o.Reason)
		}
		return []byte(oneLine(line)), err
	}
}

// Send makes one attempt. A nil error is success; any other is retried by the
// sink's schedule, unless it is relay.Permanent.
func (s *fileSink) Send(_ context.Context, parcels []relay.Parcel) (relay.Answer, error) {
	f, err := os.OpenFile(s.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return relay.Answer{}, err
	}
	p := parcels[0] // without Digests in its Kind, a sink gets one at a time
	if _, err := fmt.Fprintf(f, "%s\n", p.Delivery.Payload); err != nil {
		f.Close()
		return relay.Answer{}, err
	}
	return relay.Answer{Response: "appended"}, f.Close()
}

// Preview is for `kurir explain`, and for the console.
func (s *fileSink) Preview(p relay.Parcel) Preview {
	return Preview{To: s.path, Text: string(p.Delivery.Payload)}
}

func (s *fileSink) Close() {}

// end example

func ExampleRegister() {
	dir, err := os.MkdirTemp("", "kurir")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	path := filepath.Join(dir, "orders.txt")
	file := conf.Parse("rules.yaml", []byte("path: "+path), os.LookupEnv)

	kind, _ := Lookup("file")
	sink := kind.New(file.Root(), Place{Name: "journal", Location: time.UTC})
	write := sink.Writer(Message{Text: conf.String{Text: "{{ ref_id }}: {{ data.message }}"}})
	payload, err := write(Occasion{Vars: lang.Vars{RefID: "T-1", Data: map[string]any{"message": "Nomor\nsalah"}}})
	if err != nil {
		panic(err)
	}
	if _, err := sink.Send(context.Background(), []relay.Parcel{{Delivery: relay.Delivery{Target: relay.Target{Payload: payload}}}}); err != nil {
		panic(err)
	}
	text, _ := os.ReadFile(path)
	fmt.Printf("%d problems, and in the file: %s", len(file.Problems()), text)
	// Output: 0 problems, and in the file: T-1: Nomor salah
}
