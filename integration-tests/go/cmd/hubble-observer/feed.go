package main

import (
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"github.com/cilium/cilium/pkg/hubble/observer"
	observertypes "github.com/cilium/cilium/pkg/hubble/observer/types"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// feedTick is how often the flows that are due are offered.
const feedTick = time.Millisecond

// feed offers flows at a rate, each stamped with the present time. As the agent's monitor consumer it waits for nobody: a flow that
// finds the observer's channel full is lost.
func feed(local *observer.LocalObserverServer, flows []*flowpb.Flow, rate, seconds int) (offered, lost int) {
	start := time.Now()
	ticks := time.NewTicker(feedTick)
	defer ticks.Stop()
	total := rate * seconds
	for offered < total {
		now := <-ticks.C
		due := min(total, int(now.Sub(start).Seconds()*float64(rate)))
		for ; offered < due; offered++ {
			flow := stamped(flows[offered%len(flows)], time.Now())
			select {
			case local.GetEventsChannel() <- &observertypes.MonitorEvent{Payload: event(flow)}:
			default:
				lost++
			}
		}
	}
	return offered, lost
}

func event(flow *flowpb.Flow) *v1.Event { return &v1.Event{Timestamp: flow.Time, Event: flow} }

// stamped is the same flow at another time. What it refers to is shared, so that feeding costs the observer's process next to
// nothing; of the fields only those that the corpus has.
func stamped(flow *flowpb.Flow, at time.Time) *flowpb.Flow {
	return &flowpb.Flow{
		Time: timestamppb.New(at), Uuid: flow.Uuid, Emitter: flow.Emitter, Verdict: flow.Verdict,
		DropReason: flow.DropReason, DropReasonDesc: flow.DropReasonDesc,
		Ethernet: flow.Ethernet, IP: flow.IP, L4: flow.L4, Source: flow.Source, Destination: flow.Destination, Type: flow.Type,
		NodeName: flow.NodeName, NodeLabels: flow.NodeLabels, SourceNames: flow.SourceNames, DestinationNames: flow.DestinationNames,
		L7: flow.L7, EventType: flow.EventType, TrafficDirection: flow.TrafficDirection,
		TraceObservationPoint: flow.TraceObservationPoint, TraceReason: flow.TraceReason, IsReply: flow.IsReply,
		Interface: flow.Interface, PolicyMatchType: flow.PolicyMatchType, Summary: flow.Summary,
	}
}
