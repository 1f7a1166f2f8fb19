package differential

import (
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// labelTopic: the uuid of a flow is the labels of its source, joined by a comma.
var labelTopic = topic{
	name: "labels",
	flows: func() []*flowpb.Flow {
		flows := []*flowpb.Flow{{Uuid: "no-source"}, {Uuid: "no-labels", Source: &flowpb.Endpoint{}}}
		for _, labels := range list("k8s:app=cart", "k8s:app=web,k8s:tier=3", "app=plain", "any:app=any", "container:app=cart", "reserved:world", "$host",
			"k8s:tier=12", "k8s:tier=x", "cidr:10.0.0.0/16", "cidr:2001-db8--0/32", "k8s:empty=", "k8s:a.b/c-d=e_f", "k8s:app=x,any:app=y", "any:app=y,k8s:app=x",
			"k8s:a=b=c", "a=b:c", "k8s:UP=Up") {
			flows = append(flows, &flowpb.Flow{Uuid: labels, Source: &flowpb.Endpoint{Labels: strings.Split(labels, ",")}, Destination: &flowpb.Endpoint{
				Labels: strings.Split(labels, ",")}})
		}
		return append(flows, &flowpb.Flow{Uuid: "node", NodeLabels: list("kubernetes.io/os=linux", "zone=eu-1", "plain")})
	}(),
	edges: []edge{
		{only(sourceLabels("app=cart")), "k8s:app=cart container:app=cart"},
		{only(sourceLabels("app==cart")), "k8s:app=cart container:app=cart"},
		{only(sourceLabels("k8s:app=cart")), "k8s:app=cart"},
		{only(sourceLabels("any:app=cart")), "k8s:app=cart container:app=cart"},
		{only(sourceLabels("container:app")), "container:app=cart"},
		{only(sourceLabels("any:app=any")), "any:app=any"},
		{only(sourceLabels("k8s:app=any")), ""},
		{only(sourceLabels("k8s:app=plain")), ""},
		{only(sourceLabels("app=plain")), "app=plain"},
		{only(sourceLabels("unspec:app=plain")), "app=plain"},
		{only(sourceLabels("k8s:app")), "k8s:app=cart k8s:app=web,k8s:tier=3 k8s:app=x,any:app=y any:app=y,k8s:app=x"},
		{only(sourceLabels("!app")), "no-source no-labels reserved:world $host k8s:tier=12 k8s:tier=x cidr:10.0.0.0/16 cidr:2001-db8--0/32 k8s:empty= k8s:a.b/c-d=e_f k8s:a=b=c a=b:c k8s:UP=Up node"},
		{only(sourceLabels("app!=cart,app")), "k8s:app=web,k8s:tier=3 app=plain any:app=any k8s:app=x,any:app=y any:app=y,k8s:app=x"},
		{only(sourceLabels("app in (cart, plain)")), "k8s:app=cart app=plain container:app=cart"},
		{only(sourceLabels("app notin (cart,web,plain,any,x,y), app")), ""},
		{only(sourceLabels("k8s:app notin (cart)", "nothing")), "no-source no-labels k8s:app=web,k8s:tier=3 app=plain any:app=any container:app=cart reserved:world $host k8s:tier=12 k8s:tier=x cidr:10.0.0.0/16 cidr:2001-db8--0/32 k8s:empty= k8s:a.b/c-d=e_f k8s:app=x,any:app=y any:app=y,k8s:app=x k8s:a=b=c a=b:c k8s:UP=Up node"},
		// Of two labels with the same key the first one counts.
		{only(sourceLabels("app=x")), "k8s:app=x,any:app=y"},
		{only(sourceLabels("app=y")), "any:app=y,k8s:app=x"},
		{only(sourceLabels("k8s:app=x")), "k8s:app=x,any:app=y any:app=y,k8s:app=x"},
		{only(sourceLabels("reserved:world")), "reserved:world"},
		{only(sourceLabels("world")), "reserved:world"},
		{only(sourceLabels("reserved:host")), "$host"},
		{only(sourceLabels("tier>3")), "k8s:tier=12"},
		{only(sourceLabels("tier < 4")), "k8s:app=web,k8s:tier=3"},
		{only(sourceLabels("tier in (3,x)")), "k8s:app=web,k8s:tier=3 k8s:tier=x"},
		{only(sourceLabels("app=web,tier=3")), "k8s:app=web,k8s:tier=3"},
		{only(sourceLabels("app=web,tier=4")), ""},
		{only(sourceLabels("cidr:10.0.0.0/8")), "cidr:10.0.0.0/16"},
		{only(sourceLabels("cidr:10.0.0.0/24")), ""},
		{only(sourceLabels("cidr:2001-db8--0/16")), "cidr:2001-db8--0/32"},
		{only(sourceLabels("10.0.0.0/16")), "cidr:10.0.0.0/16"},
		{only(sourceLabels("10.0.0.0/8")), ""},
		{only(sourceLabels("empty")), "k8s:empty="},
		{only(sourceLabels("empty=")), "k8s:empty="},
		{only(sourceLabels("a.b/c-d=e_f")), "k8s:a.b/c-d=e_f"},
		{only(sourceLabels("a=b")), ""},
		{only(sourceLabels("a")), "k8s:a=b=c"},
		{only(sourceLabels("c")), "a=b:c"},
		{only(sourceLabels("UP=Up")), "k8s:UP=Up"},
		{only(sourceLabels("up=up")), ""},
		{only(sourceLabels("-x")), ""},
		{only(&flowpb.FlowFilter{SourceLabel: list(""), Uuid: list("no-source")}), "no-source"},
		{only(&flowpb.FlowFilter{DestinationLabel: list("reserved:world", "tier=x")}), "reserved:world k8s:tier=x"},
		{only(&flowpb.FlowFilter{NodeLabels: list("kubernetes.io/os=linux")}), "node"},
		{only(&flowpb.FlowFilter{NodeLabels: list("zone in (eu-1,eu-2),plain")}), "node"},
		{only(&flowpb.FlowFilter{NodeLabels: list("k8s:zone")}), ""},
	},
}

func sourceLabels(selectors ...string) *flowpb.FlowFilter {
	return &flowpb.FlowFilter{SourceLabel: selectors}
}

const (
	badLabelKey = " name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName', or 'my.name', " +
		"or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
	badLabelValue = " a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. " +
		"'MyValue', or 'my_value', or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
	badLabelPrefix = " prefix part a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric " +
		"character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"
	sourceLabelError = "Unknown: invalid source label filter: "
	requirementError = sourceLabelError + "unable to parse requirement: "
)

// selectorErrorTopic: what the grammar of Kubernetes refuses, in its words.
var selectorErrorTopic = topic{
	name:  "selector errors",
	flows: []*flowpb.Flow{{Uuid: "a"}},
	edges: []edge{
		{only(sourceLabels("app=a b")), sourceLabelError + "found 'b', expected: ',' or 'end of string'"},
		{only(sourceLabels("app,")), sourceLabelError + "found '', expected: identifier after ','"},
		{only(sourceLabels("app in (cart))")), sourceLabelError + "found ')', expected: ',' or 'end of string'"},
		{only(sourceLabels("!app=cart")), sourceLabelError + "found '=', expected: ',' or 'end of string'"},
		{only(sourceLabels("app in")), requirementError + "found '' expected: '('"},
		{only(sourceLabels("app in cart")), requirementError + "found 'cart' expected: '('"},
		{only(sourceLabels("app in (cart")), requirementError + "found '', expected: ',' or ')'"},
		{only(sourceLabels("app in (!)")), requirementError + "found '!', expected: ',', ')' or identifier"},
		{only(sourceLabels("app in (a,!)")), requirementError + "found '!', expected: ',', or identifier"},
		{only(sourceLabels("app(")), requirementError + "found '(', expected: in, notin, =, ==, !=, gt, lt"},
		{only(sourceLabels("app IN (cart)")), requirementError + "found 'IN', expected: in, notin, =, ==, !=, gt, lt"},
		{only(sourceLabels("app=!cart")), requirementError + "found '!', expected: identifier"},
		{only(sourceLabels("!!app")), requirementError + "found '!', expected: identifier"},
		{only(sourceLabels("app>x")), requirementError + `values[0]: Invalid value: "x": for 'Gt', 'Lt' operators, the value must be an integer`},
		{only(sourceLabels("app>-x-")), requirementError + `[values[0]: Invalid value: "-x-": for 'Gt', 'Lt' operators, the value must be an integer, values[0][any.app]: Invalid value: "-x-":` +
			badLabelValue + "]"},
		{only(sourceLabels("app=c@rt")), requirementError + `values[0][any.app]: Invalid value: "c@rt":` + badLabelValue},
		{only(sourceLabels(`k8s:app in (b, "a")`)), requirementError + `values[0][k8s.app]: Invalid value: "\"a\"":` + badLabelValue},
		{only(sourceLabels("app=" + strings.Repeat("x", 64))), requirementError + `values[0][any.app]: Invalid value: "` + strings.Repeat("x", 64) + `": must be no more than 63 bytes`},
		{only(sourceLabels("")), "a"},
		{only(sourceLabels(" ")), requirementError + `<nil>: Invalid value: "any.":` + badLabelKey},
		{only(sourceLabels("=x")), requirementError + `<nil>: Invalid value: "any.":` + badLabelKey},
		{only(sourceLabels("a:b:c")), requirementError + `<nil>: Invalid value: "a.b:c":` + badLabelKey},
		{only(sourceLabels(strings.Repeat("k", 60))), requirementError + `<nil>: Invalid value: "any.` + strings.Repeat("k", 60) + `": name part must be no more than 63 bytes`},
		{only(sourceLabels("App.Example/x")), requirementError + `<nil>: Invalid value: "any.App.Example/x":` + badLabelPrefix},
		{only(sourceLabels("k8s:App.Example/x!")), requirementError + `<nil>: Invalid value: "k8s.App.Example/x":` + badLabelPrefix},
		{only(sourceLabels("ok/")), requirementError + `<nil>: Invalid value: "any.ok/": name part must be non-empty;` + badLabelKey},
		{only(sourceLabels("a/b/c")), requirementError + `<nil>: Invalid value: "any.a/b/c": a valid label key` + strings.TrimPrefix(badLabelKey, " name part") +
			" with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"},
		{only(&flowpb.FlowFilter{DestinationLabel: list("app", "(")}), `Unknown: invalid destination label filter: unable to parse requirement: <nil>: Invalid value: "any.":` + badLabelKey},
	},
}
