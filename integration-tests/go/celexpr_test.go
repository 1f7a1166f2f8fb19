package differential

// celExpressions grow in difficulty: fields, enums, presence, strings, lists, macros, arithmetic, wrappers, times, conversions, errors.
// Each is one upstream compiles, unless it stands in wrongCEL.
var celExpressions = append(append(append([]string{}, plainCEL...), hardCEL...), wrongCEL...)

var plainCEL = []string{
	`true`, `false`, `_flow.verdict == Verdict.FORWARDED`, `_flow.verdict == flow.Verdict.DROPPED`, `_flow.verdict == 2`, `_flow.verdict != Verdict.AUDIT`,
	`_flow.verdict in [Verdict.DROPPED, Verdict.ERROR]`, `_flow.l4.TCP.destination_port == uint(80)`, `_flow.l4.TCP.destination_port == 443u`,
	`_flow.source.identity == 2u`, `_flow.source.pod_name == "cart"`, `_flow.source.namespace == 'shop'`, `_flow.node_name != ""`, `_flow.Type == FlowType.L7`,
	`_flow.traffic_direction == TrafficDirection.EGRESS`, `_flow.IP.encrypted`, `!_flow.IP.encrypted`, `_flow.IP.ipVersion == IPVersion.IPv6`,
	`_flow.l4.TCP.flags.SYN && !_flow.l4.TCP.flags.ACK`, `_flow.drop_reason_desc == DropReason.POLICY_DENIED`, `_flow.drop_reason == 133u`,
	`_flow.event_type.type == 4`, `_flow.event_type.type == 1 || _flow.event_type.sub_type > 3`, `_flow.Summary == ""`, `_flow.reply`,
	`has(_flow.l4)`, `has(_flow.l4.TCP)`, `has(_flow.l4.UDP) || has(_flow.l4.SCTP)`, `has(_flow.source.pod_name)`, `has(_flow.is_reply)`, `has(_flow.l7.dns)`,
	`!has(_flow.source)`, `has(_flow.uuid)`, `has(_flow.verdict)`, `has(_flow.source_names)`, `has(_flow.extensions)`, `has(_flow.time)`, `has(_flow.IP.source)`,
	`_flow.is_reply == null`, `_flow.is_reply != null`, `_flow.is_reply == true`, `_flow.is_reply == false`, `_flow.is_reply != true`, `null == _flow.is_reply`,
	`_flow.source_names == []`, `_flow.source_names.size() == 2`, `size(_flow.node_labels) > 1`, `_flow.l7.type == L7FlowType.RESPONSE`,
	`_flow.l7.http.code >= 500u`, `_flow.l7.http.method == "GET"`, `_flow.l7.latency_ns > 1000000u`, `_flow.auth_type == AuthType.SPIRE`,
	`_flow.ip_trace_id.trace_id > 0u`, `_flow.socket_cookie != 0u`, `_flow.interface.name == "eth0"`, `_flow.trace_observation_point == TraceObservationPoint.TO_ENDPOINT`,
	`_flow.tunnel.protocol == Tunnel.Protocol.VXLAN`, `_flow.tunnel.protocol == flow.Tunnel.Protocol.GENEVE`, `_flow.emitter.name == "Hubble"`,
}

var hardCEL = []string{
	`_flow.source.pod_name.startsWith("cart")`, `_flow.node_name.endsWith("-1")`, `_flow.Summary.contains("SYN")`, `_flow.IP.source.matches("^10[.]0")`,
	`matches(_flow.IP.source, "::")`, `_flow.source.pod_name.matches("")`, `_flow.source.pod_name.size() > 4`, `size(_flow.source.pod_name) == 5`,
	`"reserved:world" in _flow.source.labels`, `!("k8s:app=cart" in _flow.destination.labels)`, `_flow.source.labels.exists(l, l.startsWith("k8s:"))`,
	`_flow.source.labels.all(l, l.size() > 3)`, `_flow.source.labels.exists_one(l, l == "k8s:app=cart")`, `_flow.source.labels.filter(l, l.contains("app")).size() > 1`,
	`_flow.source.labels.map(l, l.size()).exists(n, n > 20)`, `_flow.source.workloads.exists(w, w.kind == "Deployment" && w.name == "cart")`,
	`_flow.source.workloads.all(w, has(w.name))`, `_flow.source.labels.map(l, l.contains("="), l + "!").size() == 2`, `_flow.source_names[0] == "example.com"`,
	`size(_flow.source_names) > 0 && _flow.source_names[0].startsWith("www")`, `_flow.source_names[size(_flow.source_names) - 1] == "a"`,
	`_flow.l4.TCP.destination_port + 1u == 81u`, `int(_flow.l4.TCP.source_port) - 1 < 100`, `uint(_flow.event_type.type) == 4u`,
	`_flow.l4.TCP.source_port % 2u == 0u`, `_flow.l4.TCP.destination_port / 10u == 8u`, `double(_flow.l7.latency_ns) > 1e9`, `-int(_flow.source.ID % 1000u) < -5`,
	`string(_flow.source.identity) == "256"`, `string(_flow.verdict) == "1"`, `int("12") == 12`, `"a" + _flow.source.namespace == "ashop"`,
	`_flow.verdict == 1 ? _flow.IP.encrypted : has(_flow.l4.TCP)`, `(_flow.is_reply == null ? false : _flow.is_reply) || _flow.verdict == 2`,
	`[1, 2, 3].exists(v, v == _flow.verdict)`, `{"cart": true, "web": false}[_flow.source.pod_name]`, `_flow.source.pod_name in {"cart": 1, "web": 2}`,
	`_flow.time > timestamp("2025-03-01T12:10:00Z")`, `_flow.time - timestamp("2025-03-01T12:00:00Z") < duration("10m")`, `_flow.time.getMinutes() % 2 == 0`,
	`_flow.time.getHours("Europe/Berlin") == 13`, `_flow.time.getDayOfWeek() == 6`, `_flow.time + duration("1h") > timestamp("2025-03-01T13:05:00Z")`,
	`_flow.l7.dns.ips.exists(ip, ip.startsWith("10."))`, `_flow.l7.http.headers.exists(h, h.key == "content-length" && h.value == "12")`,
	`_flow.l7.dns.rcode == 3u && _flow.l7.dns.query.endsWith(".")`, `_flow.egress_denied_by.exists(p, p.kind == "NetworkPolicy" && p.revision > 5u)`,
	`_flow.policy_log.size() > 0 || _flow.aggregate.ingress_flow_count > 0u`, `_flow.source == _flow.destination`, `_flow.source.workloads == _flow.destination.workloads`,
	`_flow.source == Endpoint{}`, `_flow.source.workloads == [Workload{name: "cart", kind: "Deployment"}]`, `_flow == _flow`, `_flow.IP == IP{}`,
	`type(_flow.verdict) == int`, `type(_flow.source.identity) == uint`, `type(_flow.is_reply) == null_type`, `type(_flow) == Flow`,
	`_flow.source_names == ["example.com"]`, `_flow.source_names + _flow.destination_names == ["a"]`, `_flow.node_labels.exists(l, l.matches("zone=eu-[0-9]$"))`,
	`dyn(_flow.l4.TCP.destination_port) == 80`, `dyn(_flow.verdict) == 1.0`, `_flow.l4.TCP.destination_port in [80u, 443u]`, `dyn(_flow.source.identity) < 10`,
	`bytes(_flow.source.pod_name) == b"cart"`, `_flow.source.pod_name < "d"`, `_flow.IP.source >= "2"`, `true || _flow.source_names[9] == "x"`,
	`_flow.source_names[9] == "x" || true`, `false && 1 / 0 == 0`, `1 / 0 == 0 && false`, `_flow.source.pod_name.startsWith("") && r"\d" == "\\d"`,
	`_flow.extensions.bytes > 10.0`, `has(_flow.extensions.process)`, `_flow.extensions.process.comm == "curl"`, `_flow.extensions == null`,
	`_flow.source.labels.exists(l, _flow.destination.labels.exists(m, l == m))`, `_flow.source.labels.all(l, !(l in _flow.destination.labels))`,
	`google.protobuf.Timestamp{seconds: 5} < _flow.time`, `_flow.is_reply == google.protobuf.BoolValue{value: true}`, `(1 == 1) == _flow.reply`,
	`_flow.source.pod_name.size() == size(b"cart")`, `"ä" in ["ä", "ö"] && "äö".size() == 2`, `duration("1.5s") > duration("1s")`, `_flow.cgroup_id > 9223372036854775807u`,
	`["a", "b"] == ["a", "b"] && {"a": 1} == {"a": 1}`, `1 < 2 && 1u < 2u && 1.0 < 2.0 && "a" < "b" && false < true`, `bool("true")`, `string(_flow.time).startsWith("2025-03-01")`,
	`0x10 == 16 && 1e3 == 1000.0 && -5 % 3 == -2 && 7 / 2 == 3`, `int(3.9) == 3 && int(-3.9) == -3`, `timestamp(0) < _flow.time && int(_flow.time) > 1700000000`,
	// These compile and fail when they run, for some flows or all: then the filter is false, whatever follows.
	`_flow.source_names[5] == "x"`, `1 / int(_flow.drop_reason) == 0`, `_flow.l4.TCP.destination_port - 100u > 0u`, `int(_flow.source.pod_name) == 0`,
	`{"a": true}[_flow.source.namespace]`, `_flow.source.pod_name.matches("(")`, `timestamp(_flow.Summary) == timestamp(0)`, `int(_flow.cgroup_id) > 0`,
	`bool(_flow.node_name)`, `9223372036854775807 + _flow.event_type.type > 0`, `_flow.source_names[_flow.event_type.type] == ""`,
}

var wrongCEL = []string{
	``, ` `, `_flow`, `_flow.verdict`, `1`, `"x"`, `_flow.is_reply`, `null`, `_flow.`, `_flow.nothing == 1`, `nothing`, `flow.verdict == 1`, `_flow.verdict == "FORWARDED"`,
	`_flow.l4.TCP.destination_port == 80`, `_flow.verdict == Verdict.NOTHING`, `has(_flow)`, `has(1)`, `1 +`, `(true`, `true)`, `_flow.source.pod_name.startsWith(1)`,
	`_flow.verdict == 1u`, `nofunc(_flow)`, `true && 1`, `!1`, `-"a" == "b"`, `[1, "a"] == []`, `_flow.source_names.exists(l, 1)`, `_flow.source_names.exists(1, true)`,
	`_flow.source.labels.size() == 1u`, `'unfinished`, `_flow.verdict = 1`, `a && b`, `dyn(true)`, `dyn(1)`, `_flow.is_reply.value`, `_flow.source[0] == 1`, `_flow.time == 5`,
	`true ? 1 : 2`, `true ? true : 1`, `_flow.extensions`, `Flow{nothing: 1} == _flow`, `Nothing{} == _flow`, `@`, `true; false`, `/* c */ true`, `[true][0] && {1: true}[1u]`,
	`_flow.source.pod_name.lowerAscii() == "cart"`, `_flow.source.pod_name.split("-")[0] == "cart"`, `optional.none() == 1`, `1.0 == 1`, `_flow.?source == 1`, `99999999999999999999 == 1`,
	`"\q" == ""`, `0u - 1u > 0u`, `_flow.L4.TCP == null`, `_flow.L4`, `_flow.source == null`, `_flow.l4.protocol == 1`, `math.greatest(1, 2) == 2`, `if true`, `_flow.verdict in 5`,
}
