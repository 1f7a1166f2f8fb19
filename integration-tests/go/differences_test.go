package differential

import (
	"fmt"
	"slices"
	"strings"
	"sync/atomic"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	relaypb "github.com/cilium/cilium/api/v1/relay"
	"github.com/cilium/cilium/pkg/hubble/parser/fieldmask"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/known/fieldmaskpb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// exchange is one request with the replies of both servers.
type exchange struct {
	request   proto.Message
	want, got reply
	oracle    *peer
}

// meantDifference is a way in which sextantd is not upstream, on purpose.
type meantDifference struct {
	name   string
	reason string
	// explains holds for exactly those exchanges whose difference is this one and nothing more.
	explains func(exchange) bool
	// seen counts the exchanges so explained.
	seen *atomic.Int64
}

// meantDifferences is the one list of them.
var meantDifferences = []meantDifference{
	{
		name: "mask into a oneof",
		reason: "upstream copies every flow into one scratch message; a mask below a member of a oneof (l4.TCP.flags) leaves there the " +
			"member of an earlier flow, or an empty one, when this flow has another member. sextantd leaves the oneof unset.",
		explains: explainsMask,
		seen:     new(atomic.Int64),
	},
	{
		name: "text of a CEL error",
		reason: "upstream passes on what cel-go's parser and type checker say, with a drawing of the place. The code and the prefix are " +
			"the contract, the rest is the words of a library.",
		explains: explainsCELText,
		seen:     new(atomic.Int64),
	},
	{
		name: "newest event not readable",
		reason: "the newest slot of upstream's ring may still be in writing, so that an event can be read only once the next one is there. " +
			"sextantd has no such slot. The padding event that makes up for it in the oracle is in its num_flows.",
		explains: explainsPadding,
		seen:     new(atomic.Int64),
	},
	{
		name: "follow from now",
		reason: "upstream starts a follower without number and since at the newest readable event, so that one old flow comes first. " +
			"sextantd starts after it.",
		explains: explainsOldFlow,
		seen:     new(atomic.Int64),
	},
	{
		name: "first on an empty ring",
		reason: "upstream waits for an event that is never written, without pause, and reports a lost event for each turn: millions a second. " +
			"sextantd ends the stream, as both do without first.",
		explains: explainsEmptyFirst,
		seen:     new(atomic.Int64),
	},
	{
		name: "GetNodes",
		reason: "a node of upstream leaves GetNodes to relay. Hubble UI asks it all the time and gives up on an error, so sextantd, which " +
			"can stand behind the UI without relay, answers with itself.",
		explains: explainsNodes,
		seen:     new(atomic.Int64),
	},
	{
		name:     "text of an unknown health service",
		reason:   "the code NOT_FOUND is the contract of grpc.health.v1; the text is that of the library of either side.",
		explains: explainsUnknownHealth,
		seen:     new(atomic.Int64),
	},
	{
		name: "number in a mixed ring",
		reason: "upstream goes back number events of any kind that its filters let through, and then sends those of the kind that was asked " +
			"for: fewer than there are, or none. sextantd counts that kind only.",
		explains: explainsLastOfKind,
		seen:     new(atomic.Int64),
	},
	{
		name: "capitals and underscores of nodes",
		reason: "upstream lower-cases the pattern alone and has no underscore in `*`, so that a node whose name has a capital is found by no " +
			"pattern at all. sextantd matches names of nodes whatever their case, and `*` takes underscores.",
		explains: explainsNodeSpelling,
		seen:     new(atomic.Int64),
	},
}

func printMeantDifferences() {
	for _, known := range meantDifferences {
		fmt.Printf("meant difference %q: %d exchanges\n", known.name, known.seen.Load())
	}
}

func explainsUnknownHealth(x exchange) bool {
	_, ok := x.request.(*healthpb.HealthCheckRequest)
	return ok && x.want.code == codes.NotFound && x.got.code == codes.NotFound
}

func explainsMask(x exchange) bool {
	request, ok := x.request.(*observerpb.GetFlowsRequest)
	if !ok || !slices.ContainsFunc(request.GetFieldMask().GetPaths(), entersOneof) {
		return false
	}
	return difference(freshlyMasked(x.oracle, request), x.got) == ""
}

// entersOneof tells whether a path of a mask names something inside a member of a oneof.
func entersOneof(path string) bool {
	message := (&flowpb.Flow{}).ProtoReflect().Descriptor()
	names := strings.Split(path, ".")
	for i, name := range names {
		if message == nil {
			return false
		}
		field := fieldByName(message, name)
		if field == nil {
			return false
		}
		if field.ContainingOneof() != nil && i < len(names)-1 {
			return true
		}
		message = field.Message()
	}
	return false
}

// freshlyMasked is the oracle's reply to the request without mask, each flow then masked by upstream's own code into a new message.
func freshlyMasked(oracle *peer, request *observerpb.GetFlowsRequest) reply {
	unmasked := proto.Clone(request).(*observerpb.GetFlowsRequest)
	unmasked.FieldMask = nil
	whole := oracle.call(unmasked)
	mask, err := fieldmask.New(proto.Clone(request.FieldMask).(*fieldmaskpb.FieldMask))
	if err != nil {
		return reply{code: codes.Unknown, message: err.Error()}
	}
	for i, message := range whole.responses {
		response := message.(*observerpb.GetFlowsResponse)
		if response.GetFlow() == nil {
			continue
		}
		masked := &flowpb.Flow{}
		mask.Copy(masked.ProtoReflect(), response.GetFlow().ProtoReflect())
		whole.responses[i] = &observerpb.GetFlowsResponse{
			Time:          masked.GetTime(),
			NodeName:      masked.GetNodeName(),
			ResponseTypes: &observerpb.GetFlowsResponse_Flow{Flow: masked},
		}
	}
	return whole
}

func explainsCELText(x exchange) bool {
	const prefix = "error compiling CEL expression: "
	return x.want.code == codes.Unknown && x.got.code == codes.Unknown &&
		len(x.want.responses) == 0 && len(x.got.responses) == 0 &&
		strings.HasPrefix(x.want.message, prefix+"ERROR: <input>:") && strings.HasPrefix(x.got.message, prefix)
}

func explainsNodes(x exchange) bool {
	if _, ok := x.request.(*observerpb.GetNodesRequest); !ok || x.want.code != codes.Unimplemented || len(x.got.responses) != 1 {
		return false
	}
	nodes := x.got.responses[0].(*observerpb.GetNodesResponse).Nodes
	return len(nodes) == 1 && nodes[0].Name == nodeName && nodes[0].State == relaypb.NodeState_NODE_CONNECTED
}

func explainsPadding(x exchange) bool {
	if _, ok := x.request.(*observerpb.ServerStatusRequest); !ok || len(x.want.responses) != 1 {
		return false
	}
	unpadded := proto.Clone(x.want.responses[0]).(*observerpb.ServerStatusResponse)
	unpadded.NumFlows--
	return difference(reply{responses: []proto.Message{unpadded}}, x.got) == ""
}

func explainsOldFlow(x exchange) bool {
	request, ok := x.request.(*observerpb.GetFlowsRequest)
	if !ok || !request.Follow || request.Number != 0 || request.Since != nil || len(x.want.responses) != 1 {
		return false
	}
	return difference(reply{code: x.want.code, message: x.want.message}, x.got) == ""
}

func explainsEmptyFirst(x exchange) bool {
	request, ok := x.request.(*observerpb.GetFlowsRequest)
	if !ok || !request.First || request.Since != nil || x.want.code != codes.DeadlineExceeded {
		return false
	}
	onlyLost := !slices.ContainsFunc(x.want.responses, func(response proto.Message) bool {
		return response.(*observerpb.GetFlowsResponse).GetLostEvents().GetSource() != flowpb.LostEventSource_HUBBLE_RING_BUFFER
	})
	return onlyLost && difference(reply{}, x.got) == ""
}

func explainsLastOfKind(x exchange) bool {
	request, ok := x.request.(rangeRequest)
	if !ok || request.GetNumber() == 0 || request.GetFirst() || request.GetFollow() || request.GetSince() != nil {
		return false
	}
	return difference(reply{responses: lastOfKind(request, x.oracle.call(withoutEnd(x.request)).responses)}, x.got) == ""
}

// explainsNodeSpelling holds if the replies are the same but for flows of nodes with a capital or an underscore in their names.
func explainsNodeSpelling(x exchange) bool {
	request, ok := x.request.(*observerpb.GetFlowsRequest)
	names := func(filter *flowpb.FlowFilter) bool { return len(filter.GetNodeName()) > 0 }
	if !ok || request.Number != 0 || request.FieldMask != nil || !slices.ContainsFunc(slices.Concat(request.Whitelist, request.Blacklist), names) {
		return false
	}
	plain := func(from reply) reply {
		from.responses = slices.DeleteFunc(slices.Clone(from.responses), func(response proto.Message) bool {
			name := response.(*observerpb.GetFlowsResponse).GetNodeName()
			return name != strings.ToLower(name) || strings.Contains(name, "_")
		})
		return from
	}
	return difference(plain(x.want), plain(x.got)) == ""
}

// lastOfKind are the last responses of all, as many as the request has for number; lost events do not count. Until ends them.
func lastOfKind(request rangeRequest, all []proto.Message) []proto.Message {
	start, back := len(all), uint64(0)
	for start > 0 && back < request.GetNumber() {
		start--
		if !isLost(all[start]) {
			back++
		}
	}
	sent := uint64(0)
	for i, response := range all[start:] {
		timed := response.(interface{ GetTime() *timestamppb.Timestamp })
		late := request.GetUntil() != nil && timed.GetTime().AsTime().After(request.GetUntil().AsTime())
		if sent == request.GetNumber() || late && !isLost(response) {
			return all[start : start+i]
		}
		if !isLost(response) {
			sent++
		}
	}
	return all[start:]
}

func isLost(response proto.Message) bool {
	flows, ok := response.(*observerpb.GetFlowsResponse)
	return ok && flows.GetLostEvents() != nil
}

// rangeRequest is what the requests for flows, agent events and debug events have in common.
type rangeRequest interface {
	GetNumber() uint64
	GetFirst() bool
	GetFollow() bool
	GetSince() *timestamppb.Timestamp
	GetUntil() *timestamppb.Timestamp
}

// withoutEnd is the request for the whole ring.
func withoutEnd(request proto.Message) proto.Message {
	whole := proto.Clone(request)
	fields := whole.ProtoReflect().Descriptor().Fields()
	for _, name := range []protoreflect.Name{"number", "until"} {
		whole.ProtoReflect().Clear(fields.ByName(name))
	}
	return whole
}
