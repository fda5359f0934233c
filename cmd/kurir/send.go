package main

import "github.com/spf13/cobra"

func sendCommand(c *cli) *cobra.Command    { return &cobra.Command{Use: "send"} }
func compactCommand(c *cli) *cobra.Command { return &cobra.Command{Use: "compact"} }
