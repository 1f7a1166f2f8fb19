package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"time"

	flowpb "github.com/cilium/cilium/api/v1/flow"
	observerpb "github.com/cilium/cilium/api/v1/observer"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/types/known/timestamppb"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// corpusStart lies in the past for ever.
var corpusStart = time.Date(2025, time.March, 1, 12, 0, 0, 0, time.UTC)

// young is the age of the oldest flow of a corpus that is to be young; Hubble looks at the flows of the last minute.
const young = 10 * time.Second

// needleEvery is how rare the flows are that the benchmark's filters find.
const needleEvery = 997

// town is a cluster of some size, with flows between its pods and the world.
type town struct {
	*rand.Rand
	start  time.Time
	step   time.Duration
	pods   []*flowpb.Endpoint
	ips    []string
	needle *flowpb.Endpoint
}

func newTown(seed uint64) *town {
	t := &town{Rand: rand.New(rand.NewPCG(seed, 0x5e87a97)), start: corpusStart, step: time.Millisecond}
	namespaces := []string{"shop", "payments", "search", "monitoring", "kube-system", "logging", "frontend", "batch"}
	for i := range 400 {
		namespace := namespaces[i%len(namespaces)]
		app := fmt.Sprintf("%s-service-%d", namespace, i/len(namespaces)%20)
		t.pods = append(t.pods, t.pod(namespace, app, uint32(1000+i%160), uint32(100+i)))
		t.ips = append(t.ips, fmt.Sprintf("10.%d.%d.%d", i/200, i%200, 1+t.IntN(250)))
	}
	t.needle = t.pod("haystack", "needle", 4242, 4242)
	t.needle.PodName = "needle-0"
	return t
}

// pod has the labels that Cilium gives to pods of a deployment.
func (t *town) pod(namespace, app string, identity, id uint32) *flowpb.Endpoint {
	return &flowpb.Endpoint{
		ID: id, Identity: identity, ClusterName: "default", Namespace: namespace,
		PodName: fmt.Sprintf("%s-%08x-%05x", app, t.Uint32(), t.IntN(1<<20)),
		Labels: []string{
			"k8s:app=" + app,
			"k8s:io.cilium.k8s.namespace.labels.kubernetes.io/metadata.name=" + namespace,
			"k8s:io.cilium.k8s.policy.cluster=default",
			"k8s:io.cilium.k8s.policy.serviceaccount=" + app,
			"k8s:io.kubernetes.pod.namespace=" + namespace,
		},
		Workloads: []*flowpb.Workload{{Name: app, Kind: "Deployment"}},
	}
}

var world = &flowpb.Endpoint{Identity: 2, Labels: []string{"reserved:world"}}

// flow number n: mostly between pods, some to the world by name, some with HTTP or DNS, some dropped.
func (t *town) flow(n int) *flowpb.Flow {
	from, to := t.IntN(len(t.pods)), t.IntN(len(t.pods))
	flow := &flowpb.Flow{
		Time:     timestamppb.New(t.start.Add(time.Duration(n) * t.step)),
		Uuid:     fmt.Sprintf("%08x-%04x-4%03x-8%03x-%012x", t.Uint32(), t.IntN(1<<16), t.IntN(1<<12), t.IntN(1<<12), n),
		Emitter:  &flowpb.Emitter{Name: "Hubble", Version: "1.20.2+g00000000"},
		Verdict:  flowpb.Verdict_FORWARDED,
		Ethernet: &flowpb.Ethernet{Source: mac(from), Destination: mac(to)},
		IP:       &flowpb.IP{Source: t.ips[from], Destination: t.ips[to], IpVersion: flowpb.IPVersion_IPv4},
		Source:   t.pods[from], Destination: t.pods[to],
		Type: flowpb.FlowType_L3_L4, NodeName: fmt.Sprintf("node-%d", from%16),
		EventType:             &flowpb.CiliumEventType{Type: 4, SubType: 3},
		TrafficDirection:      flowpb.TrafficDirection(1 + t.IntN(2)),
		TraceObservationPoint: flowpb.TraceObservationPoint_TO_STACK,
		TraceReason:           flowpb.TraceReason_ESTABLISHED,
		IsReply:               wrapperspb.Bool(t.IntN(2) == 0),
		Interface:             &flowpb.NetworkInterface{Index: uint32(10 + from), Name: fmt.Sprintf("lxc%08x", from*2654435761)},
	}
	t.transport(flow)
	switch t.IntN(20) {
	case 0, 1, 2:
		flow.Destination, flow.IP.Destination = world, fmt.Sprintf("203.0.113.%d", t.IntN(256))
		flow.DestinationNames = []string{fmt.Sprintf("api%d.example.com", t.IntN(50))}
	case 3:
		t.http(flow, fmt.Sprintf("http://shop.example.com/v1/items/%d", t.IntN(5000)))
	case 4:
		t.dns(flow)
	case 5:
		flow.Verdict, flow.EventType = flowpb.Verdict_DROPPED, &flowpb.CiliumEventType{Type: 1, SubType: 133}
		flow.DropReason, flow.DropReasonDesc = 133, flowpb.DropReason_POLICY_DENIED
		flow.Summary = "TCP Flags: SYN"
	}
	if n%needleEvery == needleEvery/2 {
		t.hide(flow)
	}
	return flow
}

func (t *town) transport(flow *flowpb.Flow) {
	port := uint32(32768 + t.IntN(28000))
	to := []uint32{80, 443, 8080, 5432, 6379, 9090}[t.IntN(6)]
	if t.IntN(10) == 0 {
		flow.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_UDP{UDP: &flowpb.UDP{SourcePort: port, DestinationPort: 53}}}
		flow.Summary = "UDP"
		return
	}
	flags := []*flowpb.TCPFlags{{SYN: true}, {ACK: true}, {ACK: true, PSH: true}, {ACK: true, FIN: true}}
	texts := []string{"TCP Flags: SYN", "TCP Flags: ACK", "TCP Flags: ACK, PSH", "TCP Flags: ACK, FIN"}
	choice := t.IntN(len(flags))
	flow.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: port, DestinationPort: to, Flags: flags[choice]}}}
	flow.Summary = texts[choice]
}

func (t *town) http(flow *flowpb.Flow, url string) {
	flow.Type, flow.EventType = flowpb.FlowType_L7, &flowpb.CiliumEventType{Type: 129}
	flow.L7 = &flowpb.Layer7{Type: flowpb.L7FlowType_RESPONSE, LatencyNs: uint64(t.IntN(20_000_000)), Record: &flowpb.Layer7_Http{Http: &flowpb.HTTP{
		Code: 200, Method: "GET", Url: url, Protocol: "HTTP/1.1",
		Headers: []*flowpb.HTTPHeader{{Key: "User-Agent", Value: "curl/8.5.0"}, {Key: "X-Request-Id", Value: flow.Uuid}},
	}}}
	flow.Summary = "HTTP/1.1 200 (GET " + url + ")"
}

func (t *town) dns(flow *flowpb.Flow) {
	flow.Type, flow.EventType = flowpb.FlowType_L7, &flowpb.CiliumEventType{Type: 129}
	flow.L7 = &flowpb.Layer7{Type: flowpb.L7FlowType_REQUEST, Record: &flowpb.Layer7_Dns{Dns: &flowpb.DNS{
		Query: fmt.Sprintf("api%d.example.com.", t.IntN(50)), ObservationSource: "proxy", Qtypes: []string{"A"},
	}}}
	flow.Summary = "DNS Query"
}

// hide makes it one of the rare flows, which each filter of the benchmark finds.
func (t *town) hide(flow *flowpb.Flow) {
	flow.Verdict = flowpb.Verdict_AUDIT
	flow.Destination, flow.IP.Destination = t.needle, "172.31.7.7"
	flow.DestinationNames = []string{"needle.example.org"}
	flow.NodeName = "node-needle"
	flow.L4 = &flowpb.Layer4{Protocol: &flowpb.Layer4_TCP{TCP: &flowpb.TCP{SourcePort: 40000, DestinationPort: 7777, Flags: &flowpb.TCPFlags{SYN: true}}}}
	t.http(flow, "http://needle.example.org/needle")
}

func mac(n int) string { return fmt.Sprintf("02:42:0a:00:%02x:%02x", n/256, n%256) }

// writeCorpus writes flows as upstream's exporter does.
func writeCorpus(out io.Writer, t *town, count int) error {
	encoder := json.NewEncoder(out)
	for n := range count {
		flow := t.flow(n)
		line := &observerpb.ExportEvent{Time: flow.Time, NodeName: flow.NodeName, ResponseTypes: &observerpb.ExportEvent_Flow{Flow: flow}}
		if err := encoder.Encode(line); err != nil {
			return err
		}
	}
	return nil
}

func readCorpus(path string) ([]*flowpb.Flow, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var flows []*flowpb.Flow
	lines := bufio.NewScanner(file)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line observerpb.ExportEvent
		if err := protojson.Unmarshal(lines.Bytes(), &line); err != nil {
			return nil, fmt.Errorf("%s, line %d: %w", path, len(flows)+1, err)
		}
		flows = append(flows, line.GetFlow())
	}
	return flows, lines.Err()
}
