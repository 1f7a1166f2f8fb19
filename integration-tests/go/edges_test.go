package differential

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	v1 "github.com/cilium/cilium/pkg/hubble/api/v1"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// topic is a few flows made for one part of the contract, and the requests that show each of its edges.
type topic struct {
	name  string
	flows []*flowpb.Flow
	edges []edge
}

// edge is one request, and what upstream answers: the uuids of the flows in order, or "Code: message". Spelling the answer out keeps a
// request from passing because neither server finds anything.
type edge struct {
	request *observerpb.GetFlowsRequest
	want    string
}

var topics = []topic{positionTopic, errorTopic, ipTopic, nameTopic, globTopic, labelTopic, selectorErrorTopic, layer4Topic, layer7Topic, regexTopic, eventTopic,
	idTopic, celTopic, maskTopic}

func TestEdges(t *testing.T) {
	for _, topic := range topics {
		t.Run(topic.name, func(t *testing.T) {
			servers := startPair(t, 255, timed(topic.flows))
			for _, edge := range topic.edges {
				x := servers.ask(edge.request)
				if answer := inWords(x.want); answer != edge.want {
					t.Errorf("%s\n  the table says upstream answers %q, but it is %q", show(edge.request), edge.want, answer)
				}
				if found := x.unexplained(); found != "" {
					t.Errorf("%s\n%s", show(edge.request), found)
				}
			}
		})
	}
}

// timed gives flow number n the time n seconds after the start, unless it has one, and makes events of them.
func timed(flows []*flowpb.Flow) []*v1.Event {
	var events []*v1.Event
	for i, flow := range flows {
		if flow.Time == nil {
			flow.Time = second(i)
		}
		events = append(events, &v1.Event{Timestamp: flow.Time, Event: flow})
	}
	return events
}

// second is the time of flow number n of a topic.
func second(n int) *timestamppb.Timestamp {
	return timestamppb.New(corpusStart.Add(time.Duration(n) * time.Second))
}

func nanosecondAfter(n int) *timestamppb.Timestamp {
	return timestamppb.New(second(n).AsTime().Add(time.Nanosecond))
}

func inWords(got reply) string {
	if got.code != codes.OK {
		return fmt.Sprintf("%s: %s", got.code, foldSpace(got.message))
	}
	var words []string
	for _, message := range got.responses {
		response, _ := message.(*observerpb.GetFlowsResponse)
		if lost := response.GetLostEvents(); lost != nil {
			words = append(words, fmt.Sprintf("lost:%d", lost.NumEventsLost))
			continue
		}
		words = append(words, response.GetFlow().GetUuid())
	}
	return strings.Join(words, " ")
}

// named makes a flow with the given uuid.
func named(uuid string, change func(*flowpb.Flow)) *flowpb.Flow {
	flow := &flowpb.Flow{Uuid: uuid}
	change(flow)
	return flow
}

// only asks for what one of the filters lets through.
func only(filters ...*flowpb.FlowFilter) *observerpb.GetFlowsRequest {
	return &observerpb.GetFlowsRequest{Whitelist: filters}
}

// except asks for what none of the filters lets through.
func except(filters ...*flowpb.FlowFilter) *observerpb.GetFlowsRequest {
	return &observerpb.GetFlowsRequest{Blacklist: filters}
}

// list is the values of a repeated field.
func list[T any](values ...T) []T { return slices.Clip(values) }
