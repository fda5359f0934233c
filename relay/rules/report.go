package rules

import (
	"encoding/xml"
	"fmt"
	"io"
	"strings"
)

// Text writes the report for people.
func (r Report) Text(w io.Writer, color bool) {
	p := painter{w: w, color: color}
	for _, t := range r.Results {
		if t.OK {
			p.line("%s %s", p.paint(good, "ok  "), t.Name)
			continue
		}
		p.line("%s %s %s", p.paint(bad, "FAIL"), t.Name, p.paint(dim, fmt.Sprintf("(%s:%d)", t.File, t.Line)))
		for _, d := range t.Differences {
			p.line("     %s", strings.ReplaceAll(d, "\n", "\n     "))
		}
	}
	if len(r.Unexercised) > 0 {
		p.line("no test for: %s", list(r.Unexercised))
	}
	p.line("%s, %d failed", count(len(r.Results), "test"), r.Failed())
}

// JUnit writes the report as the XML that build servers read.
func (r Report) JUnit(w io.Writer) error {
	type failure struct {
		Message string `xml:"message,attr"`
		Text    string `xml:",chardata"`
	}
	type testcase struct {
		Name    string   `xml:"name,attr"`
		Class   string   `xml:"classname,attr"`
		File    string   `xml:"file,attr"`
		Line    int      `xml:"line,attr"`
		Time    string   `xml:"time,attr"`
		Failure *failure `xml:"failure"`
	}
	suite := struct {
		XMLName  xml.Name   `xml:"testsuite"`
		Name     string     `xml:"name,attr"`
		Tests    int        `xml:"tests,attr"`
		Failures int        `xml:"failures,attr"`
		Cases    []testcase `xml:"testcase"`
	}{Name: "kurir", Tests: len(r.Results), Failures: r.Failed()}
	for _, t := range r.Results {
		c := testcase{Name: t.Name, Class: t.File, File: t.File, Line: t.Line, Time: fmt.Sprintf("%.6f", t.Took.Seconds())}
		if !t.OK {
			first, _, _ := strings.Cut(t.Differences[0], "\n")
			c.Failure = &failure{Message: first, Text: strings.Join(t.Differences, "\n")}
		}
		suite.Cases = append(suite.Cases, c)
	}
	io.WriteString(w, xml.Header)
	enc := xml.NewEncoder(w)
	enc.Indent("", "  ")
	if err := enc.Encode(suite); err != nil {
		return err
	}
	_, err := io.WriteString(w, "\n")
	return err
}
