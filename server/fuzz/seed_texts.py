"""Texts that `seeds.py` begins with: flows, policies, configurations, expressions."""

FLOWS = r"""
{"flow":{"time":"2024-01-02T03:04:05.678901234Z","uuid":"4a2c9f00-0000-4000-8000-00000000000a","verdict":"DROPPED","drop_reason":133,"ethernet":{"source":"02:00:00:00:00:01","destination":"02:00:00:00:00:02"},"IP":{"source":"10.0.0.1","destination":"10.0.0.2","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":1,"destination_port":443,"flags":{"SYN":true}}},"source":{"ID":7,"identity":300,"cluster_name":"default","namespace":"shop","labels":["k8s:app=x","k8s:io.kubernetes.pod.namespace=shop"],"pod_name":"web-1","workloads":[{"name":"web","kind":"Deployment"}]},"destination":{"identity":2,"labels":["reserved:world"]},"Type":"L3_L4","node_name":"c/n1","node_labels":["os=linux"],"destination_names":["cilium.io"],"event_type":{"type":1,"sub_type":133},"traffic_direction":"EGRESS","is_reply":false,"drop_reason_desc":"POLICY_DENIED","interface":{"index":3,"name":"eth0"},"Summary":"TCP Flags: SYN","extensions":{"@type":"type.googleapis.com/google.protobuf.Struct","value":{"packets":3,"flags":["SYN",null,true]}}},"node_name":"c/n1","time":"2024-01-02T03:04:05.678901234Z"}
{"flow":{"time":"2024-01-02T03:04:06Z","verdict":"FORWARDED","IP":{"source":"fd00::1","destination":"fd00::2","ipVersion":"IPv6","encrypted":true},"l4":{"UDP":{"source_port":5353,"destination_port":53}},"source":{"namespace":"shop","pod_name":"web-1"},"destination":{"namespace":"kube-system","pod_name":"dns-0"},"Type":"L7","node_name":"n2","l7":{"type":"REQUEST","latency_ns":"18446744073709551615","dns":{"query":"cilium.io.","ips":["1.2.3.4"],"ttl":5,"rcode":3,"qtypes":["A"]}},"source_service":{"name":"web","namespace":"shop"},"is_reply":true,"trace_context":{"parent":{"trace_id":"1de5a2b8"}}},"node_name":"n2"}
{"flow":{"time":"2024-01-02T03:04:07Z","verdict":"FORWARDED","IP":{"source":"10.0.0.3","destination":"192.168.1.1","ipVersion":"IPv4"},"l4":{"TCP":{"source_port":40000,"destination_port":80,"flags":{"PSH":true,"ACK":true}}},"Type":"L7","l7":{"type":"RESPONSE","http":{"code":404,"method":"GET","url":"http://a.b/c?d=e","protocol":"HTTP/1.1","headers":[{"key":"Host","value":"a.b"}]}},"egress_allowed_by":[{"name":"p","namespace":"shop","labels":["a=b"],"revision":"1"}]}}
{"flow":{"time":"2024-01-02T03:04:08Z","verdict":"AUDIT","IP":{"source":"10.0.0.3","destination":"10.0.0.4","ipVersion":"IPv4"},"l4":{"ICMPv4":{"type":8}},"Type":"SOCK","sock_xlate_point":"SOCK_XLATE_POINT_PRE_DIRECTION_FWD","socket_cookie":"9","cgroup_id":"7","tunnel":{"protocol":"VXLAN","vni":7,"IP":{"source":"1.1.1.1","destination":"2.2.2.2"},"l4":{"UDP":{"source_port":1,"destination_port":8472}}}}}
{"flow":{"l4":{"SCTP":{"source_port":2,"destination_port":3}},"l7":{"kafka":{"error_code":1,"api_version":2,"api_key":"produce","correlation_id":3,"topic":"t"}}}}
{"time":"2024-01-02T03:04:09Z","verdict":"FORWARDED","nodeName":"n3","ethernet":{"source":"x","destination":"02:00:00:00:00:0A"},"l4":{"ICMPv6":{"type":128,"code":0}},"isReply":null}
{"lost_events":{"source":"PERF_EVENT_RING_BUFFER","num_events_lost":"5","cpu":1},"node_name":"n","time":"2024-01-02T03:04:05Z"}
{"agent_event":{"type":"POLICY_UPDATED","policy_update":{"labels":["a=b"],"revision":"3","rule_count":"4"}},"time":"2024-01-02T03:04:05Z"}
{"debug_event":{"type":"DBG_CT_VERDICT","source":{"ID":3,"labels":["a"]},"hash":1,"arg1":2,"message":"m","cpu":0}}
""".lstrip().encode()

POLICY = b"""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {matchExpressions: [{key: app, operator: NotIn, values: [db]}]}
  enableDefaultDeny: {egress: false}
  ingress:
  - fromEndpoints: [{matchLabels: {"k8s:app": api}}]
    toPorts: [{ports: [{port: "80", endPort: 90, protocol: TCP}, {port: http}]}]
    authentication: {mode: required}
  - icmps: [{fields: [{family: IPv6, type: EchoRequest}, {type: 8}]}]
  egressDeny: [{toCIDRSet: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}, {toEntities: [world]}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: &n db}
spec:
  podSelector: {matchLabels: {app: *n}}
  policyTypes: [Ingress, Egress]
  ingress: [{from: [{namespaceSelector: {}, podSelector: {}}, {ipBlock: {cidr: "::/0"}}], ports: [{port: 5432}]}]
"""

# What allows beside what denies more ports, of both, and in audit.
MEETING_POLICIES = b"""
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: web, namespace: shop}
spec:
  endpointSelector: {}
  egress:
  - toPorts: [{ports: [{port: "80", protocol: TCP}, {port: "1024", endPort: 65535}, {port: http, protocol: TCP}]}]
  - {toCIDR: [10.1.0.0/16], authentication: {mode: required}}
  - {toEntities: [all, world], toPorts: [{ports: [{port: "443"}]}], authentication: {mode: disabled}}
  - toEndpoints: [{matchLabels: {app: api}}]
  egressDeny:
  - toCIDRSet: [{cidr: 0.0.0.0/0, except: [0.0.0.0/32, 10.0.0.0/8, 255.255.255.255/32]}]
    toPorts: [{ports: [{port: "64", endPort: 127, protocol: TCP}]}]
  - toCIDR: ["2001:db8::/32"]
---
apiVersion: cilium.io/v2
kind: CiliumNetworkPolicy
metadata: {name: audit, namespace: shop}
spec:
  endpointSelector: {matchLabels: {app: web}}
  ingress: [{fromEntities: [cluster], icmps: [{fields: [{type: 8}]}]}, {fromEntities: [host]}]
  ingressDeny: [{fromEndpoints: [{matchLabels: {app: api}}]}]
---
apiVersion: cilium.io/v2
kind: CiliumClusterwideNetworkPolicy
metadata: {name: host}
spec:
  nodeSelector: {}
  ingress: [{fromEntities: [world], toPorts: [{ports: [{port: "22", protocol: TCP}]}]}]
"""

HOST_POLICY = b"""{"apiVersion": "v1", "kind": "List", "items": [{"apiVersion": "cilium.io/v2",
"kind": "CiliumClusterwideNetworkPolicy", "metadata": {"name": "host"}, "specs": [
{"nodeSelector": {}, "ingress": [{"fromEntities": ["remote-node", "health"]}, {}],
"egress": [{"toFQDNs": [{"matchName": "a.example"}]}]}]}]}"""

# 16,000 values by aliases.
ALIASES = b"k: [&a [{0}], &b [{1}], [{2}]]".replace(b"{0}", b",".join([b"x"] * 25)).replace(
    b"{1}", b",".join([b"*a"] * 25)).replace(b"{2}", b",".join([b"*b"] * 25))

CONFIG = br"""
node_name = "n1"
node_labels = { os = "linux" }
flow_capacity = 0x1000
replay = ["/a.jsonl"]
[server]
listen = ["tcp://[::1]:4245", "unix:///run/s.sock"]
lost_event_interval = "1s"
[metrics]
listen = "off"
[datapath]
interfaces = ["veth*"]
observed_ring_bytes = 8388608
[[datapath.zone]]
interface = "eth0"
zone = 7
[[datapath.namespace]]
path = "/run/netns/a"
[identity]
world = "by-family"
[[endpoint]]
name = "web"
namespace = "shop"
labels = ["app=web", "k8s:a/b=c"]
workload = { name = "web", kind = "Deployment" }
addresses = ["10.0.0.5", "2001:db8::1"]
cidrs = ["10.1.0.0/16"]
[[peer]]
name = "c/n2"
address = "10.0.0.2:4245"
""".lstrip()

ODD_LINES = rb"""
{"node_status":{"state_change":"NODE_CONNECTED","node_names":["a"]}}
{"flow":{"verdict":1e0,"reply":"\u00e9\ud83d\ude00","socket_cookie":-0.0,"time":"0001-01-01T00:00:00Z"}}
[1,{"a":[]}] not json
{"flow":{"l7":{"latency_ns":"1.5e3"},"summary":"x","unknown":[[[{}]]]}}
{"flow":{"extensions":{"@type":"type.googleapis.com/utils.RetinaMetadata","bytes":12,"n":9007199254740993}}}
""".lstrip()

LOGS = br"""
[
  {
    "flow": {
      "uuid": "a",
      "verdict": "FORWARDED"
    }
  },
  {"flow":{"uuid":"b","verdict":"DROPPED"}}{"uuid":"c","verdict":"DROPPED"}
]
2026-01-02T03:04:05.6Z stdout P {"flow":{"uuid":"d",
2026-01-02T03:04:05.6Z stdout F "verdict":"FORWARDED"}}
level=info msg="{\"flow\":{\"uuid\":\"e\",\"verdict\":\"FORWARDED\"}}"
{pod="x"} {"flow":{"uuid":"f","verdict":"FORWARDED"}}
{"log":"{\"flow\":{\"uuid\":","stream":"stdout"}
{"log":"\"g\",\"verdict\":1}}\n","stream":"stdout"}
{"_source":{"message":"{\"flow\":{\"uuid\":\"h\",\"verdict\":1}}"}}
""".lstrip()
