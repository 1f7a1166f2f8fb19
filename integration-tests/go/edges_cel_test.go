package differential

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

type flowRequest = observerpb.GetFlowsRequest

// celTopic: what is peculiar to CEL over flows; the breadth of the language is in celExpressions, and TestCELExpressions tries them one by one.
var celTopic = topic{
	name: "cel",
	flows: []*flowpb.Flow{
		{Uuid: "bare"},
		named("web", func(f *flowpb.Flow) {
			f.Verdict, f.IsReply = flowpb.Verdict_FORWARDED, wrapperspb.Bool(false)
			f.L4 = tcp("", 40000, 80, nil).L4
			f.Source = &flowpb.Endpoint{PodName: "cart-1", Labels: list("k8s:app=cart")}
			f.SourceNames = list("example.com")
		}),
		named("dropped", func(f *flowpb.Flow) {
			f.Verdict, f.IsReply = flowpb.Verdict_DROPPED, wrapperspb.Bool(true)
			f.Source = &flowpb.Endpoint{}
		}),
	},
	edges: []edge{
		{only(byCEL("true")), "bare web dropped"},
		{only(byCEL("_flow.verdict == Verdict.FORWARDED")), "web"},
		{only(byCEL("_flow.l4.TCP.destination_port == uint(80)")), "web"},
		{only(byCEL("_flow.is_reply == null")), "bare"},
		{only(byCEL("_flow.is_reply == false")), "web"},
		{only(byCEL("_flow.is_reply != true")), "bare web"},
		{only(byCEL("has(_flow.source)")), "web dropped"},
		{only(byCEL("_flow.source == Endpoint{}")), "bare dropped"},
		{only(byCEL("_flow.source == null")), ""},
		{only(byCEL(`"k8s:app=cart" in _flow.source.labels`)), "web"},
		// One is enough; an error while running makes the filter false and later expressions are not tried.
		{only(byCEL("false", "_flow.verdict == 2")), "dropped"},
		{only(byCEL(`_flow.source_names[0] == "x"`, "true")), "web"},
		{only(byCEL("true", `_flow.source_names[0] == "x"`)), "bare web dropped"},
		{except(byCEL(`_flow.source_names[0] == "x"`)), "bare web dropped"},
		{only(&flowpb.FlowFilter{Verdict: list(flowpb.Verdict_DROPPED), Experimental: cel("has(_flow.is_reply)")}), "dropped"},
		{only(&flowpb.FlowFilter{Experimental: &flowpb.FlowFilter_Experimental{}}), "bare web dropped"},
		{only(byCEL("_flow.verdict")), `Unknown: error compiling CEL expression: got "int", wanted "bool" result type`},
		{only(byCEL("true", "_flow.is_reply")), `Unknown: error compiling CEL expression: got "wrapper(bool)", wanted "bool" result type`},
		{only(byCEL("dyn(true)")), `Unknown: error compiling CEL expression: got "dyn", wanted "bool" result type`},
		{only(byCEL("_flow")), `Unknown: error compiling CEL expression: got "flow.Flow", wanted "bool" result type`},
		{only(byCEL("_flow.time")), `Unknown: error compiling CEL expression: got "google.protobuf.Timestamp", wanted "bool" result type`},
		{only(byCEL("_flow.source_names")), `Unknown: error compiling CEL expression: got "list(string)", wanted "bool" result type`},
		{only(byCEL("null")), `Unknown: error compiling CEL expression: got "null_type", wanted "bool" result type`},
		{only(byCEL("{1: 2u}")), `Unknown: error compiling CEL expression: got "map(int, uint)", wanted "bool" result type`},
		{only(byCEL("_flow.extensions")), `Unknown: error compiling CEL expression: got "google.protobuf.Any", wanted "bool" result type`},
		{only(byCEL("type(1)")), `Unknown: error compiling CEL expression: got "type(int)", wanted "bool" result type`},
		{only(byCEL("_flow.nothing == 1")), "Unknown: error compiling CEL expression: ERROR: <input>:1:6: undefined field 'nothing' | _flow.nothing == 1 | .....^"},
		{only(byCEL("_flow.verdict == 1u")),
			"Unknown: error compiling CEL expression: ERROR: <input>:1:15: found no matching overload for '_==_' applied to '(int, uint)' | _flow.verdict == 1u | ..............^"},
	},
}

func byCEL(expressions ...string) *flowpb.FlowFilter {
	return &flowpb.FlowFilter{Experimental: cel(expressions...)}
}
