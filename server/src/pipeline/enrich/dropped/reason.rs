//! Hubble's drop reason for the kernel's.
//!
//! Hubble's are what clients can filter by; the kernel's own is kept in the
//! extensions. A reason of the kernel for which none of Hubble's would be true
//! is unknown in Hubble. Sources: `include/net/dropreason-core.h`, and
//! `net/openvswitch/drop.h` for the switch's.

use sextant_proto::flow::DropReason;

/// Hubble's reason that comes nearest.
pub(super) fn hubble_reason(kernel: &str) -> DropReason {
    // Where the kernel gives no reason, the function that drops is one.
    let name = kernel
        .strip_prefix("NOT_SPECIFIED (")
        .map_or(kernel, |place| place.trim_end_matches(')'));
    denied(name)
        .or_else(|| of_routes(name))
        .or_else(|| of_limits(name))
        .or_else(|| of_contents(name))
        .or_else(|| of_links(name))
        .unwrap_or(DropReason::Unknown)
}

/// Somebody decided so.
fn denied(kernel: &str) -> Option<DropReason> {
    Some(match kernel {
        "NETFILTER_DROP"
        | "SOCKET_FILTER"
        | "BPF_CGROUP_EGRESS"
        | "SECURITY_HOOK"
        | "TC_INGRESS"
        | "TC_EGRESS"
        | "XDP"
        | "netif_receive_generic_xdp"
        | "do_xdp_generic"
        | "TAP_FILTER"
        | "TAP_TXFILTER"
        | "XFRM_POLICY"
        | "IPV6DISABLED"
        | "TCP_MINTTL"
        | "ARP_PVLAN_DISABLE"
        | "OVS_DROP_EXPLICIT"
        | "OVS_DROP_LAST_ACTION" => DropReason::PolicyDenied,
        "TC_CHAIN_NOTFOUND" => DropReason::NoConfigurationAvailableToPerformPolicyDecision,
        "TCP_AUTH_HDR" | "TCP_MD5NOTFOUND" | "TCP_MD5UNEXPECTED" | "TCP_MD5FAILURE"
        | "TCP_AONOTFOUND" | "TCP_AOUNEXPECTED" | "TCP_AOKEYNOTFOUND" | "TCP_AOFAILURE" => {
            DropReason::AuthRequired
        }
        "PSP_INPUT" | "PSP_OUTPUT" => DropReason::UnencryptedTraffic,
        _ => return None,
    })
}

/// There is no way, or nobody, for it.
fn of_routes(kernel: &str) -> Option<DropReason> {
    Some(match kernel {
        "NO_SOCKET" => DropReason::SocketLookupFailed,
        "IP_RPFILTER" | "IP_LOCAL_SOURCE" | "IP_INVALID_SOURCE" | "IP_LOCALNET" => {
            DropReason::InvalidSourceIp
        }
        "IP_OUTNOROUTES" | "IP_INNOROUTES" | "IP_INADDRERRORS" | "IP_INVALID_DEST" | "ip_error"
        | "ip6_pkt_drop" | "ip6_pkt_discard" | "ip6_pkt_prohibit" | "dst_discard_out" => {
            DropReason::StaleOrUnroutableIp
        }
        "NEIGH_CREATEFAIL" | "NEIGH_FAILED" | "NEIGH_QUEUEFULL" | "NEIGH_DEAD"
        | "NEIGH_HH_FILLFAIL" | "NO_TX_TARGET" => DropReason::FibLookupFailed,
        "IPV6_NDISC_NS_OTHERHOST" => DropReason::UnknownL3TargetAddress,
        "TTL_EXCEEDED" | "IP_TTL_EXCEEDED" | "OVS_DROP_IP_TTL" => DropReason::TtlExceeded,
        "UNHANDLED_PROTO" => DropReason::UnsupportedL3Protocol,
        "IP_NOPROTO" => DropReason::UnknownL4Protocol,
        "DEV_READY" => DropReason::DropHostNotReady,
        _ => return None,
    })
}

/// There is no room for it.
fn of_limits(kernel: &str) -> Option<DropReason> {
    Some(match kernel {
        "QDISC_DROP"
        | "QDISC_OVERLIMIT"
        | "QDISC_CONGESTED"
        | "QDISC_BURST_DROP"
        | "CAKE_FLOOD"
        | "FQ_BAND_LIMIT"
        | "FQ_FLOW_LIMIT"
        | "DUALPI2_STEP_DROP"
        | "SOCKET_RCVBUFF"
        | "SOCKET_BACKLOG"
        | "PROTO_MEM"
        | "TCP_LISTEN_OVERFLOW"
        | "TCP_ZEROWINDOW"
        | "TCP_OFO_QUEUE_PRUNE"
        | "TCP_OFO_DROP"
        | "FULL_RING"
        | "CPU_BACKLOG"
        | "NOMEM"
        | "PFMEMALLOC"
        | "OVS_DROP_METER"
        | "OVS_DROP_DEFERRED_LIMIT" => DropReason::DropRateLimited,
        "FQ_HORIZON_LIMIT" => DropReason::ReachedEdtRateLimitingDropHorizon,
        // Printed as "Fragmentation needed".
        "PKT_TOO_BIG" => DropReason::CtMissingTcpAckFlag,
        "OVS_DROP_FRAG_L2_TOO_LONG" | "OVS_DROP_FRAG_INVALID_PROTO" => {
            DropReason::IpFragmentationNotSupported
        }
        _ => return None,
    })
}

/// Something in it is wrong.
fn of_contents(kernel: &str) -> Option<DropReason> {
    Some(match kernel {
        "IP_CSUM"
        | "IP_INHDR"
        | "TCP_CSUM"
        | "UDP_CSUM"
        | "ICMP_CSUM"
        | "SKB_CSUM"
        | "HDR_TRUNC"
        | "PKT_TOO_SMALL"
        | "INVALID_PROTO"
        | "TCP_FLAGS"
        | "TCP_INVALID_SYN"
        | "TCP_INVALID_SEQUENCE"
        | "TCP_INVALID_END_SEQUENCE"
        | "TCP_INVALID_ACK_SEQUENCE"
        | "TCP_OLD_SEQUENCE"
        | "TCP_RESET"
        | "TCP_RFC7323_PAWS"
        | "TCP_RFC7323_PAWS_ACK"
        | "TCP_RFC7323_TW_PAWS"
        | "TCP_RFC7323_TSECR"
        | "IPV6_NDISC_FRAG"
        | "IPV6_NDISC_HOP_LIMIT"
        | "IPV6_NDISC_BAD_OPTIONS"
        | "IP_TUNNEL_ECN"
        | "MAC_INVALID_SOURCE"
        | "LOCAL_MAC"
        | "UNICAST_IN_L2_MULTICAST"
        | "VXLAN_INVALID_HDR" => DropReason::InvalidPacketDropped,
        "IPV6_BAD_EXTHDR" => DropReason::InvalidIpv6ExtensionHeader,
        "IPV6_NDISC_BAD_CODE" => DropReason::UnknownIcmpv6Code,
        "FRAG_REASM_TIMEOUT" | "FRAG_TOO_FAR" => DropReason::FirstLogicalDatagramFragmentNotFound,
        _ => return None,
    })
}

/// It came over the wrong link, or cannot be sent over one.
fn of_links(kernel: &str) -> Option<DropReason> {
    Some(match kernel {
        "VLAN_FILTER" => DropReason::VlanFiltered,
        "VXLAN_VNI_NOT_FOUND" => DropReason::InvalidVni,
        "TUNNEL_TXINFO" => DropReason::ErrorRetrievingTunnelKey,
        "MAC_IEEE_MAC_CONTROL" => DropReason::UnsupportedL2Protocol,
        "DEV_HDR" => DropReason::ErrorWritingToPacket,
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_of_the_kernel_get_the_apt_one_of_hubble() {
        for (kernel, hubble) in [
            ("NETFILTER_DROP", 133),
            ("SECURITY_HOOK", 133),
            ("IP_LOCALNET", 132),
            ("QDISC_CONGESTED", 198),
            ("TCP_LISTEN_OVERFLOW", 198),
            ("FQ_HORIZON_LIMIT", 162),
            ("TCP_MD5FAILURE", 189),
            ("IPV6_BAD_EXTHDR", 156),
            ("VXLAN_VNI_NOT_FOUND", 183),
            ("NOT_SPECIFIED (ip_error)", 151),
            ("NOT_SPECIFIED (netif_receive_generic_xdp)", 133),
            ("NOT_SPECIFIED (elsewhere)", 0),
            ("OVS_DROP_METER", 198),
            ("TCP_FASTOPEN", 0),
        ] {
            assert_eq!(hubble_reason(kernel) as i32, hubble, "{kernel}");
        }
    }
}
