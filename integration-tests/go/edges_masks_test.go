package differential

import (
	"slices"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

var badMask = mask("nothing")

func mask(paths ...string) *fieldmaskpb.FieldMask { return &fieldmaskpb.FieldMask{Paths: paths} }

// maskTopic: what a mask leaves of a flow is compared in full; the words only tell whether the uuid stayed.
var maskTopic = topic{
	name: "masks",
	flows: []*flowpb.Flow{
		{Uuid: "bare"},
		named("tcp", func(f *flowpb.Flow) {
			f.NodeName, f.IsReply = "moon-1", wrapperspb.Bool(false)
			f.L4 = tcp("", 40000, 80, &flowpb.TCPFlags{SYN: true}).L4
			f.Source = &flowpb.Endpoint{ID: 7, Identity: 300, PodName: "cart", Labels: list("k8s:app=cart"), Workloads: []*flowpb.Workload{{Name: "cart"}}}
			f.TraceContext = &flowpb.TraceContext{Parent: &flowpb.TraceParent{TraceId: "abc"}}
			f.L7 = &flowpb.Layer7{Type: flowpb.L7FlowType_REQUEST, Record: &flowpb.Layer7_Dns{Dns: &flowpb.DNS{Query: "a.", Ips: list("10.0.0.1")}}}
			f.Tunnel = &flowpb.Tunnel{Protocol: flowpb.Tunnel_VXLAN, IP: &flowpb.IP{Source: "10.9.9.9"}, L4: tcp("", 1, 4789, nil).L4, Vni: 5}
			f.Extensions = randomExtensions(newDice(1, 1))
		}),
		named("udp", func(f *flowpb.Flow) {
			f.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: 1, DestinationPort: 53}}}
			f.L7 = &flowpb.Layer7{Record: &flowpb.Layer7_Http{Http: &flowpb.HTTP{Code: 200}}}
		}),
	},
	edges: []edge{
		{masked("uuid"), "bare tcp udp"},
		{masked(), "bare tcp udp"},
		{masked("uuid", "uuid"), "bare tcp udp"},
		{masked("uuid", "l4"), "bare tcp udp"},
		{masked("uuid", "l4.TCP"), "bare tcp udp"},
		{masked("uuid", "l4.TCP.destination_port"), "bare tcp udp"},
		{masked("uuid", "l4.TCP.flags.SYN", "l4.UDP.source_port"), "bare tcp udp"},
		{masked("uuid", "source.identity"), "bare tcp udp"},
		{masked("uuid", "source", "source.identity"), "bare tcp udp"},
		{masked("uuid", "source.identity", "source"), "bare tcp udp"},
		{masked("uuid", "source.ID", "source.labels", "source.workloads"), "bare tcp udp"},
		{masked("uuid", "trace_context.parent.trace_id"), "bare tcp udp"},
		{masked("uuid", "is_reply"), "bare tcp udp"},
		{masked("uuid", "is_reply.value"), "bare tcp udp"},
		{masked("uuid", "time.seconds"), "bare tcp udp"},
		{masked("uuid", "l7.type", "l7.dns.query"), "bare tcp udp"},
		{masked("uuid", "l7.http"), "bare tcp udp"},
		{masked("uuid", "l7.dns.ips", "l7.http.code"), "bare tcp udp"},
		{masked("uuid", "tunnel.l4.TCP.source_port", "tunnel.IP.source"), "bare tcp udp"},
		{masked("uuid", "extensions"), "bare tcp udp"},
		{masked("uuid", "extensions.type_url"), "bare tcp udp"},
		{masked("uuid", "IP", "Type", "Summary"), "bare tcp udp"},
		{masked(append(slices.Clone(cliMask), "uuid")...), "bare tcp udp"},
		{&flowRequest{FieldMask: mask("uuid"), Number: 1, Whitelist: list(protocols("tcp"))}, "tcp"},
		{&flowRequest{FieldMask: mask("time"), Since: second(1), Until: second(1)}, ""},
		{masked("l4.protocol"), "Unknown: invalid fieldmask"},
		{masked("isReply"), "Unknown: invalid fieldmask"},
		{masked("ip"), "Unknown: invalid fieldmask"},
		{masked("uuid", ""), "Unknown: invalid fieldmask"},
		{masked("source.labels.x"), "Unknown: invalid fieldmask"},
		{masked("source.workloads.name"), "Unknown: invalid fieldmask"},
		{masked("uuid.x"), "Unknown: invalid fieldmask"},
		{masked("uuid."), "Unknown: invalid fieldmask"},
		{masked("source..identity"), "Unknown: invalid fieldmask"},
		{masked("*"), "Unknown: invalid fieldmask"},
	},
}

func masked(paths ...string) *flowRequest { return &flowRequest{FieldMask: mask(paths...)} }

// TestEveryMaskPath asks for each path of a flow alone.
func TestEveryMaskPath(t *testing.T) {
	servers := startPair(t, 255, corpus(newDice(seed(t), purposeCorpus), 120))
	var requests []proto.Message
	for _, path := range slices.Concat(validPaths, invalidPaths) {
		requests = append(requests, masked(path))
	}
	report(t, servers, askAll(servers, requests))
}
