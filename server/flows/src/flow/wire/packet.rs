//! Contents of the messages that a packet's headers become.

use std::{fmt::Write as _, net::Ipv6Addr};

use super::put;
use crate::flow::{Address, Ethernet, Ip, L4, TcpFlags, Uuid};

const HEX: &[u8; 16] = b"0123456789abcdef";

pub(super) fn ethernet(ethernet: &Ethernet, out: &mut Vec<u8>) {
    match ethernet {
        Ethernet::Mac {
            source,
            destination,
        } => {
            put::text(1, out, |out| mac(source, out));
            put::text(2, out, |out| mac(destination, out));
        }
        Ethernet::Text(both) => {
            put::bytes(1, both.0.as_bytes(), out);
            put::bytes(2, both.1.as_bytes(), out);
        }
    }
}

pub(super) fn ip(ip: &Ip, translated: &str, out: &mut Vec<u8>) {
    put::text(1, out, |out| address(&ip.source, out));
    put::text(2, out, |out| address(&ip.destination, out));
    put::int(3, ip.version, out);
    put::number(4, ip.encrypted.into(), out);
    put::bytes(5, translated.as_bytes(), out);
}

pub(super) fn l4(l4: &L4, out: &mut Vec<u8>) {
    let numbers = |field: u32, numbers: [u64; 3], out: &mut Vec<u8>| {
        put::message(field, out, |out| {
            for (field, number) in (1..).zip(numbers) {
                put::number(field, number, out);
            }
        });
    };
    match l4 {
        L4::Empty | L4::Other { .. } => {}
        L4::Tcp {
            source_port,
            destination_port,
            flags,
        } => put::message(1, out, |out| {
            put::number(1, (*source_port).into(), out);
            put::number(2, (*destination_port).into(), out);
            if let Some(flags) = flags {
                put::message(3, out, |out| tcp_flags(*flags, out));
            }
        }),
        L4::Udp {
            source_port,
            destination_port,
        } => numbers(
            2,
            [(*source_port).into(), (*destination_port).into(), 0],
            out,
        ),
        L4::Icmp4 { kind, code } => numbers(3, [(*kind).into(), (*code).into(), 0], out),
        L4::Icmp6 { kind, code } => numbers(4, [(*kind).into(), (*code).into(), 0], out),
        L4::Sctp {
            source_port,
            destination_port,
            chunk_type,
        } => numbers(
            5,
            [
                (*source_port).into(),
                (*destination_port).into(),
                i64::from(*chunk_type) as u64,
            ],
            out,
        ),
        L4::Vrrp {
            kind,
            vrid,
            priority,
        } => numbers(6, [(*kind).into(), (*vrid).into(), (*priority).into()], out),
        L4::Igmp {
            kind,
            group_address,
        } => put::message(7, out, |out| {
            put::number(1, (*kind).into(), out);
            put::bytes(2, group_address.as_bytes(), out);
        }),
    }
}

/// Hubble's fields 1 to 9 are FIN, SYN, RST, PSH, ACK, URG, ECE, CWR, NS: the
/// order of the bits.
fn tcp_flags(flags: TcpFlags, out: &mut Vec<u8>) {
    for bit in 0..9 {
        if flags.0 >> bit & 1 == 1 {
            out.extend_from_slice(&[(bit + 1) << 3, 1]);
        }
    }
}

/// The text of an address.
pub(crate) fn address(address: &Address, out: &mut Vec<u8>) {
    match address {
        Address::None => {}
        Address::Text(text) => out.extend_from_slice(text.as_bytes()),
        Address::V4([a, b, c, d]) => {
            decimal(*a, out);
            for octet in [b, c, d] {
                out.push(b'.');
                decimal(*octet, out);
            }
        }
        Address::V6(octets) => {
            let _ = write!(put::Text(out), "{}", Ipv6Addr::from(*octets));
        }
    }
}

fn decimal(octet: u8, out: &mut Vec<u8>) {
    if octet >= 100 {
        out.push(b'0' + octet / 100);
    }
    if octet >= 10 {
        out.push(b'0' + octet / 10 % 10);
    }
    out.push(b'0' + octet % 10);
}

fn mac(octets: &[u8; 6], out: &mut Vec<u8>) {
    let mut text = [b':'; 17];
    for (place, octet) in text.chunks_mut(3).zip(octets) {
        place[..2].copy_from_slice(&hex(*octet));
    }
    out.extend_from_slice(&text);
}

pub(super) fn uuid(uuid: &Uuid, out: &mut Vec<u8>) {
    match uuid {
        Uuid::None => {}
        Uuid::Text(text) => out.extend_from_slice(text.as_bytes()),
        Uuid::Binary(octets) => {
            for (index, octet) in octets.iter().enumerate() {
                if matches!(index, 4 | 6 | 8 | 10) {
                    out.push(b'-');
                }
                out.extend_from_slice(&hex(*octet));
            }
        }
    }
}

fn hex(octet: u8) -> [u8; 2] {
    [HEX[usize::from(octet >> 4)], HEX[usize::from(octet & 0xf)]]
}
