package differential

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// likelyCount is how many flows there are of those that metrics look for, beside the corpus.
const likelyCount = 600

// likelyFlows are as those of the corpus, with parts that go together: each metric has many flows to count, and many that are nearly
// so.
func likelyFlows(d dice) []*v1.Event {
	at := &clock{now: corpusStart.AddDate(0, 1, 0)}
	var events []*v1.Event
	for i := range likelyCount {
		flow := randomFlow(d, corpusFlows+i, at.next(d))
		flow.Verdict = pick(d, []flowpb.Verdict{1, 1, 1, 2, 2, 5})
		flow.EventType = &flowpb.CiliumEventType{Type: pick(d, []int32{1, 4, 5, 129, 129}), SubType: int32(d.IntN(15))}
		flow.IsReply = pick(d, []*wrapperspb.BoolValue{nil, wrapperspb.Bool(false), wrapperspb.Bool(true)})
		flow.L4 = randomL4(d)
		flow.IP = randomIP(d)
		if d.chance(60) {
			flow.L7 = randomL7(d)
		}
		if flow.Destination == nil {
			flow.Destination = randomEndpoint(d)
		}
		if d.chance(60) {
			flow.Destination.Labels = append(flow.Destination.Labels, pick(d, []string{"reserved:world", "reserved:world-ipv4", "reserved:world-ipv6"}))
		}
		if flow.Verdict == flowpb.Verdict_DROPPED && d.chance(50) {
			flow.DropReasonDesc = flowpb.DropReason_POLICY_DENIED
		}
		if flow.Source != nil && d.chance(20) {
			flow.Source.Identity = 1
		}
		events = append(events, &v1.Event{Timestamp: flow.Time, Event: flow})
	}
	return events
}
