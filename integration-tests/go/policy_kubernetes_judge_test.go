package differential

import (
	"fmt"
	"testing"
)

// verdictsOfKubernetes is how many verdicts about Kubernetes policies alone are compared at least, each with both oracles.
const verdictsOfKubernetes = 50_000

// TestKubernetesPoliciesMeanTheSame asks upstream and cyclonus.
func TestKubernetesPoliciesMeanTheSame(t *testing.T) {
	seed := policySeed(t)
	report := policyReport{comparison: newComparison(t), t: t, shown: map[string]bool{}}
	sets, second := 0, 0
	for report.verdicts() < verdictsOfKubernetes {
		set := generateKubernetesSet(seed, sets)
		found, err := report.compare(set)
		if err != nil {
			t.Fatalf("set %d: %v", sets, err)
		}
		report.add(fmt.Sprintf("set %d", sets), found)
		asked, err := report.askCyclonus(set)
		if err != nil {
			t.Fatalf("set %d: %v", sets, err)
		}
		second += asked
		sets++
	}
	t.Logf("%d sets, %d verdicts: %v; %d of them asked of cyclonus too; sextant differs in %d ways of sets",
		sets, report.verdicts(), report.tally, second, report.differing)
}

// askCyclonus compares the verdicts of a set with cyclonus, and says of how many cases it knows.
func (r *policyReport) askCyclonus(set policySet) (asked int, err error) {
	r.t.Helper()
	cyclonus, err := newCyclonus(set, "any")
	if err != nil {
		return 0, err
	}
	got, err := r.judge.ask(set.question())
	if err != nil || got.Error != "" {
		return 0, err
	}
	for i, one := range set.cases {
		if !cyclonus.knowsOf(one) {
			continue
		}
		asked++
		if want := cyclonus.judge(one); want != got.Verdicts[i] {
			set.cases = set.cases[i : i+1]
			if r.differing++; r.differing <= policyFailuresReduced {
				r.t.Errorf("%scyclonus: %s\nsextant:  %s", set, want, got.Verdicts[i])
			}
			return asked, nil
		}
	}
	return asked, nil
}

// TestWhatTheAPIServerRefusesIsRefused has Kubernetes policies that never come to an agent, because the API server validates them.
func TestWhatTheAPIServerRefusesIsRefused(t *testing.T) {
	judge := startJudge(t)
	for name, spec := range map[string]string{
		"no spec":                      `null`,
		"unknown field":                `{podSelector: {}, rules: []}`,
		"unknown policy type":          `{podSelector: {}, policyTypes: [Both]}`,
		"three policy types":           `{podSelector: {}, policyTypes: [Ingress, Egress, Ingress]}`,
		"a peer that is nobody":        `{podSelector: {}, ingress: [{from: [{}]}]}`,
		"a block beside a selector":    `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8}, podSelector: {}}]}]}`,
		"an address that is no block":  `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.1}}]}]}`,
		"a block without one":          `{podSelector: {}, ingress: [{from: [{ipBlock: {}}]}]}`,
		"an exception outside":         `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [11.0.0.0/9]}}]}]}`,
		"an exception as large":        `{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.0.0.0/8]}}]}]}`,
		"a port beyond 65535":          `{podSelector: {}, ingress: [{ports: [{port: 65536}]}]}`,
		"port zero":                    `{podSelector: {}, ingress: [{ports: [{port: 0}]}]}`,
		"a name that is none":          `{podSelector: {}, ingress: [{ports: [{port: not_a_name}]}]}`,
		"endPort without a port":       `{podSelector: {}, ingress: [{ports: [{endPort: 90}]}]}`,
		"endPort beside a name":        `{podSelector: {}, ingress: [{ports: [{port: http, endPort: 90}]}]}`,
		"endPort before port":          `{podSelector: {}, ingress: [{ports: [{port: 90, endPort: 80}]}]}`,
		"endPort beyond 65535":         `{podSelector: {}, ingress: [{ports: [{port: 90, endPort: 65536}]}]}`,
		"a protocol that is not there": `{podSelector: {}, ingress: [{ports: [{protocol: ICMP}]}]}`,
		"a protocol in small letters":  `{podSelector: {}, ingress: [{ports: [{protocol: tcp}]}]}`,
		"an operator that is none":     `{podSelector: {matchExpressions: [{key: app, operator: Is, values: [web]}]}}`,
		"In without values":            `{podSelector: {matchExpressions: [{key: app, operator: In}]}}`,
		"Exists with values":           `{podSelector: {matchExpressions: [{key: app, operator: Exists, values: [web]}]}}`,
		"a key that is none":           `{podSelector: {matchLabels: {"-app": web}}}`,
		"a value that is none":         `{podSelector: {matchLabels: {app: "a web"}}}`,
	} {
		document := fmt.Sprintf("{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: one}, spec: %s}\n", spec)
		answer, err := judge.ask(policyQuestion{Policies: document, Endpoints: []policyEndpoint{}, Cases: []policyCase{}})
		if err != nil {
			t.Fatal(err)
		}
		if answer.Error == "" {
			t.Errorf("%s: accepted: %s", name, document)
		}
	}
}
