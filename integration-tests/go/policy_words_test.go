package differential

import "strings"

// policyWriter writes random policies from few words, so that what one selects another one often selects too.
type policyWriter struct {
	dice
	// mistakes are made here and there, in some sets: what upstream refuses must be refused.
	mistakes bool
	// authenticate makes authentication usual in a set.
	authenticate bool
	// forCyclonus leaves out what cyclonus reads otherwise than Kubernetes: for it a label that is missing has an empty value, and is
	// not selected by NotIn.
	forCyclonus bool
}

// mistake is true now and then in a set that has mistakes.
func (w policyWriter) mistake() bool { return w.mistakes && w.chance(3) }

// tree is a map of a document.
type tree = map[string]any

var (
	policyNamespaces = []string{"shop", "bank"}
	policyTeams      = []string{"red", "blue"}

	// labelValues are the values of each key in labels and selectors. An empty value is a value.
	labelValues = map[string][]string{
		"app":                                 {"web", "db", "cache"},
		"tier":                                {"front", "back", ""},
		"env":                                 {"prod", "dev"},
		"role":                                {"edge", "core"},
		"io.kubernetes.pod.namespace":         policyNamespaces,
		"io.cilium.k8s.namespace.labels.team": policyTeams,
		"absent":                              {"x"},
		"host":                                {""},
		"health":                              {""},
		"remote-node":                         {""},
		"init":                                {""},
	}
	// selectorKeys are the ways to write the keys above, the usual ones more often. The label of the cluster is not among them: Sextant
	// knows of one host, and no endpoint has it.
	selectorKeys = []string{"app", "app", "app", "app", "tier", "tier", "env", "env", "role", "absent", "k8s:app", "k8s:app", "any:app",
		"systemd:app", "k8s:tier", "any:tier", "k8s:env", "io.kubernetes.pod.namespace", "k8s:io.kubernetes.pod.namespace",
		"k8s:io.kubernetes.pod.namespace", "any:io.kubernetes.pod.namespace", "io.cilium.k8s.namespace.labels.team",
		"k8s:io.cilium.k8s.namespace.labels.team", "reserved:host", "reserved:health", "reserved:remote-node", "reserved:init",
		"systemd:absent"}

	entities = []string{"all", "world", "world", "world-ipv4", "world-ipv6", "host", "remote-node", "cluster", "cluster", "cluster-mesh",
		"init", "health", "unmanaged", "ingress", "kube-apiserver", "none"}

	// cidrs nest and overlap; the addresses of peers are in some of them.
	cidrs = []string{"0.0.0.0/0", "10.0.0.0/8", "10.0.0.0/8", "10.1.0.0/16", "10.1.2.0/24", "10.1.2.128/25", "10.1.2.3/32", "10.96.0.0/12",
		"192.168.0.0/16", "10.1.2.3/8", "::/0", "fd00::/8", "fd00:1::/32", "fd00:1::/32", "fd00:1::1/128", "2000::/3"}
	cidrsInside = map[string][]string{
		"0.0.0.0/0":   {"10.0.0.0/8", "10.1.0.0/16", "192.168.0.0/16", "10.1.2.3/32", "0.0.0.0/0", "0.0.0.0/1"},
		"10.0.0.0/8":  {"10.1.0.0/16", "10.1.2.0/24", "10.96.0.0/12", "10.1.2.3/32", "10.0.0.0/8"},
		"10.1.2.3/8":  {"10.1.0.0/16", "10.1.2.3/16"},
		"10.1.0.0/16": {"10.1.2.0/24", "10.1.2.128/25", "10.1.2.3/32"},
		"10.1.2.0/24": {"10.1.2.128/25", "10.1.2.3/32", "10.1.2.3/31"},
		"::/0":        {"fd00::/8", "fd00:1::/32", "::/0", "2000::/3"},
		"fd00::/8":    {"fd00:1::/32", "fd00:1::1/128"},
		"fd00:1::/32": {"fd00:1::1/128"},
	}
	peerAddresses = []string{"10.1.2.3", "10.1.2.2", "10.1.2.200", "10.1.3.1", "10.97.0.1", "11.0.0.1", "192.168.1.1", "0.0.0.0",
		"255.255.255.255", "fd00:1::1", "fd00:1::2", "fd00:2::1", "2001:db8::1"}

	portNumbers   = []string{"80", "80", "80", "443", "8080", "8081", "53", "1", "0", "65535", "1000"}
	portNames     = []string{"http", "http", "dns", "sql", "HTTP", "nobody"}
	protocolNames = []string{"TCP", "TCP", "TCP", "UDP", "UDP", "SCTP", "ANY"}
	// portless are the protocols that have no ports.
	portless = []string{"VRRP", "IGMP", "GRE", "IPIP", "IPV6", "ESP", "AH"}

	icmpTypes   = map[string][]any{"IPv4": {8, 0, 3, "EchoRequest", "EchoReply", "Echo", "TimeExceeded", "8", 255}, "IPv6": {128, 129, "EchoRequest", "PacketTooBig", "NeighborSolicitation", 0, 1}}
	namedPorts  = map[string][]policyPort{"http": {{6, 8080}, {6, 8081}, {6, 80}, {17, 8080}}, "dns": {{17, 53}, {6, 53}}, "sql": {{6, 5432}, {132, 5432}}}
	packetPorts = []uint16{80, 80, 80, 443, 8080, 8081, 53, 1, 0, 65535, 1000, 79, 81, 5432, 442, 444, 999, 1001, 9000, 65534, 64}
)

// bareKey is a key without its source.
func bareKey(key string) string {
	if _, bare, found := strings.Cut(key, ":"); found {
		return bare
	}
	return key
}

// otherWay is the key of any source without its source, or the other way round. Both in one map are one key for upstream, with the value
// that it meets last, as chance will have it.
func otherWay(key string) string {
	if bare, found := strings.CutPrefix(key, "any:"); found {
		return bare
	}
	return "any:" + key
}

// selector is a label selector; of no labels, of labels, of expressions, or of both.
func (w policyWriter) selector() tree {
	selector := tree{}
	if w.chance(12) {
		return selector
	}
	if w.chance(65) {
		matched := tree{}
		for range 1 + w.IntN(2) {
			key := pick(w.dice, selectorKeys)
			if matched[otherWay(key)] == nil {
				matched[key] = pick(w.dice, labelValues[bareKey(key)])
			}
		}
		if w.mistake() {
			matched[pick(w.dice, []string{"-app", "a b", "", "k8s:", ":app", "a:b:c", "a/b/c", "app", "k8s:a/b"})] =
				pick(w.dice, []string{"web", "a web", "-web", "wéb", "web.", strings.Repeat("w", 64)})
		}
		selector["matchLabels"] = matched
	}
	if w.chance(45) {
		var expressions []any
		for range 1 + w.IntN(2) {
			expressions = append(expressions, w.expression())
		}
		selector["matchExpressions"] = expressions
	}
	return selector
}

func (w policyWriter) expression() tree {
	key := pick(w.dice, selectorKeys)
	expression := tree{"key": key, "operator": pick(w.dice, []string{"In", "In", "NotIn", "Exists", "DoesNotExist"})}
	if expression["operator"] == "In" || expression["operator"] == "NotIn" {
		var values []any
		for _, value := range some(w.dice, 1, 2, labelValues[bareKey(key)]) {
			values = append(values, value)
		}
		expression["values"] = values
	}
	if w.mistake() {
		switch w.IntN(4) {
		case 0:
			expression["operator"] = pick(w.dice, []string{"Gt", "in", "Equals"})
		case 1:
			expression["values"] = []any{}
		case 2:
			expression["values"] = []any{"x"}
		default:
			delete(expression, "key")
		}
	}
	return expression
}

// listOf is from least to most of what one makes, and now and then an empty list: that is not the same as none.
func (w policyWriter) listOf(least, most int, one func() any) []any {
	list := []any{}
	if w.chance(4) {
		return list
	}
	for range least + w.IntN(most-least+1) {
		list = append(list, one())
	}
	return list
}
