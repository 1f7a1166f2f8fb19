//! Transport headers of packets as flows carry them.

use std::net::Ipv4Addr;

use sextant_proto::flow as pb;

use crate::{
    decode::Transport,
    flow::{L4, TcpFlags},
};

/// The header as the flow carries it; `None` for a fragment whose first one was
/// not seen.
pub(super) fn from(transport: Transport) -> Option<L4> {
    Some(match transport {
        Transport::Fragment => return None,
        Transport::Other(protocol) => L4::Other { protocol },
        Transport::Tcp {
            source_port,
            destination_port,
            flags,
            ..
        } => L4::Tcp {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
            flags: Some(TcpFlags(flags)),
        },
        Transport::Udp {
            source_port,
            destination_port,
        } => L4::Udp {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
        },
        Transport::Sctp {
            source_port,
            destination_port,
            chunk,
        } => L4::Sctp {
            source_port: source_port.into(),
            destination_port: destination_port.into(),
            chunk_type: chunk_type(chunk) as i32,
        },
        Transport::Icmp4 { kind, code, .. } => L4::Icmp4 {
            kind: kind.into(),
            code: code.into(),
        },
        Transport::Icmp6 { kind, code, .. } => L4::Icmp6 {
            kind: kind.into(),
            code: code.into(),
        },
        Transport::Vrrp {
            kind,
            vrid,
            priority,
        } => L4::Vrrp {
            kind: kind.into(),
            vrid: vrid.into(),
            priority: priority.into(),
        },
        Transport::Igmp { kind, group } => L4::Igmp {
            kind: kind.into(),
            group_address: Ipv4Addr::from(group).to_string().into(),
        },
    })
}

/// Hubble's number of a chunk type of the wire.
fn chunk_type(chunk: Option<u8>) -> pb::SctpChunkType {
    match chunk {
        Some(1) => pb::SctpChunkType::Init,
        Some(2) => pb::SctpChunkType::InitAck,
        Some(6) => pb::SctpChunkType::Abort,
        Some(7) => pb::SctpChunkType::Shutdown,
        Some(8) => pb::SctpChunkType::ShutdownAck,
        Some(14) => pb::SctpChunkType::ShutdownComplete,
        _ => pb::SctpChunkType::Unsupported,
    }
}
