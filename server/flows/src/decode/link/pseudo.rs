//! Headers that a capture makes up where the link has none: Linux cooked,
//! loopback, encapsulating interfaces, Solaris' IPNET, NFLOG, PFLOG.

use super::{Header, Malformed, Network, Parsed, ethernet::typed, skip, take};
use crate::decode::Direction;

/// Address families of IPv4 and of IPv6 on Linux, the BSDs, Darwin and Solaris.
const FAMILY_IPV4: u32 = 2;
const FAMILIES_IPV6: [u32; 5] = [10, 24, 26, 28, 30];

/// Types of a cooked header that are no type of Ethernet: LLC follows.
const COOKED_LLC: u16 = 4;

pub(super) fn cooked(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<16>(frame)?;
    let (mut header, rest) = cooked_type(u16::from_be_bytes([head[14], head[15]]), rest)?;
    header.direction = direction(u16::from_be_bytes([head[0], head[1]]));
    Ok((header, rest))
}

pub(super) fn cooked2(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<20>(frame)?;
    let (mut header, rest) = cooked_type(u16::from_be_bytes([head[0], head[1]]), rest)?;
    header.direction = direction(u16::from(head[10]));
    Ok((header, rest))
}

fn cooked_type(ethertype: u16, rest: &[u8]) -> Parsed<'_> {
    match ethertype {
        COOKED_LLC => super::ethernet::behind_llc(rest),
        // Novell's and other numbers of Linux are no lengths.
        0..=1535 => Err(Malformed::NotIp),
        ethertype => typed(ethertype, rest),
    }
}

/// From the packet type of a cooked header: to us, broadcast, multicast, to
/// somebody else (which tells nothing), from us.
pub(super) fn direction(packet_type: u16) -> Option<Direction> {
    match packet_type {
        0..=2 => Some(Direction::Incoming),
        4 => Some(Direction::Outgoing),
        _ => None,
    }
}

pub(super) fn loopback(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<4>(frame)?;
    let network = family(u32::from_le_bytes(*head)).or(family(u32::from_be_bytes(*head)));
    Ok((Header::of(network.ok_or(Malformed::NotIp)?), rest))
}

fn family(number: u32) -> Option<Network> {
    match number {
        FAMILY_IPV4 => Some(Network::V4),
        number if FAMILIES_IPV6.contains(&number) => Some(Network::V6),
        _ => None,
    }
}

/// OpenBSD's: family, index of the security association, flags.
pub(super) fn enc(frame: &[u8]) -> Parsed<'_> {
    let (_, rest) = take::<12>(frame)?;
    Ok((Header::of(Network::Either), rest))
}

pub(super) fn ipnet(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<24>(frame)?;
    let network = family(head[1].into()).ok_or(Malformed::NotIp)?;
    Ok((Header::of(network), rest))
}

/// Attributes of nfnetlink in the order of the capturing host; one is the packet.
pub(super) fn nflog(frame: &[u8]) -> Parsed<'_> {
    const PAYLOAD: u16 = 9;
    /// The kernel's bridge hands on frames behind their Ethernet header.
    const FAMILY_BRIDGE: u32 = 7;
    let (head, attributes) = take::<4>(frame)?;
    let network = match u32::from(head[0]) {
        FAMILY_BRIDGE => Network::Either,
        number => family(number).ok_or(Malformed::NotIp)?,
    };
    for read in [u16::from_le_bytes, u16::from_be_bytes] {
        let mut rest = attributes;
        while let Some((&[l0, l1, t0, t1], _)) = rest.split_first_chunk::<4>() {
            let length = usize::from(read([l0, l1]));
            if length < 4 {
                break;
            }
            if read([t0, t1]) == PAYLOAD {
                let payload = rest.get(4..length).or(rest.get(4..));
                return Ok((Header::of(network), payload.unwrap_or_default()));
            }
            rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        }
    }
    Err(Malformed::LinkTruncated)
}

/// Of pf: the header's length, family, what became of the packet, why, and the rule; the
/// direction is behind the numbers of users and processes, which the oldest have not.
pub(super) fn pflog(frame: &[u8]) -> Parsed<'_> {
    const BLOCKED: u8 = 1;
    const OLDEST: u8 = 48;
    let (&[length, family, action], _) = take::<3>(frame)?;
    let place = if length <= OLDEST { 44 } else { 60 };
    let mut header = Header::of(self::family(family.into()).ok_or(Malformed::NotIp)?);
    header.is_blocked = action == BLOCKED;
    header.direction = match frame.get(place) {
        Some(1) => Some(Direction::Incoming),
        Some(2) => Some(Direction::Outgoing),
        _ => None,
    };
    let rest = skip(frame, usize::from(length).next_multiple_of(4))?;
    Ok((header, rest))
}
