package differential

import "testing"

const (
	// purposePolicies begins the streams of chance of the sets: each set has its own, so that any can be made alone.
	purposePolicies   uint64 = 1 << 32
	defaultPolicySeed        = 12
	casesOfSet               = 110
)

// policySeed is $POLICY_SEED, as `seed` is $SEXTANT_SEED.
func policySeed(t *testing.T) uint64 {
	t.Helper()
	return seedOf(t, "POLICY_SEED", defaultPolicySeed)
}

// generatePolicySet is the set with this number.
func generatePolicySet(seed uint64, index int) policySet {
	d := newDice(seed, purposePolicies+uint64(index))
	w := policyWriter{dice: d, mistakes: d.chance(12), authenticate: d.chance(18)}
	set := policySet{endpoints: w.endpoints()}
	for i := range w.size() {
		if w.chance(10) {
			set.documents = append(set.documents, w.kubernetesPolicy(i))
		} else {
			set.documents = append(set.documents, w.policy(i))
		}
	}
	set.cases = w.cases(set.endpoints)
	return set
}

// size is how many policies a set has: few often, since many leave no room for any one to matter.
func (w policyWriter) size() int {
	if w.chance(60) {
		return 1 + w.IntN(3)
	}
	return 1 + w.IntN(12)
}

// endpoints are some that are managed, and some of what is reserved; no two have the same labels.
func (w policyWriter) endpoints() []policyEndpoint {
	var endpoints []policyEndpoint
	seen := map[string]bool{}
	for range 3 + w.IntN(5) {
		endpoint := w.managedEndpoint()
		if key := (policySet{endpoints: []policyEndpoint{endpoint}}).String(); !seen[key] {
			seen[key] = true
			endpoints = append(endpoints, endpoint)
		}
	}
	host := policyEndpoint{Labels: []string{"reserved:host"}}
	if w.chance(80) {
		host.Labels = append(host.Labels, "k8s:role="+pick(w.dice, labelValues["role"]))
	}
	if w.chance(20) {
		host.Labels = append(host.Labels, "k8s:app=web")
	}
	endpoints = append(endpoints, host)
	for _, reserved := range []struct {
		percent int
		labels  []string
	}{
		{60, []string{"reserved:remote-node"}},
		{25, []string{"reserved:remote-node", "reserved:kube-apiserver"}},
		{40, []string{"reserved:health"}},
		{15, []string{"reserved:init"}},
		{15, []string{"reserved:ingress"}},
		{10, []string{"reserved:unmanaged"}},
	} {
		if w.chance(reserved.percent) {
			endpoints = append(endpoints, policyEndpoint{Labels: reserved.labels})
		}
	}
	return endpoints
}

func (w policyWriter) managedEndpoint() policyEndpoint {
	endpoint := policyEndpoint{}
	for _, key := range []string{"app", "tier", "env", "role"} {
		if w.chance(60) {
			source := "k8s:"
			if w.chance(12) {
				source = "systemd:"
			}
			endpoint.Labels = append(endpoint.Labels, source+key+"="+pick(w.dice, labelValues[key]))
		}
	}
	if w.chance(85) {
		endpoint.Labels = append(endpoint.Labels, "k8s:io.kubernetes.pod.namespace="+pick(w.dice, policyNamespaces))
		if w.chance(50) {
			endpoint.Labels = append(endpoint.Labels, "k8s:io.cilium.k8s.namespace.labels.team="+pick(w.dice, policyTeams))
		}
	}
	if len(endpoint.Labels) == 0 {
		endpoint.Labels = []string{"k8s:app=web"}
	}
	for _, name := range []string{"http", "dns", "sql"} {
		if w.chance(40) {
			if endpoint.NamedPorts == nil {
				endpoint.NamedPorts = map[string]policyPort{}
			}
			endpoint.NamedPorts[name] = pick(w.dice, namedPorts[name])
		}
	}
	return endpoint
}

// cases are packets that may meet the policies: from and to everybody, at the ports that policies name and beside them.
func (w policyWriter) cases(endpoints []policyEndpoint) []policyCase {
	var subjects []int
	for i, endpoint := range endpoints {
		if !endpoint.hasSource("reserved") || endpoint.is("reserved:host") || endpoint.is("reserved:health") || endpoint.is("reserved:init") {
			subjects = append(subjects, i)
		}
	}
	cases := make([]policyCase, casesOfSet)
	for i := range cases {
		one := policyCase{Subject: pick(w.dice, subjects), Direction: pick(w.dice, []string{ingress, egress})}
		one.Protocol, one.Port = w.packet()
		if w.chance(60) {
			peer := w.IntN(len(endpoints))
			one.Peer.Endpoint = &peer
		} else {
			one.Peer.Address = pick(w.dice, peerAddresses)
		}
		cases[i] = one
	}
	return cases
}

func (w policyWriter) packet() (protocol uint8, port uint16) {
	switch protocol = pick(w.dice, []uint8{6, 6, 6, 6, 6, 6, 17, 17, 17, 132, 1, 1, 58, 58, 47, 112, 2, 4, 41, 50, 51, 99}); protocol {
	case 6, 17, 132:
		return protocol, pick(w.dice, packetPorts)
	case 1:
		return protocol, pick(w.dice, []uint16{8, 0, 3, 11, 13, 255})
	case 58:
		return protocol, pick(w.dice, []uint16{128, 129, 2, 135, 0, 1})
	}
	return protocol, 0
}
