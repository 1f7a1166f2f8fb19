//! Link headers: what stands before IP, on each kind of link that carries it.
//!
//! Each kind is a function from a frame to what its header tells and the rest of
//! the frame. A pseudo-header of the capture (direction, radio data, ...) leads to
//! the kind that stands behind it. Bound: pseudo-headers are not nested, tags and
//! shims are limited by `MAX_SHIMS`.

mod ethernet;
mod frames;
mod lan;
mod ppp;
mod pseudo;
mod serial;
mod shim;
mod step;
mod vendor;
mod wireless;

use super::{Direction, Link, Macs, Malformed};

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
    pub(super) is_blocked: bool,
    pub(super) network: Network,
}

impl Header {
    fn of(network: Network) -> Self {
        Self {
            macs: None,
            vlan: [0; 2],
            direction: None,
            is_blocked: false,
            network,
        }
    }
}

/// A link header, and the frame behind it.
type Parsed<'a> = Result<(Header, &'a [u8]), Malformed>;

/// Takes the link header off a frame.
pub(super) fn parse(link: Link, frame: &[u8]) -> Parsed<'_> {
    match link {
        Link::Pktap => vendor::pktap(frame),
        Link::Ppi => wireless::ppi(frame),
        Link::Tzsp => wireless::tzsp(frame),
        other => behind_pseudo(other, frame),
    }
}

/// As `parse`, of a link that a pseudo-header may lead to.
fn behind_pseudo(link: Link, frame: &[u8]) -> Parsed<'_> {
    match link {
        Link::Ethernet => ethernet::ethernet(frame),
        Link::Ip => Ok((Header::of(Network::Either), frame)),
        Link::Cooked => pseudo::cooked(frame),
        Link::Cooked2 => pseudo::cooked2(frame),
        Link::Loopback => pseudo::loopback(frame),
        Link::Enc => pseudo::enc(frame),
        Link::IpNet => pseudo::ipnet(frame),
        Link::Nflog => pseudo::nflog(frame),
        Link::Pflog => pseudo::pflog(frame),
        Link::Ppp => serial::ppp(frame),
        Link::PppBsdOs => serial::ppp_bsdos(frame),
        Link::PppDirection => serial::directed(frame, serial::ppp),
        Link::Pppoe => serial::pppoe(frame),
        Link::Hdlc => serial::hdlc(frame),
        Link::HdlcDirection => serial::directed(frame, serial::hdlc),
        Link::FrameRelay => serial::frame_relay(frame),
        Link::FrameRelayDirection => serial::directed(frame, serial::frame_relay),
        Link::Ax25 => serial::ax25(frame),
        Link::Ax25Kiss => serial::ax25(skip(frame, 1)?),
        Link::Slip => serial::slip(frame, 16),
        Link::SlipBsdOs => serial::slip(frame, 24),
        Link::Atm => serial::atm(frame),
        Link::AtmSun => serial::atm_sun(frame),
        Link::TokenRing => lan::token_ring(frame),
        Link::Fddi => lan::fddi(frame),
        Link::FibreChannel => lan::fibre_channel(frame),
        Link::Infiniband => lan::infiniband(frame),
        Link::Firewire => lan::firewire(frame),
        Link::Arcnet => lan::arcnet(frame),
        Link::ArcnetLinux => lan::arcnet_linux(frame),
        Link::Docsis => lan::docsis(frame),
        Link::Wireless => wireless::frame(frame),
        Link::Radiotap => wireless::radiotap(frame),
        Link::Prism => wireless::prism(frame),
        Link::Avs => wireless::avs(frame),
        Link::Juniper(inner) => vendor::juniper(frame, inner),
        Link::Erf => vendor::erf(frame),
        Link::Symantec => vendor::symantec(frame),
        Link::EthernetBehind(length) => ethernet::behind(frame, length.into()),
        Link::EthernetSwitchTag(length) => ethernet::switch_tagged(frame, length.into()),
        Link::Pktap | Link::Ppi | Link::Tzsp => Err(Malformed::NotIp),
    }
}

fn take<const N: usize>(bytes: &[u8]) -> Result<(&[u8; N], &[u8]), Malformed> {
    bytes
        .split_first_chunk::<N>()
        .ok_or(Malformed::LinkTruncated)
}

fn skip(bytes: &[u8], length: usize) -> Result<&[u8], Malformed> {
    bytes.get(length..).ok_or(Malformed::LinkTruncated)
}

#[cfg(test)]
mod tests;
