use std::sync::Arc;

use arc_swap::ArcSwap;
use sextant_ebpf_common::{Event as Raw, Kind, initiator, point, reason};
use sextant_proto::flow as pb;

use super::{Namespaces, Pipeline, Recorded};
use crate::{
    datapath::{Batch, Link, Links, Lost, Payloads, Role},
    flow::{EndReason, Flow, L4, Origin, proto::endpoint_from},
    identity::{Draft, Identities, Numbers, Provider},
    store::{Event, Read, Ring, Room},
};

const HOST: [u8; 4] = [10, 0, 0, 1];
const OTHER: [u8; 4] = [192, 0, 2, 7];

struct OneAddress;

impl Provider for OneAddress {
    fn contribute(&self, draft: &mut Draft<'_>) {
        draft.host(HOST.into());
    }
}

fn pipeline() -> (Pipeline, Ring) {
    pipeline_with(64.into())
}

fn pipeline_with(room: Room) -> (Pipeline, Ring) {
    let (ring, writer) = Ring::new(room);
    let identities = Identities::new(vec![Box::new(OneAddress)], Numbers::in_memory(), false);
    let mut links = Links::default();
    links.by_index.insert(
        3,
        Link {
            name: "eth3".into(),
            ..Link::of_test(3, "")
        },
    );
    let pipeline = Pipeline::new(
        writer,
        Origin::default(),
        identities.snapshot(),
        Arc::new(ArcSwap::from_pointee(links)),
        Namespaces::new("default".into()),
    );
    (pipeline, ring)
}

/// A TCP packet that leaves this host, whose side is `a` in the key.
fn packet(time_ns: u64) -> Raw {
    let words = |address: [u8; 4]| [u32::from_ne_bytes(address), 0, 0, 0];
    Raw {
        time_ns,
        source: words(HOST),
        destination: words(OTHER),
        source_port: 4000,
        destination_port: 80,
        protocol: 6,
        family: 4,
        tcp_flags: 2,
        point: point(3, true),
        reasons: reason::FIRST,
        initiator: initiator::A,
        packets: [1, 0],
        bytes: [74, 0],
        ..Raw::default()
    }
}

fn flows_of(events: Vec<Raw>) -> Vec<Flow> {
    let (mut pipeline, ring) = pipeline();
    pipeline.observe(&Batch {
        events,
        processes: Vec::new(),
        translations: Vec::new(),
        lost: Lost::default(),
        payloads: Payloads::default(),
        wall_offset_ns: 1_000_000_000,
    });
    stored(&ring)
}

fn stored(ring: &Ring) -> Vec<Flow> {
    let mut cursor = ring.cursor_at(0);
    let mut flows = Vec::new();
    while let Read::Event(flow) = cursor.next(|event| event.as_flow().cloned()) {
        flows.extend(flow);
    }
    flows
}

#[test]
fn what_leaves_the_host_is_egress_and_its_answer_too() {
    let answer = Raw {
        source: packet(0).destination,
        destination: packet(0).source,
        direction: 1,
        point: point(3, false),
        ..packet(2)
    };
    let flows = flows_of(vec![packet(1), answer]);
    for flow in &flows {
        assert_eq!(flow.traffic_direction, pb::TrafficDirection::Egress as i32);
    }
    assert_eq!(
        (flows[0].is_reply, flows[1].is_reply),
        (Some(false), Some(true))
    );
    assert_eq!(flows[0].trace_reason, pb::TraceReason::New as i32);
    assert_eq!(flows[1].trace_reason, pb::TraceReason::Reply as i32);
    assert_eq!(flows[0].source.as_ref().unwrap().identity, 1);
    assert_eq!(flows[0].destination.as_ref().unwrap().identity, 2);
    assert_eq!(flows[0].interface.as_ref().unwrap().name, "eth3");
}

#[test]
fn a_batch_is_stored_in_order_of_time_and_no_two_times_are_equal() {
    let flows = flows_of(vec![packet(30), packet(10), packet(10), packet(20)]);
    let times: Vec<i64> = flows
        .iter()
        .map(|flow| flow.time.unwrap().as_nanos())
        .collect();
    assert_eq!(times, [10, 11, 20, 30].map(|ns| 1_000_000_000 + ns));
}

#[test]
fn a_container_that_no_inventory_knows_has_a_direction() {
    // Interface 4 leads to a container, 3 to the network.
    let (mut pipeline, ring) = pipeline();
    let mut links = Links::clone(&pipeline.links.load());
    let veth = Link {
        index: 4,
        role: Role::Endpoint,
        ..links.by_index[&3].clone()
    };
    links.by_index.insert(4, veth);
    pipeline.links.store(Arc::new(links));
    let out = Raw {
        source: packet(1).destination,
        destination: [u32::from_ne_bytes([192, 0, 2, 9]), 0, 0, 0],
        point: point(4, false),
        owner: [point(4, false), 0],
        ..packet(1)
    };
    let answer = Raw {
        source: out.destination,
        destination: out.source,
        source_port: 80,
        destination_port: 4000,
        direction: 1,
        point: point(3, false),
        owner: [point(4, false), point(3, false)],
        ..packet(2)
    };
    // Of a connection to the container the answer tells.
    let inward = Raw {
        source: out.destination,
        destination: out.source,
        point: point(3, false),
        owner: [point(3, false), point(4, false)],
        ..packet(3)
    };
    pipeline.observe(&Batch {
        events: vec![out, answer, inward],
        processes: Vec::new(),
        translations: Vec::new(),
        lost: Lost::default(),
        payloads: Payloads::default(),
        wall_offset_ns: 1_000_000_000,
    });
    let directions: Vec<i32> = stored(&ring)
        .iter()
        .map(|flow| flow.traffic_direction)
        .collect();
    use pb::TrafficDirection::{Egress, Ingress};
    assert_eq!(directions, [Egress, Egress, Ingress].map(i32::from));
}

#[test]
fn a_late_event_is_stamped_after_the_one_before_but_a_clock_set_back_is_followed() {
    let (mut pipeline, ring) = pipeline();
    for (time_ns, wall_offset_ns) in [
        (5_000_000_000, 0),
        (4_999_999_000, 0),
        (6_000_000_000, -4_000_000_000),
    ] {
        pipeline.observe(&Batch {
            events: vec![packet(time_ns)],
            processes: Vec::new(),
            translations: Vec::new(),
            lost: Lost::default(),
            payloads: Payloads::default(),
            wall_offset_ns,
        });
    }
    let times: Vec<i64> = stored(&ring)
        .iter()
        .map(|flow| flow.time.unwrap().as_nanos())
        .collect();
    assert_eq!(times, [5_000_000_000, 5_000_000_001, 2_000_000_000]);
}

#[test]
fn totals_are_the_initiators_even_if_it_is_the_higher_side() {
    let ended = Raw {
        kind: Kind::Ended as u8,
        direction: 1,
        initiator: initiator::B | initiator::GUESSED,
        packets: [3, 5],
        bytes: [300, 500],
        tcp_flags_seen: 0x0001_0001,
        first_ns: 10,
        last_ns: 50,
        ..packet(100)
    };
    let flows = flows_of(vec![ended]);
    let counters = flows[0].counters.as_ref().unwrap();
    assert_eq!((counters.forward.packets, counters.reverse.bytes), (5, 300));
    assert_eq!(counters.end, Some(EndReason::Fin));
    assert_eq!(counters.duration_ns, 40);
    assert!(counters.initiator_guessed);
    assert_eq!(
        flows[0].summary.to_text(&flows[0]),
        "TCP; ended (fin): 5+3 packets, 500+300 bytes"
    );
}

#[test]
fn a_drop_says_why_and_leaves_open_whether_it_is_a_reply() {
    let (mut pipeline, ring) = pipeline();
    pipeline.drop_reasons = Arc::new([(8, "NETFILTER_DROP".to_owned())].into());
    let drop = |drop_reason| Raw {
        kind: Kind::Dropped as u8,
        drop_reason,
        drops: 7,
        l4_len: 16,
        ..packet(1)
    };
    pipeline.observe(&Batch {
        events: vec![drop(8), drop(9)],
        processes: Vec::new(),
        translations: Vec::new(),
        lost: Lost::default(),
        payloads: Payloads::default(),
        wall_offset_ns: 0,
    });
    let flows = stored(&ring);
    assert_eq!(flows[0].verdict, pb::Verdict::Dropped as i32);
    assert_eq!(flows[0].is_reply, None);
    assert_eq!(
        (flows[0].drop_reason, flows[0].drop_reason_desc),
        (133, 133)
    );
    assert_eq!(flows[0].event_type.unwrap().kind, 1);
    assert_eq!(
        flows[0].summary.to_text(&flows[0]),
        "TCP Flags: SYN; 7 drops"
    );
    // A reason that this kernel does not name keeps its number.
    let unnamed = flows[1]
        .counters
        .as_ref()
        .unwrap()
        .kernel_drop_reason
        .as_deref();
    assert_eq!(unnamed.map(String::as_str), Some("9"));
}

#[test]
fn a_flow_of_which_nothing_got_through_ends_as_dropped() {
    let (mut pipeline, ring) = pipeline();
    pipeline.drop_reasons = Arc::new([(8, "NETFILTER_DROP".to_owned())].into());
    let ended = |packets, dropped| Raw {
        kind: Kind::Ended as u8,
        packets,
        dropped,
        drop_reason: 8,
        ..packet(1)
    };
    let cases = [
        ([100, 0], [100, 0], pb::Verdict::Dropped),
        ([3, 2], [3, 2], pb::Verdict::Dropped),
        // One packet, or the answers, got through.
        ([100, 0], [99, 0], pb::Verdict::Forwarded),
        ([1, 1], [1, 0], pb::Verdict::Forwarded),
        ([1, 1], [0, 1], pb::Verdict::Forwarded),
        ([0, 0], [0, 0], pb::Verdict::Forwarded),
    ];
    pipeline.observe(&Batch {
        events: cases
            .map(|(packets, dropped, _)| ended(packets, dropped))
            .into(),
        processes: Vec::new(),
        translations: Vec::new(),
        lost: Lost::default(),
        payloads: Payloads::default(),
        wall_offset_ns: 0,
    });
    let flows = stored(&ring);
    for (flow, (packets, dropped, verdict)) in flows.iter().zip(cases) {
        assert_eq!(flow.verdict, verdict as i32, "{packets:?} {dropped:?}");
        let is_dropped = verdict == pb::Verdict::Dropped;
        assert_eq!(flow.drop_reason_desc, if is_dropped { 133 } else { 0 });
        let counters = flow.counters.as_ref().unwrap();
        assert_eq!(counters.forward.packets, packets[0]);
        assert_eq!(counters.reverse.dropped, u64::from(dropped[1]));
    }
    assert_eq!(
        flows[1].summary.to_text(&flows[1]),
        "TCP; ended (idle): 3+2 packets, 74+0 bytes, 3+2 packets dropped"
    );
}

#[test]
fn a_dropped_packet_that_was_cut_tells_no_header_that_it_had_not() {
    let drop = |protocol, l4_len| Raw {
        kind: Kind::Dropped as u8,
        drops: 1,
        protocol,
        l4_len,
        ..packet(1)
    };
    let cut = [(6, 0), (6, 13), (17, 3), (1, 1), (2, 0), (112, 2), (132, 4)];
    let flows = flows_of(cut.map(|(protocol, length)| drop(protocol, length)).into());
    let told: Vec<Option<L4>> = flows.into_iter().map(|flow| flow.l4).collect();
    let other = |protocol| Some(L4::Other { protocol });
    let (source_port, destination_port) = (4000, 80);
    let tcp = L4::Tcp {
        source_port,
        destination_port,
        flags: None,
    };
    let sctp = L4::Sctp {
        source_port,
        destination_port,
        chunk_type: 0,
    };
    assert_eq!(
        told,
        [
            other(6),
            Some(tcp),
            other(17),
            other(1),
            other(2),
            other(112),
            Some(sctp)
        ]
    );
}

#[test]
fn losses_in_the_kernel_are_events_for_everyone() {
    let (mut pipeline, ring) = pipeline();
    pipeline.observe(&Batch {
        processes: Vec::new(),
        translations: Vec::new(),
        events: vec![packet(1)],
        payloads: Payloads::default(),
        lost: Lost {
            kernel: 12,
            ends: 0,
        },
        wall_offset_ns: 0,
    });
    let mut cursor = ring.cursor_at(1);
    let Read::Event(lost) = cursor.next(|event| match event {
        Event::Lost(lost) => Some((lost.event.source(), lost.event.num_events_lost)),
        _ => None,
    }) else {
        panic!("no second event");
    };
    assert_eq!(lost, Some((pb::LostEventSource::PerfEventRingBuffer, 12)));
}

#[test]
fn a_protocol_without_a_field_is_told_by_number_and_name() {
    let gre = Raw {
        source_port: 0,
        destination_port: 0,
        tcp_flags: 0,
        protocol: 47,
        ..packet(1)
    };
    let flow = &flows_of(vec![gre])[0];
    assert_eq!(flow.l4, Some(L4::Other { protocol: 47 }));
    assert_eq!(flow.summary.to_text(flow), "GRE, protocol 47");
}

#[test]
fn recorded_flows_of_ever_new_names_stay_within_the_stores_bytes() {
    let room = Room {
        events: 1_000_000,
        bytes: 8 << 20,
    };
    let (mut pipeline, ring) = pipeline_with(room);
    let flow = |n: u32| pb::Flow {
        node_name: format!("node-{n}"),
        source_names: vec![format!("host-{n}.example")],
        ..pb::Flow::default()
    };
    let mut most = 0;
    for batch in 0..1000 {
        pipeline.record(batch * 64..batch * 64 + 64, |n, interners| Recorded {
            flow: flow(n),
            source: Some(endpoint_from(
                pb::Endpoint {
                    pod_name: format!("pod-{n}"),
                    labels: vec![format!("k8s:l={n}"); 8],
                    ..pb::Endpoint::default()
                },
                interners,
            )),
            destination: None,
        });
        most = most.max(ring.bytes() + pipeline.stored().values().shared_bytes);
    }
    assert!(most <= room.bytes, "{most}");
    assert!((1000..10_000).contains(&ring.len()), "{}", ring.len());
    assert_eq!(ring.oldest_seq() + ring.len(), 64_000);
}
