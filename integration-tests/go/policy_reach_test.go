package differential

import (
	"strings"
	"testing"
)

// TestGeneratedPoliciesReachAllVerdicts keeps the generator from asking what has only one answer.
func TestGeneratedPoliciesReachAllVerdicts(t *testing.T) {
	const sets = 400
	seed := policySeed(t)
	tally := map[string]int{}
	reasons := map[string]int{}
	for i := range sets {
		set := generatePolicySet(seed, i)
		answer := askUpstream(set.question())
		if answer.Error != "" {
			tally["refused"]++
			reasons[shape(answer.Error)]++
		}
		for _, verdict := range answer.Verdicts {
			tally[verdict]++
		}
	}
	t.Logf("%v", tally)
	for reason := range reasons {
		t.Logf("refused: %s", strings.TrimSpace(reason))
	}
	for verdict, least := range map[string]int{
		verdictAllow: sets * casesOfSet / 10, verdictDeny: sets * casesOfSet / 5, verdictAuth: sets / 4, "refused": sets / 40,
	} {
		if tally[verdict] < least {
			t.Errorf("%s: %d, want at least %d", verdict, tally[verdict], least)
		}
	}
	if most := sets / 5; tally["refused"] > most {
		t.Errorf("refused: %d sets, want at most %d", tally["refused"], most)
	}
}
