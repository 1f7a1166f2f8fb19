//! What a flow event says of packets and bytes: from the counters of our own
//! datapath, or from the extensions of a replayed or recorded flow, which have
//! the keys of `flow::proto`.
//!
//! Extensions are read on the wire, without making a message of them. Never
//! panics, whatever the bytes.

use sextant_proto::flow as pb;

use crate::{
    extensions::{Value, entries},
    flow::{Counters, EndReason, Flow},
};

/// Monitor event of what policies say (Hubble's `CiliumEventType`).
const POLICY_VERDICT: i32 = 5;

/// Counts since a flow began. Pairs are of who opened it, and of the other side.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Totals {
    /// Packets that each side sent.
    pub packets: [u64; 2],
    /// Bytes that each side sent.
    pub bytes: [u64; 2],
    /// TCP segments that sides with a socket there sent again, since the connection began.
    pub retransmissions: u64,
    /// From the first to the last packet, where it is told.
    pub duration_ns: Option<u64>,
    /// From the SYN to its answer, in microseconds, where it is told.
    pub handshake_us: Option<u32>,
    /// Smoothed round-trip time of who opened it, else of the other side, in microseconds.
    pub round_trip_us: Option<u32>,
    /// It is the flow's last event.
    pub ended: bool,
    /// It ended since nothing came: its packets are older than the event.
    pub idle: bool,
    /// It ended by a reset.
    pub reset: bool,
}

impl Totals {
    /// Packets of both directions.
    #[must_use]
    pub fn all_packets(&self) -> u64 {
        self.packets[0].saturating_add(self.packets[1])
    }

    /// Bytes of both directions.
    #[must_use]
    pub fn all_bytes(&self) -> u64 {
        self.bytes[0].saturating_add(self.bytes[1])
    }
}

/// What an event counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Measure {
    /// Packets that were dropped.
    Drops(u64),
    /// Totals of the flow so far.
    Totals(Totals),
    /// No packets are told.
    Nothing,
}

/// Reads a flow.
#[must_use]
pub fn measure(flow: &Flow) -> Measure {
    if flow
        .event_type
        .is_some_and(|event| event.kind == POLICY_VERDICT)
    {
        // The packet has an event of its own, which tells it.
        return Measure::Nothing;
    }
    let dropped = flow.verdict == pb::Verdict::Dropped as i32;
    let extensions = flow.cold.as_ref().and_then(|cold| cold.extensions.as_ref());
    if let Some(any) = extensions {
        // They replace the counters.
        return match entries(any) {
            Some(entries) => Extensions::read(entries).measure(dropped),
            None if dropped => Measure::Drops(1),
            None => Measure::Nothing,
        };
    }
    match flow.counters.as_deref() {
        // The end of a flow has its totals, dropped or not.
        Some(counters) if counters.end.is_some() => Measure::Totals(of(counters)),
        Some(counters) if dropped || counters.kernel_drop_reason.is_some() => {
            Measure::Drops(counters.drops.max(1))
        }
        Some(counters) => Measure::Totals(of(counters)),
        None if dropped => Measure::Drops(1),
        None => Measure::Nothing,
    }
}

fn of(counters: &Counters) -> Totals {
    let (forward, reverse) = (counters.forward, counters.reverse);
    let tcp = counters.tcp.as_deref();
    let round_trip = |side: usize| tcp?.figures[side]?.srtt_us;
    Totals {
        packets: [forward.packets, reverse.packets],
        bytes: [forward.bytes, reverse.bytes],
        retransmissions: tcp.and_then(|tcp| tcp.retrans()).unwrap_or(0),
        duration_ns: Some(counters.duration_ns),
        handshake_us: tcp.and_then(|tcp| tcp.handshake_us),
        round_trip_us: round_trip(0).or_else(|| round_trip(1)),
        ended: counters.end.is_some(),
        idle: counters.end == Some(EndReason::Idle),
        reset: counters.end == Some(EndReason::Rst),
    }
}

/// What of a struct is of interest.
#[derive(Default)]
struct Extensions {
    totals: Totals,
    counted: bool,
    drops: u64,
    kernel_drop: bool,
}

impl Extensions {
    fn read<'a>(entries: impl Iterator<Item = (&'a [u8], Value<'a>)>) -> Self {
        let mut read = Self::default();
        for (key, value) in entries {
            read.entry(key, value);
        }
        read
    }

    fn entry(&mut self, key: &[u8], value: Value<'_>) {
        let count = || value.number().map_or(0, |number| number as u64);
        let totals = &mut self.totals;
        match key {
            b"packets" => self.count(|totals| &mut totals.packets[0], count()),
            b"reverse_packets" => self.count(|totals| &mut totals.packets[1], count()),
            b"bytes" => self.count(|totals| &mut totals.bytes[0], count()),
            b"reverse_bytes" => self.count(|totals| &mut totals.bytes[1], count()),
            b"tcp" => {
                for (key, value) in value.entries() {
                    self.tcp(key, value.number().unwrap_or(0.0));
                }
            }
            b"duration_ns" => totals.duration_ns = Some(count()),
            b"drops" => self.drops = count(),
            b"kernel_drop_reason" => self.kernel_drop = true,
            b"end_reason" => {
                totals.ended = true;
                totals.idle = value.text() == Some(EndReason::Idle.name());
                totals.reset = value.text() == Some(EndReason::Rst.name());
            }
            _ => {}
        }
    }

    fn count(&mut self, place: impl FnOnce(&mut Totals) -> &mut u64, count: u64) {
        let place = place(&mut self.totals);
        *place = place.saturating_add(count);
        self.counted = true;
    }

    fn tcp(&mut self, key: &[u8], number: f64) {
        let totals = &mut self.totals;
        match key {
            b"retrans" | b"reverse_retrans" => {
                totals.retransmissions = totals.retransmissions.saturating_add(number as u64);
            }
            b"handshake_us" => totals.handshake_us = Some(number as u32),
            b"srtt_us" => totals.round_trip_us = Some(number as u32),
            b"reverse_srtt_us" => _ = totals.round_trip_us.get_or_insert(number as u32),
            _ => {}
        }
    }

    fn measure(self, dropped: bool) -> Measure {
        if (dropped || self.kernel_drop) && !(self.totals.ended && self.counted) {
            Measure::Drops(self.drops.max(1))
        } else if self.counted {
            Measure::Totals(self.totals)
        } else {
            Measure::Nothing
        }
    }
}
