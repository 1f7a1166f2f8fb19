mod pages;

use std::{collections::BTreeMap, sync::LazyLock};

use proptest::prelude::*;
use sextant_proto::{
    flow as pb,
    sextant::flow::v1::{FlowField, SummaryOrder},
};

use super::{Counts, Hints, Tally, Window};
use crate::flow::{
    Counters, DirectionCounters, EndReason, Endpoint, EventType, Figures, Flow, Interned,
    Interners, Ip, L4, Origin, TcpQuality, Time, proto,
};

const WINDOW: Window = Window {
    noted_from: seconds(90),
    since: seconds(100),
    until: seconds(160),
};

/// One node for all: flows of two that are not there at once might pass for those of one.
static NODE: LazyLock<Interned<Origin>> = LazyLock::new(Interned::default);

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
        origin: NODE.clone(),
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
        ..
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
fn a_segment_that_was_sent_again_counts_once_also_where_not_each_event_tells() {
    let told = |at, packets, figures: Option<[u32; 2]>| {
        let mut flow = event(at, 110, 1, packets);
        let side = |retrans| {
            Some(Figures {
                retrans,
                ..Figures::default()
            })
        };
        flow.counters.as_mut().unwrap().tcp = figures.map(|both| {
            Box::new(TcpQuality {
                figures: both.map(side),
                ..TcpQuality::default()
            })
        });
        flow
    };
    let mut own = [
        told(110, 1, Some([0, 2])),
        told(111, 5, None),
        told(112, 9, Some([4, 3])),
        ended(told(113, 9, Some([4, 3])), EndReason::Fin),
    ];
    let origin: Interned<Origin> = Interned::default();
    for flow in &mut own {
        flow.origin = origin.clone();
    }
    let mut interners = Interners::default();
    let replayed = own
        .iter()
        .map(|flow| proto::from_proto(proto::to_proto(flow), &mut interners));
    let replayed: Vec<Flow> = replayed.collect();
    for flows in [own.to_vec(), replayed] {
        let mut tally = Tally::new(WINDOW, &[FlowField::DestinationPort]);
        flows.iter().for_each(|flow| tally.see(flow));
        let summary = tally.finish(10, SummaryOrder::Retransmissions);
        assert_eq!(summary.total.retransmissions, 7);
        assert_eq!(summary.groups[0].counts.retransmissions, 7);
    }
}

/// What a policy says of the packet of an event.
fn policy_verdict(mut flow: Flow) -> Flow {
    let counters = flow.counters.as_mut().unwrap();
    counters.forward = DirectionCounters::default();
    counters.reverse = DirectionCounters::default();
    flow.event_type = Some(EventType {
        kind: 5,
        sub_type: 0,
    });
    flow
}

#[test]
fn a_verdict_of_a_policy_in_the_middle_makes_nothing_count_twice() {
    let flows = vec![
        event(110, 110, 80, 10),
        policy_verdict(event(112, 110, 80, 11)),
        event(115, 110, 80, 12),
    ];
    assert_eq!(total(flows), (3, 12, 1200, 0));
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
    // What a policy says of a packet is not one more.
    let verdict = policy_verdict(dropped(1, None));
    assert_eq!(total(vec![verdict, dropped(1, None)]), (2, 0, 0, 1));
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
                retransmissions: 0,
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

fn reply(mut flow: Flow, is_reply: Option<bool>) -> Flow {
    let ip = flow.ip.as_mut().unwrap();
    std::mem::swap(&mut ip.source, &mut ip.destination);
    if let Some(L4::Udp {
        source_port,
        destination_port,
    }) = &mut flow.l4
    {
        std::mem::swap(source_port, destination_port);
    }
    flow.is_reply = is_reply;
    flow
}

#[test]
fn replies_are_in_the_group_of_their_client_and_server() {
    let fields = [
        FlowField::ClientIp,
        FlowField::ServerIp,
        FlowField::ServerPort,
    ];
    let check = |flows: &[Flow], values: &[&str]| {
        let mut tally = Tally::new(WINDOW, &fields);
        flows.iter().for_each(|flow| tally.see(flow));
        let groups = tally.finish(10, SummaryOrder::Bytes).groups;
        assert_eq!(groups.len(), 1, "{groups:?}");
        assert_eq!(
            (&*groups[0].values, groups[0].counts.flows),
            (&values.map_owned()[..], 2)
        );
    };
    let request = |port, is_reply| Flow {
        is_reply,
        ..event(110, 110, port, 1)
    };
    let here = ["10.0.0.1", "10.0.0.2"];
    for port in [53, 9000] {
        let told = [
            request(port, Some(false)),
            reply(request(port, None), Some(true)),
        ];
        check(&told, &[here[0], here[1], &port.to_string()]);
    }
    // Not told: the lower port is the server's.
    check(
        &[request(53, None), reply(request(53, None), None)],
        &[here[0], here[1], "53"],
    );
    check(
        &[request(9000, None), reply(request(9000, None), None)],
        &[here[1], here[0], "5000"],
    );
}

/// Texts as values have them.
trait MapOwned {
    fn map_owned(&self) -> Vec<String>;
}

impl MapOwned for [&str] {
    fn map_owned(&self) -> Vec<String> {
        self.iter().map(|text| (*text).to_owned()).collect()
    }
}

#[test]
fn parts_of_the_window_add_up_and_groups_tell_when_they_were_seen() {
    let mut tally = Tally::with_buckets(
        WINDOW,
        &[FlowField::DestinationPort],
        std::time::Duration::from_secs(25),
    );
    // The window is 100 to 160: the parts begin at 100, 125 and 150.
    for (at, port) in [(124, 1), (100, 1), (150, 1), (160, 2), (125, 1), (99, 1)] {
        tally.see(&event(at, at, port, 1));
    }
    let summary = tally.finish(10, SummaryOrder::Bytes);
    let flows = |buckets: &[Counts]| -> Vec<u64> { buckets.iter().map(|c| c.flows).collect() };
    assert_eq!(flows(&summary.buckets), [2, 1, 2]);
    let [one, two] = &summary.groups[..] else {
        panic!("{:?}", summary.groups);
    };
    assert_eq!(
        (flows(&one.buckets), flows(&two.buckets)),
        (vec![2, 1, 1], vec![0, 0, 1])
    );
    assert_eq!((one.first, one.last), (seconds(100), seconds(150)));
    assert_eq!((two.first, two.last), (seconds(160), seconds(160)));
}

#[test]
fn a_window_of_all_time_does_not_overflow() {
    let window = Window {
        noted_from: seconds(i64::MIN),
        since: seconds(-62_135_596_800),
        until: seconds(253_402_300_799),
    };
    let century = std::time::Duration::from_secs(3_153_600_000);
    let mut tally = Tally::with_buckets(window, &[], century);
    tally.see(&event(110, 110, 1, 1));
    let summary = tally.finish(10, SummaryOrder::Bytes);
    assert_eq!(summary.total.flows, 1);
    assert_eq!(
        summary
            .buckets
            .iter()
            .map(|counts| counts.flows)
            .sum::<u64>(),
        1
    );
}
