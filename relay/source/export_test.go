package source

import "time"

// Authentic is Verify without reading the request.
func (s *Source) Authentic(r Request, now time.Time) bool {
	return s.verify(s.newVars(&r), now) == nil
}
