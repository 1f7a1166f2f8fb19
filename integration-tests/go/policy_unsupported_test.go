package differential

import (
	"strings"
	"testing"
)

// TestUnsupportedFieldsAreRefusedByTheirPath has what is in upstream's format and not yet in Sextant. To ignore it would allow more, or
// less, than is written.
func TestUnsupportedFieldsAreRefusedByTheirPath(t *testing.T) {
	judge := startJudge(t)
	for path, rules := range map[string]string{
		"spec.ingress[0].fromGroups":                       `ingress: [{fromGroups: [{aws: {region: here}}]}]`,
		"spec.egress[0].toGroups":                          `egress: [{toGroups: [{aws: {region: here}}]}]`,
		"spec.ingress[0].fromNodes":                        `ingress: [{fromNodes: [{}]}]`,
		"spec.egress[0].toNodes":                           `egress: [{toNodes: [{}]}]`,
		"spec.egress[0].toFQDNs":                           `egress: [{toFQDNs: [{matchName: example.org}]}]`,
		"spec.egress[0].toServices":                        `egress: [{toServices: [{k8sService: {serviceName: a, namespace: b}}]}]`,
		"spec.egressDeny[0].toServices":                    `egressDeny: [{toServices: [{k8sService: {serviceName: a, namespace: b}}]}]`,
		"spec.ingress[0].fromCIDRSet[0].cidrGroupRef":      `ingress: [{fromCIDRSet: [{cidrGroupRef: a}]}]`,
		"spec.ingress[0].fromCIDRSet[0].cidrGroupSelector": `ingress: [{fromCIDRSet: [{cidrGroupSelector: {matchLabels: {a: b}}}]}]`,
		"spec.ingress[0].toPorts[0].rules":                 `ingress: [{toPorts: [{ports: [{port: "80", protocol: TCP}], rules: {http: [{}]}}]}]`,
		"spec.egress[0].toPorts[0].rules":                  `egress: [{toPorts: [{ports: [{port: "53"}], rules: {dns: [{matchPattern: "*"}]}}]}]`,
		"spec.egress[0].toPorts[0].serverNames":            `egress: [{toPorts: [{ports: [{port: "443"}], serverNames: [example.org]}]}]`,
		"spec.ingress[0].toPorts[0].terminatingTLS":        `ingress: [{toPorts: [{ports: [{port: "443"}], terminatingTLS: {secret: {name: a}}}]}]`,
		"spec.egress[0].toPorts[0].originatingTLS":         `egress: [{toPorts: [{ports: [{port: "443"}], originatingTLS: {secret: {name: a}}}]}]`,
		"spec.egress[0].toPorts[0].listener":               `egress: [{toPorts: [{ports: [{port: "443"}], listener: {name: a, priority: 1, envoyConfig: {kind: CiliumEnvoyConfig, name: b}}}]}]`,
		"spec.log":                                         `ingress: [{}], log: {value: here}`,
		"spec.ingress[0].authentication.mode":              `ingress: [{authentication: {mode: test-always-fail}}]`,
	} {
		policy := inShop("{endpointSelector: {}, " + rules + "}")
		if upstream := askUpstream(policyQuestion{Policies: policy}); upstream.Error != "" && !strings.Contains(path, "Nodes") {
			t.Errorf("%s: upstream too refuses it, and not for the field: %s", path, upstream.Error)
		}
		answer, err := judge.ask(policyQuestion{Policies: policy, Endpoints: []policyEndpoint{}, Cases: []policyCase{}})
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(answer.Error, ": "+path+":") {
			t.Errorf("want a refusal of %s, got %q", path, answer.Error)
		}
	}
}
