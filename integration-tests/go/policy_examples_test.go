package differential

import (
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// unsupportedExamples are upstream's examples that Sextant refuses, each with the path that the refusal names. Those without one are no
// policies, or upstream refuses them as well.
var unsupportedExamples = map[string]string{
	"getting-started/cilium_dkr_demo_l7-policy-230817.yaml": "spec.ingress[0].toPorts[0].rules",
	"getting-started/l7-policy.yaml":                        "spec.ingress[0].toPorts[0].rules",
	"kubernetes/serviceaccount/serviceaccount-policy.yaml":  "spec.ingress[0].toPorts[0].rules",
	"l3/entities/customnodes.yaml":                          "spec.ingress[0].fromNodes",
	"l3/fqdn/fqdn.yaml":                                     "spec.egress[0].toPorts[0].rules",
	"l3/service/service.yaml":                               "spec.egress[0].toServices",
	"l4/l4_sni.yaml":                                        "spec.egress[0].toPorts[0].serverNames",
	"l7/dns/dns-upgrade.yaml":                               "spec.egress[0].toPorts[0].rules",
	"l7/dns/dns-visibility.yaml":                            "spec.egress[0].toPorts[0].rules",
	"l7/dns/dns.yaml":                                       "spec.egress[0].toPorts[0].rules",
	"l7/http/http.yaml":                                     "spec.ingress[0].toPorts[0].rules",
	"l7/http/l7_multi.yaml":                                 "specs[0].ingress[0].toPorts[0].rules",
	"l7/http/simple/l7.yaml":                                "spec.ingress[0].toPorts[0].rules",
}

// examplesOfUpstream is the text of each example by its path, from the module that go.mod pins.
func examplesOfUpstream(t *testing.T) map[string]string {
	t.Helper()
	found, err := exec.CommandContext(t.Context(), "go", "list", "-m", "-f", "{{.Dir}}", "github.com/cilium/cilium").Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	root := filepath.Join(strings.TrimSpace(string(found)), "examples", "policies")
	examples := map[string]string{}
	err = filepath.WalkDir(root, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(root, path)
		examples[filepath.ToSlash(name)] = string(text)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return examples
}

func TestExamplesOfUpstreamMeanTheSame(t *testing.T) {
	report := policyReport{comparison: newComparison(t), t: t, shown: map[string]bool{}}
	examples := examplesOfUpstream(t)
	compared, verdicts := 0, 0
	for _, name := range slices.Sorted(maps.Keys(examples)) {
		question := questionOfExample(examples[name])
		got, err := report.judge.ask(question)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if path, unsupported := unsupportedExamples[name]; unsupported {
			if !strings.Contains(got.Error, path) {
				t.Errorf("%s: must be refused by the path %s, got %q", name, path, got.Error)
			}
			continue
		}
		want := askUpstream(question)
		switch {
		case (want.Error == "") != (got.Error == ""):
			t.Errorf("%s: upstream %s, sextant %s", name, refusal(want), refusal(got))
		case want.Error == "":
			compared++
			verdicts += len(want.Verdicts)
			for i, one := range question.Cases {
				if want.Verdicts[i] != got.Verdicts[i] {
					t.Errorf("%s: upstream says %s, sextant %s:\n%s", name, want.Verdicts[i], got.Verdicts[i],
						policySet{endpoints: question.Endpoints, cases: []policyCase{one}})
					break
				}
			}
		}
	}
	t.Logf("%d examples: %d compared with %d verdicts, %d refused by their path, the rest refused by both", len(examples), compared,
		verdicts, len(unsupportedExamples))
}
