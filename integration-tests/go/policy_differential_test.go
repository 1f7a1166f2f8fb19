package differential

import (
	"fmt"
	"testing"
	"time"
)

// verdictsCompared is how many verdicts an ordinary run compares at least.
const verdictsCompared = 200_000

func TestPoliciesMeanTheSame(t *testing.T) {
	seed := policySeed(t)
	began := time.Now()
	report := policyReport{comparison: newComparison(t), t: t, shown: map[string]bool{}}
	sets := 0
	for report.verdicts() < verdictsCompared {
		found, err := report.compare(generatePolicySet(seed, sets))
		if err != nil {
			t.Fatalf("set %d: %v", sets, err)
		}
		report.add(fmt.Sprintf("set %d", sets), found)
		sets++
	}
	t.Logf("%d sets, %d verdicts in %v: %v; sextant differs in %d ways of sets", sets, report.verdicts(),
		time.Since(began).Round(time.Second), report.tally, report.differing)
}
