//! The loss ledger: what was seen, what was lost, as sums that add up.
//!
//! Every number is counted where it happens, apart from the others, so a
//! balance that does not add up tells of a fault. Sums are taken one after the
//! other: while packets pass, what is on its way is in none of them. Nothing is
//! counted here. Called by status and metrics.

use std::sync::Arc;

use sextant_ebpf_common::{Cause, Tally};

use crate::{
    containers::Containers,
    datapath::{Counted, Counters, ReaderCounts, Volume, Volumes},
    kubernetes::Kubernetes,
    pipeline::{DnsCounts, Namespaces, NatCounts, SharedDnsCounts, StoredCounts, TcpCounts},
    process::ProcessCounts,
    record::RecordCounts,
    store::{Delivered, Deliveries, Ring},
};

/// Where the numbers come from.
#[derive(Clone)]
pub struct Sources {
    /// The store.
    pub ring: Ring,
    /// What went into it.
    pub stored: StoredCounts,
    /// What other sensors handed in.
    pub recorded: Arc<RecordCounts>,
    /// DNS messages and names.
    pub dns: SharedDnsCounts,
    /// Translated connections.
    pub nat: NatCounts,
    /// TCP connections.
    pub tcp: TcpCounts,
    /// Processes behind flows.
    pub processes: ProcessCounts,
    /// What engines say of containers.
    pub containers: Containers,
    /// What the API server says of the cluster.
    pub kubernetes: Kubernetes,
    /// The namespaces of what went into it.
    pub namespaces: Namespaces,
    /// What streams did.
    pub deliveries: Deliveries,
    /// The datapath, if there is one.
    pub datapath: Option<(Counters, Volumes)>,
}

/// All balances.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ledger {
    /// Packets.
    pub packets: Packets,
    /// Events.
    pub events: Events,
    /// What streams did with stored events.
    pub delivered: Delivered,
    /// Events that were overwritten in the store.
    pub overwritten: u64,
    /// What packets carry.
    pub payloads: Payloads,
}

/// `copied` = `read` + what is on its way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Payloads {
    /// Put into the ring.
    pub copied: u64,
    /// Taken out of it.
    pub read: u64,
    /// Not put in, since it was full.
    pub ring_full: u64,
    /// Not put in, to keep the bytes a second.
    pub over_budget: u64,
    /// What was found in them.
    pub dns: DnsCounts,
}

/// `seen` = `in_flows` + `without_flow` + `difference`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Packets {
    /// By the totals of interfaces.
    pub seen: Volume,
    /// By the flow tables.
    pub in_flows: Volume,
    /// By cause.
    pub without_flow: Vec<(&'static str, Volume)>,
    /// Packets in neither.
    pub difference: i64,
    /// Packets that the kernel's own counters of interfaces have and no program
    /// saw; in none of the sums.
    pub unseen: u64,
}

/// `raised` + `ended` + `recorded` + `own` + `layer7` = `stored` + `lost` + `in_flight`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Events {
    /// By the programs.
    pub raised: u64,
    /// By the sweep of the tables.
    pub ended: u64,
    /// Handed in or replayed.
    pub recorded: u64,
    /// The daemon's own.
    pub own: u64,
    /// Of messages that packets carry.
    pub layer7: u64,
    /// In the store, ever.
    pub stored: u64,
    /// By place.
    pub lost: Vec<Lost>,
    /// Raised and not yet read.
    pub in_flight: i64,
}

/// Events lost or left out at one place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lost {
    /// Where.
    pub place: &'static str,
    /// Why.
    pub cause: &'static str,
    /// How many.
    pub events: u64,
    /// It is what was asked for.
    pub intended: bool,
}

impl Sources {
    /// The balances now.
    #[must_use]
    pub fn take(&self) -> Ledger {
        let stored = self.ring.next_seq();
        Ledger {
            packets: self.packets(),
            events: self.events(stored),
            delivered: self.deliveries.values(),
            overwritten: self.ring.oldest_seq().min(stored),
            payloads: self.payloads(),
        }
    }

    fn payloads(&self) -> Payloads {
        let dns = self.dns.values();
        let Some((counters, volumes)) = &self.datapath else {
            return Payloads {
                dns,
                ..Payloads::default()
            };
        };
        Payloads {
            read: volumes.reader().carried,
            copied: counters.tally(Tally::Copied).packets,
            ring_full: counters.cause(Cause::PayloadRingFull),
            over_budget: counters.cause(Cause::PayloadBudget),
            dns,
        }
    }

    fn packets(&self) -> Packets {
        let Some((counters, volumes)) = &self.datapath else {
            return Packets::default();
        };
        // Interfaces last: a packet between is then seen but in no sum yet.
        let mut in_flows = volumes.in_flows();
        in_flows += counters.tally(Tally::Reopened);
        let without_flow: Vec<_> = counters
            .causes()
            .iter()
            .filter(|counted| counted.cause.is_without_flow())
            .map(|counted| (counted.name, volume(counted)))
            .collect();
        let seen = counters.seen();
        let without: u64 = without_flow.iter().map(|(_, volume)| volume.packets).sum();
        Packets {
            difference: seen.packets as i64 - (in_flows.packets + without) as i64,
            unseen: counters.unseen(),
            seen,
            in_flows,
            without_flow,
        }
    }

    fn events(&self, stored: u64) -> Events {
        let counts = self.stored.values();
        let mut events = Events {
            recorded: counts.recorded,
            own: counts.own,
            layer7: counts.layer7,
            stored,
            ..Events::default()
        };
        if let Some((counters, volumes)) = &self.datapath {
            let reader = volumes.reader();
            events.ended = reader.ended;
            events.lost = lost(counters, &reader);
            events.raised = counters.tally(Tally::Raised).packets;
        }
        let lost: u64 = events.lost.iter().map(|lost| lost.events).sum();
        let made = events.raised + events.ended + events.recorded + events.own + events.layer7;
        events.in_flight = made as i64 - (stored + lost) as i64;
        events
    }
}

fn lost(counters: &Counters, reader: &ReaderCounts) -> Vec<Lost> {
    let place = |place, cause, events, intended| Lost {
        place,
        cause,
        events,
        intended,
    };
    vec![
        place(
            "observed_ring",
            "full",
            counters.cause(Cause::ObservedRingFull),
            false,
        ),
        place(
            "denied_ring",
            "full",
            counters.cause(Cause::DeniedRingFull),
            false,
        ),
        place(
            "drop_table",
            "full",
            counters.cause(Cause::DropTableFull),
            false,
        ),
        place("ends", "full", reader.lost_ends, false),
        place("sampling", "budget", counters.cause(Cause::Sampled), true),
        place("sweep", "budget", reader.sampled_ends, true),
        place("reader", "malformed", reader.malformed, false),
        place(
            "reader",
            "interface_not_observed",
            reader.foreign_drops,
            true,
        ),
    ]
}

fn volume(counted: &Counted) -> Volume {
    Volume {
        packets: counted.packets,
        bytes: counted.bytes,
    }
}
