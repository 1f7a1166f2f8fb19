package differential

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	slimmetav1 "github.com/cilium/cilium/pkg/k8s/slim/k8s/apis/meta/v1"
	"github.com/cilium/cilium/pkg/policy/api"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
)

// meantPolicyDifference is a way in which Sextant's policy engine is not upstream's, on purpose.
type meantPolicyDifference struct {
	name   string
	reason string
	// explains holds for exactly those disagreements that are this one and nothing more.
	explains func(disagreement) bool
	// seen counts the disagreements so explained.
	seen *atomic.Int64
}

// meantPolicyDifferences is the one list of them.
var meantPolicyDifferences = []meantPolicyDifference{
	{
		name: "rules of a direction that is not in policyTypes",
		reason: "Kubernetes leaves them out: a policy is for the directions in policyTypes. Upstream applies them all the same. Sextant does as " +
			"Kubernetes says, and cyclonus agrees.",
		explains: explainsPolicyTypes,
		seen:     new(atomic.Int64),
	},
	{
		name: "source of labels in Kubernetes policies",
		reason: "upstream's selectors for Kubernetes policies find labels of the source k8s alone. On a plain host the labels of containers " +
			"have their engine as source (docker:team=red) and those of units systemd, so Sextant's find any source.",
		explains: explainsAnySource,
		seen:     new(atomic.Int64),
	},
	{
		name: "classes of identities",
		reason: "upstream's selectors of peers that name a reserved label find the identities that stand for classes too (all other nodes, " +
			"all of the cluster) by what labels these do not have, and so everybody in the class. Sextant has no such identities.",
		explains: explainsAggregates,
		seen:     new(atomic.Int64),
	},
	{
		name: "authentication that contradicts itself",
		reason: "of two rules for the same peers and ports, one with authentication required and one with it disabled, upstream computes no policy " +
			"and keeps the one before. Sextant's answer is whether any asks for it.",
		explains: func(d disagreement) bool {
			return d.got.Error == "" && slices.Contains(d.want.Verdicts, verdictConflict)
		},
		seen: new(atomic.Int64),
	},
	{
		name: "ICMP type 0",
		reason: "upstream writes the type where ports are, and 0 is its word for all: a rule for echo replies is one for all types. Sextant's is " +
			"for echo replies.",
		explains: explainsTypeZero,
		seen:     new(atomic.Int64),
	},
	{
		name: "another namespace in the selector of whom a policy is for",
		reason: "upstream puts the policy's namespace in its place and logs a warning: the policy is for others than it says. Sextant refuses " +
			"it, with the path.",
		explains: refusedFor("asks for another namespace than the policy's"),
		seen:     new(atomic.Int64),
	},
	{
		name:     "endPort beside the name of a port",
		reason:   "upstream takes it and leaves endPort out. Sextant ignores nothing that is written, and refuses it.",
		explains: refusedFor("cannot stand beside a port's name"),
		seen:     new(atomic.Int64),
	},
	{
		name:     "name of a port of a protocol without ports",
		reason:   "upstream takes it, and the rule never matches.",
		explains: refusedFor("has no ports"),
		seen:     new(atomic.Int64),
	},
	{
		name:     "endPort beside port 0",
		reason:   "0, and a port that is missing, are each port: upstream leaves endPort out here too.",
		explains: refusedFor("cannot stand beside port 0"),
		seen:     new(atomic.Int64),
	},
	{
		name:     "ICMP type that does not fit in a byte",
		reason:   "upstream's schema checks types that are text alone, and a number such as 256 is a rule that never matches.",
		explains: refusedFor("is no type of ICMP"),
		seen:     new(atomic.Int64),
	},
}

// explainsAnySource holds where upstream agrees once its selectors for Kubernetes policies find any source.
func explainsAnySource(d disagreement) bool {
	return d.got.Error == "" && d.hasKubernetes() &&
		slices.Equal(upstreamVariant{change: ofAnySource}.ask(d.set.ofTheirTypes().question()).Verdicts, d.got.Verdicts)
}

// explainsAggregates holds where upstream agrees once no selector finds a class.
func explainsAggregates(d disagreement) bool {
	return d.got.Error == "" && strings.Contains(yamlOf(d.set.documents), "reserved:") &&
		slices.Equal(upstreamVariant{withoutAggregates: true}.ask(d.set.question()).Verdicts, d.got.Verdicts)
}

// explainsPolicyTypes holds where upstream agrees once the rules are not there.
func explainsPolicyTypes(d disagreement) bool {
	return d.got.Error == "" && d.hasKubernetes() && slices.Equal(askUpstream(d.set.ofTheirTypes().question()).Verdicts, d.got.Verdicts)
}

func (d disagreement) hasKubernetes() bool {
	return strings.Contains(yamlOf(d.set.documents), "kind: NetworkPolicy")
}

// ofTheirTypes is the set without rules of Kubernetes policies for directions that are not in policyTypes.
func (s policySet) ofTheirTypes() policySet {
	s.documents = slices.Clone(s.documents)
	for i, document := range s.documents {
		document, _ := document.(tree)
		spec, _ := document["spec"].(tree)
		types, given := spec["policyTypes"].([]any)
		if document["kind"] != "NetworkPolicy" || !given {
			continue
		}
		spec = maps.Clone(spec)
		for direction, rules := range map[string]string{"Ingress": "ingress", "Egress": "egress"} {
			if !slices.Contains(types, any(direction)) {
				delete(spec, rules)
			}
		}
		document = maps.Clone(document)
		document["spec"] = spec
		s.documents[i] = document
	}
	return s
}

func ofAnySource(policy parsedPolicy) {
	if !strings.HasPrefix(string(policy.resource), "NetworkPolicy/") {
		return
	}
	for _, entry := range policy.entries {
		entry.Subject = selectorOfAnySource(entry.Subject)
		// Entries of one rule share their selectors.
		entry.L3 = slices.Clone(entry.L3)
		for i, peer := range entry.L3 {
			if labels, ok := peer.(*policytypes.LabelSelector); ok {
				entry.L3[i] = selectorOfAnySource(labels)
			}
		}
	}
}

func selectorOfAnySource(selector *policytypes.LabelSelector) *policytypes.LabelSelector {
	text, _ := json.Marshal(selector)
	found := &slimmetav1.LabelSelector{}
	_ = json.Unmarshal([]byte(strings.ReplaceAll(string(text), `"k8s:`, `"any:`)), found)
	return policytypes.NewLabelSelector(api.EndpointSelector{LabelSelector: found})
}

// explainsTypeZero holds where upstream agrees about another type once the rules for type 0 are not there.
func explainsTypeZero(d disagreement) bool {
	if d.want.Error != "" || d.got.Error != "" || d.set.cases[0].Port == 0 ||
		d.set.cases[0].Protocol != 1 && d.set.cases[0].Protocol != 58 {
		return false
	}
	without := d.set
	without.documents = nil
	for _, document := range d.set.documents {
		without.documents = append(without.documents, withoutTypeZero(document))
	}
	return slices.Equal(askUpstream(without.question()).Verdicts, d.got.Verdicts)
}

func withoutTypeZero(value any) any {
	switch value := value.(type) {
	case tree:
		copied := tree{}
		for key, part := range value {
			copied[key] = withoutTypeZero(part)
		}
		return copied
	case []any:
		copied := []any{}
		for _, part := range value {
			field, _ := part.(tree)
			kind := field["type"]
			if kind != 0 && kind != "0" && (kind != "EchoReply" || field["family"] == "IPv6") {
				copied = append(copied, withoutTypeZero(part))
			}
		}
		return copied
	}
	return value
}

// meantRefusals are the reasons for which Sextant alone refuses.
var meantRefusals []string

// refusedFor holds where Sextant alone refuses, for this reason and perhaps for other ones that are meant.
func refusedFor(reason string) func(disagreement) bool {
	meantRefusals = append(meantRefusals, reason)
	return func(d disagreement) bool {
		if d.want.Error != "" || !strings.Contains(d.got.Error, reason) {
			return false
		}
		for line := range strings.Lines(d.got.Error) {
			if !slices.ContainsFunc(meantRefusals, func(meant string) bool { return strings.Contains(line, meant) }) {
				return false
			}
		}
		return true
	}
}

// meant holds for a disagreement that is in the table.
func (d disagreement) meant() bool {
	for i := range meantPolicyDifferences {
		if meantPolicyDifferences[i].explains(d) {
			meantPolicyDifferences[i].seen.Add(1)
			return true
		}
	}
	return false
}

// printMeantPolicyDifferences says how often each was met.
func printMeantPolicyDifferences() {
	for i := range meantPolicyDifferences {
		fmt.Printf("meant difference of policies %q: %d verdicts or sets\n", meantPolicyDifferences[i].name, meantPolicyDifferences[i].seen.Load())
	}
}
