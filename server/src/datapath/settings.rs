//! What the programs are loaded with.

use std::path::PathBuf;

use super::{DatapathError, pins::Pins, rooms::Rooms};

/// Sizes and constants of the programs.
#[derive(Clone, Debug)]
pub struct Settings {
    /// IPv4 flows at one time.
    pub flows4: u32,
    /// IPv6 flows at one time.
    pub flows6: u32,
    /// Dropped flows at one time.
    pub flows_dropped: u32,
    /// Bytes of the ring of observed events: a power of two, at least a page.
    pub observed_ring_bytes: u32,
    /// Bytes of the ring of dropped and denied events.
    pub denied_ring_bytes: u32,
    /// Bytes of the ring of what packets carry.
    pub payload_ring_bytes: u32,
    /// Bytes of it that may be copied on a CPU in a second; 0 is none.
    pub payload_rate: u64,
    /// Interval between events of an active flow; 0 is one for each packet.
    pub active_interval_ns: u64,
    /// Watch packets that the kernel drops.
    pub drops: bool,
    /// Other network namespaces than the daemon's own may be observed.
    pub several_namespaces: bool,
    /// An interface may be in another zone than 0.
    pub several_zones: bool,
    /// VLANs tell flows apart.
    pub vlan_in_key: bool,
    /// Find out which process is behind a flow.
    pub who: bool,
    /// Tell command lines too.
    pub command_lines: bool,
    /// What policies have room for.
    pub rooms: Rooms,
    /// Where what stays in force is pinned.
    pub pins: PathBuf,
    /// Policies stay in force when the daemon ends.
    pub keeps: bool,
    /// What a process hears whose connection a policy denies (`policy::deny_error`).
    pub deny_error: u32,
    /// What cannot be judged does not go on.
    pub denies_unknown: bool,
    /// Connections that policies deny are ended.
    pub ends_denied: bool,
    /// The kernel verifies several programs at one time, which takes some 50 MiB each.
    pub verifies_at_once: bool,
}

impl Settings {
    /// Maps of other sizes are others.
    pub(super) fn open_pins(&self) -> Result<Option<Pins>, DatapathError> {
        let flows = (self.flows4, self.flows6, self.vlan_in_key);
        let sizes = (flows, self.rooms.in_order());
        let open = || Pins::open(&self.pins, &sizes);
        self.keeps.then(open).transpose()
    }
}
