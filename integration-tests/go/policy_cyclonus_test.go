package differential

import (
	"strings"
	"testing"

	"github.com/mattfenwick/cyclonus/pkg/matcher"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// cyclonusOracle is a second opinion about Kubernetes policies, from a project that tests what enforces them.
type cyclonusOracle struct {
	// forAddresses judges peers that are addresses, forEndpoints those that are endpoints: here they have no address that a block of
	// addresses could match.
	forAddresses, forEndpoints *matcher.Policy
	set                        policySet
	// sources are those whose labels are labels of pods: k8s, or any.
	sources string
}

// purposeKubernetes begins the streams of chance of sets of Kubernetes policies alone.
const purposeKubernetes uint64 = 2 << 32

// generateKubernetesSet is the set with this number.
func generateKubernetesSet(seed uint64, index int) policySet {
	w := policyWriter{dice: newDice(seed, purposeKubernetes+uint64(index)), forCyclonus: true}
	set := policySet{endpoints: w.endpoints()}
	for i := range w.size() {
		set.documents = append(set.documents, w.kubernetesPolicy(i))
	}
	set.cases = w.cases(set.endpoints)
	return set
}

func newCyclonus(set policySet, sources string) (*cyclonusOracle, error) {
	o := &cyclonusOracle{set: set, sources: sources}
	var blocks, pods []*networkingv1.NetworkPolicy
	for _, document := range set.documents {
		text, err := yaml.Marshal(document)
		if err != nil {
			return nil, err
		}
		policy := &networkingv1.NetworkPolicy{}
		if err := yaml.UnmarshalStrict(text, policy); err != nil {
			return nil, err
		}
		blocks = append(blocks, policy)
		pods = append(pods, withoutBlocks(policy.DeepCopy()))
	}
	o.forAddresses = matcher.BuildNetworkPolicies(false, blocks)
	o.forEndpoints = matcher.BuildNetworkPolicies(false, pods)
	return o, nil
}

// withoutBlocks has a peer that never is in the place of each block of addresses.
func withoutBlocks(policy *networkingv1.NetworkPolicy) *networkingv1.NetworkPolicy {
	nobody := networkingv1.NetworkPolicyPeer{PodSelector: &metav1.LabelSelector{MatchLabels: map[string]string{"nobody": "has-this"}}}
	without := func(peers []networkingv1.NetworkPolicyPeer) {
		for i := range peers {
			if peers[i].IPBlock != nil {
				peers[i] = nobody
			}
		}
	}
	for _, rule := range policy.Spec.Ingress {
		without(rule.From)
	}
	for _, rule := range policy.Spec.Egress {
		without(rule.To)
	}
	return policy
}

// judge is the verdict of a case.
func (o *cyclonusOracle) judge(one policyCase) string {
	subject := o.peer(policyPeer{Endpoint: &one.Subject})
	traffic := &matcher.Traffic{
		Source: subject, Destination: o.peer(one.Peer),
		Protocol: corev1.Protocol(map[uint8]string{6: "TCP", 17: "UDP", 132: "SCTP"}[one.Protocol]), ResolvedPort: int(one.Port),
	}
	named := one.Peer.Endpoint
	if one.Direction == ingress {
		traffic.Source, traffic.Destination = traffic.Destination, traffic.Source
		named = &one.Subject
	}
	if named != nil {
		for name, port := range o.set.endpoints[*named].NamedPorts {
			if port.Protocol == one.Protocol && port.Port == one.Port {
				traffic.ResolvedPortName = name
			}
		}
	}
	policies := o.forAddresses
	if one.Peer.Endpoint != nil {
		policies = o.forEndpoints
	}
	if policies.IsIngressOrEgressAllowed(traffic, one.Direction == ingress).IsAllowed() {
		return verdictAllow
	}
	return verdictDeny
}

// peer is a pod when it has a namespace, and else something outside.
func (o *cyclonusOracle) peer(peer policyPeer) *matcher.TrafficPeer {
	if peer.Endpoint == nil {
		return &matcher.TrafficPeer{IP: peer.Address}
	}
	endpoint := o.set.endpoints[*peer.Endpoint]
	pod := &matcher.InternalPeer{PodLabels: map[string]string{}, NamespaceLabels: map[string]string{}}
	for _, label := range endpoint.Labels {
		source, text, _ := strings.Cut(label, ":")
		key, value, _ := strings.Cut(text, "=")
		team, ofNamespace := strings.CutPrefix(key, "io.cilium.k8s.namespace.labels.")
		switch {
		case source == "reserved" || o.sources != "any" && o.sources != source:
		case key == "io.kubernetes.pod.namespace":
			pod.Namespace = value
			pod.NamespaceLabels["kubernetes.io/metadata.name"] = value
		case ofNamespace:
			pod.NamespaceLabels[team] = value
		default:
			pod.PodLabels[key] = value
		}
	}
	if pod.Namespace == "" {
		return &matcher.TrafficPeer{}
	}
	return &matcher.TrafficPeer{Internal: pod}
}

func isPod(endpoint policyEndpoint) bool {
	return strings.Contains(strings.Join(endpoint.Labels, " "), "k8s:io.kubernetes.pod.namespace=")
}

// knowsOf holds for what Kubernetes policies speak of: pods, and the rest as peers. Upstream's selectors of namespaces by what labels
// they lack also select managed endpoints that are in no namespace; there are none in Kubernetes.
func (o *cyclonusOracle) knowsOf(one policyCase) bool {
	if !isPod(o.set.endpoints[one.Subject]) {
		return false
	}
	if one.Peer.Endpoint == nil {
		return true
	}
	peer := o.set.endpoints[*one.Peer.Endpoint]
	return isPod(peer) || peer.hasSource("reserved")
}

func TestOraclesAgreeAboutKubernetes(t *testing.T) {
	const sets = 300
	seed := policySeed(t)
	tally := map[string]int{}
	for i := range sets {
		set := generateKubernetesSet(seed, i)
		answer := askUpstream(set.ofTheirTypes().question())
		if answer.Error != "" {
			t.Fatalf("set %d: upstream refuses it: %s\n%s", i, answer.Error, set)
		}
		second, err := newCyclonus(set, "k8s")
		if err != nil {
			t.Fatalf("set %d: %v", i, err)
		}
		for n, one := range set.cases {
			if !second.knowsOf(one) {
				continue
			}
			verdict := second.judge(one)
			tally[verdict]++
			if verdict != answer.Verdicts[n] {
				alone := set
				alone.cases = set.cases[n : n+1]
				t.Fatalf("set %d: cyclonus says %s, upstream %s:\n%s", i, verdict, answer.Verdicts[n], alone)
			}
		}
	}
	t.Logf("%d sets: %v", sets, tally)
}
