//! Headers between Ethernet and IP that have a form of their own: LLC/SNAP, MPLS, NSH,
//! MACsec. Each is a step; bound: `MAX_LABELS`.

use super::{
    Malformed, Network, frames, skip,
    step::{Step, behind_type},
    take,
};

pub(super) const MPLS: u16 = 0x8847;
pub(super) const NSH: u16 = 0x894f;

/// Labels of MPLS that are looked through.
const MAX_LABELS: usize = 64;

/// LLC (802.2) with SNAP, or IP's own service access point.
pub(super) fn llc(rest: &[u8]) -> Result<Step<'_>, Malformed> {
    let (head, rest) = take::<3>(rest)?;
    match *head {
        // RFC 1042, and 802.1H's OUI of the same meaning.
        [0xaa, 0xaa, 0x03] => {
            let (snap, rest) = take::<5>(rest)?;
            match *snap {
                [0, 0, 0 | 0xf8, t0, t1] => Ok(Step::Type(u16::from_be_bytes([t0, t1]), rest)),
                _ => Err(Malformed::NotIp),
            }
        }
        [0x06, 0x06, 0x03] => Ok(Step::Network(Network::V4, rest)),
        _ => Err(Malformed::NotIp),
    }
}

/// Labels (RFC 3032) down to the bottom; IP tells itself by its version. What
/// is no IP may be a pseudowire.
pub(super) fn mpls(mut rest: &[u8]) -> Result<Step<'_>, Malformed> {
    for _ in 0..MAX_LABELS {
        let (label, behind) = take::<4>(rest)?;
        rest = behind;
        if label[2] & 1 == 1 {
            let first = rest.first().ok_or(Malformed::IpTruncated)?;
            return match (frames::pseudowire(rest), first >> 4) {
                (Some(frame), _) => Ok(Step::Frame(frame)),
                (None, 4) => Ok(Step::Network(Network::V4, rest)),
                (None, 6) => Ok(Step::Network(Network::V6, rest)),
                (None, _) => Err(Malformed::NotIp),
            };
        }
    }
    Err(Malformed::TooManyTags)
}

/// The tag of MACsec (IEEE 802.1AE), with or without an identifier of its channel. What
/// is protected but not encrypted is read; the check value behind it is beyond IP's length.
pub(super) fn macsec(rest: &[u8]) -> Result<Step<'_>, Malformed> {
    const HAS_CHANNEL: u8 = 0x20;
    const ENCRYPTED: u8 = 0x08;
    const CHANGED: u8 = 0x04;
    let ([control], _) = take::<1>(rest)?;
    match control & (ENCRYPTED | CHANGED) {
        0 if control & HAS_CHANNEL != 0 => behind_type(rest, 14),
        0 => behind_type(rest, 6),
        _ => Err(Malformed::Encrypted),
    }
}

/// Network service header (RFC 8300), with IP, Ethernet, MPLS or another one inside.
pub(super) fn nsh(rest: &[u8]) -> Result<Step<'_>, Malformed> {
    let (&[_, length, _, protocol], _) = take::<4>(rest)?;
    let length = usize::from(length & 0x3f) * 4;
    if length < 8 {
        return Err(Malformed::NotIp);
    }
    let inner = skip(rest, length)?;
    match protocol {
        1 => Ok(Step::Network(Network::V4, inner)),
        2 => Ok(Step::Network(Network::V6, inner)),
        3 => Ok(Step::Frame(inner)),
        4 => Ok(Step::Type(NSH, inner)),
        5 => Ok(Step::Type(MPLS, inner)),
        _ => Err(Malformed::NotIp),
    }
}
