package lang_test

import (
	"fmt"
	"testing"

	"github.com/expr-lang/expr"
	"github.com/expr-lang/expr/vm"

	"github.com/kurir-relay/kurir/relay/lang"
)

const usual = `event == "order.failed" and data.price >= 10000`

// BenchmarkCondition compares this package with expr's own machine, which is
// given the same values as a struct and as a map. (It knows no nil-safety, and
// data.price is an int it can compare.)
func BenchmarkCondition(b *testing.B) {
	vars := failed(b)
	b.Run("lang", func(b *testing.B) {
		p, err := lang.Message.Compile(usual, lang.Bool)
		run(b, err, func() (any, error) { return p.Bool(vars) })
	})
	b.Run("lang, another event", func(b *testing.B) {
		p, err := lang.Message.Compile(`event == "order.success" and data.price >= 10000`, lang.Bool)
		run(b, err, func() (any, error) { return p.Bool(vars) })
	})
	b.Run("expr, struct", func(b *testing.B) {
		p, err := expr.Compile(usual, expr.Env(lang.Vars{}), expr.AsBool())
		var machine vm.VM
		run(b, err, func() (any, error) { return machine.Run(p, vars) })
	})
	b.Run("expr, map", func(b *testing.B) {
		env := map[string]any{"event": vars.Event, "data": vars.Data}
		p, err := expr.Compile(usual, expr.Env(env), expr.AsBool())
		var machine vm.VM
		run(b, err, func() (any, error) { return machine.Run(p, env) })
	})
}

func run(b *testing.B, err error, eval func() (any, error)) {
	if err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := eval(); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkThousandConditions(b *testing.B) {
	vars := failed(b)
	var all []*lang.Program
	for i := range 1000 {
		p, err := lang.Message.Compile(fmt.Sprintf(`event == "order.failed" and data.price >= %d and data.product_name contains "%d"`, i*20, i), lang.Bool)
		if err != nil {
			b.Fatal(err)
		}
		all = append(all, p)
	}
	b.ReportAllocs()
	for b.Loop() {
		for _, p := range all {
			if _, err := p.Bool(vars); err != nil {
				b.Fatal(err)
			}
		}
	}
}

func BenchmarkTemplate(b *testing.B) {
	vars := failed(b)
	t, err := lang.Message.Template("❌ <b>{{ ref_id }}</b> {{ data.product_name }} → {{ data.customer_number }}\n{{ data.message ?? \"-\" }} ({{ rupiah(data.price) }})", lang.HTML)
	run(b, err, func() (any, error) { return t.Render(vars) })
}

func BenchmarkCompile(b *testing.B) {
	run(b, nil, func() (any, error) { return lang.Message.Compile(usual, lang.Bool) })
}
