//! What is different about a packet that the kernel dropped.

use sextant_ebpf_common::Event;
use sextant_proto::flow::{self as pb, DropReason};

use super::Context;
use crate::flow::{EventType, Flow};

/// Monitor event type of drops.
const DROP: i32 = 1;

/// Makes a drop of a flow. Whether a dropped packet is a reply is not known.
pub(super) fn mark(flow: &mut Flow, event: &Event, context: &mut Context<'_>) {
    let kernel = context.drop_reasons.get(&event.drop_reason);
    let reason = kernel.map_or(DropReason::Unknown, |name| hubble_reason(name));
    flow.verdict = pb::Verdict::Dropped.into();
    flow.drop_reason = reason as u32;
    flow.drop_reason_desc = reason.into();
    flow.event_type = Some(EventType {
        kind: DROP,
        sub_type: reason.into(),
    });
    flow.is_reply = None;
    flow.reply = false;
    flow.trace_observation_point = 0;
    flow.trace_reason = 0;
    if let Some(counters) = &mut flow.counters {
        let name = kernel.cloned();
        let name = name.unwrap_or_else(|| event.drop_reason.to_string());
        counters.kernel_drop_reason = Some(context.interners.texts.intern(name));
        counters.drops = u64::from(event.drops);
    }
}

/// Hubble's reason that comes nearest; clients can filter by no others. The
/// kernel's own is kept in the extensions.
fn hubble_reason(kernel: &str) -> DropReason {
    match kernel {
        "NETFILTER_DROP" | "SOCKET_FILTER" | "BPF_CGROUP_EGRESS" | "TC_INGRESS" | "TC_EGRESS"
        | "XDP" | "XFRM_POLICY" | "IPV6DISABLED" => DropReason::PolicyDenied,
        "NO_SOCKET" => DropReason::SocketLookupFailed,
        "IP_RPFILTER" | "IP_LOCAL_SOURCE" | "IP_INVALID_SOURCE" => DropReason::InvalidSourceIp,
        "IP_OUTNOROUTES" | "IP_INNOROUTES" | "IP_INADDRERRORS" | "IP_INVALID_DEST" => {
            DropReason::StaleOrUnroutableIp
        }
        "NEIGH_CREATEFAIL" | "NEIGH_FAILED" | "NEIGH_QUEUEFULL" | "NEIGH_DEAD"
        | "NEIGH_HH_FILLFAIL" => DropReason::FibLookupFailed,
        "UNHANDLED_PROTO" => DropReason::UnsupportedL3Protocol,
        "IP_NOPROTO" => DropReason::UnknownL4Protocol,
        "PKT_TOO_BIG" => DropReason::CtMissingTcpAckFlag,
        "TTL_EXCEEDED" | "IP_TTL_EXCEEDED" => DropReason::TtlExceeded,
        "QDISC_DROP" | "QDISC_OVERLIMIT" | "SOCKET_RCVBUFF" | "SOCKET_BACKLOG" | "PROTO_MEM"
        | "FULL_RING" | "CPU_BACKLOG" | "NOMEM" => DropReason::DropRateLimited,
        "VLAN_FILTER" => DropReason::VlanFiltered,
        "FRAG_REASM_TIMEOUT" | "FRAG_TOO_FAR" => DropReason::FirstLogicalDatagramFragmentNotFound,
        "IP_CSUM" | "IP_INHDR" | "TCP_CSUM" | "UDP_CSUM" | "ICMP_CSUM" | "HDR_TRUNC"
        | "PKT_TOO_SMALL" | "SKB_CSUM" | "INVALID_PROTO" | "TCP_FLAGS" | "TCP_INVALID_SYN" => {
            DropReason::InvalidPacketDropped
        }
        _ => DropReason::Unknown,
    }
}
