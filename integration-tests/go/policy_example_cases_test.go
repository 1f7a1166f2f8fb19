package differential

import (
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"sigs.k8s.io/yaml"
)

// questionOfExample asks an example about endpoints with the labels that it names, and others, from and to each other and the world, at
// the ports that it names, and others.
func questionOfExample(text string) policyQuestion {
	found := selected{endpoints: map[string]bool{}, nodes: map[string]bool{}}
	for document := range strings.SplitSeq(text, "\n---") {
		var parsed any
		if yaml.Unmarshal([]byte(document), &parsed) == nil {
			found.collect(parsed, found.endpoints)
		}
	}
	endpoints := []policyEndpoint{
		{Labels: append([]string{"reserved:host"}, slices.Sorted(maps.Keys(found.nodes))...)},
		{Labels: []string{"reserved:health"}},
		{Labels: []string{"reserved:remote-node"}},
		{Labels: []string{"reserved:remote-node", "reserved:kube-apiserver"}},
	}
	// An endpoint for each label alone, and one that has them all: both in the namespaces that are named.
	namespaces := map[string]bool{"default": true, "elsewhere": true}
	byKey := map[string]string{}
	alone := []string{"k8s:app=stranger"}
	for _, label := range slices.Sorted(maps.Keys(found.endpoints)) {
		key, value, _ := strings.Cut(label, "=")
		if key == "k8s:io.kubernetes.pod.namespace" {
			namespaces[value] = true
			continue
		}
		byKey[key] = label
		alone = append(alone, label)
	}
	for _, namespace := range slices.Sorted(maps.Keys(namespaces)) {
		inNamespace := "k8s:io.kubernetes.pod.namespace=" + namespace
		endpoints = append(endpoints, policyEndpoint{Labels: append(slices.Sorted(maps.Values(byKey)), inNamespace)})
		for _, label := range alone {
			endpoints = append(endpoints, policyEndpoint{Labels: []string{label, inNamespace}})
		}
	}
	return policyQuestion{Policies: text, Endpoints: endpoints, Cases: casesOfExample(text, endpoints)}
}

// selected is the labels that selectors of a document name.
type selected struct{ endpoints, nodes map[string]bool }

func (s selected) collect(value any, into map[string]bool) {
	switch value := value.(type) {
	case map[string]any:
		labels, _ := value["matchLabels"].(map[string]any)
		for key, one := range labels {
			text, _ := one.(string)
			addLabel(into, key, text)
		}
		if key, ok := value["key"].(string); ok {
			values, _ := value["values"].([]any)
			for _, one := range values {
				text, _ := one.(string)
				addLabel(into, key, text)
			}
		}
		for key, part := range value {
			if key == "nodeSelector" {
				s.collect(part, s.nodes)
			} else {
				s.collect(part, into)
			}
		}
	case []any:
		for _, part := range value {
			s.collect(part, into)
		}
	}
}

// addLabel adds what an endpoint may have: what is reserved is there already, and the cluster is upstream's own.
func addLabel(into map[string]bool, key, value string) {
	if strings.HasPrefix(key, "reserved:") || strings.HasSuffix(key, "io.cilium.k8s.policy.cluster") {
		return
	}
	into["k8s:"+bareKey(key)+"="+value] = true
}

var portInText = regexp.MustCompile(`[pP]ort: *["']?([0-9]+)`)

func casesOfExample(text string, endpoints []policyEndpoint) []policyCase {
	ports := map[uint16]bool{79: true, 8080: true}
	for _, match := range portInText.FindAllStringSubmatch(text, -1) {
		port, _ := strconv.ParseUint(match[1], 10, 16)
		ports[uint16(port)] = true
	}
	peers := []policyPeer{}
	for i := range endpoints {
		peers = append(peers, policyPeer{Endpoint: &i})
	}
	for _, one := range []string{"8.8.8.8", "8.8.4.4", "20.1.1.1", "10.1.2.3", "10.96.0.1", "169.254.169.254", "1.1.1.1", "2001:db8::1"} {
		peers = append(peers, policyPeer{Address: one})
	}
	var cases []policyCase
	for subject, endpoint := range endpoints {
		if endpoint.is("reserved:remote-node") {
			continue
		}
		for _, peer := range peers {
			for _, direction := range []string{ingress, egress} {
				add := func(protocol uint8, port uint16) {
					cases = append(cases, policyCase{Subject: subject, Peer: peer, Direction: direction, Protocol: protocol, Port: port})
				}
				for _, port := range slices.Sorted(maps.Keys(ports)) {
					add(6, port)
					add(17, port)
				}
				add(1, 8)
				add(58, 128)
				add(47, 0)
			}
		}
	}
	return cases
}
