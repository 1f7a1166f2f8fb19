package differential

import (
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// ipTopic: the uuid of a flow is the text of its source address; the destination repeats it, one flow has no IP at all.
var ipTopic = topic{
	name: "ip",
	flows: func() []*flowpb.Flow {
		flows := []*flowpb.Flow{{Uuid: "no-ip"}, {Uuid: "no-text", IP: &flowpb.IP{IpVersion: flowpb.IPVersion_IPv4}}}
		for _, text := range list("10.0.0.1", "10.0.0.200", "10.1.0.1", "2001:db8::1", "2001:DB8::1", "2001:db8:0::1", "fe80::1", "fe80::1%eth0",
			"::ffff:10.0.0.1", "nonsense", "010.0.0.1") {
			flows = append(flows, &flowpb.Flow{Uuid: text, IP: &flowpb.IP{Source: text, Destination: text, SourceXlated: text, Encrypted: text == "10.1.0.1",
				IpVersion: flowpb.IPVersion_IPv4 + flowpb.IPVersion(strings.Count(text, ":")&1)}})
		}
		return flows
	}(),
	edges: []edge{
		{only(sourceIPs("10.0.0.1")), "10.0.0.1"},
		{only(sourceIPs("10.0.0.1", "fe80::1")), "10.0.0.1 fe80::1"},
		// An address is text.
		{only(sourceIPs("2001:db8::1")), "2001:db8::1"},
		{only(sourceIPs("2001:DB8::1")), "2001:DB8::1"},
		{only(sourceIPs("2001:0db8::1")), ""},
		{only(sourceIPs("::ffff:10.0.0.1")), "::ffff:10.0.0.1"},
		{only(sourceIPs("::ffff:a00:1")), ""},
		{only(sourceIPs("fe80::1%eth0")), "fe80::1%eth0"},
		// A prefix is not.
		{only(sourceIPs("10.0.0.0/24")), "10.0.0.1 10.0.0.200"},
		{only(sourceIPs("10.0.0.77/8")), "10.0.0.1 10.0.0.200 10.1.0.1"},
		{only(sourceIPs("10.0.0.1/32")), "10.0.0.1"},
		{only(sourceIPs("0.0.0.0/0")), "10.0.0.1 10.0.0.200 10.1.0.1"},
		{only(sourceIPs("2001:db8::/32")), "2001:db8::1 2001:DB8::1 2001:db8:0::1"},
		{only(sourceIPs("::/0")), "2001:db8::1 2001:DB8::1 2001:db8:0::1 fe80::1 ::ffff:10.0.0.1"},
		{only(sourceIPs("fe80::/10")), "fe80::1"},
		{only(sourceIPs("::ffff:10.0.0.0/120")), "::ffff:10.0.0.1"},
		{only(sourceIPs("::ffff:0:0/96")), "::ffff:10.0.0.1"},
		{except(sourceIPs("0.0.0.0/0", "::/0")), "no-ip no-text fe80::1%eth0 nonsense 010.0.0.1"},
		{only(&flowpb.FlowFilter{DestinationIp: list("10.1.0.0/16")}), "10.1.0.1"},
		{only(&flowpb.FlowFilter{SourceIpXlated: list("10.1.0.1")}), "10.1.0.1"},
		{only(&flowpb.FlowFilter{SourceIp: list("10.0.0.0/8"), DestinationIp: list("10.0.0.1")}), "10.0.0.1"},
		{only(sourceIPs("")), `Unknown: invalid IP address "" in filter: ParseAddr(""): unable to parse IP`},
		{only(sourceIPs("10.0.0.1", "010.0.0.1")), `Unknown: invalid IP address "010.0.0.1" in filter: ParseAddr("010.0.0.1"): IPv4 field has octet with leading zero`},
		{only(sourceIPs("10.0.0.0/33")), `Unknown: invalid IP prefix "10.0.0.0/33" in filter: netip.ParsePrefix("10.0.0.0/33"): prefix length out of range`},
		{only(sourceIPs("10.0.0.0/08")), `Unknown: invalid IP prefix "10.0.0.0/08" in filter: netip.ParsePrefix("10.0.0.0/08"): bad bits after slash: "08"`},
		{only(sourceIPs("fe80::1%eth0/64")),
			`Unknown: invalid IP prefix "fe80::1%eth0/64" in filter: netip.ParsePrefix("fe80::1%eth0/64"): IPv6 zones cannot be present in a prefix`},
		{only(&flowpb.FlowFilter{IpVersion: list(flowpb.IPVersion_IP_NOT_USED)}), "no-ip"},
		{only(&flowpb.FlowFilter{IpVersion: list(flowpb.IPVersion_IPv6)}), "2001:db8::1 2001:DB8::1 ::ffff:10.0.0.1"},
		{only(&flowpb.FlowFilter{IpVersion: list(flowpb.IPVersion(9))}), ""},
		{only(&flowpb.FlowFilter{Encrypted: list(true)}), "10.1.0.1"},
		{only(&flowpb.FlowFilter{Encrypted: list(false), IpVersion: list(flowpb.IPVersion_IP_NOT_USED)}), "no-ip"},
		{only(&flowpb.FlowFilter{Encrypted: list(true, false), Uuid: list("no-ip", "10.1.0.1")}), "no-ip 10.1.0.1"},
	},
}

func sourceIPs(texts ...string) *flowpb.FlowFilter { return &flowpb.FlowFilter{SourceIp: texts} }

// nameTopic: pods, services, workloads and clusters. The uuid of a flow is namespace/pod of its source.
var nameTopic = topic{
	name: "names",
	flows: func() []*flowpb.Flow {
		flows := []*flowpb.Flow{{Uuid: "no-source"}, {Uuid: "empty-source", Source: &flowpb.Endpoint{}, SourceService: &flowpb.Service{}}}
		for _, name := range list("default/cart", "default/cart-2", "shop/cart", "shop/", "/cart", "sh/op") {
			namespace, pod, _ := strings.Cut(name, "/")
			endpoint := &flowpb.Endpoint{Namespace: namespace, PodName: pod, ClusterName: namespace,
				Workloads: []*flowpb.Workload{{Kind: "Pod"}, {Name: pod, Kind: "Deployment"}}}
			service := &flowpb.Service{Namespace: namespace, Name: pod}
			flows = append(flows, &flowpb.Flow{Uuid: name, Source: endpoint, Destination: endpoint, SourceService: service, DestinationService: service})
		}
		return flows
	}(),
	edges: []edge{
		{only(sourcePods("cart")), "default/cart default/cart-2"},
		{only(sourcePods("default/cart")), "default/cart default/cart-2"},
		{only(sourcePods("cart-")), "default/cart-2"},
		{only(sourcePods("shop/")), "shop/cart shop/"},
		{only(sourcePods("sh/")), "sh/op"},
		{only(sourcePods("/cart")), "default/cart default/cart-2 shop/cart /cart"},
		{only(sourcePods("/")), "default/cart default/cart-2 shop/cart shop/ /cart sh/op"},
		{only(sourcePods("//")), "default/cart default/cart-2 shop/cart shop/ /cart sh/op"},
		{only(sourcePods("shop/cart/x")), "shop/cart"},
		{only(sourcePods("shop/cart", "sh/op")), "shop/cart sh/op"},
		{only(sourcePods("Cart")), ""},
		{only(sourcePods("*")), ""},
		{only(sourcePods(" ")), ""},
		{except(sourcePods("/")), "no-source empty-source"},
		{only(sourcePods("cart", "")), "Unknown: invalid filter, name must not be empty"},
		{only(&flowpb.FlowFilter{DestinationPod: list("sh/o")}), "sh/op"},
		{only(&flowpb.FlowFilter{SourceService: list("cart")}), "default/cart default/cart-2"},
		{only(&flowpb.FlowFilter{SourceService: list("/")}), "default/cart default/cart-2 shop/cart shop/ /cart sh/op"},
		{only(&flowpb.FlowFilter{DestinationService: list("shop/c")}), "shop/cart"},
		{only(&flowpb.FlowFilter{SourceService: list("")}), "Unknown: invalid source service filter: invalid filter, name must not be empty"},
		{only(&flowpb.FlowFilter{SourceWorkload: list(&flowpb.Workload{Name: "cart"})}), "default/cart shop/cart /cart"},
		{only(&flowpb.FlowFilter{SourceWorkload: list(&flowpb.Workload{Name: "cart", Kind: "Pod"})}), ""},
		{only(&flowpb.FlowFilter{DestinationWorkload: list(&flowpb.Workload{Name: "op", Kind: "Deployment"})}), "sh/op"},
		{only(&flowpb.FlowFilter{DestinationWorkload: list(&flowpb.Workload{Kind: "pod"})}), ""},
		{only(&flowpb.FlowFilter{SourceWorkload: list(&flowpb.Workload{})}), "default/cart default/cart-2 shop/cart shop/ /cart sh/op"},
		{only(&flowpb.FlowFilter{SourceClusterName: list("sh")}), "sh/op"},
		{only(&flowpb.FlowFilter{DestinationClusterName: list("s*", "default/", "shop")}), "shop/cart shop/"},
		{only(&flowpb.FlowFilter{SourceClusterName: list("shop", "")}), "Unknown: invalid filter, name must not be empty"},
	},
}

func sourcePods(names ...string) *flowpb.FlowFilter { return &flowpb.FlowFilter{SourcePod: names} }

// globTopic: names of the DNS and of nodes. The uuid of a flow is its node name; it doubles as the name of its source.
var globTopic = topic{
	name: "globs",
	flows: func() []*flowpb.Flow {
		flows := []*flowpb.Flow{{Uuid: "nothing"}}
		for _, name := range list("moon-1", "east/moon-1", "east/sun.example.com", "East/moon-1", "Moon-1", "a_b", "east/", "/moon-1", "a/b/c", "moon..1", "www.example.com.") {
			flows = append(flows, &flowpb.Flow{Uuid: name, NodeName: name, SourceNames: list("x", name), DestinationNames: list(name)})
		}
		return flows
	}(),
	edges: []edge{
		{only(nodeNames("moon-1")), "moon-1 east/moon-1"},
		{only(nodeNames("default/moon-1")), "moon-1"},
		{only(nodeNames("east/")), "east/moon-1 east/sun.example.com"},
		{only(nodeNames("/moon-1")), "moon-1 east/moon-1"},
		{only(nodeNames("/")), "moon-1 east/moon-1 east/sun.example.com a_b"},
		{only(nodeNames("east/*")), "east/moon-1 east/sun.example.com east/"},
		{only(nodeNames("*")), "moon-1 east/moon-1 east/sun.example.com east/ moon..1 www.example.com."},
		{only(nodeNames("*/*")), "moon-1 east/moon-1 east/sun.example.com east/ /moon-1 moon..1 www.example.com."},
		{only(nodeNames("MOON-1")), "moon-1 east/moon-1"},
		{only(nodeNames(" moon-1. ")), "moon-1 east/moon-1"},
		{only(nodeNames("*.example.com")), "east/sun.example.com"},
		{only(nodeNames("a_b", "east/m*")), "east/moon-1 a_b"},
		{only(nodeNames("a*b")), ""},
		{only(nodeNames("")), "Unknown: empty pattern"},
		{only(nodeNames("east/ ")), "Unknown: empty pattern"},
		{only(nodeNames("east/.")), "Unknown: empty pattern"},
		{only(nodeNames("a/b/c")), "Unknown: too many slashes in pattern"},
		{only(nodeNames("moon-1..")), "Unknown: multiple trailing dots in pattern"},
		{only(nodeNames("moon!")), "Unknown: '!': invalid rune in pattern"},
		{only(sourceNames("x")), "moon-1 east/moon-1 east/sun.example.com East/moon-1 Moon-1 a_b east/ /moon-1 a/b/c moon..1 www.example.com."},
		{only(sourceNames("moon*")), "moon-1 moon..1"},
		{only(sourceNames("a_b")), "a_b"},
		{only(sourceNames("a*")), ""},
		{only(sourceNames("www.example.com")), ""},
		{only(sourceNames("www.example.com.")), ""},
		{only(sourceNames("*.example.com*")), "www.example.com."},
		{only(sourceNames(" Moon-1 ")), "moon-1"},
		{only(&flowpb.FlowFilter{DestinationFqdn: list("*")}), "moon-1 moon..1 www.example.com."},
		{only(&flowpb.FlowFilter{DestinationFqdn: list("x", "*-1")}), "moon-1"},
		{except(&flowpb.FlowFilter{DestinationFqdn: list("*")}), "nothing east/moon-1 east/sun.example.com East/moon-1 Moon-1 a_b east/ /moon-1 a/b/c"},
		{only(sourceNames("x", ".")), "Unknown: empty pattern"},
		{only(sourceNames("x..")), "Unknown: multiple trailing dots in pattern"},
		{only(sourceNames("a/b")), "Unknown: '/': invalid rune in pattern"},
		{only(sourceNames("a'b")), `Unknown: '\'': invalid rune in pattern`},
		{only(sourceNames("a\u200bb")), `Unknown: '\u200b': invalid rune in pattern`},
		{only(sourceNames("a\x01b")), `Unknown: '\x01': invalid rune in pattern`},
		{only(sourceNames("\u00a0x\u2003")), "moon-1 east/moon-1 east/sun.example.com East/moon-1 Moon-1 a_b east/ /moon-1 a/b/c moon..1 www.example.com."},
	},
}

func nodeNames(patterns ...string) *flowpb.FlowFilter { return &flowpb.FlowFilter{NodeName: patterns} }

func sourceNames(patterns ...string) *flowpb.FlowFilter {
	return &flowpb.FlowFilter{SourceFqdn: patterns}
}
