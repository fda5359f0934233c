package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/testdata"
)

// explainFlags say what a request is that comes out of a file.
type explainFlags struct {
	source  string
	method  string
	query   string
	headers []string
	asTest  bool
}

func explainCommand(c *cli) *cobra.Command {
	var f explainFlags
	cmd := &cobra.Command{
		Use:   "explain FILE|EVENT|ID|REF_ID",
		Short: "Show the way of a callback: what is verified, which rules match and why, what each sink would get",
		Long: `Show the way of a callback: what is verified, which rules match and why, and what
each sink would get. Nothing is sent.

A file holds a body; it is signed as its provider would, unless --header gives the
headers to verify. An event is that of a sample, such as order.failed. An id or
ref_id is that of a callback in the running daemon's log, which explains it by the
rules in force.`,
		Example: `  kurir explain order.failed
  kurir explain body.json --source isikuota
  kurir explain body.json -H 'X-Signature: 5f2b...'
  kurir explain ORDER-2025-001
  kurir explain ORDER-2025-001 --as-test >> rules_test.yaml`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error { return c.explain(cmd.Context(), args[0], f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.source, "source", "", "the source a file or sample is for; the first of the rules if absent")
	flags.StringVar(&f.method, "method", "", "the request's method")
	flags.StringVar(&f.query, "query", "", "the request's query, such as refid=A-1&status=20")
	flags.StringArrayVarP(&f.headers, "header", "H", nil, "a header of the request, 'Name: value'")
	flags.BoolVar(&f.asTest, "as-test", false, "print a test that expects what the rules make of it now")
	return cmd
}

func (c *cli) explain(ctx context.Context, name string, f explainFlags) error {
	body, err := readBody(name)
	isSample := slices.ContainsFunc(testdata.Samples(), func(s testdata.Sample) bool { return s.Event == name })
	switch {
	case err == nil:
		return c.explainBody(body, f)
	case !errors.Is(err, fs.ErrNotExist):
		return err
	case isSample:
		return c.explainSample(name, f)
	}
	ids, err := c.client().find(ctx, name)
	if isMisuse(err) {
		return err
	}
	if err != nil {
		return fmt.Errorf("there is no file and no sample %s, and in the log: %w", name, err)
	}
	if f.asTest {
		return c.storedAsTest(ctx, ids[len(ids)-1])
	}
	for _, id := range ids {
		if err := c.explainStored(ctx, id); err != nil {
			return err
		}
	}
	return nil
}

// readBody reads a file; "-" is the standard input.
func readBody(name string) ([]byte, error) {
	if name == "-" {
		return io.ReadAll(os.Stdin)
	}
	return os.ReadFile(name)
}

// explainBody explains a request with a body and the headers of the flags.
func (c *cli) explainBody(body []byte, f explainFlags) error {
	set, err := c.load()
	if err != nil {
		return err
	}
	defer set.Close()
	src, err := sourceOf(set, f.source)
	if err != nil {
		return err
	}
	return c.explainRequest(set, src, source.Request{Header: http.Header{"Content-Type": {"application/json"}}, Body: body}, f)
}

// explainSample explains a sample of an event.
func (c *cli) explainSample(event string, f explainFlags) error {
	set, err := c.load()
	if err != nil {
		return err
	}
	defer set.Close()
	src, sample, err := choose(set, f.source, event)
	if err != nil {
		return err
	}
	return c.explainRequest(set, src, source.Request{Header: sample.Header, Body: sample.Body}, f)
}

// explainRequest explains a request to a source. Without headers of its own it
// is signed as the provider would.
func (c *cli) explainRequest(set *rules.Set, src *source.Source, r source.Request, f explainFlags) error {
	if err := f.complete(src, &r); err != nil {
		return err
	}
	now := time.Now()
	if f.asTest {
		return c.printTest(set, relay.Callback{Source: src.Name(), Method: r.Method, URI: r.URI, Header: r.Header, Body: r.Body, ReceivedAt: now})
	}
	if signed, err := src.Sign(r, now); err == nil && len(f.headers) == 0 {
		r = signed
	}
	e, err := set.ExplainRequest(src.Name(), r, now)
	if err != nil {
		return err
	}
	if len(f.headers) == 0 && !e.Verify.OK {
		e.Verify = nil // there is nothing to verify: it is only a body
	}
	return c.printExplanation(e)
}

// complete fills in what the flags say, and where the request goes.
func (f *explainFlags) complete(src *source.Source, r *source.Request) error {
	r.Method, r.URI, r.Scheme, r.Host = cmp.Or(f.method, src.Methods()[0]), "/webhook/"+src.Name(), "https", "localhost"
	if f.query != "" {
		r.URI += "?" + f.query
	}
	for _, h := range f.headers {
		k, v, ok := strings.Cut(h, ":")
		if !ok {
			return misused("--header %q: write 'Name: value'", h)
		}
		r.Header.Set(strings.TrimSpace(k), strings.TrimSpace(v))
	}
	return nil
}

// sourceOf gives a source by name, or the first one.
func sourceOf(set *rules.Set, name string) (*source.Source, error) {
	if src, ok := set.Source(name); ok {
		return src, nil
	}
	if name != "" || len(set.Sources()) == 0 {
		return nil, fmt.Errorf("no source %q in the rules", name)
	}
	return set.Sources()[0], nil
}

// explainStored asks the daemon about a callback of its log.
func (c *cli) explainStored(ctx context.Context, id relay.ID) error {
	answer, err := c.client().call(ctx, http.MethodPost, "/api/explain", server.ExplainRequest{ID: id})
	if err != nil {
		return err
	}
	if c.json() {
		_, err := c.out.Write(answer)
		return err
	}
	var e rules.Explanation
	dec := json.NewDecoder(bytes.NewReader(answer))
	dec.UseNumber() // prices keep their digits
	if err := dec.Decode(&e); err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	return c.printExplanation(e)
}

func (c *cli) printExplanation(e rules.Explanation) error {
	if c.json() {
		return c.printJSON(e)
	}
	e.Text(c.out, colored(c.out))
	return nil
}

// storedAsTest writes a test of a callback in the daemon's log, as the rules of
// the file see it.
func (c *cli) storedAsTest(ctx context.Context, id relay.ID) error {
	set, err := c.load()
	if err != nil {
		return err
	}
	defer set.Close()
	body, err := c.client().call(ctx, http.MethodGet, "/api/callbacks/"+id.String()+"/raw", nil)
	if err != nil {
		return err
	}
	text, err := c.client().call(ctx, http.MethodGet, "/api/callbacks/"+id.String(), nil)
	if err != nil {
		return err
	}
	var d server.Detail
	if err := json.Unmarshal(text, &d); err != nil {
		return fmt.Errorf("the daemon's answer: %w", err)
	}
	return c.printTest(set, relay.Callback{ID: id, Source: d.Source, Event: d.Event, RefID: d.RefID, ReceivedAt: d.ReceivedAt,
		Method: d.Method, URI: d.URI, Header: d.Header, Body: body, Unparsed: d.Unparsed})
}

func (c *cli) printTest(set *rules.Set, cb relay.Callback) error {
	text, err := set.AsTest(cb)
	if err != nil {
		return err
	}
	_, err = c.out.Write(text)
	return err
}
