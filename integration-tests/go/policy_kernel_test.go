package differential

import (
	"iter"

	"github.com/cilium/cilium/pkg/identity"
	"github.com/cilium/cilium/pkg/policy"
	policytypes "github.com/cilium/cilium/pkg/policy/types"
)

// authenticates is whether upstream's datapath wants a packet that is allowed authenticated. The look-up of pkg/policy is for its tests
// alone and chooses, of an entry for the peer and one for a class of peers, the one with the less specific port; the datapath
// (bpf/lib/policy.h, __policy_can_access) the other one.
func authenticates(entries iter.Seq2[policy.Key, policy.MapStateEntry], key policy.Key) bool {
	specific := longestMatch(entries, key, key.Identity)
	aggregate := longestMatch(entries, key, aggregateOf(key.Identity))
	if !specific.found && !aggregate.found {
		aggregate = longestMatch(entries, key, identity.IdentityUnknown)
	}
	chosen, other := specific, aggregate
	if !specific.found || aggregate.found && (aggregate.Precedence > specific.Precedence ||
		aggregate.Precedence == specific.Precedence && aggregate.length > specific.length) {
		chosen, other = aggregate, specific
	}
	required := chosen.AuthRequirement.AuthType()
	if other.found && other.Precedence == chosen.Precedence && !chosen.AuthRequirement.IsExplicit() {
		required = max(required, other.AuthRequirement.AuthType())
	}
	return required != policytypes.AuthTypeDisabled
}

type mapEntry struct {
	policy.MapStateEntry
	length uint
	found  bool
}

func longestMatch(entries iter.Seq2[policy.Key, policy.MapStateEntry], key policy.Key, peer identity.NumericIdentity) (best mapEntry) {
	for one, entry := range entries {
		protocolMatches := one.Nexthdr == 0 || one.Nexthdr == key.Nexthdr
		portMatches := (one.DestPort^key.DestPort)&(0xffff<<(16-one.PortPrefixLen())) == 0
		if one.Identity == peer && one.TrafficDirection() == key.TrafficDirection() && protocolMatches && portMatches &&
			(!best.found || one.PrefixLength() > best.length) {
			best = mapEntry{entry, one.PrefixLength(), true}
		}
	}
	return best
}

// aggregateOf is the class of an identity, as in bpf/lib/identity.h, where there is one cluster.
func aggregateOf(id identity.NumericIdentity) identity.NumericIdentity {
	switch {
	case id < 100:
		return identity.IdentityUnknown
	case id.Scope() == identity.IdentityScopeRemoteNode:
		return identity.ReservedIdentityAggregateRemoteNode
	case id.Scope() == identity.IdentityScopeLocal:
		return identity.ReservedIdentityAggregateWorld
	}
	return identity.ReservedIdentityAggregateCluster
}

// aggregates are the identities of classes.
var aggregates = []identity.NumericIdentity{identity.ReservedIdentityAggregateCluster, identity.ReservedIdentityAggregateClusterMesh,
	identity.ReservedIdentityAggregateWorld, identity.ReservedIdentityAggregateRemoteNode}
