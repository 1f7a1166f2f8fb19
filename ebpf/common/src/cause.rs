//! Why a packet is in no flow, or an event was not raised.

/// A cause; its number is the index of its per-CPU counter.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Not IP (ARP, LLDP, ...).
    NotIp = 0,
    /// More VLAN tags than two.
    TooManyTags = 1,
    /// Shorter than its link header or tags.
    TruncatedLink = 2,
    /// Shorter than its IP header, or an IP version that the link type denies.
    MalformedIp = 3,
    /// Shorter than its transport header.
    TruncatedTransport = 4,
    /// More IPv6 extension headers than are followed.
    TooManyExtensions = 5,
    /// A later fragment whose first fragment was not seen.
    FragmentUnknown = 6,
    /// The IPv4 flow table is full.
    Table4Full = 7,
    /// The IPv6 flow table is full.
    Table6Full = 8,
    /// The kernel refused the entry for another reason.
    InsertFailed = 9,
    /// Counted already, at another observation point of the same flow.
    SeenElsewhere = 10,
    /// An event that found the observed ring full (counts events).
    ObservedRingFull = 11,
    /// A drop event that found the denied ring full (counts events).
    DeniedRingFull = 12,
    /// The table of dropped flows is full (counts packets).
    DropTableFull = 13,
    /// A dropped packet whose headers could not be read.
    DropUnreadable = 14,
    /// No slot for this interface; its totals are missing.
    NoInterfaceSlot = 15,
    /// An event that was left out to keep the overhead budget (counts events).
    Sampled = 16,
}

impl Cause {
    /// Whether it says why packets are in no flow; else it counts something else.
    #[must_use]
    pub const fn is_without_flow(self) -> bool {
        // A drop is an event; a packet without a slot is not in the totals.
        (self as u32) <= Self::SeenElsewhere as u32
    }
}

/// All causes with their names, in the order of their numbers.
pub const CAUSES: [(Cause, &str); 17] = [
    (Cause::NotIp, "not_ip"),
    (Cause::TooManyTags, "too_many_vlan_tags"),
    (Cause::TruncatedLink, "truncated_link_header"),
    (Cause::MalformedIp, "malformed_ip_header"),
    (Cause::TruncatedTransport, "truncated_transport_header"),
    (Cause::TooManyExtensions, "too_many_extension_headers"),
    (Cause::FragmentUnknown, "fragment_without_first"),
    (Cause::Table4Full, "ipv4_table_full"),
    (Cause::Table6Full, "ipv6_table_full"),
    (Cause::InsertFailed, "insert_failed"),
    (Cause::SeenElsewhere, "seen_elsewhere"),
    (Cause::ObservedRingFull, "observed_ring_full"),
    (Cause::DeniedRingFull, "denied_ring_full"),
    (Cause::DropTableFull, "drop_table_full"),
    (Cause::DropUnreadable, "drop_unreadable"),
    (Cause::NoInterfaceSlot, "no_interface_slot"),
    (Cause::Sampled, "sampled"),
];

const _: () = {
    let mut n = 0;
    while n < CAUSES.len() {
        assert!(CAUSES[n].0 as usize == n);
        n += 1;
    }
};
