//! Fixed input for benchmarks and for the counting of instructions.
#![expect(clippy::unwrap_used, reason = "fixed input")]

use std::{net::IpAddr, sync::Arc};

use arc_swap::ArcSwap;
use sextant_ebpf_common::{Event as Raw, initiator, point, reason};
use sextant_proto::flow as pb;
use sextantd::{
    datapath::{Batch, Layer, Link, Links, Lost, Payloads, Role},
    flow::{Endpoint, Flow, Origin},
    identity::{Draft, Identities, Numbers, Provider},
    pipeline::{Namespaces, Pipeline},
    store::{Read, Ring, RingWriter},
};

/// Endpoints of the inventory.
const ENDPOINTS: u8 = 50;

/// A host with endpoints that have labels.
struct Inventory;

impl Provider for Inventory {
    fn contribute(&self, draft: &mut Draft<'_>) {
        for n in 0..ENDPOINTS {
            let labels = vec![
                format!("k8s:app=app-{}", n % 10),
                "k8s:io.kubernetes.pod.namespace=shop".to_owned(),
                format!("k8s:tier={}", n % 3),
            ];
            let endpoint = Endpoint {
                identity: draft.number(&labels),
                namespace: "shop".into(),
                pod_name: format!("app-{n}"),
                labels,
                ..Endpoint::default()
            };
            draft.address(IpAddr::from([10, 0, 0, n]), endpoint);
        }
    }
}

/// A pipeline into a store of this size.
pub(crate) fn pipeline(capacity: u64) -> Pipeline {
    pipeline_into(Ring::new(capacity).1)
}

fn pipeline_into(writer: RingWriter) -> Pipeline {
    let identities = Identities::new(vec![Box::new(Inventory)], Numbers::in_memory(), false);
    let mut links = Links::default();
    for index in 2..6 {
        let link = Link {
            index,
            name: format!("veth{index}"),
            layer: Layer::Ethernet,
            role: Role::Endpoint,
            up: true,
            kind: "veth".into(),
            namespace: None,
            birth: 0,
            link: None,
            master: None,
            peer_namespace: None,
            vlan: None,
        };
        links.by_index.insert(index, link);
    }
    Pipeline::new(
        writer,
        Origin {
            node_name: "node-a".into(),
            emitter: Some(("Sextant".into(), "0.1.0".into())),
            ..Origin::default()
        },
        identities.snapshot(),
        Arc::new(ArcSwap::from_pointee(links)),
        Namespaces::new("default".into()),
    )
}

/// Events of TCP connections between the endpoints and the world.
pub(crate) fn batch(events: u64) -> Batch {
    Batch {
        events: (0..events).map(raw).collect(),
        processes: Vec::new(),
        translations: Vec::new(),
        lost: Lost::default(),
        payloads: Payloads::default(),
        wall_offset_ns: 1_700_000_000_000_000_000,
    }
}

fn raw(n: u64) -> Raw {
    let words = |address: [u8; 4]| [u32::from_ne_bytes(address), 0, 0, 0];
    let interface = 2 + (n % 4) as u32;
    Raw {
        time_ns: n * 1000,
        source: words([10, 0, 0, (n % u64::from(ENDPOINTS)) as u8]),
        destination: words([198, 51, (n >> 8) as u8, n as u8]),
        source_port: 30_000 + (n % 20_000) as u16,
        destination_port: 443,
        protocol: 6,
        family: 4,
        tcp_flags: 2,
        tcp_flags_seen: 2,
        mac: [2; 12],
        point: point(interface, false),
        owner: [point(interface, false), 0],
        points: [point(5, true), 0, 0, 0, 0],
        reasons: reason::FIRST | reason::TCP_FLAGS,
        initiator: initiator::A,
        packets: [1, 0],
        bytes: [74, 0],
        ..Raw::default()
    }
}

/// The same as flows.
pub(crate) fn flows(count: u64) -> Vec<Flow> {
    let (ring, writer) = Ring::new(count);
    pipeline_into(writer).observe(&batch(count));
    let mut cursor = ring.cursor_at(0);
    let mut flows = Vec::new();
    while let Read::Event(flow) = cursor.next(|event| event.as_flow().cloned()) {
        flows.extend(flow);
    }
    flows
}

/// Filters that few flows match, by name.
pub(crate) fn filters() -> Vec<(&'static str, pb::FlowFilter)> {
    let filter = pb::FlowFilter::default;
    vec![
        (
            "port",
            pb::FlowFilter {
                source_port: vec!["31000".into()],
                ..filter()
            },
        ),
        (
            "CIDR",
            pb::FlowFilter {
                destination_ip: vec!["198.51.3.0/24".into()],
                ..filter()
            },
        ),
        (
            "pod",
            pb::FlowFilter {
                source_pod: vec!["shop/app-7".into()],
                ..filter()
            },
        ),
        (
            "label",
            pb::FlowFilter {
                source_label: vec!["app in (app-1, app-2), tier != 0".into()],
                ..filter()
            },
        ),
    ]
}

/// What the CLI asks for by default.
pub(crate) fn cli_mask() -> Vec<String> {
    [
        "time",
        "source.identity",
        "source.namespace",
        "source.pod_name",
        "destination.identity",
        "destination.namespace",
        "destination.pod_name",
        "verdict",
        "IP",
        "l4",
        "ethernet",
        "Type",
        "node_name",
        "event_type",
        "is_reply",
        "Summary",
        "traffic_direction",
    ]
    .map(str::to_owned)
    .into()
}

/// A TCP SYN from 10.0.0.1:40000 to 10.0.0.2:443, in Ethernet.
pub(crate) fn frame() -> Vec<u8> {
    let hex = "020000000001020000000002080045000028000100004006\
               00000a0000010a0000029c4001bb0000000000000000500203e800000000";
    (0..hex.len())
        .step_by(2)
        .map(|at| u8::from_str_radix(&hex[at..at + 2], 16).unwrap())
        .collect()
}
