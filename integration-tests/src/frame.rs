//! Frames made by hand, for what the kernel here has no link or socket.

use std::net::{Ipv4Addr, Ipv6Addr};

use crate::Netns;

/// EtherType of IPv4.
pub const IPV4: u16 = 0x0800;
/// EtherType of IPv6.
pub const IPV6: u16 = 0x86dd;

/// An Ethernet frame with VLAN tags `(type, id)`, outer first.
#[must_use]
pub fn ethernet(tags: &[(u16, u16)], ethertype: u16, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for (kind, id) in tags {
        frame.extend(kind.to_be_bytes());
        frame.extend(id.to_be_bytes());
    }
    frame.extend(ethertype.to_be_bytes());
    frame.extend(payload);
    frame
}

/// An IPv4 packet.
#[must_use]
pub fn ipv4(source: Ipv4Addr, destination: Ipv4Addr, protocol: u8, payload: &[u8]) -> Vec<u8> {
    let length = (20 + payload.len()) as u16;
    let mut packet = vec![0x45, 0];
    packet.extend(length.to_be_bytes());
    packet.extend([0, 1, 0, 0, 64, protocol, 0, 0]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// An IPv6 packet; `next` is the first header of the payload.
#[must_use]
pub fn ipv6(source: Ipv6Addr, destination: Ipv6Addr, next: u8, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x60, 0, 0, 0];
    packet.extend((payload.len() as u16).to_be_bytes());
    packet.extend([next, 64]);
    packet.extend(source.octets());
    packet.extend(destination.octets());
    packet.extend(payload);
    packet
}

/// An extension header of eight bytes, filled with padding (RFC 8200).
#[must_use]
pub fn extension(next: u8) -> Vec<u8> {
    vec![next, 0, 1, 4, 0, 0, 0, 0]
}

/// A UDP datagram.
#[must_use]
pub fn udp(source: u16, destination: u16, payload: &[u8]) -> Vec<u8> {
    let mut datagram = Vec::new();
    datagram.extend(source.to_be_bytes());
    datagram.extend(destination.to_be_bytes());
    datagram.extend(((8 + payload.len()) as u16).to_be_bytes());
    datagram.extend([0, 0]);
    datagram.extend(payload);
    datagram
}

/// A TCP segment without payload.
#[must_use]
pub fn tcp(source: u16, destination: u16, sequence: u32, flags: u8) -> Vec<u8> {
    let mut segment = Vec::new();
    segment.extend(source.to_be_bytes());
    segment.extend(destination.to_be_bytes());
    segment.extend(sequence.to_be_bytes());
    segment.extend([0, 0, 0, 0, 0x50, flags, 0xff, 0xff, 0, 0, 0, 0]);
    segment
}

/// An SCTP packet with one chunk.
#[must_use]
pub fn sctp(source: u16, destination: u16, chunk: u8) -> Vec<u8> {
    let mut packet = Vec::new();
    packet.extend(source.to_be_bytes());
    packet.extend(destination.to_be_bytes());
    packet.extend([0, 0, 0, 1, 0, 0, 0, 0]);
    packet.extend([chunk, 0, 0, 20]);
    packet.extend([0; 16]);
    packet
}

/// Header of VXLAN (RFC 7348).
#[must_use]
pub fn vxlan(vni: u32) -> Vec<u8> {
    [&[8, 0, 0, 0][..], &(vni << 8).to_be_bytes()].concat()
}

/// Header of Geneve (RFC 8926).
#[must_use]
pub fn geneve(vni: u32) -> Vec<u8> {
    [&[0, 0, 0x65, 0x58][..], &(vni << 8).to_be_bytes()].concat()
}

/// Arguments of one command, in bytes; the kernel takes 128 KiB.
const ARGUMENTS: usize = 100_000;

/// Sends frames out of an interface.
pub fn send(namespace: &Netns, interface: &str, frames: &[Vec<u8>]) {
    let mut arguments = String::new();
    for frame in frames {
        if arguments.len() + 2 * frame.len() > ARGUMENTS {
            send_hex(namespace, interface, &arguments);
            arguments.clear();
        }
        arguments.extend(frame.iter().map(|byte| format!("{byte:02x}")));
        arguments.push(' ');
    }
    send_hex(namespace, interface, &arguments);
}

fn send_hex(namespace: &Netns, interface: &str, frames: &str) {
    namespace.run(&format!(
        "python3 -c 'import socket,sys\n\
         s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\n\
         s.bind((\"{interface}\",0))\n\
         [s.send(bytes.fromhex(f)) for f in sys.argv[1:]]' {frames}"
    ));
}
