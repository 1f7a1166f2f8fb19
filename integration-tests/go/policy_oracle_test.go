package differential

import (
	"fmt"
	"net/netip"
	"sync"

	"github.com/cilium/cilium/pkg/endpoint/regeneration"
	"github.com/cilium/cilium/pkg/identity"
	k8sconst "github.com/cilium/cilium/pkg/k8s/apis/cilium.io"
	"github.com/cilium/cilium/pkg/labels"
	"github.com/cilium/cilium/pkg/option"
	"github.com/cilium/cilium/pkg/policy"
	"github.com/cilium/cilium/pkg/policy/api"
	"github.com/cilium/cilium/pkg/types"
	"github.com/cilium/cilium/pkg/u8proto"

	"sextant/integration-tests/oracle"
)

// configureAgent sets what the agent would: both address families, the host firewall, and defaults for the rest. Upstream keeps it in
// globals.
var configureAgent = sync.OnceFunc(func() {
	option.Config.EnableIPv4 = true
	option.Config.EnableIPv6 = true
	option.Config.EnableHostFirewall = true
	option.Config.EnableICMPRules = true
	option.Config.EnableNonDefaultDenyPolicies = true
	option.Config.EnableExtendedIPProtocols = true
	option.Config.EnableNodeSelectorLabels = false
	option.Config.EnableL7Proxy = true
	policy.SetPolicyEnabled(option.DefaultEnforcement)
	api.InitEntities(clusterName)
})

// policyOracle is upstream's repository with the policies, endpoints and addresses of one question.
type policyOracle struct {
	repository *policy.Repository
	endpoints  []*identity.Identity
	ports      []types.NamedPortMap
	addresses  map[string]identity.NumericIdentity
	// distilled is the policy of each subject so far; nil when upstream cannot compute one.
	distilled map[int]*policy.EndpointPolicy
}

// askUpstream is the answer of the real policy engine.
func askUpstream(question policyQuestion) policyAnswer {
	return upstreamVariant{}.ask(question)
}

// upstreamVariant is upstream with a change, to say whether that is what makes a difference.
type upstreamVariant struct {
	// change is done to policies after they are parsed.
	change func(parsedPolicy)
	// withoutAggregates has no identities of classes, so that no selector finds them.
	withoutAggregates bool
}

func (v upstreamVariant) ask(question policyQuestion) policyAnswer {
	configureAgent()
	parsed, err := parsePolicies(question.Policies)
	if err != nil {
		return policyAnswer{Error: err.Error()}
	}
	if v.change != nil {
		for _, one := range parsed {
			v.change(one)
		}
	}
	upstream, err := newPolicyOracle(question, v.withoutAggregates)
	if err != nil {
		return policyAnswer{Error: err.Error()}
	}
	for _, one := range parsed {
		upstream.repository.ReplaceByResource(one.entries, one.resource)
	}
	verdicts := make([]string, len(question.Cases))
	for i, one := range question.Cases {
		verdicts[i] = upstream.judge(one)
	}
	return policyAnswer{Verdicts: verdicts}
}

func newPolicyOracle(question policyQuestion, withoutAggregates bool) (*policyOracle, error) {
	o := &policyOracle{addresses: map[string]identity.NumericIdentity{}, distilled: map[int]*policy.EndpointPolicy{}}
	known := identity.ListReservedIdentities()
	if withoutAggregates {
		for _, one := range aggregates {
			delete(known, one)
		}
	}
	named := types.NewNamedPortMultiMap()
	for i, endpoint := range question.Endpoints {
		one := identityOf(i, endpoint)
		o.endpoints = append(o.endpoints, one)
		known[one.ID] = one.LabelArray
		ports := types.NamedPortMap{}
		for name, port := range endpoint.NamedPorts {
			ports[name] = types.PortProto{Proto: u8proto.U8proto(port.Protocol), Port: port.Port}
		}
		named.Update(one.ID, nil, ports)
		o.ports = append(o.ports, ports)
	}
	for _, one := range question.Cases {
		if _, seen := o.addresses[one.Peer.Address]; seen || one.Peer.Endpoint != nil {
			continue
		}
		address, err := netip.ParseAddr(one.Peer.Address)
		if err != nil {
			return nil, err
		}
		id := identity.MinLocalIdentity + identity.NumericIdentity(len(o.addresses))
		o.addresses[one.Peer.Address] = id
		known[id] = labels.GetCIDRLabelArray(netip.PrefixFrom(address, address.BitLen()))
	}
	o.repository = policy.NewPolicyRepository(oracle.Quiet(), known, nil, nil, nil, nil)
	o.repository.SetNamedPortsGetter(portsOf{named})
	o.repository.UpdateIdentities(known, nil)
	return o, nil
}

type portsOf struct{ types.NamedPortMultiMap }

func (p portsOf) GetNamedPorts() types.NamedPortMultiMap { return p.NamedPortMultiMap }

// identityOf numbers an endpoint as upstream's allocators do: what is reserved has its own number, other nodes and all else have their
// scope. Managed endpoints are labelled with the cluster, and with the name of their namespace as Kubernetes labels namespaces.
func identityOf(index int, endpoint policyEndpoint) *identity.Identity {
	all := labels.NewLabelsFromModel(endpoint.Labels)
	next := identity.NumericIdentity(index)
	reserved := ""
	for _, label := range all {
		if label.Source == labels.LabelSourceReserved {
			reserved = max(reserved, label.Key)
		}
	}
	id := identity.GetReservedID(reserved)
	switch {
	case reserved == "":
		cluster := labels.NewLabel(k8sconst.PolicyLabelCluster, clusterName, labels.LabelSourceK8s)
		all[cluster.Key] = cluster
		if namespace, found := all[k8sconst.PodNamespaceLabel]; found {
			name := labels.NewLabel(k8sconst.PodNamespaceMetaNameLabel, namespace.Value, labels.LabelSourceK8s)
			all[name.Key] = name
		}
		id = identity.MinimalNumericIdentity + next
	case len(all) > 1 && endpoint.is("reserved:remote-node"):
		id = identity.IdentityScopeRemoteNode + 1 + next
	case id == identity.IdentityUnknown:
		panic(fmt.Sprintf("endpoint %d: no identity for %v", index, endpoint.Labels))
	}
	return identity.NewIdentity(id, all)
}

func (o *policyOracle) judge(one policyCase) string {
	distilled, known := o.distilled[one.Subject]
	if !known {
		distilled = o.distill(one.Subject)
		o.distilled[one.Subject] = distilled
	}
	if distilled == nil {
		return verdictConflict
	}
	key := policy.EgressKey()
	if one.Direction == ingress {
		key = policy.IngressKey()
	}
	// A packet has all bits of its port, a wildcard none: zero too is looked up with all.
	key = key.WithIdentity(o.peer(one.Peer)).WithPortProtoPrefix(u8proto.U8proto(one.Protocol), one.Port, 16)
	entry, _, _ := distilled.Lookup(key)
	switch {
	case entry.IsDeny():
		return verdictDeny
	case authenticates(distilled.Entries(), key):
		return verdictAuth
	}
	return verdictAllow
}

func (o *policyOracle) peer(peer policyPeer) identity.NumericIdentity {
	if peer.Endpoint != nil {
		return o.endpoints[*peer.Endpoint].ID
	}
	return o.addresses[peer.Address]
}

func (o *policyOracle) distill(subject int) *policy.EndpointPolicy {
	selected, err := o.repository.ResolvePolicy(o.endpoints[subject])
	if err != nil {
		return nil
	}
	distilled := selected.DistillPolicy(oracle.Quiet(), policyOwner{o.endpoints[subject], o.ports[subject]}, nil)
	_ = distilled.Ready()
	distilled.Detach(oracle.Quiet())
	selected.Supersede()
	return distilled
}

// policyOwner is the endpoint that a policy is computed for.
type policyOwner struct {
	*identity.Identity
	ports types.NamedPortMap
}

func (o policyOwner) GetID() uint64 { return uint64(o.ID) }
func (o policyOwner) IsHost() bool  { return o.ID == identity.ReservedIdentityHost }
func (o policyOwner) GetIngressNamedPort(name string, protocol u8proto.U8proto) uint16 {
	port, _ := o.ports.GetNamedPort(name, protocol)
	return port
}
func (policyOwner) PolicyDebug(string, ...any)                          {}
func (policyOwner) PreviousMapStateSizes() (sizes policy.MapStateSizes) { return sizes }
func (policyOwner) RegenerateIfAlive(*regeneration.ExternalRegenerationMetadata) <-chan bool {
	done := make(chan bool)
	close(done)
	return done
}
