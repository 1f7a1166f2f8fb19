package differential

import (
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// filterField fills one field of a FlowFilter, with values that are likely to match the flow given.
type filterField struct {
	name string
	set  func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow)
}

// randomFilter sets a few fields, most often one or two: with more, hardly anything matches and every answer is the same.
func randomFilter(d dice, flows []*flowpb.Flow) *flowpb.FlowFilter {
	filter := &flowpb.FlowFilter{}
	if d.chance(2) {
		return filter
	}
	like := pick(d, flows)
	for range pick(d, []int{1, 1, 1, 1, 2, 2, 3, 5}) {
		pick(d, filterFields).set(d, filter, like)
	}
	return filter
}

// values are one to three of: the one that matches, some of the pool, and rarely junk.
func values[T any](d dice, hit T, pool, junk []T) []T {
	var drawn []T
	for range pick(d, []int{1, 1, 1, 2, 3}) {
		switch {
		case len(junk) > 0 && d.chance(3):
			drawn = append(drawn, pick(d, junk))
		case d.chance(55):
			drawn = append(drawn, hit)
		default:
			drawn = append(drawn, pick(d, pool))
		}
	}
	return drawn
}

var filterFields = []filterField{
	{"uuid", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) { f.Uuid = values(d, like.Uuid, poolUUIDs, nil) }},
	{"source_ip", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) { f.SourceIp = ips(d, like.GetIP().GetSource()) }},
	{"source_ip_xlated", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.SourceIpXlated = ips(d, like.GetIP().GetSourceXlated())
	}},
	{"destination_ip", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationIp = ips(d, like.GetIP().GetDestination())
	}},
	{"source_pod", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.SourcePod = namespaced(d, like.GetSource().GetNamespace(), like.GetSource().GetPodName())
	}},
	{"destination_pod", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationPod = namespaced(d, like.GetDestination().GetNamespace(), like.GetDestination().GetPodName())
	}},
	{"source_service", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.SourceService = namespaced(d, like.GetSourceService().GetNamespace(), like.GetSourceService().GetName())
	}},
	{"destination_service", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationService = namespaced(d, like.GetDestinationService().GetNamespace(), like.GetDestinationService().GetName())
	}},
	{"source_fqdn", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) { f.SourceFqdn = globs(d, like.SourceNames) }},
	{"destination_fqdn", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationFqdn = globs(d, like.DestinationNames)
	}},
	{"source_label", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.SourceLabel = selectors(d, like.GetSource().GetLabels())
	}},
	{"destination_label", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationLabel = selectors(d, like.GetDestination().GetLabels())
	}},
	{"node_labels", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) { f.NodeLabels = selectors(d, like.NodeLabels) }},
	{"source_workload", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.SourceWorkload = workloads(d, like.GetSource().GetWorkloads())
	}},
	{"destination_workload", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationWorkload = workloads(d, like.GetDestination().GetWorkloads())
	}},
	{"source_cluster_name", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.SourceClusterName = values(d, pick(d, poolClusters), poolClusters, []string{"", "*", "eas"})
	}},
	{"destination_cluster_name", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationClusterName = values(d, pick(d, poolClusters), poolClusters, []string{"", "*", "eas"})
	}},
	{"traffic_direction", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.TrafficDirection = values(d, like.TrafficDirection, []flowpb.TrafficDirection{0, 1, 2}, []flowpb.TrafficDirection{3, 9, -1})
	}},
	{"verdict", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.Verdict = values(d, like.Verdict, []flowpb.Verdict{0, 1, 2, 3, 4, 5, 6, 7}, []flowpb.Verdict{8, 99, -1})
	}},
	{"drop_reason_desc", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DropReasonDesc = values(d, like.DropReasonDesc, poolDropReasons, []flowpb.DropReason{1, 300, -1})
	}},
	{"interface", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.Interface = []*flowpb.NetworkInterface{randomInterface(d), {Index: like.GetInterface().GetIndex()}}[:1+d.IntN(2)]
	}},
	{"event_type", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) { f.EventType = eventTypes(d, like.EventType) }},
	{"http_status_code", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		hit := strconv.Itoa(int(max(100, min(599, like.GetL7().GetHttp().GetCode()))))
		f.HttpStatusCode = values(d, hit, []string{"200", "404", "1+", "2+", "5+", "50+", "20+", "100"},
			[]string{"", "+", "2", "6+", "20", "2000", "200+", "abc", "2++", " 200", "600", "099", "0+", "200\n"})
	}},
	{"protocol", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.Protocol = values(d, "tcp", []string{"TCP", "udp", "icmp", "ICMPv4", "icmpv6", "sctp", "vrrp", "igmp", "dns", "HTTP"},
			[]string{"", "kafka", "ip", "tcp ", "4", "İcmp"})
	}},
	{"source_port", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) { f.SourcePort = ports(d, sourcePortOf(like)) }},
	{"destination_port", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationPort = ports(d, destinationPortOf(like))
	}},
	{"reply", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.Reply = values(d, true, []bool{true, false}, nil)
	}},
	{"dns_query", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DnsQuery = expressions(d, like.GetL7().GetDns().GetQuery())
	}},
	{"source_identity", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.SourceIdentity = values(d, like.GetSource().GetIdentity(), poolIdentities, nil)
	}},
	{"destination_identity", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.DestinationIdentity = values(d, like.GetDestination().GetIdentity(), poolIdentities, nil)
	}},
	{"http_method", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.HttpMethod = values(d, strings.ToLower(like.GetL7().GetHttp().GetMethod()), poolMethods, []string{"search", "G", "GETT"})
	}},
	{"http_path", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.HttpPath = expressions(d, like.GetL7().GetHttp().GetUrl())
	}},
	{"http_url", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.HttpUrl = expressions(d, like.GetL7().GetHttp().GetUrl())
	}},
	{"http_header", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.HttpHeader = values(d, pick(d, poolHeaders), poolHeaders, []*flowpb.HTTPHeader{{Key: "CONTENT-LENGTH", Value: "12"}})
	}},
	{"tcp_flags", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.TcpFlags = []*flowpb.TCPFlags{randomFlags(d), {SYN: d.chance(50), ACK: d.chance(30)}}[d.IntN(2):]
	}},
	{"node_name", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.NodeName = values(d, "moon-1", append(poolNodes[:6:6], "*", "east/", "/moon-*", "*/*", "/", "east/*.example.com", "MOON-1"),
			[]string{"", " ", "a//b", "moon-1..", "moon!", "moon-1.", "Moon-1 ", "/ ", "é", "\u212a"})
	}},
	{"ip_version", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.IpVersion = values(d, like.GetIP().GetIpVersion(), []flowpb.IPVersion{0, 1, 2}, []flowpb.IPVersion{3, 6, -1})
	}},
	{"trace_id", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.TraceId = values(d, like.GetTraceContext().GetParent().GetTraceId(), poolTraces, nil)
	}},
	{"ip_trace_id", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.IpTraceId = values(d, like.GetIpTraceId().GetTraceId(), poolIPTrace, nil)
	}},
	{"encrypted", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.Encrypted = values(d, false, []bool{true, false}, nil)
	}},
	{"experimental", func(d dice, f *flowpb.FlowFilter, like *flowpb.Flow) {
		f.Experimental = cel(randomCEL(d))
		if d.chance(25) {
			f.Experimental = cel(randomCEL(d), randomCEL(d))
		}
	}},
}
