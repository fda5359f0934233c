package main

import (
	"fmt"
	"regexp"

	"github.com/spf13/cobra"

	"github.com/kurir-relay/kurir/relay/rules"
)

func testCommand(c *cli) *cobra.Command {
	var pattern string
	cmd := &cobra.Command{
		Use:   "test [FILE]",
		Short: "Run the tests of the rules",
		Long: `Run the tests of the rules: those under tests: in the file, and those in the
*_test.yaml files beside it. Each is a callback with what must come of it. Nothing
is sent, and no daemon is needed.`,
		Example: "  kurir test\n  kurir test rules.example.yaml --run failed\n  kurir test -o junit > report.xml",
		Args:    cobra.MaximumNArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			if len(args) > 0 {
				c.config = args[0]
			}
			return c.test(pattern)
		},
		Annotations: map[string]string{moreOutput: "junit"},
	}
	cmd.Flags().StringVar(&pattern, "run", "", "only the tests whose names match this regular expression")
	return cmd
}

func (c *cli) test(pattern string) error {
	var wanted *regexp.Regexp
	if pattern != "" {
		var err error
		if wanted, err = regexp.Compile(pattern); err != nil {
			return fmt.Errorf("--run: %w", err)
		}
	}
	set, err := c.load()
	if err != nil {
		return err
	}
	defer set.Close()
	beside, problems := set.ReadTests(c.config, c.options(nil))
	c.report(problems)
	if len(problems.Errors()) > 0 {
		return errReported
	}
	r := set.Run(append(set.Tests(), beside...), wanted)
	if err := c.printReport(r); err != nil {
		return err
	}
	switch {
	case r.Failed() > 0:
		return errReported
	case wanted != nil && len(r.Results) == 0:
		return fmt.Errorf("--run %s: no test is called so, and none was run: without --run, all are", pattern)
	}
	return nil
}

func (c *cli) printReport(r rules.Report) error {
	switch c.output {
	case "json":
		return c.printJSON(r)
	case "junit":
		return r.JUnit(c.out)
	}
	r.Text(c.out, colored(c.out))
	return nil
}
