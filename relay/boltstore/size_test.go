package boltstore_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/boltstore"
)

// What a large log costs: start, memory, disk, and the rate of appending. It
// needs a directory, which it fills once: BOLTSTORE_SIZE_DIR, and
// BOLTSTORE_SIZE for the number of callbacks.
func BenchmarkSize(b *testing.B) {
	dir := os.Getenv("BOLTSTORE_SIZE_DIR")
	size, _ := strconv.Atoi(os.Getenv("BOLTSTORE_SIZE"))
	if dir == "" || size == 0 {
		b.Skip("BOLTSTORE_SIZE_DIR and BOLTSTORE_SIZE are not set")
	}
	fillTo(b, dir, size)
	debug.FreeOSMemory()
	begun := time.Now()
	s := openBench(b, dir)
	b.Logf("start %.3f s, disk %.2f x", time.Since(begun).Seconds(), diskRatio(b, dir, size))
	runtime.GC()
	debug.FreeOSMemory()
	b.Logf("memory %d MB", anonymous(b)>>20)
	next.Store(1 << 40)
	for _, callers := range []int{1, 64} {
		b.Run(fmt.Sprint("callers=", callers), func(b *testing.B) { benchAppend(b, s, callers, 0) })
	}
	b.Logf("memory %d MB", anonymous(b)>>20)
}

// fillTo has size callbacks in the log, with one delivered target each.
func fillTo(b *testing.B, dir string, size int) {
	s, err := boltstore.Open(dir, boltstore.Options{NoSync: true})
	if err != nil {
		b.Fatal(err)
	}
	defer s.Close()
	st, err := s.Stats(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	begun := time.Now()
	for have := int(st.Callbacks); have < size; {
		in := make([]relay.Inbound, min(500, size-have))
		for i := range in {
			have++
			in[i] = typical(have)
		}
		if _, err := s.Append(context.Background(), in); err != nil {
			b.Fatal(err)
		}
	}
	b.Logf("filled from %d in %v", st.Callbacks, time.Since(begun))
}

// diskRatio is what the directory takes for each byte of bodies and headers.
func diskRatio(b *testing.B, dir string, size int) float64 {
	c := typical(1).Callback
	each := len(c.Body)
	for name, v := range c.Header {
		each += len(name) + len(v[0])
	}
	info, err := os.Stat(filepath.Join(dir, "kurir.db"))
	if err != nil {
		b.Fatal(err)
	}
	return float64(info.Size()) / float64(each*size)
}

// anonymous is the resident memory of this process, mapped files aside.
func anonymous(b *testing.B) int {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		b.Skip(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssAnon:")
	kb, err := strconv.Atoi(strings.Fields(rest)[0])
	if err != nil {
		b.Fatal(err)
	}
	return kb << 10
}
