use proptest::prelude::*;

use std::ops::ControlFlow;

use super::{Event, Read, Ring, Room, Run, Stamped};
use crate::flow::{
    Cold, Flow, Time,
    sketch::{Forbidden, Sieve},
};
use sextant_proto::flow as pb;

fn numbered(n: u64) -> Event {
    Event::Flow(Flow {
        time: Some(Time::from_nanos(n as i64)),
        ..Flow::default()
    })
}

/// One that takes `bytes` and a little more.
fn heavy(n: u64, bytes: usize) -> Event {
    let cold = Cold {
        policy_log: vec!["p".repeat(bytes)],
        ..Cold::default()
    };
    Event::Flow(Flow {
        time: Some(Time::from_nanos(n as i64)),
        cold: Some(Box::new(cold)),
        ..Flow::default()
    })
}

fn number(event: &Event) -> u64 {
    event.time().map_or(0, |time| time.as_nanos() as u64)
}

#[test]
fn an_empty_ring_has_nothing_to_read() {
    let (ring, _writer) = Ring::new(4);
    assert!(ring.is_empty());
    assert!(matches!(ring.cursor_at(0).next(number), Read::Empty));
    let back = ring
        .cursor_at(0)
        .run_back(&Sieve::default(), |_| ControlFlow::Continue(()));
    assert_eq!(back, Run::Empty);
}

#[test]
fn only_flows_count_as_seen() {
    let (ring, mut writer) = Ring::new(4);
    let lost = Stamped {
        time: None,
        node_name: String::new(),
        event: pb::LostEvent::default(),
    };
    writer.push([numbered(0), Event::Lost(Box::new(lost))]);
    assert_eq!((ring.len(), ring.seen_flows()), (2, 1));
    ring.mark_loaded();
    writer.push([numbered(1)]);
    assert_eq!((ring.seen_flows(), ring.arrived_flows()), (2, 1));
}

#[test]
fn walking_back_ends_at_the_oldest_readable_event() {
    let (ring, mut writer) = Ring::new(300);
    writer.push((0..1000).map(numbered));
    let mut cursor = ring.cursor_at(ring.next_seq());
    let mut seen = Vec::new();
    let mut look = |event: &Event| {
        seen.push(number(event));
        ControlFlow::Break(())
    };
    while cursor.run_back(&Sieve::default(), &mut look) != Run::Empty {}
    assert_eq!(seen, (700..1000).rev().collect::<Vec<_>>());
}

#[test]
fn a_sieve_holds_back_the_same_flows_in_both_directions_and_no_loss() {
    let lost = Stamped {
        time: Some(Time::from_nanos(999)),
        node_name: String::new(),
        event: pb::LostEvent::default(),
    };
    let verdict = |n: u64| Flow {
        verdict: i32::from(n % 100 == 7),
        time: Some(Time::from_nanos(n as i64)),
        ..Flow::default()
    };
    let (ring, mut writer) = Ring::new(600);
    writer.push((0..999).map(|n| Event::Flow(verdict(n))));
    writer.push([Event::Lost(Box::new(lost))]);
    let mut forbidden = Forbidden::default();
    forbidden.only_verdicts(&[1]);
    let sieve: Sieve = [forbidden].into_iter().collect();
    let wanted = [407, 507, 607, 707, 807, 907, 999];

    let (mut forth, mut back) = (Vec::new(), Vec::new());
    let mut seen = 0;
    let mut cursor = ring.cursor_at(ring.oldest_seq());
    while let Run::Events(count) = cursor.run(&sieve, |_, event| {
        forth.push(number(event));
        ControlFlow::Continue(())
    }) {
        seen += count;
    }
    assert_eq!((forth.as_slice(), seen), (&wanted[..], 600));
    while let Run::Events(count) = cursor.run_back(&sieve, |event| {
        back.push(number(event));
        ControlFlow::Continue(())
    }) {
        seen -= count;
    }
    back.reverse();
    assert_eq!((back.as_slice(), seen), (&wanted[..], 0));
}

#[tokio::test]
async fn readers_are_woken_by_a_batch_and_by_the_end() {
    let (ring, mut writer) = Ring::new(4);
    let mut wake = ring.subscribe();
    writer.push([numbered(1)]);
    assert!(wake.changed().await.is_ok());
}

#[test]
fn large_events_are_overwritten_when_the_bytes_are_full() {
    let room = Room {
        events: 10_000,
        bytes: 8 << 20,
    };
    let (ring, mut writer) = Ring::new(room);
    let mut cursor = ring.cursor_at(0);
    let mut most = 0;
    for n in 0..1000 {
        writer.push([heavy(n, 64 << 10)]);
        most = most.max(ring.bytes());
    }
    assert!(most <= room.bytes, "{most}");
    // Nearly all of the bytes are used, and no event twice or out of order.
    assert!((100..128).contains(&ring.len()), "{}", ring.len());
    assert_eq!(
        (ring.next_seq(), ring.oldest_seq()),
        (1000, 1000 - ring.len())
    );
    assert_eq!(cursor.overtaken(), ring.oldest_seq());
    assert!(matches!(cursor.next(number), Read::Lost(lost) if lost == ring.oldest_seq()));
    for n in ring.oldest_seq()..1000 {
        assert!(matches!(cursor.next(number), Read::Event(read) if read == n));
    }
    assert!(matches!(cursor.next(number), Read::Empty));
    // Small ones fill the places again.
    writer.push((1000..21_000).map(numbered));
    assert!((9_900..=10_000).contains(&ring.len()), "{}", ring.len());
}

#[test]
fn an_event_beyond_all_bytes_is_held_alone_and_what_went_is_lost() {
    let room = Room {
        events: 100,
        bytes: 1 << 20,
    };
    let (ring, mut writer) = Ring::new(room);
    writer.push((0..10).map(numbered));
    writer.push([heavy(10, 4 << 20)]);
    writer.push([numbered(11)]);
    assert_eq!((ring.oldest_seq(), ring.len()), (11, 1));
    writer.shrink_to(0);
    assert_eq!(
        (ring.oldest_seq(), ring.len(), ring.is_empty()),
        (12, 0, true)
    );
    writer.push([numbered(12)]);
    let mut cursor = ring.cursor_at(0);
    assert!(matches!(cursor.next(number), Read::Lost(12)));
    assert!(matches!(cursor.next(number), Read::Event(12)));
}

proptest! {
    /// Whatever the writer and the reader do, each event is either read, in
    /// order, or counted as lost.
    #[test]
    fn no_gap_in_sequence_numbers_without_a_loss(
        capacity in 1_u64..700,
        bytes in prop_oneof![Just(u64::MAX), 200_000_u64..2_000_000],
        steps in prop::collection::vec((0_u64..600, 0_u64..600, 0_u64..20), 1..20),
    ) {
        let (ring, mut writer) = Ring::new(Room { events: capacity, bytes });
        let mut cursor = ring.cursor_at(0);
        let (mut written, mut expected) = (0_u64, 0_u64);
        for (push, read, heavies) in steps {
            writer.push((written..written + push).map(|n| match n % 20 < heavies {
                true => heavy(n, 3000),
                false => numbered(n),
            }));
            written += push;
            for _ in 0..read {
                match cursor.next(number) {
                    Read::Event(n) => {
                        prop_assert_eq!(n, expected);
                        expected += 1;
                    }
                    Read::Lost(n) => expected += n,
                    Read::Empty => {
                        prop_assert_eq!(expected, written);
                        break;
                    }
                }
                prop_assert_eq!(cursor.seq(), expected);
            }
        }
        prop_assert_eq!(ring.oldest_seq() + ring.len(), written);
        if bytes == u64::MAX {
            prop_assert_eq!(ring.len(), written.min(capacity));
        }
    }
}
