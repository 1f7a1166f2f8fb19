package differential

import (
	"math"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// randomRequest combines filters, a selector of the place in the ring, and a mask.
func randomRequest(d dice, events []*v1.Event) *observerpb.GetFlowsRequest {
	flows := flowsOf(events)
	request := &observerpb.GetFlowsRequest{}
	if d.chance(85) {
		request.Whitelist = randomFilters(d, flows)
	}
	if d.chance(25) {
		request.Blacklist = randomFilters(d, flows)
	}
	if d.chance(55) {
		request.Number = pick(d, []uint64{1, 2, 3, 10, 20, 57, 400, 100000, math.MaxUint32, math.MaxUint64 - 1, math.MaxUint64})
	}
	request.First = d.chance(20)
	if d.chance(25) {
		request.Since = randomTime(d, events)
	}
	if d.chance(20) {
		request.Until = randomTime(d, events)
	}
	if d.chance(40) {
		request.FieldMask = randomMask(d)
	}
	if d.chance(2) {
		// Only refused together with first; else it would not end.
		request.First, request.Follow = true, true
	}
	return request
}

func randomFilters(d dice, flows []*flowpb.Flow) []*flowpb.FlowFilter {
	var filters []*flowpb.FlowFilter
	for range pick(d, []int{1, 1, 1, 2, 3}) {
		filters = append(filters, randomFilter(d, flows))
	}
	return filters
}

// randomTime is at, or just beside, an event; seldom far away, seldom no time at all.
func randomTime(d dice, events []*v1.Event) *timestamppb.Timestamp {
	if d.chance(4) {
		return pick(d, []*timestamppb.Timestamp{{Seconds: -62135596801}, {Seconds: 253402300800}, {Nanos: -1}, {Nanos: 1_000_000_000},
			{Seconds: 5, Nanos: math.MaxInt32}, {Seconds: math.MinInt64, Nanos: math.MinInt32}, {Seconds: math.MaxInt64}})
	}
	if d.chance(8) {
		return pick(d, []*timestamppb.Timestamp{{}, {Seconds: -1, Nanos: 5}, {Seconds: -62135596800}, {Seconds: 253402300799, Nanos: 999_999_999}})
	}
	at := pick(d, events).Timestamp.AsTime()
	return timestamppb.New(at.Add(pick(d, []time.Duration{-1, 0, 0, 1})))
}
