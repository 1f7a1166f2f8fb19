package differential

import (
	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// The pools feed both the corpus and the requests, so that a random request has a fair chance to match. They hold the plain values
// that occur in practice and the odd ones that a server with compact storage is likely to get wrong.
var (
	poolNamespaces = []string{"default", "kube-system", "shop", "sho", "Shop", "a", "web/x"}
	poolNames      = []string{"cart", "cart-6f8d", "cart-6f8d-x2", "web-0", "web", "db", "coredns-7c", "x", "ä-pod"}
	poolWorkloads  = []string{"cart", "web", "db", "Deployment", "nginx.service"}
	poolKinds      = []string{"Deployment", "StatefulSet", "DaemonSet", "systemd", "deployment"}
	poolClusters   = []string{"default", "east", "west", "East"}
	poolNodes      = []string{"moon-1", "east/moon-1", "west/moon-2", "default/moon-1", "moon-3.example.com", "east/node.example.com",
		"moon-11", "a/b/c", "/moon-1", "east/", "node-5", "moon-1."}
	poolFQDNs = []string{"example.com", "www.example.com", "api.example.com", "db_1.internal", "WWW.Example.com", "example.com.",
		"xn--bcher-kva.example", "a", "kubernetes.default.svc.cluster.local"}
	poolIPs = []string{"10.0.0.1", "10.0.0.2", "10.0.1.3", "10.255.0.4", "192.168.7.9", "172.16.0.1", "0.0.0.0", "255.255.255.255",
		"2001:db8::1", "2001:DB8::1", "2001:db8:0:0:0:0:0:1", "2001:0db8::0001", "fe80::1", "fe80::1%eth0", "::1", "::", "::ffff:10.0.0.1",
		"::ffff:a00:1", "::FFFF:10.0.0.1", "::10.0.0.1", "fd00::a:b"}
	// poolOddIPs are no addresses at all, but a flow may carry them.
	poolOddIPs  = []string{"not-an-ip", "10.0.0", "010.0.0.1", "10.0.0.1 ", "1.2.3.4.5", "10.0.0.1/24", "fe80::1%"}
	poolMACs    = []string{"00:11:22:33:44:55", "AA:bb:cc:DD:ee:ff", "0a:58:0a:00:00:01", "", "not-a-mac", "001122334455"}
	poolPorts   = []uint32{0, 1, 22, 53, 80, 443, 4245, 8080, 32768, 54321, 65535, 65536, 65616, 4294967295}
	poolUUIDs   = []string{"", "00000000-0000-0000-0000-000000000000", "ABCDEF01-2345-6789-abcd-EF0123456789", "not-a-uuid", "0"}
	poolTraces  = []string{"", "4bf92f3577b34da6a3ce929d0e0e4736", "00000000000000000000000000000000", "4BF92F3577B34DA6A3CE929D0E0E4736", "t"}
	poolIPTrace = []uint64{0, 1, 255, 65535, 4294967296, 18446744073709551615}
	// Identities: none, the reserved ones, a cluster's, a local one, the largest.
	poolIdentities = []uint32{0, 1, 2, 6, 9, 10, 256, 257, 12345, 16777217, 4294967295}
	poolInterfaces = []string{"", "eth0", "lo", "lxc12ab", "cilium_host", "Eth0"}
	poolMethods    = []string{"GET", "get", "POST", "PUT", "", "ſEARCH", "PRI * HTTP/2.0"}
	poolURLs       = []string{"", "/", "/api/v1/items?x=1", "http://shop/cart/7", "https://shop.example.com:8443/a%20b/c?q=%zz", "http://[::1]/x",
		"*", "/%zz", "relative/path", "http://host", "/a#frag", "mailto:someone@example.com", "//shop/x", "http://user:pw@shop/äöü",
		"http://shop/\u00e4", "/tab\tin", "HTTP://SHOP/UP", "/a%2Fb", "http://shop:bad/x", "http://[fe80::1%25en0]/z", "?q", "#f", ":80/x",
		"http:/one", "http:///three", "/a b", "http://a b/", "/+?+", "/%C3%A4"}
	poolCodes   = []uint32{0, 1, 50, 100, 200, 201, 204, 301, 404, 418, 500, 503, 599, 600, 999, 2000, 5001}
	poolHeaders = []*flowpb.HTTPHeader{{Key: "content-length", Value: "12"}, {Key: "Content-Length", Value: "12"}, {Key: "x-request-id", Value: "a"},
		{Key: "x-request-id", Value: "HUBBLE_REDACTED"}, {Key: "", Value: ""}, {Key: "k", Value: ""}, {Key: "", Value: "v"}}
	poolQueries = []string{"example.com.", "www.example.com.", "Example.COM.", "", ".", "_dns.resolver.arpa.", "a.b.c.d.example.", "line\nbreak.",
		"kubernetes.default.svc.cluster.local.", "ünïcode.example."}
	poolLabels = []string{"k8s:app=cart", "k8s:app=web", "k8s:app.kubernetes.io/name=cart", "k8s:io.kubernetes.pod.namespace=shop", "k8s:tier=3",
		"k8s:tier=12", "k8s:tier=-4", "k8s:tier=x", "any:app=db", "app=plain", "container:app=cart", "reserved:world", "reserved:host",
		"reserved:kube-apiserver", "reserved:world=", "cidr:10.0.0.0/8", "cidr:10.0.0.0/16", "cidr:2001-db8--0/32", "fqdn:*.example.com",
		"k8s:empty=", "k8s:noval", "=x", "k8s:", ":app=cart", "$host", "reserved:=odd", "k8s:a=b=c", "k8s:a:b=c", "unspec:app=u", "any=x", "",
		"k8s:UPPER=Up", "k8s:io.cilium.k8s.policy.cluster=east"}
	poolNodeLabels = []string{"kubernetes.io/os=linux", "topology.kubernetes.io/zone=eu-1", "topology.kubernetes.io/zone=eu-2", "role=", "plain", "tier=7",
		"k8s:role=x", "x=a:b", "node-role.kubernetes.io/worker="}
	poolDropReasons = []flowpb.DropReason{0, 130, 133, 137, 140, 181, 189, 202, 207, 55, 206, 250}
)
