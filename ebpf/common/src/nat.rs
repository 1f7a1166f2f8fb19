//! What the kernel's connection tracking tells of a connection whose addresses it
//! translates.

use crate::NO_FIELD;

/// Addresses and ports in network order, as `struct nf_conntrack_tuple` has them. The
/// daemon looks whether this kernel's is like this.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tuple {
    /// Sender; IPv4 in the first word.
    pub source: [u32; 4],
    /// Its port.
    pub source_port: u16,
    /// Address family: 2 or 10.
    pub family: u16,
    /// Receiver.
    pub destination: [u32; 4],
    /// Its port.
    pub destination_port: u16,
    /// IP protocol number.
    pub protocol: u8,
    /// 0 is the original direction, 1 the answers'.
    pub direction: u8,
}

/// A connection with translated addresses, told in the ring of events before the event
/// of a packet of it.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Translation {
    /// As its initiator sent it.
    pub original: Tuple,
    /// As it is answered.
    pub reply: Tuple,
}

/// Where connection tracking is found in kernel structures; `NO_FIELD` throughout where
/// it is not.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatLayout {
    /// `sk_buff._nfct`.
    pub skb_nfct: u32,
    /// `nf_conn.status`.
    pub conn_status: u32,
    /// `nf_conn.tuplehash[0].tuple`.
    pub conn_original: u32,
    /// `nf_conn.tuplehash[1].tuple`.
    pub conn_reply: u32,
}

impl NatLayout {
    /// It is not known.
    pub const ABSENT: Self = Self {
        skb_nfct: NO_FIELD,
        conn_status: NO_FIELD,
        conn_original: NO_FIELD,
        conn_reply: NO_FIELD,
    };
}

const _: () = assert!(size_of::<Tuple>() == 40 && size_of::<Translation>() == 80);
