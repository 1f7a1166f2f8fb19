package differential

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
)

// disagreement is one question of at most one case to which the engines answer differently.
type disagreement struct {
	set       policySet
	want, got policyAnswer
}

func (d disagreement) String() string {
	if d.want.Error != "" || d.got.Error != "" {
		return fmt.Sprintf("%supstream: %s\nsextant:  %s", d.set, refusal(d.want), refusal(d.got))
	}
	return fmt.Sprintf("%supstream: %s\nsextant:  %s", d.set, d.want.Verdicts, d.got.Verdicts)
}

func refusal(answer policyAnswer) string {
	if answer.Error == "" {
		return "accepts"
	}
	return "refuses: " + answer.Error
}

// way is how the engines disagree: what both say, of a refusal how it ends, since it begins with the place.
func (d disagreement) way() string {
	if d.want.Error != "" || d.got.Error != "" {
		return fmt.Sprintf("%q %q", ending(d.want.Error), ending(d.got.Error))
	}
	return fmt.Sprint(d.want.Verdicts, d.got.Verdicts)
}

func ending(text string) string {
	const length = 60
	line, _, _ := strings.Cut(text, "\n")
	return shape(line[max(0, len(line)-length):])
}

// comparison asks both engines.
type comparison struct {
	judge *judge
	// tally counts cases by upstream's verdict, and sets that it refuses.
	tally map[string]int
}

func newComparison(t *testing.T) *comparison {
	return &comparison{judge: startJudge(t), tally: map[string]int{}}
}

// compare is the disagreements about a set that are not meant, one of each way: about its acceptance, or about its cases.
func (c *comparison) compare(set policySet) ([]disagreement, error) {
	question := set.question()
	want := askUpstream(question)
	got, err := c.judge.ask(question)
	if err != nil {
		return nil, err
	}
	if want.Error != "" {
		c.tally["refused"]++
	}
	if want.Error != "" || got.Error != "" {
		set.cases = []policyCase{}
		one := disagreement{set: set, want: want, got: got}
		if (want.Error != "") == (got.Error != "") || one.meant() {
			return nil, nil
		}
		return []disagreement{one}, nil
	}
	found := map[string]disagreement{}
	for i := range set.cases {
		c.tally[want.Verdicts[i]]++
		if want.Verdicts[i] == got.Verdicts[i] {
			continue
		}
		alone := set
		alone.cases = set.cases[i : i+1]
		one := disagreement{alone, policyAnswer{Verdicts: want.Verdicts[i : i+1]}, policyAnswer{Verdicts: got.Verdicts[i : i+1]}}
		if _, shown := found[one.way()]; !shown && !one.meant() {
			found[one.way()] = one
		}
	}
	return slices.Collect(maps.Values(found)), nil
}

// verdicts is how many cases upstream has judged.
func (c *comparison) verdicts() int {
	return c.tally[verdictAllow] + c.tally[verdictDeny] + c.tally[verdictAuth]
}

// policyReport gathers disagreements, reduces the first ones, and shows each reduced one once.
type policyReport struct {
	*comparison
	t         *testing.T
	differing int
	shown     map[string]bool
}

const policyFailuresReduced = 40

func (r *policyReport) add(name string, found []disagreement) {
	r.t.Helper()
	for _, one := range found {
		if r.differing++; r.differing > policyFailuresReduced {
			return
		}
		smallest := r.shrink(one).String()
		if key := shape(smallest); !r.shown[key] {
			r.shown[key] = true
			r.t.Errorf("%s:\n%s", name, smallest)
		}
	}
}

// shape is a text without its numbers: two disagreements that differ in ports or names alone are one.
func shape(text string) string {
	return strings.Map(func(r rune) rune {
		if r >= '0' && r <= '9' {
			return '0'
		}
		return r
	}, text)
}
