//! What the eBPF programs and the daemon agree on: map keys and values, ring
//! records, causes. `#[repr(C)]`, explicit padding, sizes asserted. Addresses
//! are words in network order, ports in host order, times in nanoseconds of the
//! kernel's monotonic clock, but for those of the coarse clock: the kernel's
//! count of ticks (jiffies), in nanoseconds, with an origin of its own.
#![cfg_attr(not(test), no_std)]

mod cause;
pub mod claim;
mod drop;
mod event;
pub mod exempt;
mod hello;
mod key;
mod nat;
mod payload;
pub mod policy;
pub mod protocol;
mod quality;
pub mod slot;
mod vlan;
mod who;

pub use cause::{CAUSES, Cause};
pub use drop::{
    DropCount, DropKey, DropLayout, FIRST_XDP_PLACE, NetLayout, PLACE_COUNT, PLACES, SKB_BYTES,
    is_xdp,
};
pub use event::{Event, Kind, reason};
pub use hello::{HELLO_BYTES, HELLO_OVER, HELLO_PACKETS, hello_end, hello_until};
pub use key::{Ends, ICMP_MESSAGE, Key4, Key6, query_of};
pub use nat::{NatLayout, Translation, Tuple};
pub use payload::{Carries, DNS_PORT, PAYLOAD_ROOMS, Payload};
pub use quality::{
    EndsLayout, FIGURES_OF_A, FIGURES_OF_B, Figures, NO_FIGURES, SENT_AGAIN, ZERO_WINDOW, micros,
    short_micros,
};
pub use vlan::{
    FIRST_VLAN, INTERFACE_VLANS, PACKET_VLANS, VLANS, vlan_in, vlan_number, vlan_parts,
};
pub use who::{
    CGROUP_DEPTH, CGROUP_NAME, CGROUP_PATH, COMMAND_LINE, EXE_DEPTH, EXE_NAME, NO_FIELD, Owner,
    ProcessRecord, Side, TOO_DEEP, Told, WhoLayout, side, start_of,
};

/// Index of the direction from the key's side `a` to side `b`.
pub const A_TO_B: usize = 0;
/// Index of the direction from side `b` to side `a`.
pub const B_TO_A: usize = 1;

/// Who opened a flow.
pub mod initiator {
    /// Side `a` did.
    pub const A: u8 = 0;
    /// Side `b` did.
    pub const B: u8 = 1;
    /// Bit: the flow was first met in the middle, so this is a guess.
    pub const GUESSED: u8 = 2;
    /// Bit: `Entry::opening` is known.
    pub const OPENING: u8 = 4;
    /// Bit: the guess is by sockets of this host, not by ports alone.
    pub const BY_SOCKET: u8 = 8;
}

/// Further observation points that an entry remembers beside the two owners.
pub const POINTS: usize = 5;

/// Value of a flow. Arrays of two are indexed by direction. What each packet
/// needs are the first 64 bytes.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Entry {
    /// Packets as they go on the wire.
    pub packets: [u64; 2],
    /// Bytes of their frames.
    pub bytes: [u64; 2],
    /// Tick of the last counted packet on the coarse clock; see `tick`. 0 for
    /// none yet.
    pub last: [u32; 2],
    /// When an event is due that tells that the flow is active: a tick of the
    /// coarse clock, which wraps.
    pub due: u32,
    /// A word of the packet that opened the flow, in network order; see
    /// `opening_offset`. Without `initiator::OPENING`: of UDP, what tells the
    /// initiator's socket from others; 0 for none.
    pub opening: u32,
    /// Observation point that counted last; 0 for none yet.
    pub owner: [u32; 2],
    /// TCP control bits seen, `ZERO_WINDOW` and `SENT_AGAIN`, 16 bits a direction, `A_TO_B`
    /// in the low half.
    pub tcp_flags: u32,
    /// VLAN ids of the first packet and the initiator; see `tags`.
    pub tags: [u16; 2],
    /// When the first packet came.
    pub first_ns: u64,
    /// Microseconds from then to the latest news, whose time is exact; the
    /// largest number stands for longer.
    pub news_us: u32,
    /// Other points at which packets were seen; 0 for none.
    pub points: [u32; POINTS],
    /// Of the packets, by direction, those that the kernel dropped after they
    /// were counted. Stays at the largest number.
    pub dropped: [u32; 2],
    /// Why the last of them was dropped, as in `DropKey`.
    pub drop_reason: u32,
    /// Of TCP, from the SYN to its answer, and to the answer of that: each as
    /// `short_micros`, 0 for not seen.
    pub handshake: [u16; 2],
    /// Who is behind side `a` and side `b`.
    pub sides: [Side; 2],
    /// What policies said of side `a` and side `b`, as `policy::remembered`; 0 for not
    /// judged.
    pub judged: [u32; 2],
}

/// Nanoseconds of a tick as a power of two: about a millisecond, which is at
/// least as fine as most kernels' jiffies.
const TICK_BITS: u32 = 20;

/// Ticks that are not less than this time; they wrap as ticks do.
#[must_use]
pub const fn ticks(ns: u64) -> u32 {
    (ns >> TICK_BITS) as u32 + 1
}

/// The tick of a time, never 0. Ticks wrap after 52 days.
#[must_use]
pub const fn tick(ns: u64) -> u32 {
    match (ns >> TICK_BITS) as u32 {
        0 => 1,
        tick => tick,
    }
}

/// Nanoseconds from a tick to that of a time; 0 to a time before it, which
/// another CPU's clock may have. Right up to 26 days.
#[must_use]
pub const fn since_tick(tick: u32, now_ns: u64) -> u64 {
    let ticks = self::tick(now_ns).wrapping_sub(tick);
    if ticks > u32::MAX / 2 {
        return 0;
    }
    (ticks as u64) << TICK_BITS
}

/// When the tick began that was so long before a time.
#[must_use]
pub const fn tick_began(tick: u32, now_ns: u64) -> u64 {
    let began = now_ns >> TICK_BITS << TICK_BITS;
    began.saturating_sub(since_tick(tick, now_ns))
}

/// Bits of a VLAN id (IEEE 802.1Q).
const VLAN_BITS: u32 = 12;

/// VLAN ids, outer first, 0 for none, and in the bits above the first one who
/// initiated (`initiator::A` or `B`, perhaps with `GUESSED`, `OPENING` and `BY_SOCKET`): a byte
/// of its own would make each entry 8 bytes longer. In those above the second one how
/// far the look for a ClientHello is (`hello_of`).
#[must_use]
pub const fn tags(vlan: [u16; 2], initiator: u8) -> [u16; 2] {
    [vlan[0] | (initiator as u16) << VLAN_BITS, vlan[1]]
}

/// The VLAN ids of `tags`.
#[must_use]
pub const fn vlan_of(tags: [u16; 2]) -> [u16; 2] {
    const ID: u16 = (1 << VLAN_BITS) - 1;
    [tags[0] & ID, tags[1] & ID]
}

/// How far the look for a ClientHello is, by `tags`.
#[inline(always)]
#[must_use]
pub const fn hello_of(tags: [u16; 2]) -> u8 {
    (tags[1] >> VLAN_BITS) as u8
}

/// The bits of `tags`, as one word of a little-endian machine, that `hello_of` reads.
#[inline(always)]
#[must_use]
pub const fn hello_word(bits: u8) -> u32 {
    (bits as u32) << (16 + VLAN_BITS)
}

/// The initiator of `tags`.
#[must_use]
pub const fn initiator_of(tags: [u16; 2]) -> u8 {
    (tags[0] >> VLAN_BITS) as u8 & (initiator::B | initiator::GUESSED | initiator::BY_SOCKET)
}

/// Whether `Entry::opening` is known.
#[must_use]
pub const fn has_opening(tags: [u16; 2]) -> bool {
    (tags[0] >> VLAN_BITS) as u8 & initiator::OPENING != 0
}

/// UDP ports of VXLAN: IANA's and Linux' own.
pub const VXLAN_PORTS: [u16; 2] = [4789, 8472];
/// UDP port of Geneve.
pub const GENEVE_PORT: u16 = 6081;

/// Where in the transport header that word is that is kept of the packet that
/// opened a flow, by protocol and receiver's port: a SYN's sequence number, a
/// tunnel's network identifier, IGMP's group, VRRP's router and priority.
#[inline(always)]
#[must_use]
pub const fn opening_offset(protocol: u8, destination_port: u16) -> Option<u32> {
    match (protocol, destination_port) {
        (6 | 2, _) => Some(4),
        (17, 4789 | 8472 | GENEVE_PORT) => Some(12),
        (112, _) => Some(0),
        _ => None,
    }
}

/// When the last packet came, as exactly as it is known: by its tick, which
/// began before it, or by the latest news. `tick_ns` is when the tick began of
/// the later one of `last`, 0 for none; all on one clock.
#[must_use]
pub const fn last_packet(first_ns: u64, news_us: u32, tick_ns: u64) -> u64 {
    let news = if news_us == u32::MAX {
        first_ns
    } else {
        first_ns + news_us as u64 * 1000
    };
    if tick_ns > news { tick_ns } else { news }
}

/// Bits of an interface number that are the index in its network namespace;
/// those above are the number of the namespace, 0 for the daemon's own.
pub const INDEX_BITS: u32 = 24;
/// Network namespaces at one time, the daemon's own included.
pub const NAMESPACES: u32 = 128;

/// Zones from here on are for the loopbacks of namespaces other than the
/// daemon's own, where equal addresses are other sockets.
pub const LOOPBACK_ZONES: u16 = u16::MAX - NAMESPACES as u16 + 1;

/// The number of an interface; with namespace 0 it is the index.
#[must_use]
pub const fn interface_number(namespace: u32, ifindex: u32) -> u32 {
    (namespace << INDEX_BITS) | ifindex
}

/// Number of the namespace and index of the interface in it.
#[must_use]
pub const fn interface_parts(number: u32) -> (u32, u32) {
    (number >> INDEX_BITS, number & ((1 << INDEX_BITS) - 1))
}

/// An observation point: interface number and direction in one.
#[must_use]
pub const fn point(interface: u32, egress: bool) -> u32 {
    (interface << 1) | egress as u32
}

/// Interface number and whether it is on egress.
#[must_use]
pub const fn point_parts(point: u32) -> (u32, bool) {
    (point >> 1, point & 1 == 1)
}

/// Interfaces with an index below this have their own slot without a look-up.
pub const DIRECT_SLOTS: u32 = 4096;
/// Slots of interfaces with larger indexes, behind the direct ones.
pub const EXTRA_SLOTS: u32 = 4096;

/// Interfaces above and below one that are remembered.
pub const STACKED: usize = 4;

/// The same network namespace, in `Joints`.
pub const OWN_NAMESPACE: u32 = u32::MAX;

/// How an observed interface is joined to other observed ones, so that a packet
/// that passes several of them is counted once. Interface numbers; 0 for none.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Joints {
    /// What is sent by this one comes in here: the other end of a veth pair, a
    /// loopback itself.
    pub peer: u32,
    /// Interfaces stacked on this one: its bridge or bond, VLANs of it.
    pub above: [u32; STACKED],
    /// Interfaces that this one is stacked on, where they have no room for it
    /// in `above`.
    pub below: [u32; STACKED],
    /// 1 if this interface is observed.
    pub observed: u32,
    /// The network namespace that `peer` is in: `OWN_NAMESPACE`, or what the kernel
    /// calls it in this interface's, plus 1; 0 where that is not known.
    pub peer_namespace: u32,
}

/// Per-CPU totals of an interface, `[ingress, egress]`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct InterfaceTotals {
    /// Packets as they go on the wire.
    pub packets: [u64; 2],
    /// Bytes of their frames.
    pub bytes: [u64; 2],
}

/// Per-CPU count of one cause.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct CauseCount {
    /// Packets (or events, for ring causes).
    pub packets: u64,
    /// Bytes of their frames.
    pub bytes: u64,
}

/// What the daemon may change while the programs run.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuning {
    /// Interval between events of an active flow; 0 raises one for each packet.
    pub active_interval_ns: u64,
    /// Of events that may be left out, one in so many is raised: a power of
    /// two, 0 and 1 for all.
    pub sampling: u32,
    /// Zero.
    pub pad: u32,
}

/// Per-CPU counts beside those by cause; the number is the index.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tally {
    /// Events that were to be raised, whatever became of them (counts events).
    Raised = 0,
    /// Packets of flows whose entry began anew, as a port was used again.
    Reopened = 1,
    /// Entries made in the table of IPv4 flows.
    Created4 = 2,
    /// Entries made in the table of IPv6 flows.
    Created6 = 3,
    /// Entries made in the table of dropped flows.
    CreatedDrop = 4,
    /// Payloads handed to the daemon.
    Copied = 5,
    /// Translations told to the daemon.
    Translated = 6,
    /// Translations that found the ring full.
    TranslationLost = 7,
    /// Packets that a policy denied, of flows that found no room.
    DeniedAlone = 8,
    /// Packets whose VLAN found no number, so that their flows are those of its space.
    VlanUnnumbered = 9,
    /// Connections that were refused before their first packet, since a policy denies them.
    Refused = 10,
}

/// How many tallies there are.
pub const TALLIES: u32 = 11;

/// Key of an IP datagram whose fragments are on their way.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct FragmentKey {
    /// Sender; IPv4 in the first word.
    pub source: [u32; 4],
    /// Receiver.
    pub destination: [u32; 4],
    /// Identification.
    pub id: u32,
    /// IP protocol number, as each fragment tells it.
    pub protocol: u8,
    /// Zero.
    pub pad: u8,
    /// Address space.
    pub zone: u16,
}

/// What later fragments need of the first.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FragmentPorts {
    /// Port of the sender (ICMP: as in the flow key).
    pub source: u16,
    /// Port of the receiver.
    pub destination: u16,
    /// Tick of the coarse clock when the first fragment came.
    pub seen: u32,
    /// IP protocol number, behind what extension headers only the first has.
    pub protocol: u8,
    /// For ICMP: the message answers another.
    pub answer: u8,
    /// Zero.
    pub pad: [u8; 2],
}

const _: () = {
    assert!(size_of::<Key4>() == 16);
    assert!(size_of::<Key6>() == 40);
    assert!(size_of::<Entry>() == 136);
    assert!(size_of::<slot::Slot<Key4>>() == 160);
    assert!(size_of::<slot::Slot<Key6>>() == 184);
    assert!(size_of::<FragmentKey>() == 40);
    assert!(size_of::<Event>() == 248);
    assert!(size_of::<Payload>() == size_of::<Event>() + 16);
    assert!(size_of::<DropKey>() == 48);
    assert!(size_of::<DropCount>() == 80);
    assert!(size_of::<DropLayout>() == 248 && size_of::<NetLayout>() == 24);
};

#[cfg(test)]
mod tests {
    use super::*;

    const TICK: u64 = 1 << TICK_BITS;

    #[test]
    fn the_time_of_a_tick_is_known_across_a_wrap() {
        let wrap = TICK << 32;
        for last in [TICK, 5 * TICK + 7, wrap - TICK - 1, wrap + 3 * TICK] {
            for idle in [0, 1, TICK, 9 * TICK, 7 * 24 * 3600 * 1_000_000_000] {
                let began = tick_began(tick(last), last + idle);
                assert_eq!(began, last - last % TICK, "{last} {idle}");
            }
        }
    }

    #[test]
    fn the_last_packet_is_the_latest_news_or_a_later_tick() {
        assert_eq!(last_packet(5000, 7, 0), 12_000, "news is exact");
        assert_eq!(
            last_packet(5000, 7, 11_999),
            12_000,
            "its tick began before it"
        );
        assert_eq!(last_packet(5000, 7, 90_000), 90_000);
        assert_eq!(
            last_packet(5000, u32::MAX, 0),
            5000,
            "longer ago than is told"
        );
    }

    #[test]
    fn a_tick_that_another_clock_has_not_reached_is_now() {
        assert_eq!(since_tick(tick(9 * TICK), 8 * TICK), 0);
        assert_ne!(tick(0), 0, "0 says that no packet came");
    }
}

#[cfg(feature = "user")]
#[allow(
    unsafe_code,
    reason = "what the kernel fills in, the daemon reads as it is"
)]
mod user {
    use aya::Pod;

    use crate::{
        CauseCount, DropLayout, EndsLayout, InterfaceTotals, Joints, NatLayout, NetLayout, Tuning,
        WhoLayout,
    };

    // SAFETY: `repr(C)` integers without padding.
    unsafe impl Pod for CauseCount {}
    // SAFETY: as above.
    unsafe impl Pod for InterfaceTotals {}
    // SAFETY: as above.
    unsafe impl Pod for DropLayout {}
    // SAFETY: as above.
    unsafe impl Pod for NetLayout {}
    // SAFETY: as above.
    unsafe impl Pod for WhoLayout {}
    // SAFETY: as above.
    unsafe impl Pod for NatLayout {}
    // SAFETY: as above.
    unsafe impl Pod for EndsLayout {}
    // SAFETY: as above.
    unsafe impl Pod for Joints {}
    // SAFETY: as above.
    unsafe impl Pod for Tuning {}
}
