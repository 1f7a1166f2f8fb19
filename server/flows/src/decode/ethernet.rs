//! Link headers: Ethernet with VLAN tags, Linux cooked captures, loopback.
//! Bound: four VLAN tags, of which the outer two are kept.

use super::{Direction, Link, Macs, Malformed};

const ETHERTYPE_IPV4: u16 = 0x0800;
const ETHERTYPE_ARP: u16 = 0x0806;
const ETHERTYPE_RARP: u16 = 0x8035;
const ETHERTYPE_IPV6: u16 = 0x86dd;

/// 802.1Q, 802.1ad and the tag that came before it.
const ETHERTYPES_VLAN: [u16; 3] = [0x8100, 0x88a8, 0x9100];

/// VLAN tags that are looked through.
const MAX_TAGS: usize = 4;

/// Bits of a VLAN tag that are its number.
const VLAN_ID: u16 = 0x0fff;

/// Address families of IPv4 and of IPv6 on Linux, the BSDs and Darwin.
const FAMILY_IPV4: u32 = 2;
const FAMILIES_IPV6: [u32; 4] = [10, 24, 28, 30];

/// What the link header says of the network header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Network {
    V4,
    V6,
    /// Its version field tells.
    Either,
}

/// What a link header tells.
#[derive(Clone, Copy, Debug)]
pub(super) struct Header {
    pub(super) macs: Option<Macs>,
    pub(super) vlan: [u16; 2],
    pub(super) direction: Option<Direction>,
    pub(super) network: Network,
}

impl Header {
    fn of(network: Network) -> Self {
        Self {
            macs: None,
            vlan: [0; 2],
            direction: None,
            network,
        }
    }
}

/// Takes the link header off a frame.
pub(super) fn parse(link: Link, frame: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    match link {
        Link::Ethernet => ethernet(frame),
        Link::Ip => Ok((Header::of(Network::Either), frame)),
        Link::Cooked => cooked(frame),
        Link::Cooked2 => cooked2(frame),
        Link::Loopback => loopback(frame),
    }
}

fn ethernet(frame: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let (head, rest) = take::<14>(frame)?;
    let [d0, d1, d2, d3, d4, d5, s0, s1, s2, s3, s4, s5, t0, t1] = *head;
    let (mut header, rest) = tagged(u16::from_be_bytes([t0, t1]), rest)?;
    header.macs = Some(Macs {
        source: [s0, s1, s2, s3, s4, s5],
        destination: [d0, d1, d2, d3, d4, d5],
    });
    Ok((header, rest))
}

/// Looks through VLAN tags, up to the type of the network header.
fn tagged(mut ethertype: u16, mut rest: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let mut vlan = [0; 2];
    for depth in 0..=MAX_TAGS {
        if !ETHERTYPES_VLAN.contains(&ethertype) {
            let header = Header {
                vlan,
                ..Header::of(network(ethertype)?)
            };
            return Ok((header, rest));
        }
        let (tag, behind) = take::<4>(rest)?;
        if let Some(slot) = vlan.get_mut(depth) {
            *slot = u16::from_be_bytes([tag[0], tag[1]]) & VLAN_ID;
        }
        ethertype = u16::from_be_bytes([tag[2], tag[3]]);
        rest = behind;
    }
    Err(Malformed::TooManyTags)
}

fn network(ethertype: u16) -> Result<Network, Malformed> {
    match ethertype {
        ETHERTYPE_IPV4 => Ok(Network::V4),
        ETHERTYPE_IPV6 => Ok(Network::V6),
        ETHERTYPE_ARP | ETHERTYPE_RARP => Err(Malformed::Arp),
        _ => Err(Malformed::NotIp),
    }
}

fn cooked(frame: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let (head, rest) = take::<16>(frame)?;
    let (mut header, rest) = tagged(u16::from_be_bytes([head[14], head[15]]), rest)?;
    header.direction = direction(u16::from_be_bytes([head[0], head[1]]));
    Ok((header, rest))
}

fn cooked2(frame: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let (head, rest) = take::<20>(frame)?;
    let (mut header, rest) = tagged(u16::from_be_bytes([head[0], head[1]]), rest)?;
    header.direction = direction(u16::from(head[10]));
    Ok((header, rest))
}

/// From the packet type of a cooked header: to us, broadcast, multicast, to
/// somebody else (which tells nothing), from us.
fn direction(packet_type: u16) -> Option<Direction> {
    match packet_type {
        0..=2 => Some(Direction::Incoming),
        4 => Some(Direction::Outgoing),
        _ => None,
    }
}

fn loopback(frame: &[u8]) -> Result<(Header, &[u8]), Malformed> {
    let (head, rest) = take::<4>(frame)?;
    for family in [u32::from_le_bytes(*head), u32::from_be_bytes(*head)] {
        if family == FAMILY_IPV4 {
            return Ok((Header::of(Network::V4), rest));
        }
        if FAMILIES_IPV6.contains(&family) {
            return Ok((Header::of(Network::V6), rest));
        }
    }
    Err(Malformed::NotIp)
}

fn take<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Malformed> {
    bytes
        .split_first_chunk::<N>()
        .ok_or(Malformed::LinkTruncated)
}
