//! Compares what our programs saw on an interface with the kernel's own
//! counters of it, so that a gap has a name.
//!
//! The kernel counts a packet that is to be cut (GSO) or was joined (GRO) as one
//! or as its segments, each driver in its way; our totals count segments. So the
//! kernel's count is never above ours where all is seen, and only what is above
//! is told: a program that hides a part of large packets may stay below. What is
//! not comparable is left out: counters that are the sum of others' (bond), that
//! count packets which never are on the hook (WireGuard's keepalives, copies of
//! VXLAN). What XDP takes before the hook is a gap as any other. Pure but for `take`,
//! which reads both sides.

use std::{collections::HashMap, thread, time::Duration};

use sextant_ebpf_common::interface_parts;

use super::{
    Counters, Link, Role,
    netlink::{Access, Statistics},
};

/// For packets that are counted but wait for a CPU to pass our programs.
const ON_THEIR_WAY: Duration = Duration::from_millis(50);

/// From when on a gap is one: so many packets, and one in so many.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Tolerance {
    packets: u64,
    one_in: u64,
}

/// Counters that the kernel itself keeps, a packet at a time.
const EXACT: Tolerance = Tolerance {
    packets: 8,
    one_in: 50,
};
/// Counters of a device, which may be read out each second or two, and count
/// what the device keeps for itself.
const ROUGH: Tolerance = Tolerance {
    packets: 64,
    one_in: 2,
};

/// For ingress and egress; none where there is nothing to compare.
fn tolerances(link: &Link) -> [Option<Tolerance>; 2] {
    if link.role == Role::Loopback {
        return [Some(EXACT); 2];
    }
    match link.kind.as_str() {
        "" => [Some(ROUGH); 2],
        "veth" | "vlan" | "macvlan" | "tun" | "dummy" => [Some(EXACT); 2],
        // It counts before its own firewall.
        "bridge" => [None, Some(EXACT)],
        _ => [None; 2],
    }
}

/// Both sides at the beginning of what is compared.
#[derive(Clone, Copy, Debug)]
struct Window {
    birth: u64,
    kernel: Statistics,
    seen: [u64; 2],
}

impl Window {
    /// What the kernel counted since and we did not, by direction.
    fn gaps(&self, kernel: &Statistics, seen: [u64; 2]) -> [u64; 2] {
        let counted = |way: usize| kernel.packets[way].saturating_sub(self.kernel.packets[way]);
        let missing =
            |way: usize| counted(way).saturating_sub(seen[way].wrapping_sub(self.seen[way]));
        let dropped = kernel.received_dropped;
        let dropped = dropped.saturating_sub(self.kernel.received_dropped);
        [missing(0).saturating_sub(dropped), missing(1)]
    }

    /// Those that are beyond what is tolerated.
    fn beyond(&self, kernel: &Statistics, gaps: [u64; 2], link: &Link) -> [u64; 2] {
        let tolerances = tolerances(link);
        [0, 1].map(|way| {
            let counted = kernel.packets[way].saturating_sub(self.kernel.packets[way]);
            let is_gap = |tolerated: Tolerance| {
                gaps[way] >= tolerated.packets && gaps[way] >= counted / tolerated.one_in
            };
            if tolerances[way].is_some_and(is_gap) {
                gaps[way]
            } else {
                0
            }
        })
    }
}

/// What is compared, by interface number.
#[derive(Debug, Default)]
pub(super) struct Balance(HashMap<u32, Window>);

impl Balance {
    /// Packets that the kernel counted since the last time and no program of
    /// ours saw, of the interfaces where there are any.
    pub(super) fn take(
        &mut self,
        links: &[Link],
        counters: &Counters,
        access: &Access,
    ) -> Vec<(u32, [u64; 2])> {
        let births: HashMap<u32, u64> = links.iter().map(|link| (link.index, link.birth)).collect();
        self.0
            .retain(|index, window| births.get(index) == Some(&window.birth));
        // A window begins with our count and ends with it: what passes in
        // between is in ours for certain.
        let before = seen(counters);
        let kernel = access.statistics();
        let mut after = seen(counters);
        let of = |link: &Link| {
            let (namespace, index) = interface_parts(link.index);
            kernel.get(&namespace)?.get(&index).copied()
        };
        let has_gap = |windows: &HashMap<u32, Window>, after: &HashMap<u32, [u64; 2]>| {
            links.iter().any(|link| {
                let (window, kernel) = (windows.get(&link.index), of(link));
                window.zip(kernel).is_some_and(|(window, kernel)| {
                    let gaps = window.gaps(&kernel, of_index(after, link.index));
                    window.beyond(&kernel, gaps, link) != [0; 2]
                })
            })
        };
        if has_gap(&self.0, &after) {
            thread::sleep(ON_THEIR_WAY);
            after = seen(counters);
        }
        let mut found = Vec::new();
        for link in links {
            let Some(kernel) = of(link) else {
                continue;
            };
            let now = Window {
                birth: link.birth,
                kernel,
                seen: of_index(&before, link.index),
            };
            let Some(window) = self.0.get_mut(&link.index) else {
                self.0.insert(link.index, now);
                continue;
            };
            let gaps = window.gaps(&kernel, of_index(&after, link.index));
            let beyond = window.beyond(&kernel, gaps, link);
            if beyond != [0; 2] {
                found.push((link.index, beyond));
            }
            // A small gap may grow: it is compared with what comes.
            if beyond != [0; 2] || gaps == [0; 2] {
                *window = now;
            }
        }
        found
    }
}

fn of_index(seen: &HashMap<u32, [u64; 2]>, index: u32) -> [u64; 2] {
    seen.get(&index).copied().unwrap_or_default()
}

fn seen(counters: &Counters) -> HashMap<u32, [u64; 2]> {
    let interfaces = counters.interfaces().into_iter();
    interfaces
        .map(|interface| (interface.index, interface.packets))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn link(kind: &str) -> Link {
        Link {
            birth: 1,
            ..Link::of_test(5, kind)
        }
    }

    fn statistics(packets: [u64; 2], received_dropped: u64) -> Statistics {
        Statistics {
            packets,
            received_dropped,
        }
    }

    fn beyond(kind: &str, kernel: Statistics, seen: [u64; 2]) -> [u64; 2] {
        let window = Window {
            birth: 1,
            kernel: statistics([1000, 1000], 3),
            seen: [500, 500],
        };
        window.beyond(&kernel, window.gaps(&kernel, seen), &link(kind))
    }

    #[test]
    fn what_the_kernel_counted_and_we_did_not_is_a_gap() {
        let blind = statistics([1010, 2000], 3);
        assert_eq!(beyond("veth", blind, [500, 500]), [10, 1000]);
        // We count segments: more than the kernel is no gap, nor is a little.
        assert_eq!(beyond("veth", blind, [900, 1485]), [0, 0]);
        // Less than one in fifty may still be on its way.
        assert_eq!(beyond("veth", blind, [510, 1481]), [0, 0]);
    }

    #[test]
    fn devices_may_be_read_late_and_some_counters_say_nothing() {
        let part = statistics([1100, 1100], 3);
        assert_eq!(beyond("", part, [560, 500]), [0, 100]);
        assert_eq!(beyond("bond", part, [500, 500]), [0, 0]);
        assert_eq!(beyond("bridge", part, [500, 500]), [0, 100]);
    }

    #[test]
    fn packets_dropped_on_the_way_to_the_stack_are_no_gap() {
        assert_eq!(
            beyond("veth", statistics([1100, 1000], 103), [500, 500]),
            [0, 0]
        );
    }
}
