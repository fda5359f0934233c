package main

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/kurir-relay/kurir/relay/source"
)

// announce prints where the daemon listens and how to try it; last of all, and
// whatever the standard output is, the line "Ready."
func (d *daemon) announce() {
	if len(d.made) > 0 {
		fmt.Fprintf(d.out, "Made      %s, kept in %s\n", strings.Join(d.made, ", "), d.secretsPath())
	}
	for _, s := range d.live.Set().Sources() {
		fmt.Fprintf(d.out, "Webhook   %s%s (%s)\n", d.webhook(), s.Name(), strings.Join(s.Methods(), ", "))
	}
	fmt.Fprintf(d.out, "Admin     http://%s (its token is in %s)\n", reachable(d.admin.Addr()), d.tokenPath())
	if line := d.trial(); d.flags.makeSecrets && line != "" {
		fmt.Fprintf(d.out, "Try it    %s\n", line)
	}
	fmt.Fprintln(d.out, "Ready.")
}

// webhook is the address of the public listener, up to a source's name.
func (d *daemon) webhook() string { return "http://" + reachable(d.public.Addr()) + "/webhook/" }

// trial is a curl command with a right signature, for the first source that has
// a sample and can be signed for; "" if there is none. An alert is what one wants
// to see, so it is a failed order if there is one.
func (d *daemon) trial() (line string) {
	for _, s := range d.live.Set().Sources() {
		for _, sample := range samplesOf(s) {
			if line != "" && !strings.Contains(sample.Event, "failed") || !s.Allows(http.MethodPost) {
				continue
			}
			r, err := s.Sign(source.Request{Method: http.MethodPost, URI: "/webhook/" + s.Name(), Host: reachable(d.public.Addr()), Scheme: "http",
				Header: sample.Header, Body: sample.Body}, time.Now())
			if err == nil {
				line = curl(d.webhook()+s.Name(), r)
			}
		}
		if line != "" {
			return line
		}
	}
	return ""
}
