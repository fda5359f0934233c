//go:build !kurir_nosync

package boltstore

// neverSync is set in a build that is broken on purpose: it shows that the tests
// of power cuts notice what is lost.
const neverSync = false
