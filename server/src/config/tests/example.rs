//! The example file is the documentation of settings: these tests keep it
//! complete and its defaults true.

use std::{collections::BTreeSet, path::Path, time::Duration};

use sextant_proto::flow::{FlowFilter, Verdict};
use toml::Value;

use super::{mistakes, read};
use crate::config::{
    Access, ClientCertificate, Config, Datapath, Endpoint, Grant, Identity, Kubernetes, Listen,
    Listener, Outgoing, Peer, Role, Roles, Sees, Server, Tls, Token, Who, example,
    example::settings,
};
use crate::{
    export::{
        Aggregation, Exports, FileTarget, HttpFormat, HttpTarget, OtlpTarget, Protocol, Remote,
        Selected, Setting, Signal, SpansOf, SpoolSetting, Target,
    },
    flow::redaction::Sensitive,
    metrics::custom::{CustomKind, CustomSetting, Field, Measured},
};

/// A key that no section has, nor one like it.
const STRANGER: &str = "qqqqqqqq";

fn uncommented() -> String {
    settings().collect::<Vec<_>>().join("\n")
}

#[test]
fn the_example_as_it_is_changes_nothing() {
    assert_eq!(read(example()), Ok(Config::default()));
}

#[test]
fn the_example_without_its_comment_signs_is_the_defaults_and_samples() {
    let expect = Config {
        node_name: "moseisley".into(),
        flow_bytes: Some(Config::default().flow_bytes()),
        datapath: Some(Datapath {
            zones: vec![("vrf-red*".into(), 1)],
            namespaces: vec![("/run/netns/*".into(), 2)],
            ..Datapath::default()
        }),
        identity: Identity {
            endpoints: vec![Endpoint {
                name: "web-1".into(),
                namespace: "shop".into(),
                labels: vec!["app=web".into(), "k8s:tier=front".into()],
                workload: Some(("web".into(), "Deployment".into())),
                addresses: ["10.0.0.7", "fd00::7"]
                    .map(|ip| ip.parse().expect("address"))
                    .into(),
                cidrs: vec!["10.0.7.0/24".parse().expect("range")],
                interfaces: vec!["veth-web-1".into()],
                ports: [(("http".into(), 6), 80), (("dns".into(), 17), 53)].into(),
            }],
            ..Identity::default()
        },
        kubernetes: Kubernetes {
            kubeconfig: Some("/etc/sextant/kubeconfig".into()),
            ..Kubernetes::default()
        },
        access: Access {
            grants: vec![
                Grant {
                    role: Some(Role::Viewer),
                    to: vec![Who::Uri("spiffe://example.org/team/shop/*".into())],
                    sees: Sees {
                        namespaces: vec!["shop".into(), "cart".into()],
                        labels: vec!["app=web".into()],
                        redact: Sensitive::ALL.into(),
                    },
                },
                Grant {
                    role: Some(Role::Recorder),
                    to: vec![
                        Who::Uri("spiffe://example.org/sensor/*".into()),
                        Who::Token("sensor".into()),
                    ],
                    sees: Sees::default(),
                },
            ],
            tokens: vec![Token {
                name: "sensor".into(),
                file: "/etc/sextant/sensor.token".into(),
            }],
        },
        server: Server {
            listeners: vec![Listener {
                address: Listen::Tcp("0.0.0.0:4244".into()),
                tls: Some(Tls {
                    certificate: "/etc/sextant/tls/server.crt".into(),
                    key: "/etc/sextant/tls/server.key".into(),
                    client_ca: vec!["/etc/sextant/tls/clients-ca.crt".into()],
                    client: ClientCertificate::Required,
                }),
                roles: Some(Roles::ALL),
                plaintext: false,
            }],
            ..Server::default()
        },
        peers: vec![Peer {
            name: "dagobah".into(),
            address: "10.0.0.2:4244".into(),
            tls_server_name: Some("dagobah.default.hubble-grpc.cilium.io".into()),
            outgoing: Outgoing {
                ca: vec!["/etc/sextant/tls/ca.crt".into()],
                pair: Some((
                    "/etc/sextant/tls/client.crt".into(),
                    "/etc/sextant/tls/client.key".into(),
                )),
                token_file: Some("/etc/sextant/dagobah.token".into()),
            },
        }],
        exports: exports(),
        custom: vec![CustomSetting {
            name: "shop_connection_seconds".into(),
            help: "How long connections to the shop last, in seconds".into(),
            kind: CustomKind::Histogram,
            measured: Measured::Duration,
            allow: vec![FlowFilter {
                destination_pod: vec!["shop/".into()],
                ..FlowFilter::default()
            }],
            deny: vec![FlowFilter {
                protocol: vec!["udp".into()],
                ..FlowFilter::default()
            }],
            labels: [
                ("app", "destination.labels[app]"),
                ("namespace", "source.namespace"),
            ]
            .map(|(name, path)| (name.into(), Field::parse(path).expect("a field")))
            .into(),
            buckets: vec![0.01, 0.1, 1.0, 10.0, 100.0],
            max_series: 1000,
            idle: std::time::Duration::from_secs(3600),
        }],
        ..Config::default()
    };
    assert_eq!(read(&uncommented()), Ok(expect));
}

fn exports() -> Exports {
    let outgoing = |name: &str| Outgoing {
        ca: vec![format!("/etc/sextant/tls/{name}-ca.crt").into()],
        pair: Some((
            "/etc/sextant/tls/client.crt".into(),
            "/etc/sextant/tls/client.key".into(),
        )),
        token_file: Some(format!("/etc/sextant/{name}.token").into()),
    };
    let spool = |name: &str| {
        Some(SpoolSetting {
            directory: Path::new("/var/lib/sextant/spool").join(name),
            max_bytes: 256 << 20,
        })
    };
    let http = Setting {
        name: "lake".into(),
        selected: Selected {
            allow: vec![FlowFilter {
                verdict: vec![Verdict::Dropped.into()],
                ..FlowFilter::default()
            }],
            aggregation: aggregation(),
            ..Selected::default()
        },
        target: Target::Http(HttpTarget {
            remote: Remote {
                headers: vec![("x-tenant".into(), "hoth".into())],
                spool: spool("lake"),
                tls_server_name: Some("flows.example".into()),
                outgoing: outgoing("flows"),
                ..Remote::new("https://flows.example:8080/flows".into())
            },
            format: HttpFormat::Lines,
        }),
    };
    let otlp = |signal: Signal, seconds| Setting {
        name: format!("collector/{}", signal.name()),
        selected: Selected {
            aggregation: match signal {
                Signal::Logs => aggregation(),
                Signal::Metrics | Signal::Traces => Aggregation::default(),
            },
            ..Selected::default()
        },
        target: Target::Otlp(OtlpTarget {
            remote: Remote {
                interval: Duration::from_secs(seconds),
                spool: spool(&format!("collector/{}", signal.name()))
                    .filter(|_| signal != Signal::Metrics),
                tls_server_name: Some("collector.example".into()),
                outgoing: outgoing("collector"),
                ..Remote::new("https://collector.example:4317".into())
            },
            protocol: Protocol::Grpc,
            signal,
            spans: SpansOf::default(),
            resource: vec![("deployment.environment.name".into(), "hoth".into())],
        }),
    };
    let of_collector = [
        otlp(Signal::Logs, 1),
        otlp(Signal::Metrics, 60),
        otlp(Signal::Traces, 1),
    ];
    Exports {
        given: [file(), http].into_iter().chain(of_collector).collect(),
        flow_logs: None,
    }
}

fn aggregation() -> Aggregation {
    Aggregation {
        fields: ["source.namespace", "destination.namespace", "verdict"]
            .map(Into::into)
            .into(),
        interval: Duration::from_secs(30),
    }
}

fn file() -> Setting {
    Setting {
        selected: Selected {
            allow: vec![
                FlowFilter {
                    source_pod: vec!["shop/".into()],
                    ..FlowFilter::default()
                },
                FlowFilter {
                    destination_pod: vec!["shop/".into()],
                    ..FlowFilter::default()
                },
            ],
            deny: vec![FlowFilter {
                protocol: vec!["dns".into()],
                ..FlowFilter::default()
            }],
            field_mask: ["time", "uuid", "verdict", "source", "destination", "l4"]
                .map(Into::into)
                .into(),
            aggregation: aggregation(),
            end: None,
        },
        ..Setting::file(
            "flows".into(),
            FileTarget::new("/var/log/sextant/flows.log".into()),
        )
    }
}

#[test]
fn the_example_has_every_key() {
    let mut text = format!("{STRANGER} = 1\n");
    for line in settings() {
        let line = line.replace("workload = {", &format!("workload = {{ {STRANGER} = 1,"));
        text += &format!("{line}\n");
        if line.starts_with('[') {
            text += &format!("{STRANGER} = 1\n");
        }
    }
    let example: Value = toml::from_str(&text).expect("TOML");
    let mistakes = mistakes(&text);
    assert_eq!(mistakes.len(), 27, "one stranger in each section");
    for mistake in mistakes {
        let (at, known) = mistake.split_once("known here: ").expect(&mistake);
        let known: BTreeSet<_> = known.split(", ").chain([STRANGER]).collect();
        let section = at.split(['[', ']']).nth(1).unwrap_or_default();
        let keys = keys_of(&example, section);
        assert_eq!(keys, known, "[{section}] of the example and of the reader");
    }
}

/// The keys of a section, and of the first where there can be many.
fn keys_of<'a>(document: &'a Value, section: &str) -> BTreeSet<&'a str> {
    let names = section.split('.').filter(|name| !name.is_empty());
    let section = names.fold(document, |above, name| match &above[name] {
        Value::Array(sections) => &sections[0],
        section => section,
    });
    let table = section.as_table().expect("a section");
    table.keys().map(String::as_str).collect()
}
