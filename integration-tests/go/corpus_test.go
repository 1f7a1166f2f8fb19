package differential

import (
	"fmt"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/structpb"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// corpusStart lies in the past for ever, so that rates of flows are zero on both sides.
var corpusStart = time.Date(2025, time.March, 1, 12, 0, 0, 0, time.UTC)

// clock hands out strictly increasing times, of all the precisions that RFC 3339 text can have.
type clock struct{ now time.Time }

func (c *clock) next(d dice) *timestamppb.Timestamp {
	steps := []time.Duration{1, 999, time.Microsecond, time.Millisecond, 37 * time.Millisecond, time.Second, 61 * time.Second}
	c.now = c.now.Add(pick(d, steps))
	if d.chance(20) {
		c.now = c.now.Truncate(time.Second).Add(time.Second)
	}
	return timestamppb.New(c.now)
}

// corpus is count flows of great variety with a lost event now and then.
func corpus(d dice, count int) []*v1.Event {
	at := &clock{now: corpusStart}
	var events []*v1.Event
	for i := range count {
		if d.chance(2) {
			events = append(events, lostEvent(d, at.next(d)))
		}
		flow := randomFlow(d, i, at.next(d))
		events = append(events, &v1.Event{Timestamp: flow.Time, Event: flow})
	}
	return events
}

// lostEvent is of the sources that sit in the ring; the third one belongs to a reader.
func lostEvent(d dice, at *timestamppb.Timestamp) *v1.Event {
	lost := &flowpb.LostEvent{
		Source:        pick(d, []flowpb.LostEventSource{0, 1, 2}),
		NumEventsLost: d.number(64),
	}
	if d.chance(60) {
		lost.Cpu = wrapperspb.Int32(pick(d, []int32{0, 1, 127, -1}))
	}
	if d.chance(50) {
		lost.First, lost.Last = at, at
	}
	return &v1.Event{Timestamp: at, Event: lost}
}

// flowsOf are the flows among events.
func flowsOf(events []*v1.Event) []*flowpb.Flow {
	var flows []*flowpb.Flow
	for _, event := range events {
		if flow := event.GetFlow(); flow != nil {
			flows = append(flows, flow)
		}
	}
	return flows
}

// randomFlow sets every field of a flow with some probability, independently: a combination that no datapath makes still has one
// right answer for each filter.
func randomFlow(d dice, i int, at *timestamppb.Timestamp) *flowpb.Flow {
	flow := &flowpb.Flow{
		Time:              at,
		Uuid:              fmt.Sprintf("%08x-0000-4000-8000-%012x", i, d.Uint64N(1<<48)),
		Verdict:           flowpb.Verdict(d.IntN(8)),
		Ethernet:          maybe(d, 70, randomEthernet),
		IP:                maybe(d, 90, randomIP),
		L4:                maybe(d, 85, randomL4),
		Tunnel:            maybe(d, 10, randomTunnel),
		Source:            maybe(d, 85, randomEndpoint),
		Destination:       maybe(d, 85, randomEndpoint),
		Type:              flowpb.FlowType(d.IntN(4)),
		NodeName:          pick(d, poolNodes),
		NodeLabels:        some(d, 0, 3, poolNodeLabels),
		SourceNames:       some(d, 0, 2, poolFQDNs),
		DestinationNames:  some(d, 0, 2, poolFQDNs),
		L7:                maybe(d, 40, randomL7),
		Reply:             d.chance(30),
		EventType:         maybe(d, 92, randomEventType),
		TrafficDirection:  flowpb.TrafficDirection(d.IntN(3)),
		PolicyMatchType:   uint32(d.IntN(8)),
		IsReply:           maybe(d, 60, func(d dice) *wrapperspb.BoolValue { return wrapperspb.Bool(d.chance(50)) }),
		Summary:           pick(d, []string{"", "TCP Flags: SYN", "UDP", "a <b> & \"c\"\u2028", "ICMPv4 EchoRequest"}),
		AuthType:          flowpb.AuthType(d.IntN(3)),
		SourceService:     maybe(d, 20, randomService),
		Interface:         maybe(d, 40, randomInterface),
		TraceContext:      maybe(d, 30, randomTraceContext),
		Extensions:        maybe(d, 30, randomExtensions),
		Emitter:           maybe(d, 40, func(d dice) *flowpb.Emitter { return randomEmitter(d) }),
		SockXlatePoint:    flowpb.SocketTranslationPoint(d.IntN(5)),
		DebugCapturePoint: flowpb.DebugCapturePoint(pick(d, []int32{0, 4, 5, 11})),
	}
	if d.chance(3) {
		flow.Uuid = pick(d, poolUUIDs)
	}
	rareParts(d, flow)
	policyParts(d, flow)
	if d.chance(4) {
		strangeParts(d, flow)
	}
	return flow
}

func rareParts(d dice, flow *flowpb.Flow) {
	flow.DestinationService = maybe(d, 20, randomService)
	flow.TraceObservationPoint = flowpb.TraceObservationPoint(pick(d, []int32{0, 1, 3, 5, 11, 13, 101}))
	flow.TraceReason = flowpb.TraceReason(d.IntN(9))
	flow.File = maybe(d, 15, func(d dice) *flowpb.FileInfo {
		return &flowpb.FileInfo{Name: pick(d, []string{"", "bpf_lxc.c"}), Line: uint32(d.number(32))}
	})
	flow.IpTraceId = maybe(d, 30, func(d dice) *flowpb.IPTraceID {
		return &flowpb.IPTraceID{TraceId: pick(d, poolIPTrace), IpOptionType: uint32(d.IntN(256))}
	})
	if flow.Verdict == flowpb.Verdict_DROPPED || d.chance(10) {
		flow.DropReasonDesc = pick(d, poolDropReasons)
		flow.DropReason = uint32(flow.DropReasonDesc)
	}
	if d.chance(30) {
		flow.ProxyPort = uint32(d.number(16))
		flow.SocketCookie = d.number(64)
		flow.CgroupId = d.number(64)
	}
}

func policyParts(d dice, flow *flowpb.Flow) {
	lists := []*[]*flowpb.Policy{&flow.EgressAllowedBy, &flow.IngressAllowedBy, &flow.EgressDeniedBy, &flow.IngressDeniedBy}
	for _, list := range lists {
		if d.chance(15) {
			*list = randomPolicies(d)
		}
	}
	if d.chance(10) {
		flow.PolicyLog = some(d, 1, 3, []string{"", "log me", "ünï"})
	}
	flow.Aggregate = maybe(d, 8, func(d dice) *flowpb.Aggregate {
		return &flowpb.Aggregate{IngressFlowCount: uint32(d.number(32)), EgressFlowCount: uint32(d.number(32)), UnknownDirectionFlowCount: uint32(d.number(32))}
	})
}

// strangeParts are values that a later version of the schema, or another producer, may send: numbers outside of the enums.
func strangeParts(d dice, flow *flowpb.Flow) {
	flow.Verdict = flowpb.Verdict(pick(d, []int32{8, 99, -1}))
	flow.Type = 77
	flow.TrafficDirection = 3
	flow.DropReasonDesc = flowpb.DropReason(pick(d, []int32{1, 129, 300, 70000}))
	flow.DropReason = 300
	flow.TraceObservationPoint = 100
	flow.TraceReason = 9
	flow.AuthType = 3
	flow.SockXlatePoint = 99
	flow.DebugCapturePoint = 1
	flow.NodeName = ""
}

// maybe makes a part in percent of a hundred cases, and leaves it absent in the others.
func maybe[T any](d dice, percent int, make func(dice) *T) *T {
	if d.chance(percent) {
		return make(d)
	}
	return nil
}

func randomExtensions(d dice) *anypb.Any {
	fields, err := structpb.NewStruct(map[string]any{
		"bytes":   float64(d.Uint64N(1 << 53)),
		"process": map[string]any{"pid": float64(d.IntN(65536)), "comm": "curl", "args": []any{"-v", nil, true, 1.5}},
		"empty":   map[string]any{},
	})
	if err != nil {
		panic(err)
	}
	if d.chance(20) {
		fields = &structpb.Struct{}
	}
	wrapped, err := anypb.New(fields)
	if err != nil {
		panic(err)
	}
	return wrapped
}
