//! Where peers are: addresses as ranges of one class each. Endpoints that are known by
//! address come first, by the longest prefix; the others are outside.

use std::{
    collections::hash_map::RandomState,
    hash::BuildHasher as _,
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use ipnet::IpNet;
use rustc_hash::FxHashMap;

use super::{TooLarge, classes::Classes, peers::Lists};
use crate::endpoint::Endpoint;

/// A family of addresses, which are numbers here.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Family {
    V4,
    V6,
}

/// From the first to the last, both included.
type Interval = (u128, u128);

impl Family {
    fn last(self) -> u128 {
        match self {
            Self::V4 => u128::from(u32::MAX),
            Self::V6 => u128::MAX,
        }
    }

    fn anybody(self) -> IpAddr {
        match self {
            Self::V4 => Ipv4Addr::UNSPECIFIED.into(),
            Self::V6 => Ipv6Addr::UNSPECIFIED.into(),
        }
    }

    /// A network of this family.
    fn interval(self, net: &IpNet) -> Option<Interval> {
        match (self, net) {
            (Self::V4, IpNet::V4(net)) => Some((
                u32::from(net.network()).into(),
                u32::from(net.broadcast()).into(),
            )),
            (Self::V6, IpNet::V6(net)) => Some((net.network().into(), net.broadcast().into())),
            _ => None,
        }
    }
}

/// The ranges of a family: first address and class, the first one from 0.
pub(super) fn ranges(
    family: Family,
    known: &[(IpNet, u32)],
    lists: &Lists<'_>,
    classes: &mut Classes<'_>,
) -> Result<Vec<(u128, u32)>, TooLarge> {
    let outside = outside(family, lists, classes)?;
    Ok(overlaid(&outside, &endpoints(family, known)))
}

/// Classes of those outside.
fn outside(
    family: Family,
    lists: &Lists<'_>,
    classes: &mut Classes<'_>,
) -> Result<Vec<(u128, u32)>, TooLarge> {
    // By labels they are in the same lists, but some lists tell addresses.
    let anybody = Endpoint {
        outside: None,
        ..Endpoint::outside(family.anybody())
    };
    let everywhere = lists.of_endpoint(&anybody);
    let mut changes = Vec::new();
    for (list, nets) in lists.addresses() {
        if everywhere.binary_search(&list).is_ok() {
            continue;
        }
        for (first, last) in covered(family, nets) {
            changes.push((first, true, list));
            changes.extend(last.checked_add(1).map(|next| (next, false, list)));
        }
    }
    changes.retain(|(from, ..)| *from <= family.last());
    changes.sort_unstable();
    let mut active = Active::new(lists.len(), everywhere);
    let mut found: Vec<(u128, u32)> = Vec::new();
    if changes.first().is_none_or(|(from, ..)| *from > 0) {
        found.push((0, active.class(classes)?));
    }
    for change in changes.chunk_by(|one, other| one.0 == other.0) {
        for (_, begins, list) in change {
            active.change(*list, *begins);
        }
        found.push((change[0].0, active.class(classes)?));
    }
    Ok(found)
}

/// The lists that are told by the address at hand.
struct Active {
    everywhere: Vec<u32>,
    lists: Vec<u32>,
    /// By list: where it is in `lists`.
    places: Vec<usize>,
    /// Sum of the lists' hashes, which nobody outside can foresee.
    sum: u128,
    hash: [RandomState; 2],
    classes: FxHashMap<u128, u32>,
}

impl Active {
    fn new(lists: usize, everywhere: Vec<u32>) -> Self {
        Self {
            everywhere,
            lists: Vec::new(),
            places: vec![0; lists],
            sum: 0,
            hash: [RandomState::new(), RandomState::new()],
            classes: FxHashMap::default(),
        }
    }

    fn change(&mut self, list: u32, begins: bool) {
        let [upper, lower] = self.hash.each_ref().map(|hash| hash.hash_one(list));
        let hash = u128::from(upper) << 64 | u128::from(lower);
        if begins {
            self.sum = self.sum.wrapping_add(hash);
            self.places[list as usize] = self.lists.len();
            self.lists.push(list);
        } else {
            self.sum = self.sum.wrapping_sub(hash);
            let place = self.places[list as usize];
            self.lists.swap_remove(place);
            if let Some(moved) = self.lists.get(place) {
                self.places[*moved as usize] = place;
            }
        }
    }

    fn class(&mut self, classes: &mut Classes<'_>) -> Result<u32, TooLarge> {
        if let Some(class) = self.classes.get(&self.sum) {
            return Ok(*class);
        }
        let lists = self.everywhere.iter().chain(&self.lists);
        let mut signature: Vec<u64> = lists.map(|list| u64::from(*list)).collect();
        signature.sort_unstable();
        let class = classes.of(signature)?;
        self.classes.insert(self.sum, class);
        Ok(class)
    }
}

/// What networks cover but for their exceptions, joined and in order.
fn covered<'a>(
    family: Family,
    nets: impl Iterator<Item = (&'a IpNet, &'a [IpNet])>,
) -> Vec<Interval> {
    let mut found = Vec::new();
    for (net, except) in nets {
        let Some((first, last)) = family.interval(net) else {
            continue;
        };
        let except = except.iter().filter_map(|net| family.interval(net));
        let mut next = Some(first);
        for (hole_first, hole_last) in joined(except.collect()) {
            let Some(from) = next.filter(|from| *from <= last && hole_first <= last) else {
                break;
            };
            if hole_first > from {
                found.push((from, hole_first - 1));
            }
            next = hole_last.max(from.saturating_sub(1)).checked_add(1);
        }
        if let Some(from) = next.filter(|from| *from <= last) {
            found.push((from, last));
        }
    }
    joined(found)
}

fn joined(mut intervals: Vec<Interval>) -> Vec<Interval> {
    intervals.sort_unstable();
    let mut found: Vec<Interval> = Vec::with_capacity(intervals.len());
    for (first, last) in intervals {
        match found.last_mut() {
            Some(before) if before.1.checked_add(1).is_none_or(|next| first <= next) => {
                before.1 = before.1.max(last);
            }
            _ => found.push((first, last)),
        }
    }
    found
}

/// Where known endpoints are: from an address on a class, or nobody known.
fn endpoints(family: Family, known: &[(IpNet, u32)]) -> Vec<(u128, Option<u32>)> {
    let nets = known.iter().filter_map(|(net, class)| {
        let (first, last) = family.interval(net)?;
        Some((first, net.prefix_len(), last, *class))
    });
    let mut nets: Vec<_> = nets.collect();
    // Stable: of those of equal prefixes the first stays in front.
    nets.sort_by_key(|(first, length, ..)| (*first, *length));
    nets.dedup_by_key(|(first, length, ..)| (*first, *length));
    let mut found = Vec::new();
    // Networks around the address at hand, the longest last.
    let mut around: Vec<(u128, u32)> = Vec::new();
    let leave = |around: &mut Vec<(u128, u32)>, found: &mut Vec<_>| {
        if let Some((last, _)) = around.pop() {
            let class = around.last().map(|(_, class)| *class);
            found.extend(last.checked_add(1).map(|next| (next, class)));
        }
    };
    for (first, _, last, class) in nets {
        while around.last().is_some_and(|(last, _)| *last < first) {
            leave(&mut around, &mut found);
        }
        found.push((first, Some(class)));
        around.push((last, class));
    }
    while !around.is_empty() {
        leave(&mut around, &mut found);
    }
    found.retain(|(from, _)| *from <= family.last());
    found
}

/// Known endpoints over those outside. Both are in order; of several that begin at the
/// same address, the last one is meant.
fn overlaid(outside: &[(u128, u32)], known: &[(u128, Option<u32>)]) -> Vec<(u128, u32)> {
    let (mut outside, mut known) = (outside.iter().peekable(), known.iter().peekable());
    let (mut behind, mut above) = (0, None);
    let mut found: Vec<(u128, u32)> = Vec::new();
    loop {
        let next = [
            outside.peek().map(|(from, _)| *from),
            known.peek().map(|(from, _)| *from),
        ];
        let Some(from) = next.into_iter().flatten().min() else {
            return found;
        };
        while let Some((_, class)) = outside.next_if(|(start, _)| *start == from) {
            behind = *class;
        }
        while let Some((_, class)) = known.next_if(|(start, _)| *start == from) {
            above = *class;
        }
        let class = above.unwrap_or(behind);
        if found.last().is_none_or(|(_, before)| *before != class) {
            found.push((from, class));
        }
    }
}
