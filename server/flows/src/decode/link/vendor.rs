//! Headers of one vendor's captures: Juniper, Endace (ERF), Symantec, Apple (PKTAP).

use super::{
    Header, Malformed, Network, Parsed, behind_pseudo,
    ethernet::{behind, typed},
    serial, skip, take,
};
use crate::decode::{Direction, JuniperLink, Link};

/// Magic number, flags, extensions; then a frame, or IP at once.
pub(super) fn juniper(frame: &[u8], inner: JuniperLink) -> Parsed<'_> {
    const INCOMING: u8 = 0x01;
    const NO_LINK_HEADER: u8 = 0x02;
    const EXTENSIONS: u8 = 0x80;
    let (&[m0, m1, m2, flags], rest) = take::<4>(frame)?;
    if [m0, m1, m2] != *b"MGC" {
        return Err(Malformed::NotIp);
    }
    let rest = match flags & EXTENSIONS {
        0 => rest,
        _ => {
            let (length, rest) = take::<2>(rest)?;
            skip(rest, u16::from_be_bytes(*length).into())?
        }
    };
    let (header, rest) = match inner {
        // The address family comes first.
        _ if flags & NO_LINK_HEADER != 0 => (Header::of(Network::Either), skip(rest, 4)?),
        JuniperLink::Ethernet => behind(rest, 0)?,
        JuniperLink::Ppp => serial::ppp(rest)?,
        JuniperLink::Hdlc => serial::hdlc(rest)?,
        JuniperLink::FrameRelay => serial::frame_relay(rest)?,
    };
    let direction = Some(match flags & INCOMING {
        0 => Direction::Outgoing,
        _ => Direction::Incoming,
    });
    Ok((
        Header {
            direction,
            ..header
        },
        rest,
    ))
}

/// Endace's record header, and extension headers while their first bit says so.
pub(super) fn erf(frame: &[u8]) -> Parsed<'_> {
    const MORE: u8 = 0x80;
    let (head, mut rest) = take::<16>(frame)?;
    let mut more = head[8] & MORE != 0;
    while more {
        let (extension, behind) = take::<8>(rest)?;
        more = extension[0] & MORE != 0;
        rest = behind;
    }
    match head[8] & !MORE {
        // Two bytes of offset and padding come before Ethernet.
        2 | 11 | 16 | 20 => behind(rest, 2),
        1 | 10 | 15 | 17 | 19 => serial::hdlc(rest),
        22 => Ok((Header::of(Network::V4), rest)),
        23 => Ok((Header::of(Network::V6), rest)),
        _ => Err(Malformed::NotIp),
    }
}

/// Symantec's firewall: the type is at the sixth byte, in version 3 at the eighteenth.
pub(super) fn symantec(frame: &[u8]) -> Parsed<'_> {
    let (head, _) = take::<20>(frame)?;
    match u16::from_be_bytes([head[6], head[7]]) {
        0 => typed(u16::from_be_bytes([head[18], head[19]]), skip(frame, 56)?),
        ethertype => typed(ethertype, skip(frame, 44)?),
    }
}

/// Apple's: its length, the link type of what follows, and a direction.
pub(super) fn pktap(frame: &[u8]) -> Parsed<'_> {
    let (head, _) = take::<40>(frame)?;
    let field = |at: usize| -> u32 {
        let bytes = head.get(at..).and_then(<[u8]>::first_chunk);
        bytes.map_or(0, |bytes| u32::from_le_bytes(*bytes))
    };
    let rest = skip(frame, field(0) as usize)?;
    let link = u16::try_from(field(8)).ok().and_then(Link::from_number);
    let (header, rest) = behind_pseudo(link.ok_or(Malformed::NotIp)?, rest)?;
    let direction = match field(36) & 3 {
        1 => Some(Direction::Incoming),
        2 => Some(Direction::Outgoing),
        _ => header.direction,
    };
    Ok((
        Header {
            direction,
            ..header
        },
        rest,
    ))
}
