package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/rules"
	"github.com/kurir-relay/kurir/relay/server"
	"github.com/kurir-relay/kurir/relay/source"
	"github.com/kurir-relay/kurir/testdata"
)

// sending is what `kurir send` is asked for.
type sending struct {
	source  string
	sets    []string
	file    string
	headers []string
	url     string
	own     bool
	list    bool
	curl    bool
	load    loading
}

func sendCommand(c *cli) *cobra.Command {
	var s sending
	cmd := &cobra.Command{
		Use:   "send EVENT",
		Short: "Send a sample callback, signed, as its provider would",
		Long: `Send a sample callback to the running daemon, signed with the source's own secret
and scheme, as the provider would. The same sample again is the same callback,
and so answered already_processed; --new makes it another order.`,
		Example: "  kurir send order.failed\n  kurir send order.failed --new --set data.price=5000\n  kurir send --body callback.json --source isikuota\n  kurir send order.success --load 500/s --for 30s\n  kurir send --list",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if s.list {
				return c.listSamples()
			}
			if (len(args) == 0) == (s.file == "") {
				return misused("say which sample to send, or --body FILE; kurir send --list shows the samples")
			}
			return c.send(cmd.Context(), s, strings.Join(args, ""))
		},
	}
	f := cmd.Flags()
	f.StringVar(&s.source, "source", "", "the source it is for, if several have such a sample")
	f.StringArrayVar(&s.sets, "set", nil, "change a value, such as data.price=5000")
	f.StringVar(&s.file, "body", "", "send this file instead of a sample; - is the standard input")
	f.StringArrayVarP(&s.headers, "header", "H", nil, "add a header, as in 'Name: value'")
	f.StringVar(&s.url, "url", "", "where to send it; default: the daemon of --admin")
	f.BoolVar(&s.own, "new", false, "give it a ref_id of its own")
	f.BoolVar(&s.list, "list", false, "list the samples")
	f.StringVar(&s.load.rate, "load", "", "send orders of it at this rate, such as 500/s, to a daemon on this machine")
	f.DurationVar(&s.load.span, "for", 10*time.Second, "how long to --load")
	f.IntVar(&s.load.conns, "conns", 16, "connections at once of --load")
	f.BoolVar(&s.curl, "curl", false, "print a curl command instead of sending")
	return cmd
}

func (c *cli) listSamples() error {
	type sample struct {
		Preset string `json:"preset"`
		Event  string `json:"event"`
		Bytes  int    `json:"bytes"`
	}
	var all []sample
	var t table
	t.add("EVENT", "PRESET", "BYTES")
	for _, s := range testdata.Samples() {
		all = append(all, sample{s.Preset, s.Event, len(s.Body)})
		t.add(s.Event, s.Preset, fmt.Sprint(len(s.Body)))
	}
	if c.json() {
		return c.printJSON(map[string]any{"samples": all})
	}
	t.print(c)
	return nil
}

func (c *cli) send(ctx context.Context, s sending, event string) error {
	stats := c.askStats(ctx)
	set, err := c.loadLike(stats)
	if err != nil {
		return err
	}
	defer set.Close()
	src, r, err := s.compose(set, event)
	if err != nil {
		return err
	}
	address, err := s.address(src.Name(), stats)
	if err != nil {
		return err
	}
	r.Scheme, r.Host, r.URI = address.Scheme, address.Host, address.RequestURI()
	if s.load.rate != "" {
		return c.sendLoad(ctx, s.load, address, src, r)
	}
	if r, err = src.Sign(r, time.Now()); err != nil {
		return fmt.Errorf("%s: %w", src.Name(), err)
	}
	if s.curl {
		_, err := fmt.Fprintln(c.out, curl(address.String(), r))
		return err
	}
	return c.post(ctx, address.String(), src, r)
}

// askStats asks the daemon what it runs on; nil if none answers.
func (c *cli) askStats(ctx context.Context) *server.Stats {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	answer, err := c.client().call(ctx, http.MethodGet, "/api/stats", nil)
	stats := &server.Stats{}
	if err != nil || json.Unmarshal(answer, stats) != nil {
		return nil
	}
	return stats
}

// loadLike loads the rules or, if there are none at the usual place and none are
// named, those of the running daemon.
func (c *cli) loadLike(stats *server.Stats) (*rules.Set, error) {
	if _, err := os.Stat(c.config); err != nil && c.config == defaultConfig && stats != nil {
		c.config = stats.Rules
	}
	return c.load()
}

// compose puts the request together, but for its signature.
func (s *sending) compose(set *rules.Set, event string) (*source.Source, source.Request, error) {
	r := source.Request{Method: http.MethodPost, Header: http.Header{"Content-Type": {"application/json"}}}
	src, sample, err := s.sample(set, event)
	if err != nil {
		return nil, r, err
	}
	if r.Body = sample.Body; sample.Header != nil {
		r.Header = sample.Header
	}
	if !src.Allows(r.Method) {
		r.Method = src.Methods()[0]
	}
	for _, h := range s.headers {
		name, value, ok := strings.Cut(h, ":")
		if !ok {
			return nil, r, misused("--header %s: write 'Name: value'", h)
		}
		r.Header.Set(name, strings.TrimSpace(value))
	}
	for _, assignment := range s.sets {
		if r.Body, err = setField(r.Header, r.Body, assignment); err != nil {
			return nil, r, err
		}
	}
	if s.own {
		r.Body, err = renamed(src, r.Header, r.Body, time.Now().Format("-150405.000"))
	}
	return src, r, err
}

// sample gives the source and what is to be sent to it, from the samples or from
// a file.
func (s *sending) sample(set *rules.Set, event string) (*source.Source, testdata.Sample, error) {
	if s.file == "" {
		return choose(set, s.source, event)
	}
	var sample testdata.Sample
	name := s.source
	if name == "" && len(set.Sources()) == 1 {
		name = set.Sources()[0].Name()
	}
	src, ok := set.Source(name)
	if !ok {
		return nil, sample, misused("say which source the file is for, with --source")
	}
	in := io.Reader(os.Stdin)
	if s.file != "-" {
		f, err := os.Open(s.file)
		if err != nil {
			return nil, sample, err
		}
		defer f.Close()
		in = f
	}
	var err error
	sample.Body, err = io.ReadAll(in)
	return src, sample, err
}

// address is where to send: --url, with the source's path if it has none, or the
// daemon that answers, or where it usually listens.
func (s *sending) address(name string, stats *server.Stats) (*url.URL, error) {
	text := s.url
	if text == "" && stats != nil {
		text = stats.Webhook + name
	}
	u, err := url.Parse(cmp.Or(text, "http://localhost:8080"))
	if err != nil || u.Host == "" {
		return nil, fmt.Errorf("--url %s: write one such as http://localhost:8080", s.url)
	}
	if u.Path == "" || u.Path == "/" {
		u.Path = "/webhook/" + name
	}
	return u, nil
}

// post sends the request and shows what is answered.
func (c *cli) post(ctx context.Context, address string, src *source.Source, r source.Request) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, r.Method, address, bytes.NewReader(r.Body))
	if err != nil {
		return err
	}
	req.Header = r.Header
	client := &http.Client{Transport: &http.Transport{}, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	defer client.CloseIdleConnections()
	resp, err := client.Do(req)
	if err != nil {
		return fmt.Errorf("%w: %w", errUnreachable, cause(err))
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("the answer is cut off: %w", err)
	}
	return c.printSent(address, src, r, resp, string(answer))
}

func (c *cli) printSent(address string, src *source.Source, r source.Request, resp *http.Response, answer string) error {
	if c.json() {
		if err := c.printJSON(map[string]any{"source": src.Name(), "url": address, "status": resp.StatusCode, "answer": answer, "body": string(r.Body)}); err != nil {
			return err
		}
	} else {
		style := green
		if resp.StatusCode >= 300 {
			style = red
		}
		fmt.Fprintf(c.out, "%s %s (%d bytes)\n%s %s\n", r.Method, address, len(r.Body), c.paint(style, resp.Status), printable(answer))
		if strings.Contains(answer, "already_processed") {
			fmt.Fprintln(c.out, "It was here before: --new sends it as another order.")
		}
	}
	if resp.StatusCode >= 300 {
		return errReported
	}
	return nil
}
