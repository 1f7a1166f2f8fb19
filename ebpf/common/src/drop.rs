//! What is kept of packets that the kernel drops.

use crate::Side;

/// A dropped flow: addresses and ports of the packets, where, and the reason.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// Sender; IPv4 in the first word.
    pub source: [u32; 4],
    /// Receiver.
    pub destination: [u32; 4],
    /// `enum skb_drop_reason` of this kernel, or `PLACES` and an index.
    pub reason: u32,
    /// Port of the sender; for ICMP as in a flow's key.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// Number of the network namespace: equal addresses in two are two.
    pub namespace: u16,
    /// Address space of the interface.
    pub zone: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
    /// Zero.
    pub pad: u16,
}

/// How often it was dropped, and what an event tells of a packet.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCount {
    /// Packets dropped.
    pub drops: u64,
    /// Of them, told in events.
    pub told: u64,
    /// When the last event was raised.
    pub event_ns: u64,
    /// First bytes of the transport header of the first packet.
    pub l4: [u8; 16],
    /// Destination and source MAC address of the first packet.
    pub mac: [u8; 12],
    /// Observation point of the first packet.
    pub point: u32,
    /// Length of the first packet.
    pub frame_len: u32,
    /// TCP control bits of the last packet.
    pub tcp_flags: u16,
    /// How many bytes of `l4` are valid.
    pub l4_len: u8,
    /// Set where there is no link header.
    pub no_mac: u8,
    /// Who is behind sender and receiver, as the flow knew it at the last packet.
    pub sides: [Side; 2],
}

/// Reasons from here on are places in the kernel that drop without a reason;
/// the number above is the index in `DropLayout::places`.
pub const PLACES: u32 = 0xff00;
/// How many such places are known.
pub const PLACE_COUNT: usize = 7;

/// Of the places, those from here on are generic XDP.
pub const FIRST_XDP_PLACE: usize = 5;

/// Whether a drop was one of generic XDP.
#[inline(always)]
#[must_use]
pub const fn is_xdp(reason: u32) -> bool {
    let place = reason.wrapping_sub(PLACES) as usize;
    FIRST_XDP_PLACE <= place && place < PLACE_COUNT
}

/// Where the network namespace of a device is found, as offsets in bytes in the
/// kernel's structures; by BTF at load time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct NetLayout {
    /// Cookie of the daemon's network namespace.
    pub own: u64,
    /// `sk_buff.dev`.
    pub skb_dev: u32,
    /// `net_device.nd_net.net`.
    pub dev_net: u32,
    /// `net.net_cookie`.
    pub net_cookie: u32,
    /// Zero.
    pub pad: u32,
}

impl NetLayout {
    /// Nothing was found.
    pub const ABSENT: Self = Self {
        own: 0,
        skb_dev: 0,
        dev_net: 0,
        net_cookie: 0,
        pad: 0,
    };
}

/// Bytes at the beginning of an `sk_buff` that are looked at.
pub const SKB_BYTES: u32 = 256;

/// Offsets in the kernel's structures, in bytes; found by BTF at load time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropLayout {
    /// Bit set of reasons that are not observed.
    pub quiet: [u64; 4],
    /// Functions that drop without a reason: first address, and the one after
    /// the last. 0 for none.
    pub places: [[u64; 2]; PLACE_COUNT],
    /// Network namespaces.
    pub net: NetLayout,
    /// How much of an `sk_buff` the fields below take up; at most `SKB_BYTES`.
    pub skb_bytes: u32,
    /// `sk_buff.head`.
    pub skb_head: u32,
    /// `sk_buff.data`.
    pub skb_data: u32,
    /// `sk_buff.tail`.
    pub skb_tail: u32,
    /// `sk_buff.end`.
    pub skb_end: u32,
    /// `sk_buff.len`.
    pub skb_len: u32,
    /// `sk_buff.data_len`.
    pub skb_data_len: u32,
    /// `sk_buff.sk`.
    pub skb_sk: u32,
    /// `sk_buff.skb_iif`.
    pub skb_iif: u32,
    /// `sk_buff.protocol`.
    pub skb_protocol: u32,
    /// `sk_buff.network_header`.
    pub skb_network: u32,
    /// `sk_buff.mac_header`.
    pub skb_mac: u32,
    /// `net_device.ifindex`.
    pub dev_ifindex: u32,
    /// `net_device.type`.
    pub dev_type: u32,
    /// `sock.__sk_common.skc_net.net`.
    pub sock_net: u32,
    /// The reason that says nothing; those below are no drops.
    pub unspecified: u32,
    /// The reason that no socket wants the packet.
    pub no_socket: u32,
    /// Whether the tracepoint tells the socket that was to receive (6.11).
    pub has_receiver: u32,
    /// `sk_buff.vlan_all` (6.2), which is 0 where there is no tag; 0 for not found.
    pub skb_vlan: u32,
    /// Zero.
    pub pad: u32,
}

impl DropLayout {
    /// Nothing was found: every reason is beyond it.
    pub const ABSENT: Self = Self {
        quiet: [u64::MAX; 4],
        places: [[0; 2]; PLACE_COUNT],
        net: NetLayout::ABSENT,
        skb_bytes: 0,
        skb_head: 0,
        skb_data: 0,
        skb_tail: 0,
        skb_end: 0,
        skb_len: 0,
        skb_data_len: 0,
        skb_sk: 0,
        skb_iif: 0,
        skb_protocol: 0,
        skb_network: 0,
        skb_mac: 0,
        dev_ifindex: 0,
        dev_type: 0,
        sock_net: 0,
        unspecified: u32::MAX,
        no_socket: u32::MAX,
        has_receiver: 0,
        skb_vlan: 0,
        pad: 0,
    };
}
