package rules_test

import (
	"fmt"
	"strings"
	"testing"

	"github.com/kurir-relay/kurir/relay/rules"
)

// manyRules is a file of n rules: most are about one event or product, as in a
// shop's file, and the last takes every callback.
func manyRules(n int) string {
	var b strings.Builder
	b.WriteString(head + "rules:\n")
	for i := range n - 1 {
		switch i % 4 {
		case 0:
			fmt.Fprintf(&b, "  - {name: r%d, when: 'event == \"order.e%d\" and data.price >= %d', to: [ops], text: \"{{ ref_id }} %d\"}\n", i, i, 1000*i, i)
		case 1:
			fmt.Fprintf(&b, "  - {name: r%d, when: 'data.product_code == \"P%d\"', to: [ops], text: \"{{ ref_id }} %d\"}\n", i, i, i)
		case 2:
			fmt.Fprintf(&b, "  - {name: r%d, when: 'source == \"s%d\"', to: [owner], text: \"{{ data.message }}\"}\n", i, i)
		case 3:
			fmt.Fprintf(&b, "  - {name: r%d, when: 'event == \"order.failed\" and data.price > %d', to: [ops], text: \"{{ rupiah(data.price) }} %d\"}\n", i, 100_000+i, i)
		}
	}
	b.WriteString("  - {name: all, to: [legacy]}\n")
	return b.String()
}

// One callback routed by 1 to 1,000 rules of which few match: with 100 it is to
// take less than 40 microseconds, with 1,000 less than ten times that.
func BenchmarkRoute(b *testing.B) {
	body := `{"event":"order.failed","data":{"ref_id":"A-1","product_code":"TSEL10","product_name":"Telkomsel 10.000","price":11500,"message":"Nomor salah","sn":""}}`
	for _, n := range []int{1, 10, 100, 1000} {
		b.Run(fmt.Sprintf("rules=%d", n), func(b *testing.B) {
			set, problems := rules.Parse("rules.yaml", []byte(manyRules(n)), rules.Options{Lookup: env})
			if set == nil {
				b.Fatal(problems)
			}
			defer set.Close()
			c := order("order.failed", "A-1", nil)
			c.Parsed, c.Body, c.Event, c.RefID = nil, []byte(body), "", ""
			src, _ := set.Source("isikuota")
			c = src.Read(c)
			b.ReportAllocs()
			for b.Loop() {
				if targets, _ := set.Route(c); len(targets) != 1 {
					b.Fatal(targets)
				}
			}
		})
	}
}
