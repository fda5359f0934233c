package rules_test

import (
	"testing"

	"github.com/kurir-relay/kurir/relay/rules"
)

func TestTheSchemaInTheRepositoryIsCurrent(t *testing.T) {
	golden(t, "../../rules.schema.json", string(rules.Schema()))
}
