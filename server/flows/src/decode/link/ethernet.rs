//! Ethernet, and all that may stand between it and IP: VLAN and provider tags,
//! LLC/SNAP, PPPoE, MPLS, NSH. Bound: `MAX_SHIMS` of them, of whatever kind; of
//! VLAN tags the outer two are kept.

use super::{Header, Malformed, Network, Parsed, serial, skip, take};
use crate::decode::Macs;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const IPV6: u16 = 0x86dd;
const MPLS: [u16; 2] = [0x8847, 0x8848];
const PPPOE_SESSION: u16 = 0x8864;
const PPP: u16 = 0x880b;
const NSH: u16 = 0x894f;
/// 802.1ah: a whole Ethernet header follows the tag.
const BACKBONE: u16 = 0x88e7;
/// Cisco's VN-Tag (802.1BR's E-Tag is longer).
const VN_TAG: u16 = 0x8926;
const E_TAG: u16 = 0x893f;
/// Redundant rings (IEC 62439-3) and 802.1CB.
const REDUNDANT: [u16; 2] = [0x892f, 0xf1c1];
/// Cisco's security groups.
const GROUP_TAG: u16 = 0x8909;

/// 802.1Q, 802.1ad and the tags that came before it.
const VLAN: [u16; 5] = [0x8100, 0x88a8, 0x9100, 0x9200, 0x9300];

/// Shims that are looked through.
const MAX_SHIMS: usize = 64;

/// Bits of a VLAN tag that are its number.
const VLAN_ID: u16 = 0x0fff;

/// Up to here the type of a frame is the length of LLC (802.3).
const MAX_LENGTH: u16 = 1500;

/// What follows a shim.
enum Step<'a> {
    Type(u16, &'a [u8]),
    Tag(u16, u16, &'a [u8]),
    Macs(Macs, u16, &'a [u8]),
    Network(Network, &'a [u8]),
}

pub(super) fn ethernet(frame: &[u8]) -> Parsed<'_> {
    let (macs, ethertype, rest) = addresses(frame)?;
    let (header, rest) = typed(ethertype, rest)?;
    let macs = header.macs.or(Some(macs));
    Ok((Header { macs, ..header }, rest))
}

/// Ethernet behind `length` bytes of something else.
pub(super) fn behind(frame: &[u8], length: usize) -> Parsed<'_> {
    ethernet(skip(frame, length)?)
}

/// Ethernet with a tag of a switch chip, of `length` bytes, before the type.
pub(super) fn switch_tagged(frame: &[u8], length: usize) -> Parsed<'_> {
    let (head, rest) = take::<12>(frame)?;
    let (ethertype, rest) = take::<2>(skip(rest, length)?)?;
    let (header, rest) = typed(u16::from_be_bytes(*ethertype), rest)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5] = *head;
    let macs = Macs {
        source: [s0, s1, s2, s3, s4, s5],
        destination: [d0, d1, d2, d3, d4, d5],
    };
    let macs = header.macs.or(Some(macs));
    Ok((Header { macs, ..header }, rest))
}

fn addresses(frame: &[u8]) -> Result<(Macs, u16, &[u8]), Malformed> {
    let (head, rest) = take::<14>(frame)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *head;
    let macs = Macs {
        source: [s0, s1, s2, s3, s4, s5],
        destination: [d0, d1, d2, d3, d4, d5],
    };
    Ok((macs, u16::from_be_bytes([t0, t1]), rest))
}

/// What follows a type or length of Ethernet, up to the network header. MAC
/// addresses are told where another Ethernet header is in between.
pub(super) fn typed(mut ethertype: u16, mut rest: &[u8]) -> Parsed<'_> {
    let mut header = Header::of(Network::Either);
    let mut tags = 0;
    for _ in 0..=MAX_SHIMS {
        match step(ethertype, rest)? {
            Step::Type(next, behind) => (ethertype, rest) = (next, behind),
            Step::Tag(id, next, behind) => {
                if let Some(slot) = header.vlan.get_mut(tags) {
                    *slot = id;
                }
                tags += 1;
                (ethertype, rest) = (next, behind);
            }
            Step::Macs(macs, next, behind) => {
                header.macs = Some(macs);
                (ethertype, rest) = (next, behind);
            }
            Step::Network(network, behind) => {
                header.network = network;
                return Ok((header, behind));
            }
        }
    }
    Err(Malformed::TooManyTags)
}

fn step(ethertype: u16, rest: &[u8]) -> Result<Step<'_>, Malformed> {
    match ethertype {
        IPV4 => Ok(Step::Network(Network::V4, rest)),
        IPV6 => Ok(Step::Network(Network::V6, rest)),
        ARP | RARP => Err(Malformed::Arp),
        tag if VLAN.contains(&tag) => {
            let (tag, rest) = take::<4>(rest)?;
            let id = u16::from_be_bytes([tag[0], tag[1]]) & VLAN_ID;
            Ok(Step::Tag(id, u16::from_be_bytes([tag[2], tag[3]]), rest))
        }
        BACKBONE => {
            let (macs, ethertype, rest) = addresses(skip(rest, 4)?)?;
            Ok(Step::Macs(macs, ethertype, rest))
        }
        VN_TAG => behind_type(rest, 4),
        E_TAG | GROUP_TAG => behind_type(rest, 6),
        tag if REDUNDANT.contains(&tag) => behind_type(rest, 4),
        PPPOE_SESSION => network(serial::pppoe(rest)?),
        PPP => network(serial::ppp(rest)?),
        label if MPLS.contains(&label) => network(mpls(rest)?),
        NSH => nsh(rest),
        length if length <= MAX_LENGTH => llc(rest.get(..length.into()).unwrap_or(rest)),
        _ => Err(Malformed::NotIp),
    }
}

fn network((header, rest): (Header, &[u8])) -> Result<Step<'_>, Malformed> {
    Ok(Step::Network(header.network, rest))
}

/// The type behind `length` bytes of a tag.
fn behind_type(rest: &[u8], length: usize) -> Result<Step<'_>, Malformed> {
    let (ethertype, rest) = take::<2>(skip(rest, length)?)?;
    Ok(Step::Type(u16::from_be_bytes(*ethertype), rest))
}

/// LLC (802.2) with SNAP, or IP's own service access point.
fn llc(rest: &[u8]) -> Result<Step<'_>, Malformed> {
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

/// What follows LLC on links other than Ethernet.
pub(super) fn behind_llc(rest: &[u8]) -> Parsed<'_> {
    match llc(rest)? {
        Step::Type(ethertype, rest) => typed(ethertype, rest),
        Step::Network(network, rest) => Ok((Header::of(network), rest)),
        Step::Tag(..) | Step::Macs(..) => Err(Malformed::NotIp),
    }
}

/// Labels (RFC 3032) down to the bottom; IP tells itself by its version. What
/// is no IP may be a pseudowire.
pub(super) fn mpls(mut rest: &[u8]) -> Parsed<'_> {
    for _ in 0..MAX_SHIMS {
        let (label, behind) = take::<4>(rest)?;
        rest = behind;
        if label[2] & 1 == 1 {
            return match rest.first().map(|first| first >> 4) {
                Some(4) => Ok((Header::of(Network::V4), rest)),
                Some(6) => Ok((Header::of(Network::V6), rest)),
                Some(_) => Err(Malformed::NotIp),
                None => Err(Malformed::IpTruncated),
            };
        }
    }
    Err(Malformed::TooManyTags)
}

/// Network service header (RFC 8300), with IP, Ethernet or MPLS inside.
fn nsh(rest: &[u8]) -> Result<Step<'_>, Malformed> {
    let (&[_, length, _, protocol], _) = take::<4>(rest)?;
    let length = usize::from(length & 0x3f) * 4;
    if length < 8 {
        return Err(Malformed::NotIp);
    }
    let inner = skip(rest, length)?;
    match protocol {
        1 => Ok(Step::Network(Network::V4, inner)),
        2 => Ok(Step::Network(Network::V6, inner)),
        3 => {
            let (macs, ethertype, rest) = addresses(inner)?;
            Ok(Step::Macs(macs, ethertype, rest))
        }
        5 => network(mpls(inner)?),
        _ => Err(Malformed::NotIp),
    }
}
