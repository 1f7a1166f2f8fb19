package differential

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// regexTopic: RE2 as Go speaks it. The uuid of a flow is its DNS query.
var regexTopic = topic{
	name: "regex",
	flows: func() []*flowpb.Flow {
		var flows []*flowpb.Flow
		for _, query := range list("cart", "CART", "cart7", "bücher", "a.b", "a\nb", "ſ", "λ", "٣", "a&b", "\u212a") {
			flows = append(flows, &flowpb.Flow{Uuid: query, L7: &flowpb.Layer7{Record: &flowpb.Layer7_Dns{Dns: &flowpb.DNS{Query: query}}}})
		}
		return flows
	}(),
	edges: []edge{
		{only(queries("cart")), "cart cart7"},
		{only(queries("^(?i:cart)$")), "cart CART"},
		{only(queries("(?i)^S$")), "ſ"},
		{only(queries("(?i)^k$")), "\u212a"},
		{only(queries("a.b")), "a.b a&b"},
		{only(queries("(?s)a.b")), "a.b a\nb a&b"},
		{only(queries("(?m)^b$")), "a\nb"},
		{only(queries(`\Qa.b\E`)), "a.b"},
		// The classes of Perl are ASCII, those of Unicode are not.
		{only(queries(`^\d$`)), ""},
		{only(queries(`^\pN$`)), "٣"},
		{only(queries(`^\w+$`)), "cart CART cart7"},
		{only(queries(`^\pL+$`)), "cart CART bücher ſ λ \u212a"},
		{only(queries(`\p{Greek}`)), "λ"},
		{only(queries(`^b[[:alpha:]]`)), ""},
		{only(queries(`^b[^[:alpha:]]`)), "bücher"},
		{only(queries(`\bcher`)), "bücher"},
		{only(queries(`\x{fc}`)), "bücher"},
		{only(queries(`[&&]`)), "a&b"},
		{only(queries(`[[c]`)), "cart cart7 bücher"},
		{only(queries(`t{1}$`)), "cart"},
		{only(queries(`t{`)), ""},
		{only(queries(`(?P<a>ca)(?P<b>rt)$`)), "cart"},
		{only(queries(`(?<a>ca)rt$`)), "cart"},
		{only(queries(`(?U)c.*t`, "")), "cart CART cart7 bücher a.b a\nb ſ λ ٣ a&b \u212a"},
		{only(queries("\\#\\-\\ \\<")), ""},
		{only(queries(`(`)), noRegex("missing closing ): `(`")},
		{only(queries(`a)`)), noRegex("unexpected ): `a)`")},
		{only(queries("cart", `[a`)), noRegex("missing closing ]: `[a`")},
		{only(queries(`*`)), noRegex("missing argument to repetition operator: `*`")},
		{only(queries(`a**`)), noRegex("invalid nested repetition operator: `**`")},
		{only(queries(`a{1001}`)), noRegex("invalid repeat count: `{1001}`")},
		{only(queries(`(a{500}){500}`)), noRegex("invalid repeat count: `{500}`")},
		{only(queries(`a\`)), noRegex("trailing backslash at end of expression: ``")},
		{only(queries(`\1`)), noRegex("invalid escape sequence: `\\1`")},
		{only(queries(`\Z`)), noRegex("invalid escape sequence: `\\Z`")},
		{only(queries(`(?=a)`)), noRegex("invalid or unsupported Perl syntax: `(?=`")},
		{only(queries(`(?x)a`)), noRegex("invalid or unsupported Perl syntax: `(?x`")},
		{only(queries(`(?<=a)b`)), noRegex("invalid named capture: `(?<=a)b`")},
		{only(queries(`(?P<n-m>a)`)), noRegex("invalid named capture: `(?P<n-m>`")},
		{only(queries(`[z-a]`)), noRegex("invalid character class range: `z-a`")},
		{only(queries(`\p{Nope}`)), noRegex("invalid character class range: `\\p{Nope}`")},
		{only(queries(`[[:nope:]]`)), noRegex("invalid character class range: `[:nope:]`")},
		{only(&flowpb.FlowFilter{HttpPath: list("a(")}), "Unknown: invalid http path filter: a(: error parsing regexp: missing closing ): `a(`"},
		{only(&flowpb.FlowFilter{HttpUrl: list("a", "[")}), "Unknown: invalid http url filter: [: error parsing regexp: missing closing ]: `[`"},
	},
}

func queries(patterns ...string) *flowpb.FlowFilter { return &flowpb.FlowFilter{DnsQuery: patterns} }

func noRegex(why string) string {
	return "Unknown: invalid DNS query filter: failed to compile regexp: error parsing regexp: " + why
}
