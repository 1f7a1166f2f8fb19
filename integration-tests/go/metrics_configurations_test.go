package differential

import (
	"strings"
)

// metricsConfigurations are written down: every handler, every option, every identifier and label.
var metricsConfigurations = []string{
	"drop flow tcp icmp dns httpV2 policy port-distribution sctp flows-to-world",
	"drop flow tcp icmp dns http policy port-distribution sctp flows-to-world",
	"drop:sourceContext=identity;destinationContext=identity flow:sourceContext=namespace;destinationContext=namespace",
	"drop:sourceContext=pod;destinationContext=pod tcp:sourceContext=pod-name;destinationContext=pod-name",
	"drop:sourceContext=dns|ip;destinationContext=dns|ip icmp:sourceContext=ip;destinationContext=ip",
	"flow:sourceContext=reserved-identity;destinationContext=reserved-identity|pod|ip",
	"flow:sourceContext=workload|app|ip;destinationContext=workload-name|app",
	"flow:sourceContext=app;destinationContext=app|dns|ip policy:sourceContext=app|workload-name|pod|reserved-identity",
	"policy:sourceContext=workload;destinationContext=pod-name",
	"flow:sourceEgressContext=pod;sourceIngressContext=ip;destinationEgressContext=dns;destinationIngressContext=identity",
	"drop:sourceContext=pod;sourceEgressContext=ip;destinationContext=namespace;destinationIngressContext=workload",
	"drop:sourceEgressContext=pod flow:destinationIngressContext=pod",
	"flow:labelsContext=source_ip,source_pod,source_namespace,source_workload,source_workload_kind,source_app",
	"flow:labelsContext=destination_ip,destination_pod,destination_namespace,destination_workload,destination_workload_kind,destination_app",
	"tcp:labelsContext=traffic_direction,destination_app,source_app drop:labelsContext=traffic_direction",
	"httpV2:labelsContext=source_ip,destination_ip,source_pod,destination_namespace,traffic_direction;sourceContext=pod;destinationContext=workload|ip",
	"httpV2:exemplars=true;sourceContext=workload-name;destinationEgressContext=namespace",
	"http:exemplars=true;labelsContext=source_pod,destination_pod",
	"httpV2:exemplars=false;exemplars=true",
	"dns:query;ignoreAAAA;labelsContext=source_namespace,destination_namespace",
	"dns:query;sourceContext=pod|ip;destinationContext=ip",
	"dns:ignoreAAAA",
	"dns:labelsContext=source_ip,source_pod,source_namespace,source_workload,source_app",
	"flows-to-world:any-drop;port;sourceContext=pod|ip",
	"flows-to-world:syn-only;port;labelsContext=source_namespace,source_app",
	"flows-to-world:port flow:sourceContext=;destinationContext=",
	"flow:SOURCECONTEXT=POD|Ip;DestinationContext=Workload-Name;;",
	"port-distribution:labelsContext=source_namespace;destinationContext=ip sctp:sourceContext=ip icmp:labelsContext=traffic_direction",
}

var (
	metricsHandlers  = []string{"drop", "flow", "tcp", "icmp", "dns", "http", "policy", "port-distribution", "sctp", "flows-to-world"}
	metricsSwitches  = map[string][]string{"dns": {"query", "ignoreAAAA"}, "flows-to-world": {"any-drop", "port", "syn-only"}, "http": {"exemplars=true"}}
	metricsContexts  = []string{"source", "destination", "sourceIngress", "sourceEgress", "destinationIngress", "destinationEgress"}
	metricsWords     = []string{"identity", "namespace", "pod", "pod-name", "dns", "ip", "reserved-identity", "workload", "workload-name", "app"}
	metricsSideLabel = []string{"ip", "pod", "namespace", "workload", "workload_kind", "app"}
)

func randomMetricsConfiguration(d dice) string {
	var all []string
	for _, handler := range metricsHandlers {
		if !d.chance(40) {
			continue
		}
		var options []string
		for _, option := range metricsSwitches[handler] {
			if d.chance(50) {
				options = append(options, option)
			}
		}
		for _, context := range metricsContexts {
			if d.chance(25) {
				options = append(options, context+"Context="+strings.Join(some(d, 1, 3, metricsWords), "|"))
			}
		}
		if d.chance(40) {
			var labels []string
			for range 1 + d.IntN(6) {
				labels = append(labels, pick(d, []string{"source_", "destination_"})+pick(d, metricsSideLabel))
			}
			options = append(options, "labelsContext="+strings.Join(append(labels, "traffic_direction"), ","))
		}
		d.Shuffle(len(options), func(i, j int) { options[i], options[j] = options[j], options[i] })
		if handler == "http" && d.chance(50) {
			handler = "httpV2"
		}
		all = append(all, handler+":"+strings.Join(options, ";"))
	}
	if len(all) == 0 {
		return "flow"
	}
	return strings.Join(all, " ")
}
