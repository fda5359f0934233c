// Package server is Kurir's two HTTP listeners. The public one takes callbacks
// and nothing else; the admin one has the API, the metrics and what an operator
// needs. Neither trusts what it is sent.
package server
