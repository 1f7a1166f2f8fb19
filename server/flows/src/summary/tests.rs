use std::collections::BTreeMap;

use proptest::prelude::*;
use sextant_proto::{
    flow as pb,
    sextant::flow::v1::{FlowField, SummaryOrder},
};

use super::{Counts, Hints, Tally, Window};
use crate::flow::{
    Counters, DirectionCounters, EndReason, Endpoint, Flow, Interned, Interners, Ip, L4, Origin,
    Time, proto,
};

const WINDOW: Window = Window {
    noted_from: seconds(90),
    since: seconds(100),
    until: seconds(160),
};

const fn seconds(seconds: i64) -> Time {
    Time { seconds, nanos: 0 }
}

/// An event at `at` s of a flow to `port` that began at `start` s.
fn event(at: i64, start: i64, port: u32, packets: u64) -> Flow {
    Flow {
        time: Some(seconds(at)),
        verdict: pb::Verdict::Forwarded.into(),
        ip: Some(Ip {
            source: std::net::IpAddr::from([10, 0, 0, 1]).into(),
            destination: std::net::IpAddr::from([10, 0, 0, 2]).into(),
            version: 1,
            encrypted: false,
        }),
        l4: Some(L4::Udp {
            source_port: 5000,
            destination_port: port,
        }),
        counters: Some(Box::new(Counters {
            forward: DirectionCounters {
                packets,
                bytes: packets * 100,
                tcp_flags: 0,
                dropped: 0,
            },
            duration_ns: (at - start) as u64 * 1_000_000_000,
            ..Counters::default()
        })),
        // One node for all.
        origin: Interned::default(),
        ..Flow::default()
    }
}

fn ended(mut flow: Flow, end: EndReason) -> Flow {
    flow.counters.as_mut().unwrap().end = Some(end);
    flow
}

/// Flow events, packets, bytes and drops over the window.
fn total(mut flows: Vec<Flow>) -> (u64, u64, u64, u64) {
    let origin: Interned<Origin> = Interned::default();
    let mut tally = Tally::new(WINDOW, &[]);
    for flow in &mut flows {
        flow.origin = origin.clone();
        tally.see(flow);
    }
    let Counts {
        flows,
        packets,
        bytes,
        drops,
    } = tally.finish(10, SummaryOrder::Bytes).total;
    (flows, packets, bytes, drops)
}

#[test]
fn a_packet_counts_once_however_many_events_tell_of_it() {
    let began_inside = vec![event(110, 110, 1, 1), event(115, 110, 1, 8)];
    assert_eq!(total(began_inside), (2, 8, 800, 0));
    let began_before = vec![event(95, 50, 1, 40), event(101, 50, 1, 45)];
    assert_eq!(total(began_before), (1, 5, 500, 0));
    let not_noted = vec![event(101, 50, 1, 45), event(106, 50, 1, 48)];
    assert_eq!(total(not_noted), (2, 3, 300, 0));
    let ports_used_again = vec![event(110, 110, 1, 9), event(120, 120, 1, 2)];
    assert_eq!(total(ports_used_again), (2, 11, 1100, 0));
    let outside = vec![event(89, 89, 1, 1), event(161, 161, 1, 1)];
    assert_eq!(total(outside), (0, 0, 0, 0));
    let mut back = event(115, 110, 1, 3);
    let ip = back.ip.as_mut().unwrap();
    std::mem::swap(&mut ip.source, &mut ip.destination);
    back.l4 = Some(L4::Udp {
        source_port: 1,
        destination_port: 5000,
    });
    let both_ways = vec![event(110, 110, 1, 1), back];
    assert_eq!(total(both_ways), (2, 3, 300, 0));
}

#[test]
fn the_end_of_a_flow_counts_what_was_not_told_before() {
    let closed = vec![
        event(110, 110, 1, 1),
        ended(event(112, 110, 1, 7), EndReason::Fin),
    ];
    assert_eq!(total(closed), (2, 7, 700, 0));
    // Its packets are as old as the silence that ended it.
    let silent_for_long = vec![ended(event(130, 130, 1, 7), EndReason::Idle)];
    assert_eq!(total(silent_for_long), (1, 0, 0, 0));
    let silent_inside = vec![
        event(101, 101, 1, 1),
        ended(event(159, 159, 1, 1), EndReason::Idle),
    ];
    assert_eq!(total(silent_inside), (2, 1, 100, 0));
}

#[test]
fn drops_count_as_drops_alone() {
    let dropped = |drops, reason: Option<&str>| {
        let mut flow = event(110, 110, 1, 5);
        flow.verdict = pb::Verdict::Dropped.into();
        let counters = flow.counters.as_mut().unwrap();
        counters.drops = drops;
        counters.kernel_drop_reason = reason.map(|reason| reason.to_owned().into());
        flow
    };
    let drops = vec![dropped(7, Some("NO_SOCKET")), dropped(0, None)];
    assert_eq!(total(drops), (2, 0, 0, 8));
    let replayed = Flow {
        counters: None,
        ..dropped(0, None)
    };
    assert_eq!(total(vec![replayed]), (1, 0, 0, 1));
}

#[test]
fn a_flow_of_which_nothing_got_through_is_not_forwarded() {
    let mut end = ended(event(112, 110, 1, 100), EndReason::Idle);
    end.verdict = pb::Verdict::Dropped.into();
    let counters = end.counters.as_mut().unwrap();
    counters.kernel_drop_reason = Some(String::from("NETFILTER_DROP").into());
    counters.forward.dropped = 100;
    // Events of its packets came before anybody knew.
    let flows = vec![event(110, 110, 1, 1), event(111, 110, 1, 60), end];
    let mut interners = Interners::default();
    let back: Vec<Flow> = flows
        .iter()
        .map(|flow| proto::from_proto(proto::to_proto(flow), &mut interners))
        .collect();
    for mut flows in [flows, back] {
        let origin: Interned<Origin> = Interned::default();
        let mut tally = Tally::new(WINDOW, &[FlowField::Verdict]);
        for flow in &mut flows {
            flow.origin = origin.clone();
            tally.see(flow);
        }
        let summary = tally.finish(10, SummaryOrder::Bytes);
        assert_eq!((summary.total.packets, summary.total.bytes), (100, 10_000));
        let groups: BTreeMap<&str, (u64, u64)> = summary
            .groups
            .iter()
            .map(|group| {
                let counts = (group.counts.packets, group.counts.bytes);
                (group.values[0].as_str(), counts)
            })
            .collect();
        let expected = [("DROPPED", (100, 10_000)), ("FORWARDED", (0, 0))];
        assert_eq!(groups, BTreeMap::from(expected));
    }
}

#[test]
fn a_flow_that_came_back_from_protobuf_counts_the_same() {
    let mut dropped = event(130, 130, 2, 1);
    dropped.verdict = pb::Verdict::Dropped.into();
    let counters = dropped.counters.as_mut().unwrap();
    counters.kernel_drop_reason = Some(String::from("NO_SOCKET").into());
    counters.drops = 3;
    let flows = vec![
        event(95, 50, 1, 40),
        event(101, 50, 1, 45),
        ended(event(140, 140, 3, 9), EndReason::Idle),
        dropped,
    ];
    let mut interners = Interners::default();
    let back: Vec<Flow> = flows
        .iter()
        .map(|flow| proto::from_proto(proto::to_proto(flow), &mut interners))
        .collect();
    assert!(back.iter().all(|flow| flow.counters.is_none()));
    assert_eq!(total(flows), (3, 5, 500, 3));
    assert_eq!(total(back), (3, 5, 500, 3));
}

#[test]
fn extensions_that_are_no_struct_are_passed_over() {
    for value in [vec![0xff; 20], vec![0x0a, 0x7f], vec![]] {
        let mut flow = event(110, 110, 1, 1);
        flow.cold_mut().extensions = Some(Box::new(prost_types::Any {
            type_url: "type.googleapis.com/google.protobuf.Struct".into(),
            value,
        }));
        assert_eq!(total(vec![flow]), (1, 0, 0, 0));
    }
}

#[test]
fn hints_are_sorted_counted_and_cut() {
    let mut hints = Hints::new(FlowField::DestinationLabel);
    for (labels, times) in [(vec!["app=a", "app=b"], 2), (vec!["app=b", "x=y"], 3)] {
        let endpoint = Interned::from(Endpoint {
            labels: labels.into_iter().map(Into::into).collect(),
            ..Endpoint::default()
        });
        for _ in 0..times {
            hints.see(&Flow {
                destination: Some(endpoint.clone()),
                ..event(110, 110, 1, 1)
            });
        }
    }
    hints.see(&event(110, 110, 1, 1));
    let (values, count) = hints.finish("app=", 1);
    assert_eq!((values, count), (vec![("app=b".into(), 5)], 2));
}

proptest! {
    /// Groups are what counting by rendered texts gives, and with the others
    /// they add up to the total.
    #[test]
    fn groups_are_those_of_a_naive_count(
        events in prop::collection::vec((100_i64..160, 0_u32..4, 0_i32..4, 1_u64..9), 0..60),
        limit in 0_usize..6,
    ) {
        let fields = [FlowField::DestinationPort, FlowField::Verdict];
        let mut tally = Tally::new(WINDOW, &fields);
        let mut naive: BTreeMap<Vec<String>, Counts> = BTreeMap::new();
        for (number, (at, port, verdict, packets)) in events.iter().enumerate() {
            let mut flow = event(*at, *at, *port, *packets);
            flow.verdict = *verdict;
            flow.l4 = Some(L4::Udp { source_port: 6000 + number as u32, destination_port: *port });
            tally.see(&flow);
            let name = pb::Verdict::try_from(*verdict).unwrap().as_str_name();
            let group = naive.entry(vec![port.to_string(), name.into()]).or_default();
            let dropped = name == "DROPPED";
            group.add(&Counts {
                flows: 1,
                packets: if dropped { 0 } else { *packets },
                bytes: if dropped { 0 } else { packets * 100 },
                drops: u64::from(dropped),
            });
        }
        let summary = tally.finish(limit, SummaryOrder::Packets);
        prop_assert_eq!(summary.group_count, naive.len() as u64);
        prop_assert_eq!(summary.groups.len(), limit.min(naive.len()));
        let mut sum = summary.others;
        for group in &summary.groups {
            prop_assert_eq!(Some(&group.counts), naive.get(&group.values));
            sum.add(&group.counts);
        }
        prop_assert_eq!(sum, summary.total);
        let mut sizes: Vec<u64> = naive.values().map(|counts| counts.packets).collect();
        sizes.sort_unstable_by(|a, b| b.cmp(a));
        let given: Vec<u64> = summary.groups.iter().map(|group| group.counts.packets).collect();
        prop_assert_eq!(&given[..], &sizes[..given.len()]);
    }
}
