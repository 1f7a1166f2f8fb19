package differential

import (
	"regexp"
	"strconv"
	"strings"

	flowpb "github.com/cilium/cilium/api/v1/flow"
)

// ips are addresses and prefixes, most of them valid, in every form that netip knows.
func ips(d dice, hit string) []string {
	if hit == "" || strings.ContainsAny(hit, " /") {
		hit = pick(d, poolIPs)
	}
	pool := append(poolIPs[:len(poolIPs):len(poolIPs)], "10.0.0.0/8", "10.0.0.9/24", "0.0.0.0/0", "::/0", "2001:db8::/32", "2001:DB8::/48",
		"::ffff:0:0/96", "::ffff:10.0.0.0/104", "10.0.0.1/32", "fe80::/10", "::1/128")
	junk := append(poolOddIPs[:len(poolOddIPs):len(poolOddIPs)], "", "10.0.0.0/33", "10.0.0.0/-1", "10.0.0.0/08", "10.0.0.0/", "/8", "fe80::1%eth0/64",
		"::/129", "2001:db8::/+4", "1.2.3.4/5/6", "300.0.0.1", "1::2::3", "12345::", "1.2.3", "::ffff:10.0.0.256", ":", "1:2:3:4:5:6:7:8:9",
		"1:2:3:4:5:6:7:1.2.3.4", "٣.0.0.1", "é", "10.0.0.0/255.0.0.0", "fe80::%", "1.2..3", ".1.2.3", "1:", "1:2:3:4:5:6:7:8:")
	return values(d, hit, pool, junk)
}

// namespaced are filters of pods and services in all their spellings.
func namespaced(d dice, namespace, name string) []string {
	prefix := name[:d.IntN(len(name)+1)]
	if !strings.HasPrefix(name, prefix) || strings.ToValidUTF8(prefix, "") != prefix {
		prefix = name
	}
	hits := []string{namespace + "/" + name, namespace + "/", "/" + prefix, namespace + "/" + prefix, namespace + "/" + prefix + "/more"}
	pool := []string{"cart", "web", "/", "//", "shop/", "/cart", "default/web", "default/", "/x", "shop/cart-6f8d", "sho/", "Shop/cart", "/ä"}
	return values(d, pick(d, hits), pool, []string{"", " ", "nothing", "a/b/c"})
}

// globs are patterns of names.
func globs(d dice, names []string) []string {
	hit := "*.example.com"
	if len(names) > 0 {
		hit = names[0]
	}
	pool := append(poolFQDNs[:len(poolFQDNs):len(poolFQDNs)], "*", "*.*", "www.*", "*example*", "  www.example.com  ", "WWW.EXAMPLE.COM.", "db_*", "*.", "a*",
		"api.example.com.", "-", "_", "\u00a0example.com\u2003")
	return values(d, hit, pool, []string{"", ".", "..", "example.com..", "a b", "é", "a/b", "[a-z]", "a!", "*.example.com:53", "a\u0000", "(", "\u212a", "\u200b"})
}

// selectors are label selectors: of a label of the flow, of the pool, wrong ones.
func selectors(d dice, labels []string) []string {
	hit := "app=cart"
	if len(labels) > 0 {
		hit = asSelector(d, pick(d, labels))
	}
	drawn := values(d, hit, poolSelectors, junkSelectors)
	if d.chance(15) {
		drawn[0] += pick(d, []string{",", ", ", " , "}) + pick(d, poolSelectors)
	}
	return drawn
}

// asSelector turns a label into one of the selectors that one may expect to match it.
func asSelector(d dice, label string) string {
	key, value, _ := strings.Cut(label, "=")
	_, bare, qualified := strings.Cut(key, ":")
	if !qualified {
		bare = key
	}
	return pick(d, []string{label, key, bare, bare + "=" + value, bare + " in (" + value + ", other)", bare + "!=" + value, "!" + key,
		key + " notin (" + value + ")", "any:" + bare, bare + "==" + value})
}

var poolSelectors = []string{"", "app", "!app", "app=cart", "app==cart", "app!=cart", "k8s:app=cart", "any:app=cart", "container:app", "app in (cart,web)",
	"app in (cart, plain ,db)", "app notin (cart)", "k8s:app notin (cart,web)", "reserved:world", "!reserved:world", "reserved:host", "reserved:world=",
	"tier>3", "tier<4", "k8s:tier>2", "tier > 3", "tier in (3,12)", "app.kubernetes.io/name=cart", "k8s:app.kubernetes.io/name", "k8s:io.kubernetes.pod.namespace=shop",
	"cidr:10.0.0.0/8", "cidr:10.0.0.0/16", "cidr:10.1.0.0/16", "cidr:2001-db8--0/16", "any:10.0.0.0/8", "10.0.0.0/8", "empty", "empty=", "k8s:noval", "noval=",
	"app,tier", "app=cart,tier>2", "app=cart,!tier", "UPPER=Up", "upper=Up", "app in ()", "app in (,)", "app notin ()", "a=b", "unspec:app", "any:any=x", "any=x",
	" app = cart ", "app=cart\t", "kubernetes.io/os=linux", "role", "role=", "topology.kubernetes.io/zone in (eu-1,eu-2)", "tier!=7", "k8s:role", "plain", "b=c",
	"fqdn:example.com", "odd", "host", "k8s:app!=cart", "in", "notin", "in in (in)", "in=notin", "app=in", "app6=cart", "app20 in (cart)", "app=cart,app=web"}

var junkSelectors = []string{"=", "=x", "app=", "app=a b", "app=,", "app,", ",app", ",", "app,,tier", "app in", "app in cart", "app in (cart", "app in cart)",
	"app notin", "app in (cart))", "app(", "app)", "(app)", "!", "!!app", "!app=cart", "app=!cart", "app===cart", "app=>3", "app>x", "app><3", "app<>3", "tier>9999999999999999999",
	" ", "\t", "app&&tier", "app=c@rt", "-app", "app-", "k8s:", "k8s:-x", ":app", "::", "a:b:c", "a/b/c", "/app", "k8s:/app", "App.Example/x", "k8s:Ex.com/x",
	"app=" + strings.Repeat("x", 64), strings.Repeat("k", 60), "k8s:" + strings.Repeat("k", 60), "ex.com/" + strings.Repeat("n", 64), strings.Repeat("d", 254) + "/x",
	"äpp=cart", "app=cärt", "app=\"cart\"", "app='cart'", "$world", "app\n=cart", "app\u00a0=cart", "app in (c a)", "app in (!)", "app in ((cart))", "app!", "app! =cart",
	"app !in (cart)", "app not in (cart)", "app IN (cart)", "x=a:b", "fqdn:*.example.com", "a=b=c", "app\x00", "app in (a,b", "app, ", "app in (-x)", "a\u2028b"}

// workloads are of the flow and of the pool; an empty one matches every workload.
func workloads(d dice, have []*flowpb.Workload) []*flowpb.Workload {
	hit := &flowpb.Workload{}
	if len(have) > 0 {
		hit = have[len(have)-1]
	}
	return values(d, hit, []*flowpb.Workload{{Name: "cart"}, {Kind: "Deployment"}, {Name: "cart", Kind: "Deployment"}, {Name: "web", Kind: "deployment"}, {}}, nil)
}

func eventTypes(d dice, have *flowpb.CiliumEventType) []*flowpb.EventTypeFilter {
	hit := &flowpb.EventTypeFilter{Type: have.GetType(), MatchSubType: d.chance(50), SubType: have.GetSubType()}
	pool := []*flowpb.EventTypeFilter{{Type: 1}, {Type: 4}, {Type: 129}, {Type: 4, MatchSubType: true}, {MatchSubType: true, SubType: 3},
		{Type: 4, SubType: 99}, {}, {Type: 130}, {Type: 2}}
	return values(d, hit, pool, []*flowpb.EventTypeFilter{{Type: -1}, {Type: 5, MatchSubType: true, SubType: -1}})
}

func ports(d dice, hit uint32) []string {
	return values(d, strconv.Itoa(int(hit&0xffff)), []string{"0", "1", "53", "80", "443", "8080", "65535", "0080", "00"},
		[]string{"", "65536", "-1", "+80", "8_0", " 80", "80 ", "0x50", "http", "99999999999999999999", "8.0", "٨٠", "80-90", "99999x", "１"})
}

func sourcePortOf(flow *flowpb.Flow) uint32 {
	return max(flow.GetL4().GetTCP().GetSourcePort(), flow.GetL4().GetUDP().GetSourcePort(), flow.GetL4().GetSCTP().GetSourcePort())
}

func destinationPortOf(flow *flowpb.Flow) uint32 {
	return max(flow.GetL4().GetTCP().GetDestinationPort(), flow.GetL4().GetUDP().GetDestinationPort(), flow.GetL4().GetSCTP().GetDestinationPort())
}

// expressions are RE2 patterns, where Go and other engines agree and where they may not.
func expressions(d dice, hit string) []string {
	return values(d, pick(d, []string{regexp.QuoteMeta(hit), "^" + regexp.QuoteMeta(hit) + "$", "(?i)" + regexp.QuoteMeta(strings.ToUpper(hit))}),
		poolPatterns, junkPatterns)
}

var poolPatterns = []string{"", ".", "^$", "example", "example\\.com\\.$", "^/api", "^/a b", "^https?://", "(?i)EXAMPLE", "cart|items", "[[:alpha:]]+\\.", "\\d{1,3}",
	"\\bcom\\b", "^\\w+$", "\\pL+", "\\p{Greek}", "[^a-z./]", "(?s)line.break", "line.break", "(?m)^break", "\\Aexample", "\\.\\z", "x{2,}", "(a)(b)?", "(?P<n>cart)",
	"\\x{e4}", "\\Qa.b\\E", "(?U)a+", "ä", "[ä-ü]", "\\s", "\\S+", "/cart/[0-9]+$", "a%2Fb", "a/b", "\\?", "#frag", "[\\w.-]+", "(?:www)?", "\\C", "\\pN", "(?i)\u212a", "(?i)s", "(?<n>cart)"}

var junkPatterns = []string{"(", ")", "[", "*", "+a", "a**", "a{1001}", "a{2,1}", "\\", "\\8", "(?=x)", "(?!x)", "(?<=x)y", "(?<!x)y", "\\1", "[z-a]", "(?P<n>", "(?P<n>a)(?P<n>b)",
	"\\pX", "\\p{Nope}", "(?x)a b", "\\h", "\\R", "\\e", "\\u00e4", "a++", "(?>a)", "x{", "[[:nope:]]", "(?i", "(?P<1>a)", "\\Z", "\\x{110000}", "[a", "a|*", "(((((", "\\K", "(?#c)", "[a-\\d]",
	"(?z)", "{", "}", "]", "a{,5}", "(?P=n)", "\\<", "x{0,1000}{0,1000}", "(?u:a)", "(?-u)a", "(?R)a", "a&&b", "[a&&b]", "[a--b]", "[a~~b]", "[[a]]", "\\b{start}", "\\d{2}{3}", "(?i-)a", "(?)a", "[]a]", "[^]a]", "[]"}
