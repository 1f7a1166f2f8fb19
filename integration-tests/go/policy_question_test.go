package differential

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/yaml"
)

// policyQuestion is what both engines are asked: a set of policies, the endpoints that exist, and cases to judge. Its JSON is one line
// of what the judge reads.
type policyQuestion struct {
	// Policies is YAML text of one document or several.
	Policies  string           `json:"policies"`
	Endpoints []policyEndpoint `json:"endpoints"`
	Cases     []policyCase     `json:"cases"`
}

// policyEndpoint is something that policies select. The label reserved:host makes it the host itself.
type policyEndpoint struct {
	Labels     []string              `json:"labels"`
	NamedPorts map[string]policyPort `json:"named_ports,omitempty"`
}

type policyPort struct {
	Protocol uint8  `json:"protocol"`
	Port     uint16 `json:"port"`
}

// policyCase is one packet that opens a flow, seen by the endpoint that is judged.
type policyCase struct {
	Subject   int        `json:"subject"`
	Peer      policyPeer `json:"peer"`
	Direction string     `json:"direction"`
	Protocol  uint8      `json:"protocol"`
	// Port is the destination port; the type for ICMP and ICMPv6; zero for protocols that have none.
	Port uint16 `json:"port"`
}

// policyPeer is an endpoint, or an address in the outside world.
type policyPeer struct {
	Endpoint *int   `json:"endpoint,omitempty"`
	Address  string `json:"address,omitempty"`
}

const (
	ingress = "ingress"
	egress  = "egress"
)

// verdicts of a case. An endpoint whose policy cannot be computed has none: see meantPolicyDifferences.
const (
	verdictAllow    = "allow"
	verdictDeny     = "deny"
	verdictAuth     = "allow-auth"
	verdictConflict = "conflict"
)

// policyAnswer is the verdicts of the cases in their order, or why the policies are refused.
type policyAnswer struct {
	Verdicts []string `json:"verdicts,omitempty"`
	Error    string   `json:"error,omitempty"`
}

func (e policyEndpoint) hasSource(source string) bool {
	return slices.ContainsFunc(e.Labels, func(label string) bool { return strings.HasPrefix(label, source+":") })
}

func (e policyEndpoint) is(label string) bool { return slices.Contains(e.Labels, label) }

// policySet is a question before it is written as text: documents are trees, so that parts can be taken from them.
type policySet struct {
	documents []any
	endpoints []policyEndpoint
	cases     []policyCase
}

func (s policySet) question() policyQuestion {
	return policyQuestion{Policies: yamlOf(s.documents), Endpoints: s.endpoints, Cases: s.cases}
}

func yamlOf(documents []any) string {
	var texts []string
	for _, document := range documents {
		text, err := yaml.Marshal(document)
		if err != nil {
			panic(fmt.Sprintf("documents are made of maps, lists and scalars: %v", err))
		}
		texts = append(texts, string(text))
	}
	return strings.Join(texts, "---\n")
}

// String is a case as a reader finds it quickest.
func (s policySet) String() string {
	var text strings.Builder
	text.WriteString(yamlOf(s.documents))
	for i, endpoint := range s.endpoints {
		line, _ := json.Marshal(endpoint)
		fmt.Fprintf(&text, "endpoint %d: %s\n", i, line)
	}
	for _, one := range s.cases {
		line, _ := json.Marshal(one)
		fmt.Fprintf(&text, "case: %s\n", line)
	}
	return text.String()
}
