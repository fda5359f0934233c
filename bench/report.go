package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"
)

// A report is what a run measured: tables of figures, and the machine.
type report struct {
	Machine string    `json:"machine"`
	Go      string    `json:"go"`
	Date    time.Time `json:"date"`
	Method  string    `json:"method"`
	Tables  []*table  `json:"tables"`
}

// A table is one section: rows that were measured alternately.
type table struct {
	Name string `json:"name"`
	Note string `json:"note,omitempty"`
	Rows []row  `json:"rows"`
}

// A row is one figure, with its spread over the rounds and its ratio to a
// baseline measured in the same rounds.
type row struct {
	What    string  `json:"what"`
	Median  float64 `json:"median"`
	Min     float64 `json:"min"`
	Max     float64 `json:"max"`
	Unit    string  `json:"unit"`
	Ratio   float64 `json:"ratio,omitempty"`
	Against string  `json:"against,omitempty"`
	Target  string  `json:"target,omitempty"`
}

func (r *report) begin(b *bench) {
	r.Machine = fmt.Sprintf("%d cores, %s, %s, load average %s at the start", runtime.NumCPU(), output("uname", "-sm"),
		filesystem(b.work), strings.Join(strings.Fields(output("cat", "/proc/loadavg"))[:3], " "))
	r.Go = runtime.Version()
	r.Date = time.Now().UTC().Truncate(time.Minute)
	r.Method = fmt.Sprintf("median of %d interleaved rounds of %v; client and server share the machine; ~450-byte bodies with 8 headers, signed before the clock starts", b.rounds, b.span)
}

func filesystem(dir string) string {
	fields := strings.Fields(output("df", "--output=fstype", dir))
	if len(fields) == 0 {
		return "unknown filesystem"
	}
	return fields[len(fields)-1]
}

func output(name string, args ...string) string {
	out, err := exec.Command(name, args...).Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

func (r *report) table(name, note string) *table {
	t := &table{Name: name, Note: note}
	r.Tables = append(r.Tables, t)
	return t
}

// add makes a row of the rounds' figures. The ratio is the median of the
// ratios round by round, which cancels what slowed both.
func (t *table) add(what, unit string, figures []float64, against string, base []float64, target string) {
	r := row{What: what, Unit: unit, Median: median(figures), Min: slices.Min(figures), Max: slices.Max(figures), Target: target}
	if base != nil {
		ratios := make([]float64, min(len(figures), len(base)))
		for i := range ratios {
			ratios[i] = figures[i] / base[i]
		}
		r.Ratio, r.Against = median(ratios), against
	}
	t.Rows = append(t.Rows, r)
	fmt.Fprintf(os.Stderr, "%-46s %12s %-6s %s\n", what, number(r.Median), unit, r.ratio())
}

func (r row) ratio() string {
	if r.Against == "" {
		return ""
	}
	return fmt.Sprintf("%.2f × %s", r.Ratio, r.Against)
}

func median(xs []float64) float64 {
	xs = slices.Sorted(slices.Values(xs))
	if len(xs)%2 == 1 {
		return xs[len(xs)/2]
	}
	return (xs[len(xs)/2-1] + xs[len(xs)/2]) / 2
}

func number(x float64) string {
	if x >= 100 {
		return fmt.Sprintf("%.0f", x)
	}
	return fmt.Sprintf("%.2f", x)
}

// write prints the report, and keeps it as Markdown and JSON if a file is named.
func (r *report) write(file string) error {
	md := r.markdown()
	if file == "" {
		fmt.Println(md)
		return nil
	}
	if err := os.WriteFile(file, []byte(md), 0o644); err != nil {
		return err
	}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(strings.TrimSuffix(file, ".md")+".json", append(data, '\n'), 0o644)
}

func (r *report) markdown() string {
	var b strings.Builder
	fmt.Fprintf(&b, "# Performance\n\nWritten by `make bench` on %s. %s, %s; %s.\nThe machine is noisy: read the ratios, not the rates.\n",
		r.Date.Format("2006-01-02"), r.Machine, r.Go, r.Method)
	for _, t := range r.Tables {
		fmt.Fprintf(&b, "\n## %s\n\n", t.Name)
		if t.Note != "" {
			fmt.Fprintf(&b, "%s\n\n", t.Note)
		}
		b.WriteString("| what | median | spread | ratio | target |\n|---|--:|--:|--:|--:|\n")
		for _, row := range t.Rows {
			fmt.Fprintf(&b, "| %s | %s %s | %s – %s | %s | %s |\n", row.What, number(row.Median), row.Unit,
				number(row.Min), number(row.Max), row.ratio(), row.Target)
		}
	}
	b.WriteString(limits)
	return b.String()
}

// limits is what the profiles behind the figures say.
const limits = `
## What limits

- At one connection: the one sync of a journal frame, some 170 µs on a quiet disk of this kind, against two of a bbolt
  commit. At 64 and more: the CPU. Of the some 42 µs of it that a callback takes in the daemon, reading the request and
  answering it in net/http are a third, verifying and reading JSON a sixth, the store a quarter, and memory and scheduling
  the rest; the load generator takes 11 µs of the same two cores.
- The journal's content goes into the database once a second or every 8 MB. That commit takes some 10 ms at full load, in
  which callbacks wait: it is the p99.
- Duplicates cost a frame too, since each is counted.
- End to end: delivering a callback costs the daemon as much again as accepting it did: a claim, a request by net/http and a
  settle, of which the request is more than half. The sink shares the two cores, so its own cost counts too: a server of
  net/http takes twice what the one does that only counts.
`
