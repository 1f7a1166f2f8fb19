//! Ethernet, and all that may stand between it and IP: VLAN and provider tags,
//! LLC/SNAP, PPPoE, MPLS, NSH, MACsec, and frames within frames. Bound: `MAX_SHIMS` of
//! them, of whatever kind; of VLAN tags the outer two are kept.

use super::{
    Header, Malformed, Network, Parsed, frames, ppp,
    shim::{MPLS, NSH, llc, macsec, mpls, nsh},
    skip,
    step::{Step, addresses, behind_type},
    take,
};
use crate::decode::Macs;

const IPV4: u16 = 0x0800;
const ARP: u16 = 0x0806;
const RARP: u16 = 0x8035;
const IPV6: u16 = 0x86dd;
const MPLS_MULTICAST: u16 = 0x8848;
const PPPOE_SESSION: u16 = 0x8864;
const PPP: u16 = 0x880b;
const MACSEC: u16 = 0x88e5;
/// LLC without its length, since that is beyond what the field can tell.
const LONG_LLC: u16 = 0x8870;
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

pub(super) fn ethernet(frame: &[u8]) -> Parsed<'_> {
    match isl(frame) {
        Some(inner) => inner,
        None => follow(Step::Frame(frame)),
    }
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

/// What follows a type or length of Ethernet, up to the network header. MAC
/// addresses are told where an Ethernet header is in between.
pub(super) fn typed(ethertype: u16, rest: &[u8]) -> Parsed<'_> {
    follow(Step::Type(ethertype, rest))
}

/// Goes on from a step, up to the network header. The addresses are those of the
/// innermost frame.
pub(super) fn follow(mut next: Step<'_>) -> Parsed<'_> {
    let mut header = Header::of(Network::Either);
    let mut tags = 0;
    // The frame and IP itself are steps, too.
    for _ in 0..MAX_SHIMS + 2 {
        let (ethertype, rest) = match next {
            Step::Type(ethertype, rest) => (ethertype, rest),
            Step::Tag(id, ethertype, rest) => {
                if let Some(slot) = header.vlan.get_mut(tags) {
                    *slot = id;
                }
                tags += 1;
                (ethertype, rest)
            }
            Step::Frame(frame) => {
                let (macs, ethertype, rest) = addresses(frame)?;
                header.macs = Some(macs);
                (ethertype, rest)
            }
            Step::Network(network, rest) => {
                header.network = network;
                return Ok((header, rest));
            }
        };
        next = step(ethertype, rest)?;
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
        VN_TAG => behind_type(rest, 4),
        E_TAG | GROUP_TAG => behind_type(rest, 6),
        tag if REDUNDANT.contains(&tag) => behind_type(rest, 4),
        PPPOE_SESSION => ppp::session(rest),
        PPP => ppp::step(rest),
        MPLS | MPLS_MULTICAST => mpls(rest),
        NSH => nsh(rest),
        MACSEC => macsec(rest),
        LONG_LLC => llc(rest),
        length if length <= MAX_LENGTH => llc(rest.get(..length.into()).unwrap_or(rest)),
        other => frames::step(other, rest),
    }
}

/// What follows LLC on links other than Ethernet.
pub(super) fn behind_llc(rest: &[u8]) -> Parsed<'_> {
    follow(llc(rest)?)
}

/// Cisco's header before a whole frame, told by its group address and LLC.
fn isl(frame: &[u8]) -> Option<Parsed<'_>> {
    const LENGTH: usize = 26;
    let ([g0, 0, 0x0c, 0, 0, ..], _) = frame.split_first_chunk::<LENGTH>()? else {
        return None;
    };
    if !matches!(g0, 0x01 | 0x0c) || frame[14..17] != [0xaa, 0xaa, 3] {
        return None;
    }
    // The last bit tells of a frame between switches.
    let id = u16::from_be_bytes([frame[20], frame[21]]) >> 1 & 0xfff;
    let parsed = follow(Step::Frame(&frame[LENGTH..])).map(|(mut header, rest)| {
        header.vlan = [id, header.vlan[0]];
        (header, rest)
    });
    Some(parsed)
}
