package differential

import (
	"math"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/timestamppb"
)

// positionTopic: where a request starts and stops. Flows a to j are a second apart; b, e and h are dropped.
var positionTopic = topic{
	name: "position",
	flows: func() []*flowpb.Flow {
		var flows []*flowpb.Flow
		for _, name := range list("a", "b", "c", "d", "e", "f", "g", "h", "i", "j") {
			flow := &flowpb.Flow{Uuid: name, Verdict: flowpb.Verdict_FORWARDED}
			if name == "b" || name == "e" || name == "h" {
				flow.Verdict = flowpb.Verdict_DROPPED
			}
			flows = append(flows, flow)
		}
		return flows
	}(),
	edges: []edge{
		{&observerpb.GetFlowsRequest{}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{First: true}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{First: true, Number: 3}, "a b c"},
		{&observerpb.GetFlowsRequest{First: true, Number: 99}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{Number: 1}, "j"},
		{&observerpb.GetFlowsRequest{Number: 3}, "h i j"},
		{&observerpb.GetFlowsRequest{Number: 10}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{Number: 11}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{Number: math.MaxUint64}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{First: true, Number: math.MaxUint64}, "a b c d e f g h i j"},
		// The number counts what passes the filters.
		{&observerpb.GetFlowsRequest{Number: 2, Whitelist: list(dropped)}, "e h"},
		{&observerpb.GetFlowsRequest{Number: 2, Blacklist: list(dropped)}, "i j"},
		{&observerpb.GetFlowsRequest{Number: 2, First: true, Whitelist: list(dropped)}, "b e"},
		{&observerpb.GetFlowsRequest{Number: 4, Whitelist: list(dropped)}, "b e h"},
		{&observerpb.GetFlowsRequest{Number: 3, Blacklist: list(&flowpb.FlowFilter{})}, ""},
		// Times are inclusive.
		{&observerpb.GetFlowsRequest{Since: second(4)}, "e f g h i j"},
		{&observerpb.GetFlowsRequest{Since: nanosecondAfter(4)}, "f g h i j"},
		{&observerpb.GetFlowsRequest{Since: second(9)}, "j"},
		{&observerpb.GetFlowsRequest{Since: nanosecondAfter(9)}, ""},
		{&observerpb.GetFlowsRequest{Since: second(-1)}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{Since: &timestamppb.Timestamp{}}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{Until: second(2)}, "a b c"},
		{&observerpb.GetFlowsRequest{Until: nanosecondAfter(2)}, "a b c"},
		{&observerpb.GetFlowsRequest{Until: second(-1)}, ""},
		{&observerpb.GetFlowsRequest{Until: second(99)}, "a b c d e f g h i j"},
		{&observerpb.GetFlowsRequest{Until: &timestamppb.Timestamp{}}, ""},
		{&observerpb.GetFlowsRequest{Since: second(3), Until: second(5)}, "d e f"},
		{&observerpb.GetFlowsRequest{Since: second(3), Until: second(3)}, "d"},
		{&observerpb.GetFlowsRequest{Since: second(5), Until: second(3)}, ""},
		// since wins over number and first: the first N after it.
		{&observerpb.GetFlowsRequest{Since: second(3), Number: 2}, "d e"},
		{&observerpb.GetFlowsRequest{Since: second(3), Number: 2, First: true}, "d e"},
		{&observerpb.GetFlowsRequest{Since: second(3), First: true}, "d e f g h i j"},
		{&observerpb.GetFlowsRequest{Since: second(3), Number: 1, Whitelist: list(dropped)}, "e"},
		{&observerpb.GetFlowsRequest{Since: second(2), Whitelist: list(dropped)}, "e h"},
		// until has no part in finding the start.
		{&observerpb.GetFlowsRequest{Until: second(3), Number: 2}, ""},
		{&observerpb.GetFlowsRequest{Until: second(8), Number: 2}, "i"},
		{&observerpb.GetFlowsRequest{Until: second(3), Number: 2, First: true}, "a b"},
		{&observerpb.GetFlowsRequest{Until: second(1), Number: 4, First: true}, "a b"},
		{&observerpb.GetFlowsRequest{Until: second(5), Number: 3, Whitelist: list(dropped)}, "b e"},
		{&observerpb.GetFlowsRequest{Since: second(1), Until: second(8), Number: 3}, "b c d"},
		// Filters: any of the whitelist, none of the blacklist; an empty filter is everything.
		{only(&flowpb.FlowFilter{}), "a b c d e f g h i j"},
		{except(&flowpb.FlowFilter{}), ""},
		{only(dropped, uuid("a")), "a b e h"},
		{only(&flowpb.FlowFilter{Verdict: dropped.Verdict, Uuid: list("a", "b")}), "b"},
		{except(dropped, uuid("a")), "c d f g i j"},
		{&observerpb.GetFlowsRequest{Whitelist: list(dropped), Blacklist: list(uuid("b", "h"))}, "e"},
		{&observerpb.GetFlowsRequest{Whitelist: list(dropped), Blacklist: list(dropped)}, ""},
		// Extensions of the request are ignored, whatever they hold.
		{&observerpb.GetFlowsRequest{Experimental: &observerpb.GetFlowsRequest_Experimental{}, Number: 1,
			Extensions: &anypb.Any{TypeUrl: "example.com/nothing", Value: []byte{255}}}, "j"},
	},
}

var dropped = &flowpb.FlowFilter{Verdict: list(flowpb.Verdict_DROPPED)}

func uuid(uuids ...string) *flowpb.FlowFilter { return &flowpb.FlowFilter{Uuid: uuids} }

// errorTopic: which error wins, and its words.
var errorTopic = topic{
	name:  "errors",
	flows: []*flowpb.Flow{{Uuid: "a"}, {Uuid: "b"}},
	edges: []edge{
		{&observerpb.GetFlowsRequest{First: true, Follow: true}, "InvalidArgument: first cannot be specified with follow"},
		{&observerpb.GetFlowsRequest{First: true, Follow: true, Whitelist: list(badIP), Since: tooEarly}, "InvalidArgument: first cannot be specified with follow"},
		{&observerpb.GetFlowsRequest{Whitelist: list(badIP), Blacklist: list(badPort), Since: tooEarly, FieldMask: badMask},
			`Unknown: invalid IP address "x" in filter: ParseAddr("x"): unable to parse IP`},
		{&observerpb.GetFlowsRequest{Blacklist: list(badPort), Since: tooEarly, Until: tooLate, FieldMask: badMask},
			`Unknown: invalid source port filter: invalid port "x": strconv.ParseUint: parsing "x": invalid syntax`},
		{&observerpb.GetFlowsRequest{Since: tooEarly, Until: tooLate, FieldMask: badMask}, "Unknown: proto: timestamp (seconds:-62135596801) before 0001-01-01"},
		{&observerpb.GetFlowsRequest{Until: tooLate, FieldMask: badMask}, "Unknown: proto: timestamp (seconds:253402300800) after 9999-12-31"},
		{&observerpb.GetFlowsRequest{FieldMask: badMask}, "Unknown: invalid fieldmask"},
		{&observerpb.GetFlowsRequest{First: true, Since: &timestamppb.Timestamp{Seconds: 1, Nanos: -1}},
			"Unknown: proto: timestamp (seconds:1 nanos:-1) has out-of-range nanos"},
		{&observerpb.GetFlowsRequest{Until: &timestamppb.Timestamp{Nanos: 1_000_000_000}}, "Unknown: proto: timestamp (nanos:1000000000) has out-of-range nanos"},
		{&observerpb.GetFlowsRequest{Since: &timestamppb.Timestamp{Seconds: math.MinInt64, Nanos: -1}},
			"Unknown: proto: timestamp (seconds:-9223372036854775808 nanos:-1) before 0001-01-01"},
		{&observerpb.GetFlowsRequest{Since: &timestamppb.Timestamp{Seconds: -62135596800}}, "a b"},
		{&observerpb.GetFlowsRequest{Until: &timestamppb.Timestamp{Seconds: 253402300799, Nanos: 999_999_999}}, "a b"},
		// The first filter that is wrong wins, and inside of it the first field in upstream's order, not in the order of numbers.
		{only(badPort, badIP), `Unknown: invalid source port filter: invalid port "x": strconv.ParseUint: parsing "x": invalid syntax`},
		{only(&flowpb.FlowFilter{}, badIP), `Unknown: invalid IP address "x" in filter: ParseAddr("x"): unable to parse IP`},
		{only(everythingWrong(0)), `Unknown: invalid protocol filter: unknown protocol: "x"`},
		{only(everythingWrong(1)), `Unknown: invalid IP address "x" in filter: ParseAddr("x"): unable to parse IP`},
		{only(everythingWrong(2)), `Unknown: invalid IP address "y" in filter: ParseAddr("y"): unable to parse IP`},
		{only(everythingWrong(3)), `Unknown: invalid IP address "z" in filter: ParseAddr("z"): unable to parse IP`},
		{only(everythingWrong(4)), `Unknown: invalid filter, name must not be empty`},
		{only(everythingWrong(5)), `Unknown: invalid source service filter: invalid filter, name must not be empty`},
		{only(everythingWrong(6)), `Unknown: invalid destination service filter: invalid filter, name must not be empty`},
		{only(everythingWrong(7)), `Unknown: '!': invalid rune in pattern`},
		{only(everythingWrong(8)), `Unknown: '?': invalid rune in pattern`},
		{only(everythingWrong(9)), "Unknown: invalid DNS query filter: failed to compile regexp: error parsing regexp: missing closing ): `(`"},
		{only(everythingWrong(10)), `Unknown: invalid source label filter: found 'b', expected: ',' or 'end of string'`},
		{only(everythingWrong(11)), `Unknown: invalid destination label filter: found 'c', expected: ',' or 'end of string'`},
		{only(everythingWrong(12)), `Unknown: invalid node label filter: found 'd', expected: ',' or 'end of string'`},
		{only(everythingWrong(13)), `Unknown: invalid source port filter: invalid port "x": strconv.ParseUint: parsing "x": invalid syntax`},
		{only(everythingWrong(14)), `Unknown: invalid destination port filter: invalid port "70000": strconv.ParseUint: parsing "70000": value out of range`},
		{only(everythingWrong(15)), `Unknown: invalid http status code filter: invalid status code prefix: "x"`},
		{only(everythingWrong(16)), "Unknown: invalid http path filter: [: error parsing regexp: missing closing ]: `[`"},
		{only(everythingWrong(17)), "Unknown: invalid http url filter: *: error parsing regexp: missing argument to repetition operator: `*`"},
		{only(everythingWrong(18)), `Unknown: too many slashes in pattern`},
		{only(everythingWrong(19)), `Unknown: invalid filter, name must not be empty`},
		{only(everythingWrong(20)), `Unknown: error compiling CEL expression: got "int", wanted "bool" result type`},
	},
}

var (
	badIP    = &flowpb.FlowFilter{SourceIp: list("x")}
	badPort  = &flowpb.FlowFilter{SourcePort: list("x")}
	tooEarly = &timestamppb.Timestamp{Seconds: -62135596801}
	tooLate  = &timestamppb.Timestamp{Seconds: 253402300800}
)

// everythingWrong is a filter whose fields are all wrong, from the one given on in upstream's order of checks.
func everythingWrong(from int) *flowpb.FlowFilter {
	filter := &flowpb.FlowFilter{}
	wrongs := []func(){
		func() { filter.Protocol = list("x") },
		func() { filter.SourceIp = list("x") },
		func() { filter.DestinationIp = list("y") },
		func() { filter.SourceIpXlated = list("z") },
		func() { filter.SourcePod = list("") },
		func() { filter.SourceService = list("") },
		func() { filter.DestinationService = list("") },
		func() { filter.SourceFqdn = list("!") },
		func() { filter.DestinationFqdn = list("?") },
		func() { filter.DnsQuery = list("(") },
		func() { filter.SourceLabel = list("a=a b") },
		func() { filter.DestinationLabel = list("a=a c") },
		func() { filter.NodeLabels = list("a=a d") },
		func() { filter.SourcePort = list("x") },
		func() { filter.DestinationPort = list("70000") },
		func() { filter.HttpStatusCode = list("x") },
		func() { filter.HttpPath = list("[") },
		func() { filter.HttpUrl = list("*") },
		func() { filter.NodeName = list("a/b/c") },
		func() { filter.DestinationClusterName = list("") },
		func() { filter.Experimental = cel("1") },
	}
	for _, wrong := range wrongs[from:] {
		wrong()
	}
	return filter
}

func cel(expressions ...string) *flowpb.FlowFilter_Experimental {
	return &flowpb.FlowFilter_Experimental{CelExpression: expressions}
}
