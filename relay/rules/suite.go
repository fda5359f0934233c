package rules

import "github.com/kurir-relay/kurir/relay/conf"

// testKeys are an example with what must come of it.
type testKeys = conf.Node
