//! What follows a header between a link's and IP. `ethernet` goes from one to the next.

use super::{Malformed, Network, skip, take};
use crate::decode::Macs;

/// What follows a shim.
pub(super) enum Step<'a> {
    /// A type or length of Ethernet.
    Type(u16, &'a [u8]),
    /// A VLAN id, and a type behind it.
    Tag(u16, u16, &'a [u8]),
    /// Another Ethernet header.
    Frame(&'a [u8]),
    /// IP.
    Network(Network, &'a [u8]),
}

/// Addresses and type of an Ethernet header, and what is behind it.
pub(super) fn addresses(frame: &[u8]) -> Result<(Macs, u16, &[u8]), Malformed> {
    let (head, rest) = take::<14>(frame)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *head;
    let macs = Macs {
        source: [s0, s1, s2, s3, s4, s5],
        destination: [d0, d1, d2, d3, d4, d5],
    };
    Ok((macs, u16::from_be_bytes([t0, t1]), rest))
}

/// The type behind `length` bytes of a tag.
pub(super) fn behind_type(rest: &[u8], length: usize) -> Result<Step<'_>, Malformed> {
    let (ethertype, rest) = take::<2>(skip(rest, length)?)?;
    Ok(Step::Type(u16::from_be_bytes(*ethertype), rest))
}
