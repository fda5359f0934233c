package storetest

import (
	"testing"
)

func model(t *testing.T, place func(t *testing.T) Place) {}
