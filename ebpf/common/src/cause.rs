//! Why a packet is in no flow, or an event was not raised.

/// A cause; its number is the index of its per-CPU counter.
#[repr(u32)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// Not IP (ARP, LLDP, ...).
    NotIp = 0,
    /// More VLAN tags, labels and shims between Ethernet and IP than are followed.
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
    /// The table of dropped flows is full: the drop is not told (counts packets,
    /// each of which would have been an event).
    DropTableFull = 13,
    /// A dropped packet that the kernel did not let us read.
    DropUnreadable = 14,
    /// No slot for this interface; its totals are missing.
    NoInterfaceSlot = 15,
    /// An event that was left out to keep the overhead budget (counts events).
    Sampled = 16,
    /// A dropped packet that is not IP.
    DropNotIp = 17,
    /// A packet dropped before its IP header was there.
    DropWithoutHeader = 18,
    /// A dropped packet with an IP header that contradicts itself.
    DropMalformedIp = 19,
    /// A dropped packet that is shorter than its headers. It is told by what is
    /// there, if that is the IP header at the least.
    DropTruncated = 20,
    /// As above, since its headers lie in page fragments, which are not read.
    DropNotLinear = 21,
    /// A dropped packet with more IPv6 extension headers than are followed; told
    /// without ports.
    DropTooManyExtensions = 22,
    /// A packet that the kernel dropped without saying why, where that is not
    /// known to be more than the end of a copy.
    DropWithoutReason = 23,
    /// A dropped IP packet of which it is not known whose it is: it has neither
    /// a device nor a socket any more.
    DropWithoutDevice = 24,
    /// A packet dropped while others were being looked at on the same CPU.
    DropNested = 25,
    /// A payload that found its ring full (counts packets).
    PayloadRingFull = 26,
    /// A payload beyond the bytes that may be copied in a second (counts packets).
    PayloadBudget = 27,
    /// A socket whose maker could not be kept with it (counts sockets).
    SocketNotOwned = 28,
    /// A process that was not told since the ring was full (counts processes).
    ProcessRingFull = 29,
    /// Encrypted on the link (MACsec): what is in it is not seen.
    Encrypted = 30,
}

impl Cause {
    /// Whether it says why packets are in no flow; else it counts something else.
    #[must_use]
    pub const fn is_without_flow(self) -> bool {
        // A drop is an event; a packet without a slot is not in the totals.
        (self as u32) <= Self::SeenElsewhere as u32 || matches!(self, Self::Encrypted)
    }
}

/// All causes with their names, in the order of their numbers.
pub const CAUSES: [(Cause, &str); 31] = [
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
    (Cause::DropNotIp, "drop_not_ip"),
    (Cause::DropWithoutHeader, "drop_without_ip_header"),
    (Cause::DropMalformedIp, "drop_malformed_ip_header"),
    (Cause::DropTruncated, "drop_truncated_header"),
    (Cause::DropNotLinear, "drop_header_in_page_fragment"),
    (
        Cause::DropTooManyExtensions,
        "drop_too_many_extension_headers",
    ),
    (Cause::DropWithoutReason, "drop_without_reason"),
    (Cause::DropWithoutDevice, "drop_without_device"),
    (Cause::DropNested, "drop_nested"),
    (Cause::PayloadRingFull, "payload_ring_full"),
    (Cause::PayloadBudget, "payload_budget"),
    (Cause::SocketNotOwned, "socket_not_owned"),
    (Cause::ProcessRingFull, "process_ring_full"),
    (Cause::Encrypted, "encrypted"),
];

const _: () = {
    let mut n = 0;
    while n < CAUSES.len() {
        assert!(CAUSES[n].0 as usize == n);
        n += 1;
    }
};
