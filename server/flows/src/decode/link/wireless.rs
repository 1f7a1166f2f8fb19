//! Wireless LAN (802.11), plain and behind the headers with radio data that
//! captures have: radiotap, AVS, Prism, PPI, TZSP. Protected frames are not read.

use super::{Malformed, Parsed, behind_pseudo, ethernet::behind_llc, skip, take};
use crate::decode::{Link, Macs};

/// Frame control, as it comes in two bytes.
const TO_ACCESS_POINT: u8 = 0x01;
const FROM_ACCESS_POINT: u8 = 0x02;
const PROTECTED: u8 = 0x40;
const ORDERED: u8 = 0x80;

/// Bits of the subtype of a data frame.
const NO_DATA: u8 = 0x4;
const QUALITY: u8 = 0x8;

/// An aggregate of several packets, in the control field of quality of service.
const AGGREGATE: u8 = 0x80;

/// A frame without radio data.
pub(super) fn frame(frame: &[u8]) -> Parsed<'_> {
    data(frame, false)
}

/// A data frame; `padded` if its header is padded to words.
fn data(frame: &[u8], padded: bool) -> Parsed<'_> {
    let (head, _) = take::<24>(frame)?;
    let (kind, subtype, flags) = (head[0] >> 2 & 3, head[0] >> 4, head[1]);
    // Of a packet in parts only the first one has LLC.
    if kind != 2 || subtype & NO_DATA != 0 || head[22] & 0x0f != 0 {
        return Err(Malformed::NotIp);
    }
    if flags & PROTECTED != 0 {
        return Err(Malformed::Encrypted);
    }
    let both = TO_ACCESS_POINT | FROM_ACCESS_POINT;
    let mut length = if flags & both == both { 30 } else { 24 };
    let mut is_aggregate = false;
    if subtype & QUALITY != 0 {
        let control = *frame.get(length).ok_or(Malformed::LinkTruncated)?;
        is_aggregate = control & AGGREGATE != 0;
        length += if flags & ORDERED == 0 { 2 } else { 6 };
    }
    if padded {
        length = length.next_multiple_of(4);
    }
    let mut rest = skip(frame, length)?;
    let mut macs = addresses(frame, flags);
    if is_aggregate {
        // The first of them: two addresses and a length.
        let (inner, behind) = take::<14>(rest)?;
        macs = Some(Macs {
            destination: at(inner, 0)?,
            source: at(inner, 6)?,
        });
        rest = behind;
    }
    let (mut header, rest) = behind_llc(rest)?;
    header.macs = header.macs.or(macs);
    Ok((header, rest))
}

/// Sender and receiver, by whether the frame comes from or goes to the access point.
fn addresses(frame: &[u8], flags: u8) -> Option<Macs> {
    let [first, second, third] = [at(frame, 4), at(frame, 10), at(frame, 16)].map(Result::ok);
    let (destination, source) = match flags & (TO_ACCESS_POINT | FROM_ACCESS_POINT) {
        0 => (first, second),
        TO_ACCESS_POINT => (third, second),
        FROM_ACCESS_POINT => (first, third),
        _ => (third, at(frame, 24).ok()),
    };
    Some(Macs {
        source: source?,
        destination: destination?,
    })
}

fn at(bytes: &[u8], place: usize) -> Result<[u8; 6], Malformed> {
    let (address, _) = take::<6>(skip(bytes, place)?)?;
    Ok(*address)
}

/// Radiotap: fields by a map of bits, of which one tells of padding.
pub(super) fn radiotap(frame: &[u8]) -> Parsed<'_> {
    const TIMER: u32 = 1;
    const FLAGS: u32 = 1 << 1;
    const MORE_MAPS: u32 = 1 << 31;
    const PADDED: u8 = 0x20;
    let (&[_, _, l0, l1], _) = take::<4>(frame)?;
    let rest = skip(frame, u16::from_le_bytes([l0, l1]).into())?;
    let map = |at: usize| -> Result<u32, Malformed> {
        let (map, _) = take::<4>(skip(frame, at)?)?;
        Ok(u32::from_le_bytes(*map))
    };
    let first = map(4)?;
    let (mut fields, mut last) = (8, first);
    while last & MORE_MAPS != 0 {
        last = map(fields)?;
        fields += 4;
    }
    if first & TIMER != 0 {
        fields = fields.next_multiple_of(8) + 8;
    }
    let flags = match first & FLAGS {
        0 => 0,
        _ => *frame.get(fields).ok_or(Malformed::LinkTruncated)?,
    };
    data(rest, flags & PADDED != 0)
}

/// Prism's header, or AVS's, which tells itself by its magic number.
pub(super) fn prism(frame: &[u8]) -> Parsed<'_> {
    let (&[m0, m1, m2, _, l0, l1, l2, l3], _) = take::<8>(frame)?;
    if [m0, m1, m2] == [0x80, 0x21, 0x10] {
        return avs(frame);
    }
    let little = u32::from_le_bytes([l0, l1, l2, l3]);
    let length = little.min(u32::from_be_bytes([l0, l1, l2, l3]));
    data(skip(frame, length as usize)?, false)
}

pub(super) fn avs(frame: &[u8]) -> Parsed<'_> {
    let (&[_, _, _, _, l0, l1, l2, l3], _) = take::<8>(frame)?;
    let length = u32::from_be_bytes([l0, l1, l2, l3]);
    data(skip(frame, length as usize)?, false)
}

/// PPI: its length and the link type of what follows.
pub(super) fn ppi(frame: &[u8]) -> Parsed<'_> {
    let (&[_, _, l0, l1, t0, t1, t2, t3], _) = take::<8>(frame)?;
    let rest = skip(frame, u16::from_le_bytes([l0, l1]).into())?;
    let number = u32::from_le_bytes([t0, t1, t2, t3]);
    let link = u16::try_from(number).ok().and_then(Link::from_number);
    behind_pseudo(link.ok_or(Malformed::NotIp)?, rest)
}

/// TZSP: version, kind, what follows behind fields with kind and length.
pub(super) fn tzsp(frame: &[u8]) -> Parsed<'_> {
    const PADDING: u8 = 0;
    const END: u8 = 1;
    let (&[_, _, e0, e1], mut rest) = take::<4>(frame)?;
    loop {
        let (&[kind], behind) = take::<1>(rest)?;
        rest = match kind {
            PADDING => behind,
            END => {
                rest = behind;
                break;
            }
            _ => {
                let (&[length], behind) = take::<1>(behind)?;
                skip(behind, length.into())?
            }
        };
    }
    let link = match u16::from_be_bytes([e0, e1]) {
        1 => Link::Ethernet,
        2 => Link::TokenRing,
        4 => Link::Ppp,
        5 => Link::Fddi,
        7 => Link::Ip,
        18 => Link::Wireless,
        119 => Link::Prism,
        127 => Link::Avs,
        _ => return Err(Malformed::NotIp),
    };
    behind_pseudo(link, rest)
}
