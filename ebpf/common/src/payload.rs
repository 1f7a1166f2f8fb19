//! The record of the third ring: the beginning of what a packet carries.

use crate::Event;

/// What a packet is taken to carry, by its ports.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// DNS messages (RFC 1035); over TCP each has its length before it.
    Dns = 1,
}

/// Port of DNS over UDP and TCP.
pub const DNS_PORT: u16 = 53;

/// Bytes that a record has room for: it is as large as the smallest that will do.
pub const PAYLOAD_ROOMS: [usize; 4] = [128, 512, 2048, 8192];

/// What is before the bytes. The ring's record is longer than this by one of
/// `PAYLOAD_ROOMS`.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default)]
pub struct Payload {
    /// As it would be raised for this packet; `l4` has the sequence number of TCP.
    pub event: Event,
    /// Bytes that the packet carries.
    pub length: u32,
    /// How many of them follow, from the first on.
    pub copied: u32,
    /// A `Carries`.
    pub carries: u8,
    /// Zero.
    pub pad: [u8; 7],
}
