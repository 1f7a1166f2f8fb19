//! What is kept of packets that the kernel drops.

/// A dropped flow: addresses and ports of the packets, and the reason.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct DropKey {
    /// Sender; IPv4 in the first word.
    pub source: [u32; 4],
    /// Receiver.
    pub destination: [u32; 4],
    /// Port of the sender.
    pub source_port: u16,
    /// Port of the receiver.
    pub destination_port: u16,
    /// `enum skb_drop_reason` of this kernel.
    pub reason: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 4 or 6.
    pub family: u8,
}

/// How often it was dropped.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropCount {
    /// Packets dropped.
    pub drops: u64,
    /// Of them, told in events.
    pub told: u64,
    /// When the last event was raised.
    pub event_ns: u64,
    /// Observation point of the first.
    pub point: u32,
    /// Zero.
    pub pad: u32,
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

/// Offsets in the kernel's structures, in bytes; found by BTF at load time.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DropLayout {
    /// Bit set of reasons that are not observed.
    pub quiet: [u64; 4],
    /// Network namespaces.
    pub net: NetLayout,
    /// `sk_buff.head`.
    pub skb_head: u32,
    /// `sk_buff.len`.
    pub skb_len: u32,
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
    /// `sock.__sk_common.skc_net.net`.
    pub sock_net: u32,
    /// Reasons up to this number say nothing.
    pub first_reason: u32,
    /// The reason that no socket wants the packet.
    pub no_socket: u32,
    /// Zero.
    pub pad: u32,
}

impl DropLayout {
    /// Nothing was found: every reason is beyond it.
    pub const ABSENT: Self = Self {
        quiet: [u64::MAX; 4],
        net: NetLayout::ABSENT,
        skb_head: 0,
        skb_len: 0,
        skb_sk: 0,
        skb_iif: 0,
        skb_protocol: 0,
        skb_network: 0,
        skb_mac: 0,
        dev_ifindex: 0,
        sock_net: 0,
        first_reason: u32::MAX,
        no_socket: u32::MAX,
        pad: 0,
    };
}
