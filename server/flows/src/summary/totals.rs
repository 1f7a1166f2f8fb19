//! What a flow event says of packets and bytes: from the counters of our own
//! datapath, or from the extensions of a replayed or recorded flow, which have
//! the keys of `flow::proto`.
//!
//! Extensions are read on the wire, without making a message of them. Never
//! panics, whatever the bytes.

use prost::encoding::{WireType, decode_key, decode_varint};
use sextant_proto::flow as pb;

use crate::flow::{Counters, EndReason, Flow};

const STRUCT: &str = "google.protobuf.Struct";

/// Counts since a flow began.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Totals {
    /// Of both directions.
    pub(super) packets: u64,
    /// Of both directions.
    pub(super) bytes: u64,
    /// TCP segments that sides with a socket there sent again, since the connection began.
    pub(super) retransmissions: u64,
    /// From the first to the last packet.
    pub(super) duration_ns: u64,
    /// It is the flow's last event.
    pub(super) ended: bool,
    /// It ended since nothing came: its packets are older than the event.
    pub(super) idle: bool,
}

/// What an event counts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Measure {
    /// Packets that were dropped.
    Drops(u64),
    /// Totals of the flow so far.
    Totals(Totals),
    /// No packets are told.
    Nothing,
}

/// Reads a flow.
pub(super) fn measure(flow: &Flow) -> Measure {
    let dropped = flow.verdict == pb::Verdict::Dropped as i32;
    let extensions = flow.cold.as_ref().and_then(|cold| cold.extensions.as_ref());
    if let Some(any) = extensions {
        // They replace the counters.
        return match any.type_url.rsplit('/').next() {
            Some(STRUCT) => Extensions::read(&any.value).measure(dropped),
            _ if dropped => Measure::Drops(1),
            _ => Measure::Nothing,
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
    Totals {
        packets: forward.packets.saturating_add(reverse.packets),
        bytes: forward.bytes.saturating_add(reverse.bytes),
        retransmissions: counters
            .tcp
            .as_ref()
            .and_then(|tcp| tcp.retrans())
            .unwrap_or(0),
        duration_ns: counters.duration_ns,
        ended: counters.end.is_some(),
        idle: counters.end == Some(EndReason::Idle),
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
    fn read(wire: &[u8]) -> Self {
        let mut read = Self::default();
        for entry in messages(wire, 1) {
            let (Some(key), Some(value)) = (messages(entry, 1).next(), messages(entry, 2).next())
            else {
                continue;
            };
            read.entry(key, value);
        }
        read
    }

    fn entry(&mut self, key: &[u8], value: &[u8]) {
        let count = || number(value).map_or(0, |number| number as u64);
        let totals = &mut self.totals;
        match key {
            b"packets" | b"reverse_packets" => {
                totals.packets = totals.packets.saturating_add(count());
                self.counted = true;
            }
            b"bytes" | b"reverse_bytes" => {
                totals.bytes = totals.bytes.saturating_add(count());
                self.counted = true;
            }
            b"tcp" => {
                // Field 5 of a value is a struct.
                for entry in messages(value, 5).flat_map(|tcp| messages(tcp, 1)) {
                    let (key, value) = (messages(entry, 1).next(), messages(entry, 2).next());
                    if let (Some(b"retrans" | b"reverse_retrans"), Some(value)) = (key, value) {
                        let more = number(value).map_or(0, |number| number as u64);
                        totals.retransmissions = totals.retransmissions.saturating_add(more);
                    }
                }
            }
            b"duration_ns" => totals.duration_ns = count(),
            b"drops" => self.drops = count(),
            b"kernel_drop_reason" => self.kernel_drop = true,
            b"end_reason" => {
                totals.ended = true;
                // Field 3 of a value is its text.
                totals.idle = messages(value, 3).next() == Some(EndReason::Idle.name().as_bytes());
            }
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

/// The contents of the length-delimited fields of this number.
fn messages(mut wire: &[u8], wanted: u32) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        loop {
            let (number, content) = take(&mut wire)?;
            if number == wanted && content.0 == WireType::LengthDelimited {
                return Some(content.1);
            }
        }
    })
}

/// The number in a value: field 2, a double.
fn number(mut value: &[u8]) -> Option<f64> {
    loop {
        let (number, (wire, content)) = take(&mut value)?;
        if number == 2 && wire == WireType::SixtyFourBit {
            return Some(f64::from_le_bytes(content.try_into().ok()?));
        }
    }
}

/// Takes a field off.
fn take<'a>(wire: &mut &'a [u8]) -> Option<(u32, (WireType, &'a [u8]))> {
    if wire.is_empty() {
        return None;
    }
    let (number, kind) = decode_key(wire).ok()?;
    let length = match kind {
        WireType::Varint => {
            decode_varint(wire).ok()?;
            0
        }
        WireType::SixtyFourBit => 8,
        WireType::ThirtyTwoBit => 4,
        WireType::LengthDelimited => usize::try_from(decode_varint(wire).ok()?).ok()?,
        WireType::StartGroup | WireType::EndGroup => return None,
    };
    let (content, rest) = wire.split_at_checked(length)?;
    *wire = rest;
    Some((number, (kind, content)))
}
