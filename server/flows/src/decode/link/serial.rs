//! Serial lines, radio and cells: PPP, PPPoE, HDLC, frame relay, AX.25, SLIP, ATM.

use super::{
    Header, Malformed, Network, Parsed,
    ethernet::{behind, behind_llc, follow, typed},
    ppp, skip, take,
};
use crate::decode::Direction;

/// Network-layer protocol identifiers (ISO/IEC TR 9577).
const NLPID_SNAP: u8 = 0x80;
const NLPID_IPV6: u8 = 0x8e;
const NLPID_IPV4: u8 = 0xcc;
const NLPID_PPP: u8 = 0xcf;

/// Unnumbered information, the control field of all frames that carry data.
const UNNUMBERED: u8 = 0x03;

/// PPP, with or without HDLC-like framing.
pub(super) fn ppp(frame: &[u8]) -> Parsed<'_> {
    follow(ppp::step(frame)?)
}

/// BSD/OS: 24 bytes, the protocol at the sixth.
pub(super) fn ppp_bsdos(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<24>(frame)?;
    match [head[5], head[6]] {
        [0, 0x21] => Ok((Header::of(Network::V4), rest)),
        [0, 0x57] => Ok((Header::of(Network::V6), rest)),
        _ => Err(Malformed::NotIp),
    }
}

/// PPPoE of a session (RFC 2516): PPP without framing.
pub(super) fn pppoe(frame: &[u8]) -> Parsed<'_> {
    follow(ppp::session(frame)?)
}

/// A frame behind a byte that is 0 if it was received. `pppd` writes the byte in
/// place of PPP's address.
pub(super) fn directed(frame: &[u8], parse: fn(&[u8]) -> Parsed<'_>) -> Parsed<'_> {
    let (first, rest) = take::<1>(frame)?;
    let rest = rest
        .strip_prefix(&[UNNUMBERED, 0])
        .map_or(rest, |_| &rest[1..]);
    let (header, rest) = parse(rest)?;
    let direction = Some(direction(first[0]));
    Ok((
        Header {
            direction,
            ..header
        },
        rest,
    ))
}

/// Cisco's HDLC, or PPP in HDLC-like framing, told by the address.
pub(super) fn hdlc(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<4>(frame)?;
    match *head {
        [0x0f | 0x8f, _, t0, t1] => typed(u16::from_be_bytes([t0, t1]), rest),
        _ => ppp(frame),
    }
}

/// Frame relay by RFC 2427, or by Cisco with a type as Ethernet has.
pub(super) fn frame_relay(frame: &[u8]) -> Parsed<'_> {
    // The address ends with the byte whose least bit is set.
    let end = frame.iter().take(4).position(|byte| byte & 1 == 1);
    let rest = skip(frame, end.ok_or(Malformed::NotIp)? + 1)?;
    let Some(rest) = rest.strip_prefix(&[UNNUMBERED]) else {
        let (ethertype, rest) = take::<2>(rest)?;
        return typed(u16::from_be_bytes(*ethertype), rest);
    };
    nlpid(rest.strip_prefix(&[0]).unwrap_or(rest))
}

fn nlpid(rest: &[u8]) -> Parsed<'_> {
    let (nlpid, rest) = take::<1>(rest)?;
    match nlpid[0] {
        NLPID_IPV4 => Ok((Header::of(Network::V4), rest)),
        NLPID_IPV6 => Ok((Header::of(Network::V6), rest)),
        NLPID_PPP => ppp(rest),
        NLPID_SNAP => {
            let (snap, rest) = take::<5>(rest)?;
            match *snap {
                [0, 0, 0, t0, t1] => typed(u16::from_be_bytes([t0, t1]), rest),
                // Bridged Ethernet, with and without its checksum.
                [0, 0x80, 0xc2, 0, 1 | 7] => behind(rest, 0),
                _ => Err(Malformed::NotIp),
            }
        }
        _ => Err(Malformed::NotIp),
    }
}

/// AX.25 of amateur radio: stations of 7 bytes up to the one whose last bit is set, a
/// control field, a protocol.
pub(super) fn ax25(frame: &[u8]) -> Parsed<'_> {
    const STATION: usize = 7;
    const MOST_STATIONS: usize = 10;
    const IPV4: u8 = 0xcc;
    let stations = frame.chunks_exact(STATION).take(MOST_STATIONS);
    let is_last = |station: &[u8]| station[STATION - 1] & 1 == 1;
    let last = stations.map(is_last).position(|is_last| is_last);
    let behind = (last.ok_or(Malformed::LinkTruncated)? + 1) * STATION;
    match take::<2>(skip(frame, behind)?)? {
        // Information, numbered or not.
        (&[control, IPV4], rest) if control & 1 == 0 || control & !0x10 == UNNUMBERED => {
            Ok((Header::of(Network::V4), rest))
        }
        _ => Err(Malformed::NotIp),
    }
}

/// 0 is what came.
fn direction(sent: u8) -> Direction {
    match sent {
        0 => Direction::Incoming,
        _ => Direction::Outgoing,
    }
}

/// SLIP behind a pseudo-header whose first byte is 1 if the packet was sent.
pub(super) fn slip(frame: &[u8], length: usize) -> Parsed<'_> {
    let rest = skip(frame, length)?;
    let mut header = Header::of(Network::Either);
    header.direction = match frame.first() {
        Some(0) => Some(Direction::Incoming),
        Some(1) => Some(Direction::Outgoing),
        _ => None,
    };
    Ok((header, rest))
}

/// RFC 2684 in LLC: routed or bridged. Without LLC IP follows at once (Linux'
/// classical IP).
pub(super) fn atm(frame: &[u8]) -> Parsed<'_> {
    match *frame {
        [0xaa, 0xaa, UNNUMBERED, 0, 0x80, 0xc2, 0, 1 | 7, ..] => behind(frame, 10),
        [0xaa, 0xaa, UNNUMBERED, ..] => behind_llc(frame),
        [0xfe, 0xfe, UNNUMBERED, ..] => nlpid(&frame[3..]),
        _ => Ok((Header::of(Network::Either), frame)),
    }
}

/// Sun's pseudo-header before a cell's LLC or emulated LAN.
pub(super) fn atm_sun(frame: &[u8]) -> Parsed<'_> {
    let (head, rest) = take::<4>(frame)?;
    let (header, rest) = match head[0] & 0x0f {
        1 => behind(rest, 2)?,
        2 => atm(rest)?,
        _ => return Err(Malformed::NotIp),
    };
    let direction = Some(direction(head[0] & 0x80));
    Ok((
        Header {
            direction,
            ..header
        },
        rest,
    ))
}
