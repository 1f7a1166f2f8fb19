use super::*;
use crate::flow::Uuid;

#[test]
fn a_sketch_has_one_bit_of_each_group() {
    let fields = [VERDICT, L7, TRANSPORT, DIRECTION, REPLY, UUID];
    let ports = [SOURCE_PORT, DESTINATION_PORT];
    let networks = [SOURCE_NETWORK, DESTINATION_NETWORK];
    let always = [&fields[..], &SOURCE, &DESTINATION, &ports].concat();
    let groups = [&always[..], &networks].concat();
    let names = NAMELESS_SOURCE | NAMELESS_DESTINATION;
    let all = groups.iter().fold(names, |all, group| {
        assert_eq!(all & group.all(), 0, "{group:?} overlaps");
        all | group.all()
    });
    assert_eq!(all, u128::MAX);
    for verdict in [-1, 0, 7, 8, i32::MAX] {
        let flow = Flow {
            verdict,
            ..Flow::default()
        };
        let sketch = Sketch::of(&flow).0;
        assert!(always.iter().all(|g| (sketch & g.all()).count_ones() == 1));
        assert!(networks.iter().all(|g| sketch & g.all() == 0));
        assert_eq!(sketch & names, names);
    }
}

#[test]
fn ids_spread_over_the_bits_of_their_group() {
    let mut counts = [0_u32; 128];
    for n in 0..10_000_u128 {
        let uuid = Uuid::Binary(((n << 64) | (n * n)).to_be_bytes());
        counts[UUID.bit_of(&uuid).trailing_zeros() as usize] += 1;
    }
    let used = &counts[UUID.first as usize..][..UUID.len as usize];
    assert!(used.iter().all(|n| (500..950).contains(n)), "{used:?}");
}

#[test]
fn what_is_forbidden_is_held_back_and_the_rest_passes() {
    let dropped = Flow {
        verdict: 2,
        ..Flow::default()
    };
    let mut only_dropped = Forbidden::default();
    only_dropped.only_verdicts(&[2]);
    let sieve: Sieve = [only_dropped].into_iter().collect();
    assert!(sieve.lets_pass(Sketch::of(&dropped)));
    assert!(!sieve.lets_pass(Sketch::of(&Flow::default())));
    assert!(sieve.lets_pass(Sketch::NOTHING));
    let open: Sieve = [only_dropped, Forbidden::default()].into_iter().collect();
    assert!(open.is_open() && open.lets_pass(Sketch::of(&Flow::default())));
}

#[test]
fn ports_spread_over_the_bits_of_their_group() {
    let mut counts = [0_u32; 128];
    for port in 0..=u16::MAX {
        counts[SOURCE_PORT.bit_of(&port).trailing_zeros() as usize] += 1;
    }
    let used = &counts[SOURCE_PORT.first as usize..][..SOURCE_PORT.len as usize];
    assert!(used.iter().all(|n| (3500..6000).contains(n)), "{used:?}");
}
