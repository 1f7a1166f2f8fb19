//! How observed interfaces are joined, as the programs need it to count a packet
//! once that passes several: veth pairs, loopbacks, and interfaces stacked on
//! others (bridges, bonds, VLANs, macvlans).
//!
//! Interfaces that are not observed are passed over: what is above one of them
//! is above what is below it. Pure; bound: `STACKED` neighbours on either side.

use std::collections::{BTreeMap, BTreeSet};

use sextant_ebpf_common::{Joints, OWN_NAMESPACE, STACKED, interface_parts};

use super::{Link, Links, Role};

/// The joints of the observed ones of these interfaces, by interface number.
pub(super) fn find(links: &Links, is_observed: impl Fn(&Link) -> bool) -> BTreeMap<u32, Joints> {
    let mut found: BTreeMap<u32, Joints> = BTreeMap::new();
    for link in links.by_index.values().filter(|link| is_observed(link)) {
        let joints = found.entry(link.index).or_default();
        joints.observed = 1;
        joints.peer_namespace = link.peer_namespace.map_or(0, |id| id + 1);
        if link.role == Role::Loopback {
            joints.peer = link.index;
            joints.peer_namespace = OWN_NAMESPACE;
        }
    }
    // A pair is told by either end; the other may be of an older list.
    for link in links.by_index.values().filter(|link| link.kind == VETH) {
        let Some(other) = link.link else { continue };
        for (end, other) in [(link.index, other), (other, link.index)] {
            if let Some(joints) = found.get_mut(&end).filter(|joints| joints.peer == 0) {
                joints.peer = other;
                if interface_parts(end).0 == interface_parts(other).0 {
                    joints.peer_namespace = OWN_NAMESPACE;
                }
            }
        }
    }
    for (lower, upper) in stacked(links) {
        stack(&mut found, lower, upper);
    }
    found
}

/// Kind of an interface whose `link` is the other end of a cable.
const VETH: &str = "veth";

/// Notes that one is above the other, where there is room.
fn stack(found: &mut BTreeMap<u32, Joints>, lower: u32, upper: u32) {
    if !found.contains_key(&lower) || !found.contains_key(&upper) {
        return;
    }
    let place = |places: &mut [u32; STACKED], other| {
        let free = places.iter_mut().find(|place| **place == 0);
        free.map(|place| *place = other).is_some()
    };
    let below = found.get_mut(&lower);
    if below.is_some_and(|joints| place(&mut joints.above, upper)) {
        return;
    }
    let above = found.get_mut(&upper);
    if above.is_some_and(|joints| place(&mut joints.below, lower)) {
        return;
    }
    tracing::debug!(lower, upper, "too many interfaces stacked; counted at both");
}

/// Pairs of lower and upper interface, also across others between them. Direct
/// ones first, since they matter most where there is no room for all.
fn stacked(links: &Links) -> Vec<(u32, u32)> {
    let mut above: BTreeMap<u32, BTreeSet<u32>> = BTreeMap::new();
    let mut add = |lower: u32, upper: u32| {
        above.entry(lower).or_default().insert(upper);
    };
    for link in links.by_index.values() {
        if let Some(master) = link.master {
            add(link.index, master);
        }
        if let Some(lower) = link.link.filter(|_| link.kind != VETH) {
            add(lower, link.index);
        }
    }
    let mut pairs = Vec::new();
    let mut seen = BTreeSet::new();
    let mut next: Vec<(u32, u32)> = Vec::new();
    for (lower, uppers) in &above {
        next.extend(uppers.iter().map(|upper| (*lower, *upper)));
    }
    while !next.is_empty() {
        let level = std::mem::take(&mut next);
        for (lower, upper) in level {
            // Also ends where links name each other in a circle.
            if lower == upper || !seen.insert((lower, upper)) {
                continue;
            }
            pairs.push((lower, upper));
            let higher = above.get(&upper).into_iter().flatten();
            next.extend(higher.map(|higher| (lower, *higher)));
        }
    }
    pairs
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(index: u32, kind: &str, link: Option<u32>, master: Option<u32>) -> Link {
        Link {
            link,
            master,
            ..Link::of_test(index, kind)
        }
    }

    fn links(all: Vec<Link>) -> Links {
        let mut links = Links::default();
        links
            .by_index
            .extend(all.into_iter().map(|link| (link.index, link)));
        links
    }

    #[test]
    fn a_pair_is_known_at_both_ends_when_one_tells_it() {
        let found = find(
            &links(vec![
                link(2, VETH, Some(3), None),
                link(3, VETH, None, None),
            ]),
            |_| true,
        );
        assert_eq!((found[&2].peer, found[&3].peer), (3, 2));
    }

    #[test]
    fn what_is_stacked_is_known_across_what_is_not_observed() {
        let all = links(vec![
            link(1, "", None, None),
            link(2, "vlan", Some(1), Some(3)),
            link(3, "bridge", None, None),
        ]);
        let found = find(&all, |link| link.index != 2);
        assert_eq!(found[&1].above, [3, 0, 0, 0]);
        assert!(!found.contains_key(&2));
        let found = find(&all, |_| true);
        assert_eq!(found[&1].above, [2, 3, 0, 0]);
        assert_eq!(found[&2].above, [3, 0, 0, 0]);
    }

    #[test]
    fn many_interfaces_on_one_are_known_by_themselves() {
        let mut all = vec![link(1, "", None, None)];
        all.extend((2..100).map(|index| link(index, "macvlan", Some(1), None)));
        let found = find(&links(all), |_| true);
        for upper in 2..100 {
            let above = found[&1].above.contains(&upper);
            assert!(above || found[&upper].below[0] == 1, "{upper}");
        }
    }

    #[test]
    fn interfaces_that_name_each_other_are_no_trouble() {
        let all = links(vec![
            link(1, "x", Some(2), None),
            link(2, "x", Some(1), None),
        ]);
        assert_eq!(find(&all, |_| true).len(), 2);
    }
}
