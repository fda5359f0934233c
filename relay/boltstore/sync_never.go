//go:build kurir_nosync

package boltstore

const neverSync = true
