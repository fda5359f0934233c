package main

import (
	"fmt"
	"net/http"

	"github.com/spf13/cobra"
)

func healthCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:     "health",
		Short:   "Ask whether the daemon accepts callbacks",
		Long:    "Ask whether the daemon accepts callbacks. It needs no token, so it serves as a container's health check.",
		Example: "  kurir health && echo fine",
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var s struct{ Status string }
			return c.ask(cmd.Context(), http.MethodGet, "/-/ready", nil, &s, func() { fmt.Fprintln(c.out, s.Status) })
		},
	}
}
