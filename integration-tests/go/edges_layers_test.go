package differential

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"
)

var layer4Topic = topic{
	name: "layer 4",
	flows: []*flowpb.Flow{
		{Uuid: "none"},
		{Uuid: "empty", L4: &flowpb.Layer4{}},
		tcp("syn", 40000, 80, &flowpb.TCPFlags{SYN: true}),
		tcp("synack", 80, 40000, &flowpb.TCPFlags{SYN: true, ACK: true}),
		tcp("no-flags", 1, 443, nil),
		tcp("flags-all-false", 2, 443, &flowpb.TCPFlags{}),
		tcp("wide", 65616, 65536, &flowpb.TCPFlags{FIN: true, RST: true, PSH: true, URG: true, ECE: true, CWR: true, NS: true}),
		{Uuid: "udp", L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: 53, DestinationPort: 80}}}},
		{Uuid: "udp-zero", L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{}}}},
		{Uuid: "sctp", L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_SCTP{SCTP: &flowpb.SCTP{SourcePort: 53, DestinationPort: 7, ChunkType: flowpb.SCTPChunkType_INIT}}}},
		{Uuid: "icmp4", L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv4{ICMPv4: &flowpb.ICMPv4{Type: 8}}}},
		{Uuid: "icmp6", L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_ICMPv6{ICMPv6: &flowpb.ICMPv6{Type: 128}}}},
		{Uuid: "vrrp", L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_VRRP{VRRP: &flowpb.VRRP{Vrid: 3}}}},
		{Uuid: "igmp", L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_IGMP{IGMP: &flowpb.IGMP{GroupAddress: "224.0.0.1"}}}},
	},
	edges: []edge{
		{only(protocols("tcp")), "syn synack no-flags flags-all-false wide"},
		{only(protocols("TCP", "Udp")), "syn synack no-flags flags-all-false wide udp udp-zero"},
		{only(protocols("icmp")), "icmp4 icmp6"},
		{only(protocols("ICMPv4")), "icmp4"},
		{only(protocols("icmpv6")), "icmp6"},
		{only(protocols("sctp", "vrrp", "igmp")), "sctp vrrp igmp"},
		{only(protocols("http", "dns")), ""},
		{only(protocols("kafka")), `Unknown: invalid protocol filter: unknown protocol: "kafka"`},
		{only(protocols("tcp", "TCP ")), `Unknown: invalid protocol filter: unknown protocol: "TCP "`},
		{only(protocols("")), `Unknown: invalid protocol filter: unknown protocol: ""`},
		{only(&flowpb.FlowFilter{SourcePort: list("53")}), "udp sctp"},
		{only(&flowpb.FlowFilter{SourcePort: list("0")}), "udp-zero"},
		{only(&flowpb.FlowFilter{SourcePort: list("00080")}), "synack wide"},
		{only(&flowpb.FlowFilter{DestinationPort: list("80", "7")}), "syn udp sctp"},
		{only(&flowpb.FlowFilter{DestinationPort: list("0")}), "wide udp-zero"},
		{only(&flowpb.FlowFilter{DestinationPort: list("65536")}),
			`Unknown: invalid destination port filter: invalid port "65536": strconv.ParseUint: parsing "65536": value out of range`},
		{only(&flowpb.FlowFilter{SourcePort: list("80", "+80")}), `Unknown: invalid source port filter: invalid port "+80": strconv.ParseUint: parsing "+80": invalid syntax`},
		{only(&flowpb.FlowFilter{SourcePort: list("")}), `Unknown: invalid source port filter: invalid port "": strconv.ParseUint: parsing "": invalid syntax`},
		{only(&flowpb.FlowFilter{SourcePort: list("8\n")}), `Unknown: invalid source port filter: invalid port "8\n": strconv.ParseUint: parsing "8\n": invalid syntax`},
		{only(flags(&flowpb.TCPFlags{SYN: true})), "syn synack"},
		{only(flags(&flowpb.TCPFlags{SYN: true, ACK: true})), "synack"},
		{only(flags(&flowpb.TCPFlags{ACK: true}, &flowpb.TCPFlags{NS: true, CWR: true})), "synack wide"},
		{only(flags(&flowpb.TCPFlags{})), "syn synack flags-all-false wide"},
		{only(flags(&flowpb.TCPFlags{FIN: true, SYN: true})), ""},
		{except(flags(&flowpb.TCPFlags{})), "none empty no-flags udp udp-zero sctp icmp4 icmp6 vrrp igmp"},
		{only(&flowpb.FlowFilter{Protocol: list("tcp"), DestinationPort: list("80")}), "syn"},
	},
}

func tcp(uuid string, source, destination uint32, flags *flowpb.TCPFlags) *flowpb.Flow {
	return &flowpb.Flow{Uuid: uuid, L4: &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{
		TCP: &flowpb.TCP{SourcePort: source, DestinationPort: destination, Flags: flags}}}}
}

func protocols(names ...string) *flowpb.FlowFilter { return &flowpb.FlowFilter{Protocol: names} }

func flags(entries ...*flowpb.TCPFlags) *flowpb.FlowFilter {
	return &flowpb.FlowFilter{TcpFlags: entries}
}

var layer7Topic = topic{
	name: "layer 7",
	flows: []*flowpb.Flow{
		{Uuid: "none"},
		{Uuid: "empty", L7: &flowpb.Layer7{}, EventType: &flowpb.CiliumEventType{Type: 129}},
		{Uuid: "kafka", L7: &flowpb.Layer7{Record: &flowpb.Layer7_Kafka{Kafka: &flowpb.Kafka{Topic: "t"}}}},
		{Uuid: "dns", L7: &flowpb.Layer7{Record: &flowpb.Layer7_Dns{Dns: &flowpb.DNS{Query: "www.example.com."}}}},
		{Uuid: "dns-upper", L7: &flowpb.Layer7{Record: &flowpb.Layer7_Dns{Dns: &flowpb.DNS{Query: "WWW.Example.com."}}}},
		{Uuid: "dns-empty", L7: &flowpb.Layer7{Record: &flowpb.Layer7_Dns{Dns: &flowpb.DNS{}}}},
		web("get", 0, "GET", "http://shop/cart/7?x=1", &flowpb.HTTPHeader{Key: "content-length", Value: "12"}),
		web("ok", 200, "GET", "/cart/8", &flowpb.HTTPHeader{Key: "K", Value: "v"}, &flowpb.HTTPHeader{Key: "k", Value: "w"}),
		web("bad", 503, "post", "https://shop:8443/a%20b#frag"),
		web("code-50", 50, "", ""),
		web("code-2000", 2000, "PUT", "relative/path"),
		web("broken-url", 404, "PUT", "/%zz"),
		web("star", 404, "OPTIONS", "*"),
		web("host-only", 404, "OPTIONS", "http://host"),
	},
	edges: []edge{
		{only(protocols("http")), "get ok bad code-50 code-2000 broken-url star host-only"},
		{only(protocols("DNS")), "dns dns-upper dns-empty"},
		{only(&flowpb.FlowFilter{HttpStatusCode: list("200")}), "ok"},
		{only(&flowpb.FlowFilter{HttpStatusCode: list("2+")}), "ok code-2000"},
		{only(&flowpb.FlowFilter{HttpStatusCode: list("50+", "404")}), "bad broken-url star host-only"},
		{only(&flowpb.FlowFilter{HttpStatusCode: list("1+", "5+", "10+")}), "bad"},
		{only(&flowpb.FlowFilter{HttpStatusCode: list("200", "2000")}), `Unknown: invalid http status code filter: invalid status code prefix: "2000"`},
		{only(&flowpb.FlowFilter{HttpStatusCode: list("6+")}), `Unknown: invalid http status code filter: invalid status code prefix: "6+"`},
		{only(&flowpb.FlowFilter{HttpStatusCode: list("")}), `Unknown: invalid http status code filter: invalid status code prefix: ""`},
		{only(&flowpb.FlowFilter{HttpMethod: list("get")}), "get ok"},
		{only(&flowpb.FlowFilter{HttpMethod: list("Post", "PUT")}), "bad code-2000 broken-url"},
		{only(&flowpb.FlowFilter{HttpMethod: list("")}), ""},
		{only(&flowpb.FlowFilter{HttpPath: list("^/cart")}), "get ok"},
		{only(&flowpb.FlowFilter{HttpPath: list("a b")}), "bad"},
		{only(&flowpb.FlowFilter{HttpPath: list("")}), "get ok bad star host-only"},
		{only(&flowpb.FlowFilter{HttpPath: list("^$")}), "host-only"},
		{only(&flowpb.FlowFilter{HttpPath: list("x=1")}), ""},
		{only(&flowpb.FlowFilter{HttpPath: list("frag")}), "bad"},
		{only(&flowpb.FlowFilter{HttpUrl: list("x=1")}), "get"},
		{only(&flowpb.FlowFilter{HttpUrl: list("^relative", "zz")}), "code-2000 broken-url"},
		{only(&flowpb.FlowFilter{HttpUrl: list("")}), "get ok bad code-2000 broken-url star host-only"},
		{only(&flowpb.FlowFilter{HttpHeader: []*flowpb.HTTPHeader{{Key: "content-length", Value: "12"}}}), "get"},
		{only(&flowpb.FlowFilter{HttpHeader: []*flowpb.HTTPHeader{{Key: "k", Value: "v"}}}), ""},
		{only(&flowpb.FlowFilter{HttpHeader: []*flowpb.HTTPHeader{{Key: "x"}, {Key: "k", Value: "w"}}}), "ok"},
		{only(&flowpb.FlowFilter{HttpHeader: []*flowpb.HTTPHeader{{}}}), ""},
		// An event type filter must leave room for l7.
		{only(&flowpb.FlowFilter{HttpMethod: list("GET"), EventType: l7Events(4, 129)}), ""},
		{only(&flowpb.FlowFilter{HttpStatusCode: list("x"), EventType: l7Events(4)}), onlyL7("status code")},
		{only(&flowpb.FlowFilter{HttpMethod: list("GET"), EventType: l7Events(0)}), onlyL7("method")},
		{only(&flowpb.FlowFilter{HttpPath: list("("), EventType: l7Events(1, 5)}), onlyL7("path")},
		{only(&flowpb.FlowFilter{HttpUrl: list("("), EventType: l7Events(1)}), onlyL7("url")},
		{only(&flowpb.FlowFilter{HttpHeader: []*flowpb.HTTPHeader{{Key: "x"}}, EventType: l7Events(1)}), onlyL7("headers")},
		{only(&flowpb.FlowFilter{EventType: l7Events(129)}), "empty"},
		{only(&flowpb.FlowFilter{DnsQuery: list("example\\.com\\.$")}), "dns"},
		{only(&flowpb.FlowFilter{DnsQuery: list("(?i)EXAMPLE")}), "dns dns-upper"},
		{only(&flowpb.FlowFilter{DnsQuery: list("^example")}), ""},
		{only(&flowpb.FlowFilter{DnsQuery: list("")}), "dns dns-upper dns-empty"},
		{only(&flowpb.FlowFilter{DnsQuery: list("^$", "^WWW")}), "dns-upper dns-empty"},
	},
}

func web(uuid string, code uint32, method, url string, headers ...*flowpb.HTTPHeader) *flowpb.Flow {
	return &flowpb.Flow{Uuid: uuid, L7: &flowpb.Layer7{Record: &flowpb.Layer7_Http{
		Http: &flowpb.HTTP{Code: code, Method: method, Url: url, Headers: headers}}}}
}

func l7Events(types ...int32) []*flowpb.EventTypeFilter {
	var filters []*flowpb.EventTypeFilter
	for _, t := range types {
		filters = append(filters, &flowpb.EventTypeFilter{Type: t})
	}
	return filters
}

func onlyL7(what string) string {
	return "Unknown: filtering by http " + what + " requires the event type filter to only match 'l7' events"
}
