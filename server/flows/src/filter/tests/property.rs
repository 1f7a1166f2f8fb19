//! Properties: compiled filter = naive filter; nothing panics.

use pb::{layer4::Protocol, layer7::Record};
use proptest::{collection::vec, option, prelude::*, sample::select};
use sextant_proto::flow as pb;

use super::{flow, naive};
use crate::{filter::Filters, flow::sketch::Sketch};

fn text(values: &'static [&'static str]) -> impl Strategy<Value = String> {
    select(values).prop_map(String::from)
}

/// Mostly empty, so that filters have few fields.
fn some<T: std::fmt::Debug + 'static>(
    one: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Vec<T>> {
    prop_oneof![9 => Just(0..1), 1 => Just(1..3)].prop_flat_map({
        let one = one.boxed();
        move |len| vec(one.clone(), len)
    })
}

const ADDRESSES: &[&str] = &["10.0.0.1", "10.2.0.1", "11.0.0.1", "2001:db8::1"];
const WANTED_ADDRESSES: &[&str] = &["10.0.0.1", "10.0.0.0/8", "11.0.0.0/8", "2001:db8::1"];
const LABELS: &[&str] = &["k8s:a=x", "k8s:b=y", "reserved:world", "c=z", "node:b"];
const SELECTORS: &[&str] = &[
    "a",
    "!a",
    "k8s:a=x",
    "a!=x",
    "b=y",
    "c",
    "node:b",
    "reserved:world",
];

fn endpoint() -> impl Strategy<Value = pb::Endpoint> {
    let workload = (text(&["", "w"]), text(&["Job", "Pod"]))
        .prop_map(|(name, kind)| pb::Workload { name, kind });
    (
        0_u32..3,
        text(&["", "default", "ns"]),
        text(&["", "web-1", "db"]),
        text(&["", "c1"]),
        proptest::sample::subsequence(LABELS, 0..4),
        vec(workload, 0..2),
    )
        .prop_map(
            |(identity, namespace, pod_name, cluster_name, labels, workloads)| {
                let mut labels: Vec<String> = labels.iter().map(ToString::to_string).collect();
                // Sorted by key, as the first of equal keys counts.
                labels.sort_by_key(|label| label.rsplit(':').next().map(String::from));
                pb::Endpoint {
                    identity,
                    namespace,
                    pod_name,
                    cluster_name,
                    labels,
                    workloads,
                    ..Default::default()
                }
            },
        )
}

fn l4() -> impl Strategy<Value = pb::Layer4> {
    let flags = (any::<bool>(), any::<bool>()).prop_map(|(syn, ack)| pb::TcpFlags {
        syn,
        ack,
        ..Default::default()
    });
    let tcp = (79_u32..82, 79_u32..82, option::of(flags)).prop_map(|(a, b, flags)| {
        Protocol::Tcp(pb::Tcp {
            source_port: a,
            destination_port: b,
            flags,
        })
    });
    let udp = (79_u32..82).prop_map(|port| {
        Protocol::Udp(pb::Udp {
            source_port: port,
            destination_port: 53,
        })
    });
    let icmp = Just(Protocol::IcmPv4(pb::IcmPv4::default()));
    option::of(prop_oneof![tcp, udp, icmp]).prop_map(|protocol| pb::Layer4 { protocol })
}

fn l7() -> impl Strategy<Value = pb::Layer7> {
    let dns = text(&["a.test.", "b.test."]).prop_map(|query| {
        Record::Dns(pb::Dns {
            query,
            ..Default::default()
        })
    });
    let http = (
        select(vec![0_u32, 50, 200, 404]),
        text(&["", "GET", "put"]),
        text(&["", "http://h/a", "http://h/b?c", "x"]),
    )
        .prop_map(|(code, method, url)| {
            Record::Http(pb::Http {
                code,
                method,
                url,
                ..Default::default()
            })
        });
    option::of(prop_oneof![dns, http]).prop_map(|record| pb::Layer7 {
        record,
        ..Default::default()
    })
}

fn a_flow() -> impl Strategy<Value = pb::Flow> {
    let ip = (
        text(ADDRESSES),
        text(ADDRESSES),
        text(ADDRESSES),
        0..3,
        any::<bool>(),
    )
        .prop_map(
            |(source, destination, source_xlated, ip_version, encrypted)| pb::Ip {
                source,
                destination,
                source_xlated,
                ip_version,
                encrypted,
            },
        );
    let names = || vec(text(&["a.test", "b_c.test"]), 0..3);
    let event =
        (0..5, 0..2).prop_map(|(r#type, sub_type)| pb::CiliumEventType { r#type, sub_type });
    let service = || option::of(endpoint());
    (
        (
            0..4,
            0..2,
            0..3,
            option::of(any::<bool>()),
            option::of(event),
        ),
        (option::of(ip), option::of(l4()), option::of(l7())),
        (
            option::of(endpoint()),
            option::of(endpoint()),
            service(),
            service(),
        ),
        (names(), names(), text(&["n1", "c1/n2"]), text(&["", "u"])),
    )
        .prop_map(
            |((verdict, reason, direction, is_reply, event_type), (ip, l4, l7), ends, rest)| {
                let service = |side: Option<pb::Endpoint>| {
                    side.map(|side| pb::Service {
                        name: side.pod_name,
                        namespace: side.namespace,
                    })
                };
                pb::Flow {
                    verdict,
                    drop_reason_desc: reason,
                    traffic_direction: direction,
                    is_reply,
                    event_type,
                    ip,
                    l4,
                    l7,
                    source: ends.0,
                    destination: ends.1,
                    source_service: service(ends.2),
                    destination_service: service(ends.3),
                    source_names: rest.0,
                    destination_names: rest.1,
                    node_name: rest.2,
                    uuid: rest.3,
                    node_labels: vec!["a=x".into()],
                    ..Default::default()
                }
            },
        )
}

fn a_filter() -> impl Strategy<Value = pb::FlowFilter> {
    let names = || some(text(&["web", "ns/", "/d", "/"]));
    let workload =
        (text(&["", "w"]), text(&["", "Job"])).prop_map(|(name, kind)| pb::Workload { name, kind });
    let event = (0..5, any::<bool>(), 0..2).prop_map(|(r#type, match_sub_type, sub_type)| {
        pb::EventTypeFilter {
            r#type,
            match_sub_type,
            sub_type,
        }
    });
    let flags = any::<bool>().prop_map(|syn| pb::TcpFlags {
        syn,
        ..Default::default()
    });
    let globs = || some(text(&["*.test", "a.test", "*"]));
    (
        (
            some(0..4),
            some(0..2),
            some(0..3),
            some(any::<bool>()),
            some(event),
        ),
        (
            some(text(WANTED_ADDRESSES)),
            some(text(WANTED_ADDRESSES)),
            some(0..3),
        ),
        (
            some(text(SELECTORS)),
            some(text(SELECTORS)),
            names(),
            names(),
            names(),
        ),
        (
            some(workload),
            some(0_u32..3),
            globs(),
            globs(),
            some(text(&["n1", "n2"])),
        ),
        (
            some(text(&["tcp", "icmp", "dns"])),
            some(text(&["80", "81"])),
            some(flags),
        ),
        (
            some(text(&["2+", "404"])),
            some(text(&["get"])),
            some(text(&["/a"])),
            some(text(&["a"])),
        ),
    )
        .prop_map(|(a, b, c, d, e, f)| pb::FlowFilter {
            verdict: a.0,
            drop_reason_desc: a.1,
            traffic_direction: a.2,
            reply: a.3,
            event_type: if f.0.is_empty() && f.1.is_empty() && f.2.is_empty() {
                a.4
            } else {
                Vec::new()
            },
            source_ip: b.0,
            source_ip_xlated: b.1,
            ip_version: b.2,
            source_label: c.0,
            node_labels: c.1,
            source_pod: c.2,
            destination_pod: c.3,
            source_service: c.4,
            destination_workload: d.0,
            source_identity: d.1,
            source_fqdn: d.2,
            destination_fqdn: d.3,
            node_name: d.4,
            protocol: e.0,
            destination_port: e.1,
            tcp_flags: e.2,
            http_status_code: f.0,
            http_method: f.1,
            http_path: f.2,
            dns_query: f.3,
            ..Default::default()
        })
}

proptest! {
    #[test]
    fn compiled_is_naive(
        white in vec(a_filter(), 0..3),
        black in vec(a_filter(), 0..2),
        flows in vec(a_flow(), 1..20),
    ) {
        let mut filters = Filters::compile(&white, &black).expect("valid filters");
        for of in flows {
            let listed = white.is_empty() || white.iter().any(|f| naive::matches(f, &of));
            let wanted = listed && !black.iter().any(|f| naive::matches(f, &of));
            let compact = flow(of.clone());
            prop_assert_eq!(filters.matches(&compact).unwrap(), wanted, "{:?}", of);
            let passes = filters.sieve().lets_pass(Sketch::of(&compact));
            prop_assert!(passes || !wanted, "held back though it matches: {:?}", of);
        }
    }

    #[test]
    fn no_text_panics(value in any::<String>(), of in a_flow()) {
        no_panic(&value, of);
    }

    #[test]
    fn no_syntax_panics(
        value in "[-a-zA-Z0-9 _.,:/%=!<>(){}\\[\\]|*+?^$\\\\#&'\"~@é\u{0}\n]{0,24}",
        of in a_flow(),
    ) {
        no_panic(&value, of);
    }
}

/// Puts the text into every field of texts, one at a time, on both sides.
fn no_panic(value: &str, mut of: pb::Flow) {
    let list = || vec![value.to_string()];
    let filters = [
        pb::FlowFilter {
            uuid: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            source_ip: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            source_pod: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            source_fqdn: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            source_label: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            source_service: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            source_cluster_name: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            http_status_code: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            protocol: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            source_port: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            dns_query: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            http_method: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            http_path: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            http_url: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            node_name: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            node_labels: list(),
            ..Default::default()
        },
        pb::FlowFilter {
            experimental: Some(pb::flow_filter::Experimental {
                cel_expression: list(),
            }),
            ..Default::default()
        },
    ];
    if let Some(Record::Http(http)) = of.l7.as_mut().and_then(|l7| l7.record.as_mut()) {
        http.url = format!("http://{value}");
    }
    of.source.get_or_insert_default().labels = list();
    let of = flow(of);
    for filter in filters {
        match Filters::compile(&[filter], &[]) {
            Ok(mut compiled) => drop(compiled.matches(&of)),
            Err(error) => drop(error.to_string()),
        }
    }
}
