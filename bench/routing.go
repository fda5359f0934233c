package main

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/kurir-relay/kurir/relay"
	"github.com/kurir-relay/kurir/relay/lang"
	"github.com/kurir-relay/kurir/relay/rules"
)

// routing measures how long it takes to route one callback by 1 to 1,000 rules,
// of which a tenth matches none, all with a condition of two parts.
func (b *bench) routing(ctx context.Context) error {
	t := b.report.table("Routing", "One callback by N rules with two-part conditions, of which one matches; no store.")
	var hundred []float64
	for _, n := range []int{1, 10, 100, 1000} {
		set, problems := rules.Parse("bench.yaml", ruleFile(n), rules.Options{Lookup: func(string) (string, bool) { return secret, true }})
		if set == nil {
			return problems
		}
		var figures []float64
		for range b.rounds {
			figures = append(figures, routeOnce(set, b.span))
		}
		target := map[int]string{100: "< 40 µs"}[n]
		if n == 100 {
			hundred = figures
		}
		if n == 1000 {
			t.add("1000 rules", "µs", figures, "100 rules", hundred, "< 10")
			continue
		}
		t.add(fmt.Sprintf("%d rules", n), "µs", figures, "", nil, target)
	}
	return nil
}

func ruleFile(n int) []byte {
	var f strings.Builder
	f.WriteString(source + "sinks:\n  out: {log: {}}\nrules:\n")
	for i := range n {
		fmt.Fprintf(&f, "  - {name: r%d, when: 'event == \"order.success\" and data.price >= %d', to: [out]}\n", i, 11500+i)
	}
	return []byte(f.String())
}

// routeOnce gives microseconds a callback.
func routeOnce(set *rules.Set, span time.Duration) float64 {
	src, _ := set.Source("shop")
	c := src.Read(relay.Callback{Source: "shop", ReceivedAt: time.Now(), Body: body("ORDER-1"),
		Header: http.Header{"Content-Type": {"application/json"}}})
	n, began := 0, time.Now()
	for time.Since(began) < span {
		for range 100 {
			set.Route(c)
			n++
		}
	}
	return float64(time.Since(began).Microseconds()) / float64(n)
}

const condition = `event == "order.success" and data.price >= 10000`

// conditions compares one condition in the evaluator of package lang with the
// same in expr's virtual machine, with a typed and with a map environment.
func (b *bench) conditions(ctx context.Context) error {
	type typed struct {
		Event string         `expr:"event"`
		Data  map[string]any `expr:"data"`
	}
	data := map[string]any{"price": 11500, "ref_id": "ORDER-1"}
	asMap := map[string]any{"event": "order.success", "data": data}
	asStruct := typed{"order.success", data}
	own, err := lang.Message.Compile(condition, lang.Bool)
	if err != nil {
		return err
	}
	inMap, err := expr.Compile(condition, expr.Env(asMap), expr.AsBool())
	if err != nil {
		return err
	}
	inStruct, err := expr.Compile(condition, expr.Env(asStruct), expr.AsBool())
	if err != nil {
		return err
	}
	vars := &lang.Vars{Event: "order.success", Data: data}
	ways := []func() error{
		func() error { _, err := own.Bool(vars); return err },
		func() error { _, err := vm.Run(inStruct, asStruct); return err },
		func() error { _, err := vm.Run(inMap, asMap); return err },
	}
	figures := make([][]float64, len(ways))
	for range b.rounds {
		for i, way := range ways {
			ns, err := timed(way, b.span/4)
			if err != nil {
				return err
			}
			figures[i] = append(figures[i], ns)
		}
	}
	t := b.report.table("One condition", "`"+condition+"`")
	t.add("Kurir, typed", "ns", figures[0], "", nil, "")
	t.add("expr's VM, typed environment", "ns", figures[1], "Kurir", figures[0], "")
	t.add("expr's VM, map environment", "ns", figures[2], "Kurir", figures[0], "")
	return nil
}

// timed gives nanoseconds a call.
func timed(f func() error, span time.Duration) (float64, error) {
	n, began := 0, time.Now()
	for time.Since(began) < span {
		for range 1000 {
			if err := f(); err != nil {
				return 0, err
			}
			n++
		}
	}
	return float64(time.Since(began).Nanoseconds()) / float64(n), nil
}
