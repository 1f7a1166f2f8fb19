//! What a rule of the firewall says, where it leads one port elsewhere. Expressions of
//! nf_tables (linux/netfilter/nf_tables.h), and those of iptables within them.
//!
//! Pure. A rule with a condition that is not understood, a range or a set of ports says
//! nothing: better no name than that of somebody else. On which interface it counts, and for
//! whom by that, is not looked at.

use std::{
    collections::BTreeMap,
    net::{IpAddr, SocketAddr},
};

use crate::datapath::netlink::{attributes, u32_be};

/// A port that leads elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in super::super) struct Forward {
    /// IANA's number of the protocol.
    pub protocol: u8,
    /// Of the host, if the rule names one.
    pub address: Option<IpAddr>,
    /// If it does not: 4 or 6 of one family only.
    pub family: Option<u8>,
    /// That is called.
    pub port: u16,
    /// Who answers.
    pub to: IpAddr,
}

/// Families of rules (linux/netfilter.h).
const IPV4: u8 = 2;
const IPV6: u8 = 10;

const LIST_ELEMENT: u16 = 1;
const NAME: u16 = 1;
const DATA: u16 = 2;

/// What is in a register.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Register {
    Protocol,
    Family,
    Port,
    Address,
    /// By which interface, or whether the host has the address: not looked at.
    Way,
    Value(Vec<u8>),
}

/// A rule as far as it is read.
#[derive(Default)]
struct Reading {
    registers: BTreeMap<u32, Register>,
    protocol: Option<u8>,
    family: Option<u8>,
    address: Option<IpAddr>,
    port: Option<u16>,
    to: Option<IpAddr>,
}

impl Forward {
    /// Of a rule of this family, by its expressions.
    pub(super) fn of_rule(family: u8, list: &[u8]) -> Option<Self> {
        let mut reading = Reading {
            family: match family {
                IPV4 => Some(4),
                IPV6 => Some(6),
                _ => None,
            },
            ..Reading::default()
        };
        for (_, element) in attributes(list).filter(|(kind, _)| *kind == LIST_ELEMENT) {
            reading.take(text(value(element, NAME)?)?, value(element, DATA))?;
        }
        let to = reading.to?;
        let own = if to.is_ipv4() { 4 } else { 6 };
        let is_one = reading.family.is_none_or(|family| family == own);
        let is_of_ports = matches!(reading.protocol?, 6 | 17 | 132);
        (is_one && is_of_ports).then_some(Self {
            protocol: reading.protocol?,
            address: reading.address,
            family: Some(own),
            port: reading.port?,
            to,
        })
    }

    /// Whether a call to this address and port is what the rule is about; `is_host`: the
    /// address is one of this host.
    pub(in super::super) fn is_of(&self, protocol: u8, at: SocketAddr, is_host: bool) -> bool {
        let is_there = match self.address {
            Some(address) => address == at.ip(),
            None => {
                is_host
                    && self
                        .family
                        .is_none_or(|family| (family == 4) == at.is_ipv4())
            }
        };
        self.protocol == protocol && self.port == at.port() && is_there
    }
}

impl Reading {
    /// The next expression; `None` if it is not understood.
    fn take(&mut self, name: &str, data: Option<&[u8]>) -> Option<()> {
        let data = data.unwrap_or_default();
        match name {
            "meta" => self.load(data, 1, meta(number(data, 2)?)?),
            "payload" => self.load(data, 1, self.payload(data)?),
            "immediate" => match value(value(data, 2)?, 1) {
                Some(bytes) => self.load(data, 1, Register::Value(bytes.to_vec())),
                // A verdict.
                None => Some(()),
            },
            "cmp" => self.compare(data),
            "nat" => self.translate(data),
            "match" => self.matches(text(value(data, 1)?)?, value(data, 3)?),
            "target" => self.target(data),
            // Whether the address is one of this host.
            "fib" => self.load(data, 1, Register::Way),
            // They change nothing of what it is about.
            "counter" | "log" | "limit" => Some(()),
            _ => None,
        }
    }

    fn load(&mut self, data: &[u8], place: u16, register: Register) -> Option<()> {
        self.registers.insert(number(data, place)?, register);
        Some(())
    }

    fn payload(&self, data: &[u8]) -> Option<Register> {
        let place = (number(data, 2)?, number(data, 3)?, number(data, 4)?);
        match place {
            (TRANSPORT, 2, 2) => Some(Register::Port),
            (NETWORK, 16, 4) | (NETWORK, 24, 16) => Some(Register::Address),
            (NETWORK, 9, 1) | (NETWORK, 6, 1) => Some(Register::Protocol),
            _ => None,
        }
    }

    fn compare(&mut self, data: &[u8]) -> Option<()> {
        let is_equal = number(data, 2)? == 0;
        let bytes = value(value(data, 3)?, 1)?;
        match self.registers.get(&number(data, 1)?)? {
            Register::Way => Some(()),
            _ if !is_equal => None,
            Register::Protocol => set(&mut self.protocol, *bytes.first()?),
            Register::Family => match *bytes.first()? {
                IPV4 => set(&mut self.family, 4),
                IPV6 => set(&mut self.family, 6),
                _ => None,
            },
            Register::Port => set(&mut self.port, port(bytes)?),
            Register::Address => set(&mut self.address, address(bytes)?),
            Register::Value(_) => None,
        }
    }

    /// To one address; the port may stay.
    fn translate(&mut self, data: &[u8]) -> Option<()> {
        const DESTINATION: u32 = 1;
        if number(data, 1)? != DESTINATION {
            return None;
        }
        let least = number(data, 3)?;
        let most = number(data, 4).unwrap_or(least);
        let (least, most) = (self.registers.get(&least)?, self.registers.get(&most)?);
        match least {
            Register::Value(bytes) if least == most => set(&mut self.to, address(bytes)?),
            _ => None,
        }
    }

    /// A condition of iptables.
    fn matches(&mut self, name: &str, data: &[u8]) -> Option<()> {
        // `struct xt_tcp` and `struct xt_udp`: ports in the order of the host.
        let (protocol, inverted) = match name {
            "tcp" => (6, 11),
            "udp" => (17, 8),
            "addrtype" | "comment" => return Some(()),
            _ => return None,
        };
        let number = |at: usize| Some(u16::from_ne_bytes([*data.get(at)?, *data.get(at + 1)?]));
        let from_any = number(0)? == 0 && number(2)? == u16::MAX;
        let is_one = number(4)? == number(6)?;
        if !from_any || !is_one || *data.get(inverted)? != 0 {
            return None;
        }
        set(&mut self.protocol, protocol)?;
        set(&mut self.port, number(4)?)
    }

    /// `struct nf_nat_range`, or what came before it.
    fn target(&mut self, data: &[u8]) -> Option<()> {
        let (name, revision) = (text(value(data, 1)?)?, number(data, 2)?);
        let range = value(data, 3)?;
        if name != "DNAT" {
            return None;
        }
        let width = match self.family? {
            4 => 4,
            _ => 16,
        };
        let places = match revision {
            0 => [8, 12],
            _ => [4, 20],
        };
        let [least, most] = places.map(|at| range.get(at..at + width));
        (least == most).then_some(())?;
        set(&mut self.to, address(least?)?)
    }
}

/// Bases of a payload.
const NETWORK: u32 = 1;
const TRANSPORT: u32 = 2;

/// What is known of a packet beside its bytes.
fn meta(key: u32) -> Option<Register> {
    Some(match key {
        15 => Register::Family,
        16 => Register::Protocol,
        // Interfaces, and their types and groups.
        4..=9 | 17 | 18 => Register::Way,
        _ => return None,
    })
}

/// Twice the same is the same.
fn set<T: PartialEq>(place: &mut Option<T>, found: T) -> Option<()> {
    match place {
        Some(known) if *known != found => None,
        _ => {
            *place = Some(found);
            Some(())
        }
    }
}

fn value(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes)
        .find(|(found, _)| *found == kind)
        .map(|(_, value)| value)
}

fn number(bytes: &[u8], kind: u16) -> Option<u32> {
    u32_be(value(bytes, kind)?)
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes.split(|byte| *byte == 0).next()?).ok()
}

fn port(bytes: &[u8]) -> Option<u16> {
    Some(u16::from_be_bytes(bytes.get(..2)?.try_into().ok()?))
}

fn address(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => Some(IpAddr::from(<[u8; 4]>::try_from(bytes).ok()?)),
        16 => Some(IpAddr::from(<[u8; 16]>::try_from(bytes).ok()?)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;
