package differential

import "fmt"

// kubernetesPolicy is a NetworkPolicy that the API server would take, as it would store it: policyTypes always there.
func (w policyWriter) kubernetesPolicy(index int) tree {
	spec := tree{"podSelector": w.podSelector()}
	directions := pick(w.dice, [][]any{{"Ingress"}, {"Ingress"}, {"Egress"}, {"Ingress", "Egress"}})
	spec["policyTypes"] = directions
	if w.chance(5) {
		// Rules of a direction that is not among the types.
		directions = []any{"Ingress", "Egress"}
	}
	for _, direction := range directions {
		if w.chance(15) {
			continue
		}
		if direction == "Ingress" {
			spec["ingress"] = w.kubernetesRules("from")
		} else {
			spec["egress"] = w.kubernetesRules("to")
		}
	}
	return tree{"apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy", "spec": spec,
		"metadata": tree{"name": fmt.Sprintf("policy-%d", index), "namespace": pick(w.dice, policyNamespaces)}}
}

func (w policyWriter) kubernetesRules(peers string) []any {
	return w.listOf(1, 2, func() any {
		rule := tree{}
		if w.chance(75) {
			rule[peers] = w.listOf(1, 2, func() any { return w.kubernetesPeer() })
		}
		if w.chance(55) {
			rule["ports"] = w.listOf(1, 2, func() any { return w.kubernetesPort() })
		}
		return rule
	})
}

func (w policyWriter) kubernetesPeer() tree {
	switch w.IntN(5) {
	case 0, 1:
		return tree{"podSelector": w.podSelector()}
	case 2:
		return tree{"namespaceSelector": w.namespaceSelector()}
	case 3:
		return tree{"podSelector": w.podSelector(), "namespaceSelector": w.namespaceSelector()}
	}
	cidr := w.cidr(false)
	block := tree{"cidr": cidr}
	var inside []string
	for _, one := range cidrsInside[cidr] {
		// The API server wants an exception to be smaller than its block.
		if one != cidr {
			inside = append(inside, one)
		}
	}
	if len(inside) > 0 && w.chance(55) {
		block["except"] = w.listOf(1, 2, func() any { return pick(w.dice, inside) })
	}
	return tree{"ipBlock": block}
}

// podSelector is a selector of keys without a source, as Kubernetes has them.
func (w policyWriter) podSelector() tree {
	tiers := labelValues["tier"]
	if w.forCyclonus {
		tiers = []string{"front", "back"}
	}
	return w.plainSelector(map[string][]string{"app": labelValues["app"], "tier": tiers, "env": labelValues["env"]},
		[]string{"app", "app", "tier", "env"})
}

func (w policyWriter) namespaceSelector() tree {
	return w.plainSelector(map[string][]string{"kubernetes.io/metadata.name": policyNamespaces, "team": policyTeams},
		[]string{"kubernetes.io/metadata.name", "kubernetes.io/metadata.name", "team"})
}

func (w policyWriter) plainSelector(values map[string][]string, keys []string) tree {
	selector := tree{}
	if w.chance(55) {
		key := pick(w.dice, keys)
		selector["matchLabels"] = tree{key: pick(w.dice, values[key])}
	}
	if w.chance(30) {
		key := pick(w.dice, keys)
		expression := tree{"key": key, "operator": pick(w.dice, []string{"In", "NotIn", "Exists", "DoesNotExist"})}
		if w.forCyclonus && expression["operator"] == "NotIn" {
			expression["operator"] = "DoesNotExist"
		}
		if expression["operator"] == "In" || expression["operator"] == "NotIn" {
			expression["values"] = []any{pick(w.dice, values[key])}
		}
		selector["matchExpressions"] = []any{expression}
	}
	return selector
}

func (w policyWriter) kubernetesPort() tree {
	port := tree{}
	if w.chance(80) {
		port["protocol"] = pick(w.dice, []string{"TCP", "TCP", "UDP", "SCTP"})
	}
	switch w.IntN(4) {
	case 0:
		port["port"] = pick(w.dice, []string{"http", "dns", "sql"})
	case 1:
		port["port"], port["endPort"] = pick(w.dice, []int{1, 80, 443, 1000}), pick(w.dice, []int{1000, 8080, 9000, 65535})
	case 2:
		port["port"] = pick(w.dice, []int{80, 443, 8080, 53, 1, 65535})
	}
	return port
}
