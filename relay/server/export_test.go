package server

import "net"

// Guard gives a guarded connection.
func Guard(c net.Conn) net.Conn { return &guard{Conn: c} }
