package differential

import (
	"fmt"
	"slices"
	"testing"
)

// These hold the oracle to what the Cilium documentation says of policies, so that a fault in how it is set up is not taken for
// upstream's opinion.

// web and its neighbours are what the documents below speak of.
var documented = []policyEndpoint{
	{Labels: []string{"k8s:app=web", "k8s:io.kubernetes.pod.namespace=shop"},
		NamedPorts: map[string]policyPort{"http": {Protocol: 6, Port: 8080}}},
	{Labels: []string{"k8s:app=db", "k8s:io.kubernetes.pod.namespace=shop"},
		NamedPorts: map[string]policyPort{"sql": {Protocol: 6, Port: 5432}}},
	{Labels: []string{"k8s:app=web", "k8s:io.kubernetes.pod.namespace=bank"}},
	{Labels: []string{"reserved:host", "k8s:role=edge"}},
	{Labels: []string{"reserved:remote-node"}},
}

const (
	webInShop = iota
	dbInShop
	webInBank
	theHost
	anotherNode
)

func of(subject int, direction string, protocol uint8, port uint16, peer policyPeer) policyCase {
	return policyCase{Subject: subject, Direction: direction, Protocol: protocol, Port: port, Peer: peer}
}

func endpoint(index int) policyPeer     { return policyPeer{Endpoint: &index} }
func address(address string) policyPeer { return policyPeer{Address: address} }

func inShop(spec string) string {
	return fmt.Sprintf("{apiVersion: cilium.io/v2, kind: CiliumNetworkPolicy, metadata: {name: one, namespace: shop}, spec: %s}\n", spec)
}

func clusterwide(spec string) string {
	return fmt.Sprintf("{apiVersion: cilium.io/v2, kind: CiliumClusterwideNetworkPolicy, metadata: {name: wide}, spec: %s}\n", spec)
}

func TestOracleMeansWhatIsDocumented(t *testing.T) {
	const tcp, icmp = 6, 1
	for _, test := range []struct {
		name, policies string
		verdicts       map[string][]policyCase
	}{
		{"an empty rule denies all in its direction, and nothing in the other", inShop(`{endpointSelector: {}, ingress: [{}]}`),
			map[string][]policyCase{
				verdictDeny:  {of(webInShop, ingress, tcp, 80, endpoint(dbInShop)), of(webInShop, ingress, tcp, 80, address("10.1.2.3"))},
				verdictAllow: {of(webInShop, egress, tcp, 80, endpoint(dbInShop)), of(webInBank, ingress, tcp, 80, endpoint(dbInShop))},
			}},
		{"peers are in the namespace of the policy unless it names another",
			inShop(`{endpointSelector: {}, ingress: [{fromEndpoints: [{matchLabels: {app: web}}]}]}`),
			map[string][]policyCase{
				verdictAllow: {of(dbInShop, ingress, tcp, 1, endpoint(webInShop))},
				verdictDeny:  {of(dbInShop, ingress, tcp, 1, endpoint(webInBank)), of(dbInShop, ingress, tcp, 1, endpoint(theHost))},
			}},
		{"deny beats allow, however specific",
			inShop(`{endpointSelector: {}, ingress: [{fromEntities: [all]}], ingressDeny: [{toPorts: [{ports: [{port: "22", protocol: TCP}]}]}]}`),
			map[string][]policyCase{
				verdictAllow: {of(webInShop, ingress, tcp, 80, endpoint(dbInShop)), of(webInShop, ingress, 17, 22, address("fd00::1"))},
				verdictDeny:  {of(webInShop, ingress, tcp, 22, endpoint(dbInShop)), of(webInShop, ingress, tcp, 22, address("fd00::1"))},
			}},
		{"exceptions of a CIDR are not in it",
			inShop(`{endpointSelector: {}, egress: [{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.96.0.0/12]}]}]}`),
			map[string][]policyCase{
				verdictAllow: {of(webInShop, egress, tcp, 80, address("10.1.2.3"))},
				verdictDeny: {of(webInShop, egress, tcp, 80, address("10.97.2.3")), of(webInShop, egress, tcp, 80, address("11.0.0.1")),
					of(webInShop, egress, tcp, 80, endpoint(dbInShop))},
			}},
		{"without default deny, what is not denied passes",
			clusterwide(`{endpointSelector: {}, enableDefaultDeny: {egress: false}, egressDeny: [{toEntities: [world]}]}`),
			map[string][]policyCase{
				verdictAllow: {of(webInShop, egress, tcp, 80, endpoint(dbInShop)), of(webInShop, egress, tcp, 80, endpoint(theHost))},
				verdictDeny:  {of(webInShop, egress, tcp, 80, address("8.8.8.8")), of(webInShop, egress, tcp, 80, address("2001:db8::1"))},
			}},
		{"a node selector is for hosts, an endpoint selector is not",
			clusterwide(`{nodeSelector: {matchLabels: {role: edge}}, ingress: [{fromEntities: [remote-node]}, {icmps: [{fields: [{type: EchoRequest}]}]}]}`),
			map[string][]policyCase{
				verdictAllow: {of(theHost, ingress, tcp, 22, endpoint(anotherNode)), of(theHost, ingress, icmp, 8, address("8.8.8.8")),
					of(webInShop, ingress, tcp, 22, address("8.8.8.8"))},
				verdictDeny: {of(theHost, ingress, tcp, 22, address("8.8.8.8")), of(theHost, ingress, icmp, 13, address("8.8.8.8"))},
			}},
		{"a named port is the peer's on egress and the subject's on ingress",
			inShop(`{endpointSelector: {matchLabels: {app: web}}, ingress: [{toPorts: [{ports: [{port: http}]}]}], egress: [{toPorts: [{ports: [{port: sql}]}]}]}`),
			map[string][]policyCase{
				verdictAllow: {of(webInShop, ingress, tcp, 8080, endpoint(dbInShop)), of(webInShop, egress, tcp, 5432, endpoint(dbInShop))},
				verdictDeny: {of(webInShop, ingress, 17, 8080, endpoint(dbInShop)), of(webInShop, ingress, tcp, 80, endpoint(dbInShop)),
					of(webInShop, egress, tcp, 5432, address("10.0.0.1"))},
			}},
		{"authentication is required for what its rule allows",
			inShop(`{endpointSelector: {}, ingress: [{fromEndpoints: [{}], authentication: {mode: required}}]}`),
			map[string][]policyCase{
				verdictAuth: {of(webInShop, ingress, tcp, 8080, endpoint(dbInShop))},
				verdictDeny: {of(webInShop, ingress, tcp, 8080, address("10.0.0.1"))},
			}},
		{"Kubernetes policies select by namespace labels",
			`{apiVersion: networking.k8s.io/v1, kind: NetworkPolicy, metadata: {name: one, namespace: shop}, spec: {podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}}`,
			map[string][]policyCase{
				verdictAllow: {of(webInShop, ingress, tcp, 8080, endpoint(webInBank)), of(webInBank, ingress, tcp, 1, endpoint(theHost))},
				verdictDeny:  {of(webInShop, ingress, tcp, 8080, address("10.0.0.1")), of(webInShop, ingress, tcp, 8080, endpoint(theHost))},
			}},
	} {
		t.Run(test.name, func(t *testing.T) {
			for want, cases := range test.verdicts {
				question := policyQuestion{Policies: test.policies, Endpoints: documented, Cases: cases}
				answer := askUpstream(question)
				if answer.Error != "" || !slices.Equal(answer.Verdicts, slices.Repeat([]string{want}, len(cases))) {
					t.Errorf("want %s for all of\n%v\ngot %v", want, policySet{cases: cases}, answer)
				}
			}
		})
	}
}

func TestOracleRefusesWhatUpstreamRefuses(t *testing.T) {
	for name, policies := range map[string]string{
		"no rules":              inShop(`{endpointSelector: {}}`),
		"no selector":           inShop(`{ingress: [{}]}`),
		"node selector":         inShop(`{nodeSelector: {}, ingress: [{}]}`),
		"unknown field":         inShop(`{endpointSelector: {}, ingress: [{fromEverywhere: [all]}]}`),
		"two kinds of peer":     inShop(`{endpointSelector: {}, ingress: [{fromEntities: [all], fromCIDR: [10.0.0.0/8]}]}`),
		"exception outside":     inShop(`{endpointSelector: {}, ingress: [{fromCIDRSet: [{cidr: 10.0.0.0/8, except: [11.0.0.0/8]}]}]}`),
		"entity":                inShop(`{endpointSelector: {}, ingress: [{fromEntities: [moon]}]}`),
		"ICMP with ports":       inShop(`{endpointSelector: {}, ingress: [{icmps: [{fields: [{type: 8}]}], toPorts: [{}]}]}`),
		"protocol with a port":  inShop(`{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "1", protocol: GRE}]}]}]}`),
		"values of an Exists":   inShop(`{endpointSelector: {matchExpressions: [{key: a, operator: Exists, values: [b]}]}, ingress: [{}]}`),
		"port beyond 65535":     inShop(`{endpointSelector: {}, ingress: [{toPorts: [{ports: [{port: "65536"}]}]}]}`),
		"a kind that is not it": `{apiVersion: v1, kind: Pod, metadata: {name: a}}`,
	} {
		if answer := askUpstream(policyQuestion{Policies: policies}); answer.Error == "" {
			t.Errorf("%s: accepted", name)
		}
	}
}
