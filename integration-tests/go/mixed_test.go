package differential

import (
	"fmt"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// TestMixedRing has agent and debug events between the flows. All kinds share one ring: GetFlows does not show the others, but they
// take part in the walk back, in the range of times, and in the capacity.
func TestMixedRing(t *testing.T) {
	events := mixedEvents()
	for _, capacity := range []int{15, 63} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) {
			servers := startPair(t, capacity, events)
			requests := mixedRequests()
			for _, request := range ringRequests {
				requests = append(requests, request)
			}
			for _, request := range requests {
				x := servers.ask(request)
				if found := x.unexplained(); found != "" {
					t.Errorf("%T %s\n%s", request, show(request), found)
				}
			}
			compareStatus(t, servers)
		})
	}
}

// mixedEvents are, second by second: flow, agent, flow, debug, flow, lost.
func mixedEvents() []*v1.Event {
	var events []*v1.Event
	for i := range 30 {
		event := &v1.Event{Timestamp: second(i)}
		switch i % 6 {
		case 1:
			event.Event = agentEvents[i/6%len(agentEvents)]
		case 3:
			event.Event = debugEvent(i)
		case 5:
			event = lostAt(i)
		default:
			event.Event = &flowpb.Flow{Uuid: fmt.Sprintf("flow-%d", i), Time: second(i), NodeName: nodeName}
		}
		events = append(events, event)
	}
	return events
}

var agentEvents = []*flowpb.AgentEvent{
	{Type: flowpb.AgentEventType_AGENT_STARTED, Notification: &flowpb.AgentEvent_AgentStart{
		AgentStart: &flowpb.TimeNotification{Time: timestamppb.New(time.Unix(7, 8))}}},
	{Type: flowpb.AgentEventType_POLICY_UPDATED, Notification: &flowpb.AgentEvent_PolicyUpdate{
		PolicyUpdate: &flowpb.PolicyUpdateNotification{Labels: list("k8s:a=b"), Revision: 18446744073709551615, RuleCount: -3}}},
	{Type: flowpb.AgentEventType_ENDPOINT_REGENERATE_FAILURE, Notification: &flowpb.AgentEvent_EndpointRegenerate{
		EndpointRegenerate: &flowpb.EndpointRegenNotification{Id: 9, Labels: list("x"), Error: "no"}}},
	{Type: flowpb.AgentEventType_IPCACHE_UPSERTED, Notification: &flowpb.AgentEvent_IpcacheUpdate{
		IpcacheUpdate: &flowpb.IPCacheNotification{Cidr: "10.0.0.0/8", Identity: 2, OldIdentity: wrapperspb.UInt32(0), HostIp: "::1", EncryptKey: 1}}},
	{Type: flowpb.AgentEventType_AGENT_EVENT_UNKNOWN, Notification: &flowpb.AgentEvent_Unknown{
		Unknown: &flowpb.AgentEventUnknown{Type: "t", Notification: "{}"}}},
}

func debugEvent(i int) *flowpb.DebugEvent {
	return &flowpb.DebugEvent{
		Type:    flowpb.DebugEventType(i),
		Source:  &flowpb.Endpoint{ID: uint32(i), PodName: "cart"},
		Hash:    wrapperspb.UInt32(0),
		Arg1:    wrapperspb.UInt32(uint32(i)),
		Message: "message",
		Cpu:     wrapperspb.Int32(1),
	}
}

// mixedRequests ask for agent and for debug events in the same ways.
func mixedRequests() []proto.Message {
	var requests []proto.Message
	for _, r := range ringRequests {
		requests = append(requests,
			&observerpb.GetAgentEventsRequest{Number: r.Number, First: r.First, Follow: r.Follow, Since: r.Since, Until: r.Until},
			&observerpb.GetDebugEventsRequest{Number: r.Number, First: r.First, Follow: r.Follow, Since: r.Since, Until: r.Until})
	}
	return requests
}
