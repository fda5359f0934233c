package boltstore

// Break makes the next commit fail as a broken disk would.
func Break(s *Store) { s.db.Close() }

// Stall keeps the writer busy until release is called.
func Stall(s *Store) (release func()) {
	w := stalling{make(chan struct{}), make(chan struct{})}
	s.offer(w)
	<-w.begun
	return func() { close(w.end) }
}

type stalling struct{ begun, end chan struct{} }

func (w stalling) size() int { return maxGroupBytes }

func (w stalling) apply(*batch) error {
	close(w.begun)
	<-w.end
	return nil
}
