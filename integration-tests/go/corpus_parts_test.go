package differential

import (
	"fmt"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

func randomEthernet(d dice) *flowpb.Ethernet {
	return &flowpb.Ethernet{Source: pick(d, poolMACs), Destination: pick(d, poolMACs)}
}

func randomIPText(d dice) string {
	switch {
	case d.chance(4):
		return ""
	case d.chance(3):
		return pick(d, poolOddIPs)
	}
	return pick(d, poolIPs)
}

func randomIP(d dice) *flowpb.IP {
	if d.chance(2) {
		return &flowpb.IP{}
	}
	ip := &flowpb.IP{
		Source:      randomIPText(d),
		Destination: randomIPText(d),
		IpVersion:   flowpb.IPVersion(d.IntN(3)),
		Encrypted:   d.chance(20),
	}
	if d.chance(20) {
		ip.SourceXlated = randomIPText(d)
	}
	if d.chance(1) {
		ip.IpVersion = 6
	}
	return ip
}

func randomL4(d dice) *flowpb.Layer4 {
	source, destination := pick(d, poolPorts), pick(d, poolPorts)
	switch d.IntN(16) {
	case 0:
		return &flowpb.Layer4{}
	case 1, 2, 3:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: source, DestinationPort: destination}}}
	case 4:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv4{ICMPv4: &flowpb.ICMPv4{Type: uint32(d.IntN(20)), Code: uint32(d.IntN(17))}}}
	case 5:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv6{ICMPv6: &flowpb.ICMPv6{Type: uint32(d.number(9)), Code: uint32(d.IntN(8))}}}
	case 6:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_SCTP{SCTP: &flowpb.SCTP{SourcePort: source, DestinationPort: destination,
			ChunkType: flowpb.SCTPChunkType(d.IntN(7))}}}
	case 7:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_VRRP{VRRP: &flowpb.VRRP{Type: 1, Vrid: uint32(d.number(8)), Priority: uint32(d.number(8))}}}
	case 8:
		return &flowpb.Layer4{Protocol: &flowpb.Layer4_IGMP{IGMP: &flowpb.IGMP{Type: uint32(d.number(8)), GroupAddress: pick(d, poolIPs)}}}
	}
	return &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: source, DestinationPort: destination,
		Flags: maybe(d, 85, randomFlags)}}}
}

func randomFlags(d dice) *flowpb.TCPFlags {
	return &flowpb.TCPFlags{
		FIN: d.chance(20), SYN: d.chance(40), RST: d.chance(15), PSH: d.chance(20), ACK: d.chance(60),
		URG: d.chance(5), ECE: d.chance(5), CWR: d.chance(5), NS: d.chance(5),
	}
}

func randomTunnel(d dice) *flowpb.Tunnel {
	return &flowpb.Tunnel{
		Protocol: flowpb.Tunnel_Protocol(d.IntN(4)),
		IP:       maybe(d, 80, randomIP),
		L4:       maybe(d, 80, randomL4),
		Vni:      uint32(d.number(24)),
	}
}

func randomEndpoint(d dice) *flowpb.Endpoint {
	if d.chance(4) {
		return &flowpb.Endpoint{}
	}
	endpoint := &flowpb.Endpoint{Identity: pick(d, poolIdentities), Labels: some(d, 0, 6, poolLabels)}
	if d.chance(50) {
		endpoint.ID = uint32(d.number(32))
	}
	if d.chance(75) {
		endpoint.Namespace = pick(d, poolNamespaces)
	}
	if d.chance(75) {
		endpoint.PodName = pick(d, poolNames)
	}
	if d.chance(60) {
		endpoint.ClusterName = pick(d, poolClusters)
	}
	for range d.IntN(3) {
		endpoint.Workloads = append(endpoint.Workloads, randomWorkload(d))
	}
	if d.chance(2) {
		// Upstream sorts labels by key before it matches, above a dozen by another method, which is not stable: keys differ here.
		endpoint.Labels = nil
		for i := range 20 {
			endpoint.Labels = append(endpoint.Labels, fmt.Sprintf("k8s:app%d=cart", 20-i))
		}
	}
	return endpoint
}

func randomWorkload(d dice) *flowpb.Workload {
	workload := &flowpb.Workload{}
	if d.chance(85) {
		workload.Name = pick(d, poolWorkloads)
	}
	if d.chance(85) {
		workload.Kind = pick(d, poolKinds)
	}
	return workload
}

func randomL7(d dice) *flowpb.Layer7 {
	l7 := &flowpb.Layer7{Type: flowpb.L7FlowType(d.IntN(4)), LatencyNs: d.number(64)}
	switch d.IntN(10) {
	case 0:
	case 1:
		l7.Record = &flowpb.Layer7_Kafka{Kafka: &flowpb.Kafka{ErrorCode: -3, ApiVersion: 7, ApiKey: "fetch", CorrelationId: 99, Topic: "t"}}
	case 2, 3, 4, 5:
		l7.Record = &flowpb.Layer7_Dns{Dns: randomDNS(d)}
	default:
		l7.Record = &flowpb.Layer7_Http{Http: randomHTTP(d)}
	}
	return l7
}

func randomDNS(d dice) *flowpb.DNS {
	dns := &flowpb.DNS{Query: pick(d, poolQueries)}
	if d.chance(70) {
		dns.Ips = some(d, 0, 3, poolIPs)
		dns.Ttl = uint32(d.number(32))
		dns.Cnames = some(d, 0, 2, poolFQDNs)
		dns.ObservationSource = pick(d, []string{"proxy", "agent", ""})
		dns.Rcode = uint32(d.IntN(24))
		dns.Qtypes = some(d, 0, 2, []string{"A", "AAAA", "TYPE65"})
		dns.Rrtypes = some(d, 0, 2, []string{"A", "CNAME", ""})
	}
	return dns
}

func randomHTTP(d dice) *flowpb.HTTP {
	return &flowpb.HTTP{
		Code:     pick(d, poolCodes),
		Method:   pick(d, poolMethods),
		Url:      pick(d, poolURLs),
		Protocol: pick(d, []string{"", "HTTP/1.1", "HTTP/2"}),
		Headers:  some(d, 0, 3, poolHeaders),
	}
}

func randomEventType(d dice) *flowpb.CiliumEventType {
	kind := &flowpb.CiliumEventType{Type: pick(d, []int32{1, 3, 4, 4, 4, 5, 5, 7, 129, 129})}
	switch kind.Type {
	case 1:
		kind.SubType = int32(pick(d, poolDropReasons))
	case 3:
		kind.SubType = pick(d, []int32{0, 4, 11})
	case 4:
		kind.SubType = int32(d.IntN(15))
	case 7:
		kind.SubType = int32(d.IntN(6))
	}
	if d.chance(2) {
		return &flowpb.CiliumEventType{Type: pick(d, []int32{0, 2, 130, -1, 2147483647}), SubType: pick(d, []int32{-1, 256, 2147483647})}
	}
	return kind
}

func randomService(d dice) *flowpb.Service {
	service := &flowpb.Service{Name: pick(d, poolNames)}
	if d.chance(80) {
		service.Namespace = pick(d, poolNamespaces)
	}
	if d.chance(5) {
		service.Name = ""
	}
	return service
}

func randomInterface(d dice) *flowpb.NetworkInterface {
	return &flowpb.NetworkInterface{Index: uint32(pick(d, []int{0, 1, 2, 7})), Name: pick(d, poolInterfaces)}
}

func randomTraceContext(d dice) *flowpb.TraceContext {
	return &flowpb.TraceContext{Parent: maybe(d, 80, func(d dice) *flowpb.TraceParent {
		return &flowpb.TraceParent{TraceId: pick(d, poolTraces)}
	})}
}

func randomEmitter(d dice) *flowpb.Emitter {
	return &flowpb.Emitter{Name: pick(d, []string{"", "Hubble", "sextant"}), Version: pick(d, []string{"", "1.20.2+g0"})}
}

func randomPolicies(d dice) []*flowpb.Policy {
	var policies []*flowpb.Policy
	for range 1 + d.IntN(3) {
		policies = append(policies, &flowpb.Policy{
			Name:      pick(d, poolNames),
			Namespace: pick(d, append(poolNamespaces, "")),
			Labels:    some(d, 0, 3, poolLabels),
			Revision:  d.number(64),
			Kind:      pick(d, []string{"", "CiliumNetworkPolicy", "NetworkPolicy"}),
		})
	}
	return policies
}
