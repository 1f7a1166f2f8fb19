//! How connections do: translated addresses, TCP.

use std::fmt;

use prometheus_client::encoding::EncodeMetric as _;
use sextant_ebpf_common::Tally;

use super::Page;
use crate::{
    datapath::{Counters, Volumes},
    pipeline::{NatCounts, TcpCounts},
};

impl Page<'_> {
    pub(super) fn nat(&mut self, counts: &NatCounts, counters: &Counters) -> fmt::Result {
        let fates = [
            ("told", counts.told()),
            ("lost", counters.tally(Tally::TranslationLost).packets),
            ("forgotten", counts.forgotten()),
        ];
        self.counters(
            "nat_translations",
            "Translations of addresses that the kernel told, those that found the ring full, and connections that were forgotten for want of room",
            fates.map(|(fate, count)| ([("fate", fate)], count)),
        )?;
        self.counter(
            "nat_joined_events",
            "Events of a translated connection that were joined with its other leg",
            counts.joined(),
        )
    }

    pub(super) fn denied(&mut self, counters: &Counters, volumes: &Volumes) -> fmt::Result {
        self.counters(
            "policy_denied_connections",
            "Connections that policies allow no more, by what became of their sockets (on_deny)",
            volumes
                .endings()
                .map(|(fate, count)| ([("fate", fate)], count)),
        )?;
        self.counter(
            "policy_denied_packets_without_flow",
            "Packets that a policy denied and that are in no flow, for want of room",
            counters.tally(Tally::DeniedAlone).packets,
        )?;
        let unjudged = counters.unjudged();
        let without_flow = unjudged
            .iter()
            .filter(|counted| counted.cause.is_without_flow());
        self.counters(
            "policy_unjudged_denied_packets",
            "Packets that could not be judged and did not go on, by why they are in no flow (unknown)",
            without_flow.map(|counted| ([("cause", counted.name)], counted.packets)),
        )?;
        self.counter(
            "policy_refused_connections",
            "Connections that a process of this host was refused before their first packet, since a policy denies them (deny_error)",
            counters.tally(Tally::Refused).packets,
        )
    }

    pub(super) fn vlans(&mut self, counters: &Counters) -> fmt::Result {
        self.counter(
            "vlan_unnumbered_packets",
            "Packets whose VLAN found no number, so that it does not tell their flow apart (vlan_in_key)",
            counters.tally(Tally::VlanUnnumbered).packets,
        )
    }

    pub(super) fn tcp(&mut self, counts: &TcpCounts) -> fmt::Result {
        let times = counts.round_trip();
        let help = "Smoothed round-trip times of TCP connections, as sockets of this host told them with an event";
        times.encode(self.family("tcp_round_trip_seconds", help, times.metric_type())?)?;
        let times = counts.handshake();
        let help = "From SYNs of TCP to their answers";
        times.encode(self.family("tcp_handshake_seconds", help, times.metric_type())?)?;
        self.counter(
            "tcp_retransmitted_segments",
            "Segments that sockets of this host sent again, as far as they were told",
            counts.retrans(),
        )?;
        self.counter(
            "tcp_forgotten_connections",
            "Connections whose last figures were forgotten for want of room",
            counts.forgotten(),
        )
    }
}
