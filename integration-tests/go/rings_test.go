package differential

import (
	"fmt"
	"math"
	"slices"
	"testing"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// ringRequests are asked of rings in all states of fullness.
var ringRequests = []*flowRequest{
	{}, {First: true}, {Number: 1}, {Number: 3}, {Number: 7}, {Number: 8}, {Number: math.MaxUint64}, {First: true, Number: 1}, {First: true, Number: 5},
	{First: true, Number: 100}, {Since: second(-5)}, {Since: second(3)}, {Since: second(17)}, {Since: second(19)}, {Since: nanosecondAfter(19)}, {Since: second(3), Number: 2},
	{Until: second(0)}, {Until: second(16)}, {Until: second(99)}, {Until: second(16), Number: 2}, {Since: second(15), Until: second(17)},
	{Whitelist: list(uuid("flow-0", "flow-17"))}, {Whitelist: list(uuid("flow-0", "flow-17")), Number: 1}, {Blacklist: list(uuid("flow-19")), Number: 2},
	{Whitelist: list(uuid("nothing")), Number: 5}, {First: true, Follow: true}, {FieldMask: badMask}, {Whitelist: list(badIP)}, {Since: tooEarly}, {Until: tooLate},
	{FieldMask: mask("uuid"), Number: 4},
}

// TestRings loads 0 to 20 flows into rings of several sizes. The capacity of upstream is a power of two minus one; in each case the
// oldest flows are overwritten without a word.
func TestRings(t *testing.T) {
	for _, shape := range []struct{ capacity, flows int }{{1, 0}, {7, 0}, {1, 1}, {7, 1}, {7, 6}, {7, 7}, {7, 8}, {7, 9}, {1, 20}, {7, 20}, {15, 20}, {31, 20}} {
		t.Run(fmt.Sprintf("%d in %d", shape.flows, shape.capacity), func(t *testing.T) {
			var flows []*flowpb.Flow
			for i := range shape.flows {
				flows = append(flows, &flowpb.Flow{Uuid: fmt.Sprintf("flow-%d", i)})
			}
			askRing(t, shape.capacity, timed(flows))
		})
	}
}

// TestLostEvents puts lost events of the first two sources among and after the flows: they pass every filter and range, and no number
// counts them.
func TestLostEvents(t *testing.T) {
	var events []*v1.Event
	for i := range 20 {
		if i%4 == 0 {
			events = append(events, lostAt(i))
		}
		events = append(events, &v1.Event{Timestamp: second(i), Event: &flowpb.Flow{Uuid: fmt.Sprintf("flow-%d", i), Time: second(i)}})
	}
	events = append(events, lostAt(21))
	for _, capacity := range []int{7, 15, 63} {
		t.Run(fmt.Sprint(capacity), func(t *testing.T) { askRing(t, capacity, events) })
	}
	t.Run("nothing else", func(t *testing.T) { askRing(t, 7, []*v1.Event{lostAt(1), lostAt(2)}) })
}

func lostAt(n int) *v1.Event {
	return &v1.Event{Timestamp: second(n), Event: &flowpb.LostEvent{
		Source: flowpb.LostEventSource_OBSERVER_EVENTS_QUEUE, NumEventsLost: uint64(n + 1), Cpu: wrapperspb.Int32(0), First: second(n), Last: second(n)}}
}

func askRing(t *testing.T, capacity int, events []*v1.Event) {
	askPair(t, startPair(t, capacity, events))
}

func askPair(t *testing.T, servers pair) {
	for _, request := range ringRequests {
		if len(servers.events) == 0 && request.First && !request.Follow {
			continue // See TestFirstOnEmptyRing.
		}
		x := servers.ask(request)
		if found := x.unexplained(); found != "" {
			t.Errorf("%s\nupstream: %s\n%s", show(request), inWords(x.want), found)
		}
	}
	compareStatus(t, servers)
}

// TestFirstOnEmptyRing stands apart, since upstream never answers it.
func TestFirstOnEmptyRing(t *testing.T) {
	servers := startPair(t, 7, nil)
	x := exchange{request: &flowRequest{First: true}, oracle: servers.oracle}
	x.want = servers.oracle.callWithin(quietFor, x.request)
	x.got = servers.subject.call(x.request)
	if found := x.unexplained(); found != "" {
		t.Error(found)
	}
}

// TestUnorderedTimes: a file whose times do not rise is answered from as upstream answers from the same flows in order.
func TestUnorderedTimes(t *testing.T) {
	var flows []*flowpb.Flow
	for i, at := range []int{0, 5, 2, 9, 3, 3, 8, 1, 12, 11} {
		flows = append(flows, &flowpb.Flow{Uuid: fmt.Sprintf("%d-at-%d", i, at), Time: second(at)})
	}
	unordered := timed(flows)
	ordered := slices.Clone(unordered)
	slices.SortStableFunc(ordered, func(a, b *v1.Event) int { return a.Timestamp.AsTime().Compare(b.Timestamp.AsTime()) })
	servers := pair{oracle: startOracle(t, 63, ordered), subject: startSubject(t, 63, unordered), events: ordered}
	askPair(t, servers)
}

// TestNamespacesOutliveRing: a namespace is remembered for an hour, not only as long as its flows are in the ring.
func TestNamespacesOutliveRing(t *testing.T) {
	var flows []*flowpb.Flow
	for _, namespace := range list("b", "a", "Z", "ä", "", "a-b", "c", "d", "e", "f", "g", "h", "i") {
		flows = append(flows, &flowpb.Flow{Source: &flowpb.Endpoint{Namespace: namespace, ClusterName: "east"}, Destination: &flowpb.Endpoint{Namespace: "to-" + namespace}})
	}
	servers := startPair(t, 3, timed(flows))
	if found := servers.ask(&observerpb.GetNamespacesRequest{}).unexplained(); found != "" {
		t.Error(found)
	}
}

// TestOtherRPCs: what answers without flows, in an empty and in a filled server.
func TestOtherRPCs(t *testing.T) {
	for name, events := range map[string][]*v1.Event{"empty": nil, "filled": corpus(newDice(seed(t), purposeCorpus), 200)} {
		t.Run(name, func(t *testing.T) {
			servers := startPair(t, 1023, events)
			for _, request := range unaryRequests {
				x := servers.ask(request)
				if found := x.unexplained(); found != "" {
					t.Errorf("%T %s\n%s", request, show(request), found)
				}
			}
			compareStatus(t, servers)
		})
	}
}

var unaryRequests = []proto.Message{
	&observerpb.GetNamespacesRequest{},
	&observerpb.GetNodesRequest{},
	health(""), health(v1.ObserverServiceName), health("observer.Observer"), health("nothing"),
	&observerpb.GetAgentEventsRequest{}, &observerpb.GetAgentEventsRequest{First: true, Follow: true}, &observerpb.GetAgentEventsRequest{Number: 5},
	&observerpb.GetAgentEventsRequest{Since: tooEarly}, &observerpb.GetAgentEventsRequest{Until: tooLate, First: true},
	&observerpb.GetDebugEventsRequest{}, &observerpb.GetDebugEventsRequest{First: true, Follow: true}, &observerpb.GetDebugEventsRequest{Number: 5},
	&observerpb.GetDebugEventsRequest{Since: tooEarly}, &observerpb.GetDebugEventsRequest{Until: tooLate, First: true},
}
