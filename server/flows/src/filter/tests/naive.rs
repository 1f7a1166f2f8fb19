//! The filter as plainly as it can be written, on the message itself: what the
//! compiled one is held against. Reads selectors of the simple forms that
//! the property tests make.

use pb::{layer4::Protocol, layer7::Record};
use sextant_proto::flow as pb;

/// Whether the filter matches the flow.
pub(super) fn matches(filter: &pb::FlowFilter, flow: &pb::Flow) -> bool {
    on_flow(filter, flow) && on_names(filter, flow) && on_l4(filter, flow) && on_l7(filter, flow)
}

/// An empty list does not filter.
fn any<T>(list: &[T], test: impl Fn(&T) -> bool) -> bool {
    list.is_empty() || list.iter().any(test)
}

fn on_flow(filter: &pb::FlowFilter, flow: &pb::Flow) -> bool {
    let dropped = flow.verdict == 2;
    let ip = flow.ip.clone().unwrap_or_default();
    let trace = flow.trace_context.clone().unwrap_or_default();
    let trace_id = trace.parent.unwrap_or_default().trace_id;
    any(&filter.uuid, |uuid| *uuid == flow.uuid)
        && any(&filter.verdict, |verdict| *verdict == flow.verdict)
        && any(&filter.drop_reason_desc, |reason| {
            dropped && *reason == flow.drop_reason_desc
        })
        && any(&filter.traffic_direction, |d| *d == flow.traffic_direction)
        && any(&filter.reply, |reply| {
            (flow.is_reply.is_some() || dropped) && *reply == flow.is_reply.unwrap_or(false)
        })
        && any(&filter.encrypted, |encrypted| *encrypted == ip.encrypted)
        && any(&filter.ip_version, |version| *version == ip.ip_version)
        && any(&filter.trace_id, |id| *id == trace_id)
        && any(&filter.ip_trace_id, |id| {
            *id == flow.ip_trace_id.unwrap_or_default().trace_id
        })
        && any(&filter.event_type, |wanted| {
            flow.event_type.is_some_and(|event| {
                (wanted.r#type == 0 || wanted.r#type == event.r#type)
                    && (!wanted.match_sub_type || wanted.sub_type == event.sub_type)
            })
        })
        && any(&filter.interface, |wanted| {
            flow.interface.as_ref().is_some_and(|interface| {
                (wanted.index == 0 || wanted.index == interface.index)
                    && (wanted.name.is_empty() || wanted.name == interface.name)
            })
        })
        && any(&filter.source_ip, |wanted| on_ip(wanted, &ip.source))
        && any(&filter.destination_ip, |wanted| {
            on_ip(wanted, &ip.destination)
        })
        && any(&filter.source_ip_xlated, |wanted| {
            on_ip(wanted, &ip.source_xlated)
        })
}

/// Networks here end in `.0/8`; other addresses are compared as texts.
fn on_ip(wanted: &str, address: &str) -> bool {
    match wanted.strip_suffix("0.0.0/8") {
        Some(prefix) => address.starts_with(prefix) && address.split('.').count() == 4,
        None => !address.is_empty() && wanted == address,
    }
}

fn on_names(filter: &pb::FlowFilter, flow: &pb::Flow) -> bool {
    let source = (
        &filter.source_identity,
        &filter.source_pod,
        &filter.source_label,
        &filter.source_workload,
        &filter.source_cluster_name,
    );
    let destination = (
        &filter.destination_identity,
        &filter.destination_pod,
        &filter.destination_label,
        &filter.destination_workload,
        &filter.destination_cluster_name,
    );
    for ((identity, pod, label, workload, cluster), side) in
        [(source, &flow.source), (destination, &flow.destination)]
    {
        let present = side.is_some();
        let side = side.clone().unwrap_or_default();
        let ok = any(identity, |identity| present && *identity == side.identity)
            && any(pod, |pod| on_name(pod, &side.namespace, &side.pod_name))
            && any(label, |selector| on_labels(selector, &side.labels))
            && any(cluster, |cluster| *cluster == side.cluster_name)
            && any(workload, |wanted| {
                side.workloads.iter().any(|workload| {
                    (wanted.name.is_empty() || wanted.name == workload.name)
                        && (wanted.kind.is_empty() || wanted.kind == workload.kind)
                })
            });
        if !ok {
            return false;
        }
    }
    let source = flow.source_service.clone().unwrap_or_default();
    let destination = flow.destination_service.clone().unwrap_or_default();
    any(&filter.source_service, |name| {
        on_name(name, &source.namespace, &source.name)
    }) && any(&filter.destination_service, |name| {
        on_name(name, &destination.namespace, &destination.name)
    }) && any(&filter.source_fqdn, |glob| {
        flow.source_names.iter().any(|name| on_glob(glob, name))
    }) && any(&filter.destination_fqdn, |glob| {
        flow.destination_names
            .iter()
            .any(|name| on_glob(glob, name))
    }) && any(&filter.node_name, |node| {
        flow.node_name == *node || flow.node_name.ends_with(&format!("/{node}"))
    }) && any(&filter.node_labels, |selector| {
        on_labels(selector, &flow.node_labels)
    })
}

fn on_name(pattern: &str, namespace: &str, name: &str) -> bool {
    let (wanted, prefix) = pattern.split_once('/').unwrap_or(("default", pattern));
    (!namespace.is_empty() || !name.is_empty())
        && (wanted.is_empty() || wanted == namespace)
        && name.starts_with(prefix)
}

/// Globs here have one star at most, at the front.
fn on_glob(glob: &str, name: &str) -> bool {
    let starred = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c);
    match glob.strip_prefix('*') {
        Some(end) => name
            .strip_suffix(end)
            .is_some_and(|start| start.chars().all(starred)),
        None => glob == name,
    }
}

fn on_labels(selector: &str, labels: &[String]) -> bool {
    let value_of = |wanted: &str| {
        let (wanted_source, wanted_key) = wanted.split_once(':').unwrap_or(("any", wanted));
        labels.iter().find_map(|label| {
            let (source, rest) = label.split_once(':').unwrap_or(("unspec", label));
            let (key, value) = rest.split_once('=').unwrap_or((rest, ""));
            let meant = key == wanted_key && ["any", source].contains(&wanted_source);
            meant.then(|| value.to_string())
        })
    };
    if let Some(key) = selector.strip_prefix('!') {
        return value_of(key).is_none();
    }
    if let Some((key, value)) = selector.split_once("!=") {
        return value_of(key).is_none_or(|has| has != value);
    }
    match selector.split_once('=') {
        Some((key, value)) => value_of(key).is_some_and(|has| has == value),
        None => value_of(selector).is_some(),
    }
}

fn on_l4(filter: &pb::FlowFilter, flow: &pb::Flow) -> bool {
    let protocol = flow.l4.as_ref().and_then(|l4| l4.protocol.as_ref());
    let (name, ports, flags) = match protocol {
        Some(Protocol::Tcp(tcp)) => (
            "tcp",
            Some((tcp.source_port, tcp.destination_port)),
            tcp.flags,
        ),
        Some(Protocol::Udp(udp)) => ("udp", Some((udp.source_port, udp.destination_port)), None),
        Some(Protocol::IcmPv4(_)) => ("icmpv4", None, None),
        Some(Protocol::IcmPv6(_)) => ("icmpv6", None, None),
        _ => ("", None, None),
    };
    let application = match flow.l7.as_ref().and_then(|l7| l7.record.as_ref()) {
        Some(Record::Dns(_)) => "dns",
        Some(Record::Http(_)) => "http",
        _ => "",
    };
    let source = ports.map(|(source, _)| source.to_string());
    let destination = ports.map(|(_, destination)| destination.to_string());
    any(&filter.protocol, |wanted| {
        name == wanted || application == wanted || (wanted == "icmp" && name.starts_with("icmp"))
    }) && any(&filter.source_port, |port| source.as_ref() == Some(port))
        && any(&filter.destination_port, |port| {
            destination.as_ref() == Some(port)
        })
        && any(&filter.tcp_flags, |wanted| {
            flags.is_some_and(|has| {
                (!wanted.syn || has.syn) && (!wanted.ack || has.ack) && (!wanted.fin || has.fin)
            })
        })
}

fn on_l7(filter: &pb::FlowFilter, flow: &pb::Flow) -> bool {
    let record = flow.l7.as_ref().and_then(|l7| l7.record.as_ref());
    let http = match record {
        Some(Record::Http(http)) => http.clone(),
        _ => pb::Http::default(),
    };
    let query = match record {
        Some(Record::Dns(dns)) => Some(dns.query.clone()),
        _ => None,
    };
    let path = http.url.strip_prefix("http://h");
    any(&filter.dns_query, |part| {
        query.as_ref().is_some_and(|query| query.contains(part))
    }) && any(&filter.http_status_code, |status| {
        match status.strip_suffix('+') {
            Some(prefix) => http.code >= 100 && http.code.to_string().starts_with(prefix),
            None => http.code.to_string() == *status,
        }
    }) && any(&filter.http_method, |method| {
        !http.method.is_empty() && method.eq_ignore_ascii_case(&http.method)
    }) && any(&filter.http_path, |part| {
        path.is_some_and(|path| path.contains(part))
    }) && any(&filter.http_url, |part| {
        !http.url.is_empty() && http.url.contains(part)
    }) && any(&filter.http_header, |header| http.headers.contains(header))
}
