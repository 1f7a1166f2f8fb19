package differential

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// eventTopic: verdicts, directions, replies, kinds of events.
var eventTopic = topic{
	name: "events",
	flows: []*flowpb.Flow{
		{Uuid: "bare"},
		{Uuid: "forwarded", Verdict: flowpb.Verdict_FORWARDED, IsReply: wrapperspb.Bool(false), TrafficDirection: flowpb.TrafficDirection_EGRESS, EventType: event(4, 0)},
		{Uuid: "reply", Verdict: flowpb.Verdict_FORWARDED, IsReply: wrapperspb.Bool(true), Reply: true, TrafficDirection: flowpb.TrafficDirection_INGRESS, EventType: event(4, 3)},
		{Uuid: "dropped", Verdict: flowpb.Verdict_DROPPED, DropReasonDesc: flowpb.DropReason_POLICY_DENIED, EventType: event(1, 133)},
		{Uuid: "dropped-reply", Verdict: flowpb.Verdict_DROPPED, IsReply: wrapperspb.Bool(true), EventType: event(1, 0)},
		{Uuid: "audit", Verdict: flowpb.Verdict_AUDIT, DropReasonDesc: flowpb.DropReason_POLICY_DENIED, EventType: event(5, 0)},
		{Uuid: "l7", Verdict: flowpb.Verdict_REDIRECTED, Reply: true, EventType: event(129, 0)},
		{Uuid: "sock", Verdict: flowpb.Verdict_TRANSLATED, EventType: event(7, 2)},
		{Uuid: "zero-type", Verdict: 99, TrafficDirection: 7, EventType: event(0, 3)},
	},
	edges: []edge{
		{only(&flowpb.FlowFilter{Verdict: list(flowpb.Verdict_FORWARDED, flowpb.Verdict_AUDIT)}), "forwarded reply audit"},
		{only(&flowpb.FlowFilter{Verdict: list(flowpb.Verdict_VERDICT_UNKNOWN)}), "bare"},
		{only(&flowpb.FlowFilter{Verdict: list(flowpb.Verdict(99))}), "zero-type"},
		{only(&flowpb.FlowFilter{TrafficDirection: list(flowpb.TrafficDirection_EGRESS)}), "forwarded"},
		{only(&flowpb.FlowFilter{TrafficDirection: list(flowpb.TrafficDirection_TRAFFIC_DIRECTION_UNKNOWN)}), "bare dropped dropped-reply audit l7 sock"},
		{only(&flowpb.FlowFilter{TrafficDirection: list(flowpb.TrafficDirection(7))}), "zero-type"},
		{only(&flowpb.FlowFilter{DropReasonDesc: list(flowpb.DropReason_POLICY_DENIED)}), "dropped"},
		{only(&flowpb.FlowFilter{DropReasonDesc: list(flowpb.DropReason_DROP_REASON_UNKNOWN)}), "dropped-reply"},
		{only(&flowpb.FlowFilter{Reply: list(false)}), "forwarded dropped"},
		{only(&flowpb.FlowFilter{Reply: list(true)}), "reply dropped-reply"},
		{only(&flowpb.FlowFilter{Reply: list(true, false)}), "forwarded reply dropped dropped-reply"},
		{except(&flowpb.FlowFilter{Reply: list(true, false)}), "bare audit l7 sock zero-type"},
		{only(&flowpb.FlowFilter{EventType: l7Events(4)}), "forwarded reply"},
		{only(&flowpb.FlowFilter{EventType: l7Events(0)}), "forwarded reply dropped dropped-reply audit l7 sock zero-type"},
		{only(&flowpb.FlowFilter{EventType: l7Events(1, 129)}), "dropped dropped-reply l7"},
		{only(&flowpb.FlowFilter{EventType: list(&flowpb.EventTypeFilter{Type: 4, SubType: 3})}), "forwarded reply"},
		{only(&flowpb.FlowFilter{EventType: list(&flowpb.EventTypeFilter{Type: 4, SubType: 3, MatchSubType: true})}), "reply"},
		{only(&flowpb.FlowFilter{EventType: list(&flowpb.EventTypeFilter{MatchSubType: true})}), "forwarded dropped-reply audit l7"},
		{only(&flowpb.FlowFilter{EventType: list(&flowpb.EventTypeFilter{SubType: 3, MatchSubType: true})}), "reply zero-type"},
		{only(&flowpb.FlowFilter{EventType: l7Events(2, 130, -1)}), ""},
	},
}

func event(kind, sub int32) *flowpb.CiliumEventType {
	return &flowpb.CiliumEventType{Type: kind, SubType: sub}
}

// idTopic: identities, uuids, traces, interfaces.
var idTopic = topic{
	name: "ids",
	flows: []*flowpb.Flow{
		{Uuid: ""},
		{Uuid: "empty", Source: &flowpb.Endpoint{}, Destination: &flowpb.Endpoint{}, TraceContext: &flowpb.TraceContext{}, Interface: &flowpb.NetworkInterface{},
			IpTraceId: &flowpb.IPTraceID{}},
		{Uuid: "full", Source: &flowpb.Endpoint{Identity: 300}, Destination: &flowpb.Endpoint{Identity: 4294967295},
			TraceContext: &flowpb.TraceContext{Parent: &flowpb.TraceParent{TraceId: "Abc"}}, Interface: &flowpb.NetworkInterface{Index: 2, Name: "eth0"},
			IpTraceId: &flowpb.IPTraceID{TraceId: 18446744073709551615, IpOptionType: 136}},
		{Uuid: "FULL", TraceContext: &flowpb.TraceContext{Parent: &flowpb.TraceParent{}}, Interface: &flowpb.NetworkInterface{Index: 3, Name: "eth0"}},
		{Uuid: "12345678-1234-4123-8123-123456789ABC", Interface: &flowpb.NetworkInterface{Index: 3}},
	},
	edges: []edge{
		{only(uuid("full")), "full"},
		{only(uuid("FULL", "empty")), "empty FULL"},
		{only(uuid("")), ""},
		{&flowRequest{Whitelist: list(uuid("")), FieldMask: mask("uuid")}, ""},
		{only(uuid("12345678-1234-4123-8123-123456789abc")), ""},
		{only(uuid("12345678-1234-4123-8123-123456789ABC")), "12345678-1234-4123-8123-123456789ABC"},
		{only(&flowpb.FlowFilter{SourceIdentity: list[uint32](300)}), "full"},
		{only(&flowpb.FlowFilter{SourceIdentity: list[uint32](0)}), "empty"},
		{only(&flowpb.FlowFilter{DestinationIdentity: list[uint32](1, 4294967295)}), "full"},
		{only(&flowpb.FlowFilter{TraceId: list("Abc")}), "full"},
		{only(&flowpb.FlowFilter{TraceId: list("abc")}), ""},
		{except(&flowpb.FlowFilter{TraceId: list("")}), "full"},
		{only(&flowpb.FlowFilter{IpTraceId: list[uint64](18446744073709551615)}), "full"},
		{except(&flowpb.FlowFilter{IpTraceId: list[uint64](0)}), "full"},
		{only(&flowpb.FlowFilter{Interface: list(&flowpb.NetworkInterface{Name: "eth0"})}), "full FULL"},
		{only(&flowpb.FlowFilter{Interface: list(&flowpb.NetworkInterface{Index: 3})}), "FULL 12345678-1234-4123-8123-123456789ABC"},
		{only(&flowpb.FlowFilter{Interface: list(&flowpb.NetworkInterface{Index: 3, Name: "eth0"})}), "FULL"},
		{only(&flowpb.FlowFilter{Interface: list(&flowpb.NetworkInterface{})}), "empty full FULL 12345678-1234-4123-8123-123456789ABC"},
		{only(&flowpb.FlowFilter{Interface: list(&flowpb.NetworkInterface{Name: "ETH0"}, &flowpb.NetworkInterface{Index: 2})}), "full"},
	},
}
