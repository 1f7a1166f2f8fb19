//! Transport layer and tunnel of an event, from the first bytes of its header.

use std::net::Ipv4Addr;

use sextant_ebpf_common::{
    Event, GENEVE_PORT, ICMP_MESSAGE, Kind, VXLAN_PORTS,
    protocol::{ICMP, ICMP6, IGMP, SCTP, TCP, UDP, UDP_LITE, VRRP},
};
use sextant_proto::flow::{self as pb, tunnel::Protocol};

use super::text;
use crate::flow::{Flow, L4, TcpFlags, proto::l4_to};

/// The transport layer.
pub(super) fn l4(event: &Event) -> L4 {
    let (source_port, destination_port) = (
        u32::from(event.source_port),
        u32::from(event.destination_port),
    );
    match event.protocol {
        TCP => L4::Tcp {
            source_port,
            destination_port,
            flags: tcp_flags(event),
        },
        UDP | UDP_LITE => L4::Udp {
            source_port,
            destination_port,
        },
        SCTP => L4::Sctp {
            source_port,
            destination_port,
            chunk_type: sctp_chunk(event).into(),
        },
        ICMP => {
            let (kind, code) = icmp(event);
            L4::Icmp4 { kind, code }
        }
        ICMP6 => {
            let (kind, code) = icmp(event);
            L4::Icmp6 { kind, code }
        }
        VRRP => L4::Vrrp {
            kind: u32::from(event.l4[0] & 0xf),
            vrid: u32::from(event.l4[1]),
            priority: u32::from(event.l4[2]),
        },
        IGMP => L4::Igmp {
            kind: u32::from(event.l4[0]),
            group_address: igmp_group(event).into(),
        },
        protocol => L4::Other { protocol },
    }
}

/// The packet's flags. The end of a flow is none; what was seen of them in all
/// is in the counters.
fn tcp_flags(event: &Event) -> Option<TcpFlags> {
    (event.kind != Kind::Ended as u8).then_some(TcpFlags(event.tcp_flags & TcpFlags::ALL))
}

/// Type and code: from the header, else from the flow's key, which has the
/// type of a query, or type and code of any other message.
fn icmp(event: &Event) -> (u32, u32) {
    if event.l4_len >= 2 {
        return (u32::from(event.l4[0]), u32::from(event.l4[1]));
    }
    match (event.source_port.to_be_bytes(), event.destination_port) {
        ([kind, code], ICMP_MESSAGE) => (u32::from(kind), u32::from(code)),
        (_, query) => (u32::from(query), 0),
    }
}

fn sctp_chunk(event: &Event) -> pb::SctpChunkType {
    use pb::SctpChunkType as Chunk;
    // RFC 9260: the first chunk follows the common header of 12 bytes.
    match event.l4[12] {
        _ if event.l4_len < 13 => Chunk::Unsupported,
        1 => Chunk::Init,
        2 => Chunk::InitAck,
        6 => Chunk::Abort,
        7 => Chunk::Shutdown,
        8 => Chunk::ShutdownAck,
        14 => Chunk::ShutdownComplete,
        _ => Chunk::Unsupported,
    }
}

fn igmp_group(event: &Event) -> String {
    let [_, _, _, _, a, b, c, d, ..] = event.l4;
    // Version 3 reports have their groups in records.
    if event.l4[0] == 0x22 || event.l4_len < 8 {
        return String::new();
    }
    Ipv4Addr::from([a, b, c, d]).to_string()
}

/// The tunnel that this flow carries, seen from outside: its own addresses.
pub(super) fn tunnel(event: &Event, flow: &Flow) -> Option<pb::Tunnel> {
    if event.protocol != UDP || event.l4_len < 16 {
        return None;
    }
    let protocol = match event.destination_port {
        // The flag that says that the VNI is valid (RFC 7348).
        port if VXLAN_PORTS.contains(&port) && event.l4[8] & 0x08 != 0 => Protocol::Vxlan,
        // Version 0 (RFC 8926).
        GENEVE_PORT if event.l4[8] >> 6 == 0 => Protocol::Geneve,
        _ => return None,
    };
    let ip = flow.ip.as_ref()?;
    let [a, b, c] = [event.l4[12], event.l4[13], event.l4[14]];
    Some(pb::Tunnel {
        protocol: protocol.into(),
        ip: Some(pb::Ip {
            source: text(&ip.source),
            source_xlated: String::new(),
            destination: text(&ip.destination),
            ip_version: ip.version,
            encrypted: false,
        }),
        l4: flow.l4.as_ref().map(l4_to),
        vni: u32::from_be_bytes([0, a, b, c]),
    })
}
