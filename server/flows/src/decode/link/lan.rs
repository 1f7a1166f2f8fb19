//! Local networks other than Ethernet: Token Ring, FDDI, Fibre Channel,
//! InfiniBand, FireWire, ARCNET, DOCSIS.

use super::{
    Header, Malformed, Network, Parsed,
    ethernet::{behind, behind_llc, typed},
    skip, take,
};

/// Access and frame control, addresses, and a route if the sender's first bit says so.
pub(super) fn token_ring(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<14>(frame)?;
    if head[1] >> 6 != 1 {
        return Err(Malformed::NotIp);
    }
    let route = match (head[8] & 0x80, rest.first()) {
        (0, _) => 0,
        (_, Some(control)) => usize::from(control & 0x1f),
        (_, None) => return Err(Malformed::LinkTruncated),
    };
    behind_llc(skip(rest, route)?)
}

/// Frame control, addresses, LLC.
pub(super) fn fddi(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<13>(frame)?;
    match head[0] & 0x70 {
        0x50 => behind_llc(rest),
        _ => Err(Malformed::NotIp),
    }
}

/// RFC 2625: two network addresses, LLC.
pub(super) fn fibre_channel(frame: &[u8]) -> Parsed<'_> {
    behind_llc(skip(frame, 16)?)
}

/// RFC 4391, behind the global route header that the capture has.
pub(super) fn infiniband(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<4>(skip(frame, 40)?)?;
    typed(u16::from_be_bytes([head[0], head[1]]), rest)
}

/// Apple's: two addresses of 8 bytes, a type.
pub(super) fn firewire(frame: &[u8]) -> Parsed<'_> {
    let (ethertype, rest) = take::<2>(skip(frame, 16)?)?;
    typed(u16::from_be_bytes(*ethertype), rest)
}

/// Two addresses of a byte, the type, and the header of RFC 1201.
pub(super) fn arcnet(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<3>(frame)?;
    arcnet_type(head[2], rest)
}

/// With an offset between addresses and type.
pub(super) fn arcnet_linux(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<5>(frame)?;
    arcnet_type(head[4], rest)
}

fn arcnet_type(kind: u8, rest: &[u8]) -> Parsed<'_> {
    match kind {
        // RFC 1051.
        240 => Ok((Header::of(Network::V4), rest)),
        // RFC 1201: split flag and sequence number; of a split packet the first part.
        212 | 196 => match take::<3>(rest)? {
            (&[0xff, ..], _) => Ok((Header::of(Network::Either), skip(rest, 7)?)),
            (&[flag, ..], rest) if flag & 1 == 1 || flag == 0 => {
                Ok((Header::of(Network::Either), rest))
            }
            _ => Err(Malformed::NotIp),
        },
        213 => Err(Malformed::Arp),
        _ => Err(Malformed::NotIp),
    }
}

/// Frame control, length of the extended header, length; then Ethernet.
pub(super) fn docsis(frame: &[u8]) -> Parsed<'_> {
    let (&[control, parameter, ..], _) = take::<6>(frame)?;
    if control >> 6 != 0 {
        return Err(Malformed::NotIp);
    }
    let extended = match control & 1 {
        1 => usize::from(parameter),
        _ => 0,
    };
    behind(frame, 6 + extended)
}
