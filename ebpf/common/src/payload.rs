//! The record of the third ring: the beginning of what a packet carries.

use crate::Event;

/// What a packet is taken to carry.
#[repr(u8)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Carries {
    /// DNS messages (RFC 1035), by its ports; over TCP each has its length before it.
    Dns = 1,
    /// A part of what may be a TLS ClientHello (RFC 8446), by its place: the first
    /// bytes that a client sends.
    Hello = 2,
}

impl Carries {
    /// How many kinds there are.
    pub const COUNT: u32 = 2;

    /// The kind with this number.
    #[must_use]
    pub const fn of(number: u8) -> Option<Self> {
        match number {
            1 => Some(Self::Dns),
            2 => Some(Self::Hello),
            _ => None,
        }
    }
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
    pub pad: [u8; 3],
    /// Of `Carries::Hello`: where its first byte is in what the client sends.
    pub offset: u32,
}
