//! IP addresses: exact texts and networks, version, encryption.
//!
//! An address without `/` is compared as text, so `2001:DB8::1` does not find
//! `2001:db8::1`. `flow::Address` is binary exactly when its text is
//! canonical, so comparing two of them compares their texts.

use sextant_proto::flow as pb;

use super::{
    Checks, FilterError, Side,
    netip::{self, Addr, Prefix},
    set::{Bools, OneOf},
};
use crate::flow::{Address, Flow};

/// Wanted addresses.
#[derive(Debug)]
struct Addresses {
    v4: OneOf<[u8; 4]>,
    v6: OneOf<[u8; 16]>,
    texts: Vec<Box<str>>,
    /// Of IPv4: its bits, and which of them count.
    v4_networks: Vec<(u32, u32)>,
    networks: Vec<Prefix>,
}

impl Addresses {
    fn compile(wanted: &[String]) -> Result<Self, FilterError> {
        let (mut v4, mut v6) = (Vec::new(), Vec::new());
        let (mut texts, mut networks) = (Vec::new(), Vec::new());
        for text in wanted {
            if text.contains('/') {
                let prefix = netip::parse_prefix(text).map_err(|reason| {
                    let text = text.clone();
                    FilterError::IpPrefix { text, reason }
                })?;
                networks.push(prefix);
                continue;
            }
            netip::parse_addr(text).map_err(|reason| {
                let text = text.clone();
                FilterError::IpAddress { text, reason }
            })?;
            match Address::from_text(text) {
                Address::V4(octets) => v4.push(octets),
                Address::V6(octets) => v6.push(octets),
                Address::Text(text) => texts.push(text),
                Address::None => {}
            }
        }
        let v4_networks = networks.iter().filter_map(|net| match *net {
            Prefix::V4(bits, mask) => Some((bits, mask)),
            Prefix::V6(..) => None,
        });
        Ok(Self {
            v4_networks: v4_networks.collect(),
            v4: v4.into_iter().collect(),
            v6: v6.into_iter().collect(),
            texts,
            networks,
        })
    }

    /// All of them as networks.
    fn sketched(&self) -> Vec<(Address, u32)> {
        let v4 = self.v4.iter().map(|octets| (Address::V4(*octets), 32));
        let v6 = self.v6.iter().map(|octets| (Address::V6(*octets), 128));
        let networks = self.networks.iter().map(|net| {
            let address = match *net {
                Prefix::V4(bits, _) => Address::V4(bits.to_be_bytes()),
                Prefix::V6(bits, _) => Address::V6(bits.to_be_bytes()),
            };
            (address, net.len())
        });
        v4.chain(v6).chain(networks).collect()
    }

    fn contains(&self, address: &Address) -> bool {
        match address {
            Address::None => false,
            Address::V4(octets) => {
                let bits = u32::from_be_bytes(*octets);
                let mut networks = self.v4_networks.iter();
                networks.any(|(network, mask)| bits & mask == *network) || self.v4.contains(*octets)
            }
            Address::V6(octets) => {
                let bits = u128::from_be_bytes(*octets);
                self.v6.contains(*octets)
                    || self.in_network(|| Some(Addr::V6 { bits, zone: false }))
            }
            Address::Text(text) => {
                self.texts.contains(text) || self.in_network(|| netip::parse_addr(text).ok())
            }
        }
    }

    fn in_network(&self, addr: impl FnOnce() -> Option<Addr>) -> bool {
        !self.networks.is_empty()
            && addr().is_some_and(|addr| self.networks.iter().any(|net| net.contains(addr)))
    }
}

/// Compiles `source_ip`, `destination_ip` and `source_ip_xlated`.
pub(super) fn compile(filter: &pb::FlowFilter, checks: &mut Checks) -> Result<(), FilterError> {
    for (side, wanted) in [
        (Side::Source, &filter.source_ip),
        (Side::Destination, &filter.destination_ip),
    ] {
        if !wanted.is_empty() {
            let addresses = Addresses::compile(wanted)?;
            let networks = addresses.sketched();
            match side {
                Side::Source => checks.forbidden.only_source_networks(&networks),
                Side::Destination => checks.forbidden.only_destination_networks(&networks),
            }
            checks.plain(move |flow| {
                flow.ip.as_ref().is_some_and(|ip| match side {
                    Side::Source => addresses.contains(&ip.source),
                    Side::Destination => addresses.contains(&ip.destination),
                })
            });
        }
    }
    if !filter.source_ip_xlated.is_empty() {
        let addresses = Addresses::compile(&filter.source_ip_xlated)?;
        checks.plain(move |flow| addresses.contains(&source_xlated(flow)));
    }
    Ok(())
}

/// The translated source. A flow without IP has none.
fn source_xlated(flow: &Flow) -> Address {
    match (&flow.ip, &flow.cold) {
        (Some(_), Some(cold)) => Address::from_text(&cold.source_xlated),
        _ => Address::None,
    }
}

/// Compiles `ip_version`; 0 finds flows without IP too.
pub(super) fn compile_version(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.ip_version.is_empty() {
        let wanted: OneOf<i32> = filter.ip_version.iter().copied().collect();
        checks.plain(move |flow| wanted.contains(flow.ip.as_ref().map_or(0, |ip| ip.version)));
    }
}

/// Compiles `encrypted`; a flow without IP is not.
pub(super) fn compile_encrypted(filter: &pb::FlowFilter, checks: &mut Checks) {
    if !filter.encrypted.is_empty() {
        let wanted = Bools::from(filter.encrypted.as_slice());
        checks.plain(move |flow| wanted.contains(flow.ip.as_ref().is_some_and(|ip| ip.encrypted)));
    }
}
