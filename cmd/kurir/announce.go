package main

import (
	"fmt"
	"strings"

	"github.com/kurir-relay/kurir/relay/rules"
)

// announce prints where the daemon listens and how to try it; last of all, and
// whatever the standard output is, the line "Ready."
func (d *daemon) announce() {
	if len(d.made) > 0 {
		fmt.Fprintf(d.out, "Made %s, kept in %s\n", strings.Join(d.made, ", "), d.secretsPath())
	}
	set := d.live.Set()
	for _, s := range set.Sources() {
		fmt.Fprintf(d.out, "Webhook   http://%s/webhook/%s (%s)\n", reachable(d.public.Addr()), s.Name(), strings.Join(s.Methods(), ", "))
	}
	fmt.Fprintf(d.out, "Admin     http://%s (its token is in %s)\n", reachable(d.admin.Addr()), d.tokenPath())
	if d.flags.makeSecrets {
		d.announceCurl(set)
	}
	fmt.Fprintln(d.out, "Ready.")
}

func (d *daemon) announceCurl(set *rules.Set) {}
