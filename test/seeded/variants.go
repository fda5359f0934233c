package main

// variants are the bugs that must be caught, in the order in which a callback
// meets the code they are in.
var variants = []variant{
	// Who sent it.
	{"a signature is compared by its beginning", "relay/source/check.go",
		`got := sha256.Sum256(c)`, `got := sha256.Sum256(append(c[:min(len(c), 4):4], want[min(len(want), 4):]...))`,
		"relay/source", "TestEveryVector"},
	{"a header that comes twice counts by its first", "relay/source/request.go",
		`if len(values) != 1 {`, `if len(values) == 0 {`,
		"relay/source", "Twice|Trap"},
	{"the timestamp is not checked", "relay/source/check.go",
		`d > c.tolerance`, `d > c.tolerance*1e6`,
		"relay/source", "TestEveryVector"},
	{"the timestamp is checked one way only", "relay/source/check.go",
		`now.Sub(at).Abs(); d > c.tolerance`, `now.Sub(at); d > c.tolerance`,
		"relay/source", "."},
	{"the prefix of a signature is not required", "relay/source/check.go",
		`if text, ok := strings.CutPrefix(text, c.prefix); ok && text != "" {`, `if text := strings.TrimPrefix(text, c.prefix); text != "" {`,
		"relay/source", "."},
	{"what is absent from signed content is empty", "relay/source/check.go",
		`if err != nil || !ok {
			return false
		}
		content = text`, `_, _ = ok, err
		content = text`,
		"relay/source", "."},
	{"the dedupe key leaves the event out", "relay/source/read.go",
		`parts = []conf.String{{Text: "ref_id", Node: n}, {Text: "event", Node: n}}`, `parts = []conf.String{{Text: "ref_id", Node: n}}`,
		"relay/source", "."},
	{"an empty secret is accepted", "relay/source/source.go",
		`if strings.TrimSpace(text) == "" {`, `if text == "never" {`,
		"relay/source", "."},
	{"a copied JSON key under a signature is accepted", "relay/source/check.go",
		`v.twice.Any() || v.doubled`, `v.doubled`,
		"relay/source", "."},

	// The store.
	{"a commit is not awaited", "relay/boltstore/writer.go",
		`	select {
	case s.queue <- t:
	case <-ctx.Done():`, `	select {
	case s.queue <- t:
		go func() { <-t.done }()
		return nil
	case <-ctx.Done():`,
		"relay/boltstore", "TestStoreKeepsItsPromises/Append"},
	{"the parts of a key run together", "relay/boltstore/keys.go",
		`		b = putString(b, part)
`, `		b = append(b, part...)
`,
		"relay/boltstore", "TestStoreKeepsItsPromises/Append"},
	{"a conflict is answered like the original and dropped", "relay/boltstore/append.go",
		`if original.body == in.body {`, `if original.body == in.body || known {`,
		"relay/boltstore", "TestStoreKeepsItsPromises/Append"},
	{"a settle takes any token", "relay/boltstore/settle.go",
		`l == nil || l.token != token || b.settled[id]`, `l == nil || b.settled[id]`,
		"relay/boltstore", "TestStoreKeepsItsPromises"},
	{"a settled delivery is due again after a restart", "relay/boltstore/settle.go",
		`	if err := b.del(b.due, l.dueKey); err != nil {
		return err
	}
	if err := b.move`, `	if err := b.move`,
		"relay/boltstore", "TestStoreKeepsItsPromises"},
	{"prune takes what is pending", "relay/boltstore/prune.go",
		`if e.Deliveries[i].State == relay.Pending {`, `if e.Deliveries[i].State == "open" {`,
		"relay/boltstore", "TestStoreKeepsItsPromises"},
	{"prune forgets the keys with the callbacks", "relay/boltstore/prune.go",
		`w := &forgetting{before: relay.FloorID(p.Keys), from: from}`, `w := &forgetting{before: relay.FloorID(p.Callbacks), from: from}`,
		"relay/boltstore", "TestStoreKeepsItsPromises"},
	{"an attempt is not recorded", "relay/boltstore/settle.go",
		`		if err := b.put(b.after, key, seal(key, o.attempt)); err != nil {
			return err
		}
`, `		_ = key
`,
		"relay/boltstore", "TestStoreKeepsItsPromises"},
	{"the lane of an order is not kept", "relay/boltstore/claim.go",
		`if b.lane == (laneHash{}) {`, `if b.lane == (laneHash{}) || true {`,
		"relay/boltstore", "TestStoreKeepsItsPromises"},
	{"a damaged body is served", "relay/boltstore/record.go",
		`if crc32.Checksum(r.second, castagnoli) != r.bodySum {`, `if crc32.Checksum(r.second, castagnoli) != r.bodySum && false {`,
		"relay/boltstore", "."},

	// Delivering.
	{"one attempt less than the schedule says", "relay/retry.go",
		`tries >= len(retry)`, `tries+1 >= len(retry)`,
		"relay", "TestRetriesFollowTheSchedule|TestNoRetries"},
	{"the far side's wait is ignored", "relay/retry.go",
		`now.Add(max(Jitter(retry[tries], id, tries+1), asked(err)))`, `now.Add(Jitter(retry[tries], id, tries+1))`,
		"relay", "TestTheFarSidesWait"},
	{"the far side's wait has no cap", "relay/retry.go",
		`min(max(ra.Wait, 0), maxAsked)`, `max(ra.Wait, 0)`,
		"relay", "TestTheFarSidesWait"},
	{"a permanent failure is retried", "relay/retry.go",
		`errors.Is(err, ErrPermanent) || tries`, `tries`,
		"relay", "TestAPermanentFailure"},
	{"a dead letter has no way out", "relay/attempt.go",
		`	if out.State == Dead {
		out.Next`, `	if out.State == Delivered {
		out.Next`,
		"relay", "TestAPermanentFailure"},
	{"an attempt that the stop cut off is a failure", "relay/attempt.go",
		`t.stopped = t.err != nil && errors.Is`, `t.stopped = t.err == nil && errors.Is`,
		"relay", "TestWhatCanNotEnd"},
	{"a failed store of outcomes loses them", "relay/attempt.go",
		`for err != nil && !errors.Is(err, ErrClosed) && d.pause(recordAgain) {`, `for false && d.pause(recordAgain) {`,
		"relay", "TestOnAFullDisk"},

	// The sinks.
	{"redirects are followed", "sinks/dial.go",
		`return p.current(time.Now()).RoundTrip(r)`, `return (&http.Client{Transport: p.current(time.Now())}).Do(r)`,
		"sinks", "TestARedirect"},
	{"metadata addresses may be dialled", "sinks/dial.go",
		`	if refusedAddress(ap.Addr()) {
		return errGuarded
	}
`, ``,
		"sinks", "TestARefusedAddress|TestLinkLocal"},
	{"hop-by-hop headers are forwarded", "sinks/forward.go",
		`!slices.Contains(hopHeaders, k) && `, ``,
		"sinks", "TestHeadersArePassedOn"},
}
