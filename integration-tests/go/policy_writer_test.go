package differential

import "fmt"

// policy is a document of one of the two Cilium kinds.
func (w policyWriter) policy(index int) tree {
	metadata := tree{"name": fmt.Sprintf("policy-%d", index)}
	document := tree{"apiVersion": "cilium.io/v2", "metadata": metadata}
	wide := w.chance(40)
	if wide {
		document["kind"] = "CiliumClusterwideNetworkPolicy"
	} else {
		document["kind"] = "CiliumNetworkPolicy"
		metadata["namespace"] = pick(w.dice, []string{"shop", "shop", "bank", "default"})
		if w.chance(5) {
			delete(metadata, "namespace")
		}
	}
	if w.chance(12) {
		document["specs"] = w.listOf(1, 3, func() any { return w.rule(wide) })
	}
	if document["specs"] == nil || w.chance(20) {
		document["spec"] = w.rule(wide)
	}
	if w.mistake() {
		switch w.IntN(3) {
		case 0:
			delete(document, "spec")
		case 1:
			delete(metadata, "name")
		default:
			document["kind"] = "CiliumPolicy"
		}
	}
	return document
}

// rule is a spec: whom it selects, and what in each direction.
func (w policyWriter) rule(wide bool) tree {
	rule := tree{"endpointSelector": w.subjects(wide)}
	if wide && w.chance(30) || !wide && w.mistake() {
		rule = tree{"nodeSelector": w.selector()}
	}
	if w.mistake() {
		rule = pick(w.dice, []tree{{}, {"endpointSelector": tree{}, "nodeSelector": tree{}}})
	}
	for !w.mistake() && rule["ingress"] == nil && rule["ingressDeny"] == nil && rule["egress"] == nil && rule["egressDeny"] == nil {
		if w.chance(50) {
			rule["ingress"] = w.section("from", w.allow)
		}
		if w.chance(20) {
			rule["ingressDeny"] = w.section("from", w.narrow)
		}
		if w.chance(40) {
			rule["egress"] = w.section("to", w.allow)
		}
		if w.chance(16) {
			rule["egressDeny"] = w.section("to", w.narrow)
		}
	}
	if w.chance(18) {
		rule["enableDefaultDeny"] = pick(w.dice, []tree{{}, {"ingress": false}, {"egress": false}, {"ingress": false, "egress": false},
			{"ingress": true}, {"egress": true}, {"ingress": true, "egress": false}})
	}
	if w.chance(5) {
		rule["description"] = "what for"
	}
	return rule
}

// subjects is whom a policy is for; often all. One of a namespace does not name another.
func (w policyWriter) subjects(wide bool) tree {
	if w.chance(30) {
		return tree{}
	}
	selector := w.selector()
	if labels, _ := selector["matchLabels"].(tree); !wide && !w.mistakes {
		delete(labels, "io.kubernetes.pod.namespace")
		delete(labels, "k8s:io.kubernetes.pod.namespace")
	}
	return selector
}

// section is a list of rules. A section that is empty makes upstream refuse a rule that has nothing else.
func (w policyWriter) section(prefix string, rule func(string) tree) []any {
	if w.mistake() {
		return []any{}
	}
	var rules []any
	for range 1 + w.IntN(2) {
		rules = append(rules, rule(prefix))
	}
	return rules
}

func (w policyWriter) allow(prefix string) tree {
	rule := w.narrow(prefix)
	if w.chance(8) || w.authenticate && w.chance(60) {
		rule["authentication"] = tree{"mode": pick(w.dice, []string{"required", "required", "disabled"})}
		if w.mistake() {
			rule["authentication"] = pick(w.dice, []tree{{}, {"mode": "never"}})
		}
	}
	return rule
}

// narrow is a rule that may be an allowing or a denying one: peers, and ports or ICMP types.
func (w policyWriter) narrow(prefix string) tree {
	rule := tree{}
	if w.chance(4) {
		return rule
	}
	if w.chance(75) {
		w.peers(rule, prefix)
	}
	if w.mistake() {
		w.peers(rule, prefix)
	}
	ports := w.chance(55)
	if ports {
		rule["toPorts"] = w.listOf(1, 2, func() any { return w.portRule() })
	}
	if !ports && w.chance(15) || w.mistake() {
		rule["icmps"] = w.listOf(1, 2, func() any { return tree{"fields": w.listOf(1, 2, func() any { return w.icmp() })} })
	}
	return rule
}

func (w policyWriter) peers(rule tree, prefix string) {
	switch w.IntN(7) {
	case 0, 1, 2:
		rule[prefix+"Endpoints"] = w.listOf(1, 2, func() any { return w.selector() })
	case 3:
		rule[prefix+"Entities"] = w.listOf(1, 2, func() any {
			if w.mistake() {
				return "moon"
			}
			return pick(w.dice, entities)
		})
	case 4:
		rule[prefix+"CIDR"] = w.listOf(1, 2, func() any { return w.cidr(true) })
	default:
		rule[prefix+"CIDRSet"] = w.listOf(1, 2, func() any { return w.cidrSet() })
	}
	if w.mistake() {
		rule[prefix+"Nodes"] = []any{w.selector()}
	}
}

func (w policyWriter) cidr(bare bool) string {
	if w.mistake() {
		return pick(w.dice, []string{"10.0.0.0/33", "10.0.0", "", "ten", "fd00::/129", "10.0.0.0/-1", "010.0.0.1/32", "fe80::1%eth0/128",
			"::ffff:10.0.0.0/104", "10.0.0.0/08", "10.0.0.0/8 "})
	}
	if bare && w.chance(10) {
		return pick(w.dice, []string{"10.1.2.3", "fd00:1::1"})
	}
	return pick(w.dice, cidrs)
}

func (w policyWriter) cidrSet() tree {
	cidr := w.cidr(false)
	set := tree{"cidr": cidr}
	inside := cidrsInside[cidr]
	if len(inside) > 0 && w.chance(55) {
		set["except"] = w.listOf(1, 2, func() any { return pick(w.dice, inside) })
	}
	if w.mistake() {
		set["except"] = []any{pick(w.dice, []string{"11.0.0.0/8", "0.0.0.0/0", "10.1.2.3", "fd00::/8"})}
	}
	return set
}

func (w policyWriter) portRule() tree {
	if w.chance(5) {
		return tree{}
	}
	return tree{"ports": w.listOf(1, 2, func() any { return w.port() })}
}

func (w policyWriter) port() tree {
	if w.chance(8) {
		return w.portlessPort()
	}
	port := tree{"port": pick(w.dice, portNumbers)}
	if w.chance(20) {
		port["port"] = pick(w.dice, portNames)
	}
	if number := port["port"].(string); w.chance(20) && ('1' <= number[0] && number[0] <= '9' || w.mistake()) {
		port["endPort"] = pick(w.dice, []int{80, 81, 443, 8081, 9000, 65535, 65534, 79, 1, 0, 1000})
	}
	if w.chance(75) {
		port["protocol"] = pick(w.dice, protocolNames)
	}
	if w.mistake() {
		switch w.IntN(5) {
		case 0:
			port["port"] = pick(w.dice, []any{"65536", "-1", "", "http_x", 80, "80-90", "0x50", "0100", "099", "http--x", "-http", "80http",
				"as-long-as-16-is", " 80", "+80", "8_0"})
		case 1:
			port["protocol"] = pick(w.dice, []string{"tcp", "ICMP", "ICMPV6", "DCCP", ""})
		case 2:
			port["endPort"] = pick(w.dice, []any{65536, -1, "90"})
		case 3:
			delete(port, "port")
		default:
			port["name"] = "http"
		}
	}
	return port
}

// portlessPort is a protocol that has no ports, so that the port must be zero or missing.
func (w policyWriter) portlessPort() tree {
	port := tree{"protocol": pick(w.dice, portless)}
	if w.chance(30) {
		port["port"] = "0"
	}
	if w.mistake() {
		port["port"] = pick(w.dice, []string{"80", "http"})
	}
	return port
}

func (w policyWriter) icmp() tree {
	family := pick(w.dice, []string{"IPv4", "IPv6"})
	field := tree{"family": family, "type": pick(w.dice, icmpTypes[family])}
	if family == "IPv4" && w.chance(50) {
		delete(field, "family")
	}
	if w.mistake() {
		switch w.IntN(3) {
		case 0:
			field["type"] = pick(w.dice, []any{256, -1, "Nothing", "PacketTooBig", "08", ""})
		case 1:
			field["family"] = "IPv5"
		default:
			delete(field, "type")
		}
	}
	return field
}
