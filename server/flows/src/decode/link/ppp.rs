//! PPP (RFC 1661), with or without HDLC-like framing, its fields compressed or not, and
//! its sessions on Ethernet.

use super::{Malformed, Network, shim::MPLS, skip, step::Step, take};

/// Unnumbered information, the control field of all frames that carry data.
const UNNUMBERED: u8 = 0x03;

/// What a frame of PPP carries. Of several links that are one (RFC 1990) the first part
/// of a packet is read.
pub(super) fn step(frame: &[u8]) -> Result<Step<'_>, Malformed> {
    const MULTILINK: u16 = 0x003d;
    const BEGINS: u8 = 0x80;
    let (mut protocol, mut rest) = protocol(frame)?;
    if protocol == MULTILINK {
        let (&[flags, ..], part) = take::<4>(rest)?;
        if flags & BEGINS == 0 {
            return Err(Malformed::NotIp);
        }
        (protocol, rest) = self::protocol(part)?;
    }
    match protocol {
        0x0021 => Ok(Step::Network(Network::V4, rest)),
        0x0057 => Ok(Step::Network(Network::V6, rest)),
        0x0281 | 0x0283 => Ok(Step::Type(MPLS, rest)),
        0x0031 => bridged(rest),
        _ => Err(Malformed::NotIp),
    }
}

fn protocol(frame: &[u8]) -> Result<(u16, &[u8]), Malformed> {
    let frame = frame.strip_prefix(&[0xff, UNNUMBERED]).unwrap_or(frame);
    let (first, rest) = take::<1>(frame)?;
    // The least bit of a protocol's last byte is set.
    if first[0] & 1 == 1 {
        return Ok((u16::from(first[0]), rest));
    }
    let (second, rest) = take::<1>(rest)?;
    Ok((u16::from_be_bytes([first[0], second[0]]), rest))
}

/// A frame of a bridge (RFC 3518): flags, kind of MAC, perhaps a number of its LAN.
fn bridged(rest: &[u8]) -> Result<Step<'_>, Malformed> {
    const HAS_LAN: u8 = 0x40;
    const ETHERNET: u8 = 1;
    let (&[flags, kind], rest) = take::<2>(rest)?;
    let length = if flags & HAS_LAN == 0 { 0 } else { 4 };
    match kind {
        ETHERNET => Ok(Step::Frame(skip(rest, length)?)),
        _ => Err(Malformed::NotIp),
    }
}

/// PPPoE of a session (RFC 2516): PPP without framing.
pub(super) fn session(frame: &[u8]) -> Result<Step<'_>, Malformed> {
    let (&[version_and_type, code, _, _, l0, l1], rest) = take::<6>(frame)?;
    if version_and_type != 0x11 || code != 0 {
        return Err(Malformed::NotIp);
    }
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    step(rest.get(..length).unwrap_or(rest))
}
