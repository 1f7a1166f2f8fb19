//! Whole Ethernet frames within others: provider backbones, TRILL, FabricPath, meshes,
//! pseudowires.

use super::{
    Malformed, skip,
    step::{Step, addresses},
    take,
};

/// 802.1ah.
const BACKBONE: u16 = 0x88e7;
/// RFC 6325.
const TRILL: u16 = 0x22f3;
const FABRIC_PATH: u16 = 0x8903;
/// A frame at once (RFC 7637 and others).
const BRIDGED: u16 = 0x6558;
/// B.A.T.M.A.N. advanced.
const MESH: u16 = 0x4305;

/// What follows one of these types.
pub(super) fn step(ethertype: u16, rest: &[u8]) -> Result<Step<'_>, Malformed> {
    let length = match ethertype {
        BACKBONE => 4,
        TRILL => trill(rest)?,
        FABRIC_PATH => 2,
        BRIDGED => 0,
        MESH => mesh(rest)?,
        _ => return Err(Malformed::NotIp),
    };
    Ok(Step::Frame(skip(rest, length)?))
}

/// Two names of switches and options, in words of 4 bytes.
fn trill(rest: &[u8]) -> Result<usize, Malformed> {
    let (first, _) = take::<2>(rest)?;
    let first = u16::from_be_bytes(*first);
    match first >> 14 {
        0 => Ok(6 + usize::from(first >> 6 & 0x1f) * 4),
        _ => Err(Malformed::NotIp),
    }
}

/// The kinds of version 15 that carry a whole frame (batman-adv's `batadv_packet.h`).
fn mesh(rest: &[u8]) -> Result<usize, Malformed> {
    let (head, _) = take::<2>(rest)?;
    match *head {
        // To all, to one, to one with its sender.
        [0x01, 15] => Ok(14),
        [0x40, 15] => Ok(10),
        [0x42, 15] => Ok(18),
        _ => Err(Malformed::NotIp),
    }
}

/// The frame of a pseudowire (RFC 4448) behind MPLS labels, with a control word or
/// without: nothing tells which, nor that it is not IP. So it is one only if it carries
/// what we read, and what is there is no IP as it should be.
pub(super) fn pseudowire(rest: &[u8]) -> Option<&[u8]> {
    if is_whole_ip(rest) {
        return None;
    }
    let behind_word = rest.strip_prefix(&[0, 0]).and_then(|rest| rest.get(2..));
    behind_word
        .filter(|frame| is_read(frame))
        .or(Some(rest).filter(|frame| is_read(frame)))
}

/// No unicast address of Ethernet begins as IPv4 without options does. With options there
/// is a checksum to tell it by, and of IPv6 a length.
fn is_whole_ip(bytes: &[u8]) -> bool {
    match *bytes {
        [0x45, ..] => true,
        [first @ 0x46..=0x4f, ..] => {
            let header = bytes.get(..usize::from(first & 0xf) * 4);
            header.is_some_and(is_sound)
        }
        [0x60..=0x6f, _, _, _, high, low, ..] => {
            let length = usize::from(u16::from_be_bytes([high, low]));
            length > 0 && 40 + length <= bytes.len()
        }
        _ => false,
    }
}

/// By its checksum (RFC 1071).
fn is_sound(header: &[u8]) -> bool {
    let words = header.as_chunks().0.iter();
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    sum.is_multiple_of(0xffff)
}

/// Whether a frame carries IP, as its first bits say, or a tag.
fn is_read(frame: &[u8]) -> bool {
    let Ok((_, ethertype, rest)) = addresses(frame) else {
        return false;
    };
    let version = rest.first().map(|first| first >> 4);
    match ethertype {
        0x0800 => version == Some(4),
        0x86dd => version == Some(6),
        _ => matches!(ethertype, 0x8100 | 0x88a8 | 0x8847 | 0x8864),
    }
}
