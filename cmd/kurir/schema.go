package main

import (
	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/rules"
)

func schemaCommand(c *cli) *cobra.Command {
	return &cobra.Command{
		Use:   "schema",
		Short: "Print the JSON Schema of rules.yaml, for editors",
		Long: `Print the JSON Schema (draft-07) of rules.yaml. An editor with the YAML language
server completes keys and marks mistakes if the file begins with

  # yaml-language-server: $schema=./rules.schema.json`,
		Example: "  kurir schema > rules.schema.json",
		Args:    cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := c.out.Write(rules.Schema())
			return err
		},
	}
}
