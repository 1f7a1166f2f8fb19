//! How well TCP connections do: what the event tells, and what was last told of the
//! same connection, so that its end and the packets of the other side tell it too.
//!
//! Bound: 65,536 connections with a socket on this host; of those beyond, what was
//! not told for longest is forgotten and counted, and told again with their next news.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::SystemTime,
};

use prometheus_client::metrics::{exemplar::HistogramWithExemplars, histogram::Histogram};
use sextant_ebpf_common::{
    self as common, FIGURES_OF_A, Kind, NO_FIGURES, ZERO_WINDOW, initiator, micros, protocol::TCP,
};

use crate::{
    community::Connection,
    flow::{Figures, Flow, ResetBy, TcpFlags, TcpQuality},
    generations::Generations,
};

const MAX_CONNECTIONS: usize = 65_536;

/// Upper bounds of durations, in seconds: from within a host to around the world.
const BOUNDS: [f64; 17] = [
    0.000_05, 0.000_1, 0.000_25, 0.000_5, 0.001, 0.002_5, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5,
    1.0, 2.5, 5.0, 10.0,
];

/// A connection, as the tables of the kernel tell it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    a: [u32; 4],
    b: [u32; 4],
    ports: [u16; 2],
    zone: u16,
    family: u8,
}

impl Key {
    fn of(event: &common::Event) -> Self {
        let (source, destination) = (event.source, event.destination);
        let ports = [event.source_port, event.destination_port];
        let (a, b, ports) = if event.direction == 0 {
            (source, destination, ports)
        } else {
            (destination, source, [ports[1], ports[0]])
        };
        Self {
            a,
            b,
            ports,
            zone: event.zone,
            family: event.family,
        }
    }
}

/// What was last told of a connection, by side of the key.
#[derive(Debug)]
struct Known {
    first_ns: u64,
    figures: [Option<Figures>; 2],
}

/// What connections did, for the metrics; shared.
#[derive(Clone, Debug)]
pub struct TcpCounts(Arc<Counts>);

#[derive(Debug)]
struct Counts {
    round_trip: Histogram,
    handshake: HistogramWithExemplars<Connection>,
    retrans: AtomicU64,
    forgotten: AtomicU64,
}

impl Default for TcpCounts {
    fn default() -> Self {
        Self(Arc::new(Counts {
            round_trip: Histogram::new(BOUNDS),
            handshake: HistogramWithExemplars::new(BOUNDS.into_iter()),
            retrans: AtomicU64::default(),
            forgotten: AtomicU64::default(),
        }))
    }
}

impl TcpCounts {
    /// Smoothed round-trip times, in seconds, as sockets of this host told them.
    #[must_use]
    pub fn round_trip(&self) -> &Histogram {
        &self.0.round_trip
    }

    /// From SYNs to their answers, in seconds; the latest connection of each bucket.
    #[must_use]
    pub fn handshake(&self) -> &HistogramWithExemplars<Connection> {
        &self.0.handshake
    }

    /// Segments that sockets of this host sent again.
    #[must_use]
    pub fn retrans(&self) -> u64 {
        self.0.retrans.load(Relaxed)
    }

    /// Connections whose figures were forgotten for want of room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.0.forgotten.load(Relaxed)
    }
}

/// What is known of connections.
pub(super) struct Qualities {
    known: Generations<Key, Known>,
    counts: TcpCounts,
}

impl Default for Qualities {
    fn default() -> Self {
        Self {
            known: Generations::new(MAX_CONNECTIONS),
            counts: TcpCounts::default(),
        }
    }
}

impl Qualities {
    pub(super) fn counts(&self) -> TcpCounts {
        self.counts.clone()
    }

    /// What is known of an event's connection, if anything is. A drop tells of its
    /// packets alone.
    pub(super) fn of(&mut self, event: &common::Event) -> Option<Box<TcpQuality>> {
        if event.protocol != TCP || event.kind == Kind::Dropped as u8 {
            return None;
        }
        let mut figures = self.figures(event);
        let opened_by = event.initiator & initiator::B;
        let mut seen = [
            event.tcp_flags_seen as u16,
            (event.tcp_flags_seen >> 16) as u16,
        ];
        if opened_by == initiator::B {
            figures.swap(0, 1);
            seen.swap(0, 1);
        }
        let [handshake_us, established_us] = event.handshake.map(|short| match micros(short) {
            0 => None,
            us => Some(us),
        });
        let quality = TcpQuality {
            figures,
            handshake_us,
            established_us,
            zero_window: seen.map(|flags| flags & ZERO_WINDOW != 0),
            reset_by: reset_by(seen),
        };
        (quality != TcpQuality::default()).then(|| Box::new(quality))
    }

    /// By side of the key.
    fn figures(&mut self, event: &common::Event) -> [Option<Figures>; 2] {
        let is_told = event.figures.of != NO_FIGURES;
        if !is_told && self.known.is_empty() {
            return [None; 2];
        }
        let key = Key::of(event);
        let known = self.known.use_mut(&key);
        let before = match &known {
            Some(known) if known.first_ns == event.first_ns => known.figures,
            // Of the connection that had the ports before, or has them by now.
            _ => [None; 2],
        };
        if !is_told {
            if event.kind == Kind::Ended as u8 && before != [None; 2] {
                self.known.remove(&key);
            }
            return before;
        }
        let first_ns = event.first_ns;
        let figures = with(before, event);
        match known {
            Some(known) => *known = Known { first_ns, figures },
            None => {
                self.known.insert(key, Known { first_ns, figures });
                let forgotten = self.known.forgotten();
                self.counts.0.forgotten.store(forgotten, Relaxed);
            }
        }
        self.count(before, event);
        figures
    }

    /// That of a flow's event. Once for each connection: the answer is news once.
    pub(super) fn count_handshake(&self, event: &common::Event, flow: &Flow) {
        let flags = TcpFlags(event.tcp_flags);
        let is_packet = event.protocol == TCP && event.kind == Kind::Packet as u8;
        let is_answer = is_packet && flags.contains(TcpFlags::SYN | TcpFlags::ACK);
        if is_answer && event.handshake[0] != 0 {
            let seconds = f64::from(micros(event.handshake[0])) / 1e6;
            let handshake = &self.counts.0.handshake;
            handshake.observe(seconds, Connection::of(flow), Some(SystemTime::now()));
        }
    }

    /// Counts a sample. What was sent again before the connection was first met is
    /// not, if that was in its middle.
    fn count(&self, before: [Option<Figures>; 2], event: &common::Event) {
        let told = event.figures;
        if told.srtt_us > 0 {
            let round_trip = &self.counts.0.round_trip;
            round_trip.observe(f64::from(told.srtt_us) / 1e6);
        }
        let is_met_late = event.initiator & initiator::GUESSED != 0;
        let counted = match before[side(event)] {
            Some(before) => before.retrans,
            None if is_met_late => told.retrans,
            None => 0,
        };
        let more = told.retrans.saturating_sub(counted);
        self.counts.0.retrans.fetch_add(more.into(), Relaxed);
    }
}

/// The side whose figures the event tells.
fn side(event: &common::Event) -> usize {
    usize::from(event.figures.of != FIGURES_OF_A)
}

/// Two processors raise events of one socket, which may come in another order than they
/// were measured in; what was sent again only grows.
fn with(mut figures: [Option<Figures>; 2], event: &common::Event) -> [Option<Figures>; 2] {
    let told = event.figures;
    let measured = |us: u32| (us > 0 && us < u32::MAX).then_some(us);
    let before = figures[side(event)].map_or(0, |before| before.retrans);
    figures[side(event)] = Some(Figures {
        srtt_us: measured(told.srtt_us),
        rtt_min_us: measured(told.rtt_min_us),
        retrans: told.retrans.max(before),
        lost: told.lost,
    });
    figures
}

fn reset_by([client, server]: [u16; 2]) -> Option<ResetBy> {
    match (client & TcpFlags::RST != 0, server & TcpFlags::RST != 0) {
        (true, true) => Some(ResetBy::Both),
        (true, false) => Some(ResetBy::Client),
        (false, true) => Some(ResetBy::Server),
        (false, false) => None,
    }
}

#[cfg(test)]
mod tests {
    use sextant_ebpf_common::{FIGURES_OF_B, short_micros};

    use super::*;

    fn event(direction: u8, of: u32, retrans: u32) -> common::Event {
        let mut event = common::Event {
            source: [1, 0, 0, 0],
            destination: [2, 0, 0, 0],
            source_port: 4000,
            destination_port: 80,
            protocol: TCP,
            family: 4,
            direction,
            first_ns: 5,
            initiator: initiator::B,
            figures: common::Figures {
                of,
                srtt_us: 100,
                rtt_min_us: 0,
                retrans,
                lost: 0,
            },
            ..common::Event::default()
        };
        if direction == 1 {
            std::mem::swap(&mut event.source, &mut event.destination);
            std::mem::swap(&mut event.source_port, &mut event.destination_port);
        }
        event
    }

    fn retrans(quality: Option<Box<TcpQuality>>) -> [Option<u32>; 2] {
        quality.map_or([None; 2], |quality| {
            quality.figures.map(|side| Some(side?.retrans))
        })
    }

    #[test]
    fn figures_of_both_ends_are_told_until_the_end_and_not_of_the_next_connection() {
        let mut all = Qualities::default();
        // Side b opened it.
        assert_eq!(retrans(all.of(&event(1, FIGURES_OF_B, 2))), [Some(2), None]);
        assert_eq!(
            retrans(all.of(&event(0, FIGURES_OF_A, 7))),
            [Some(2), Some(7)]
        );
        let mut end = event(1, NO_FIGURES, 0);
        end.kind = Kind::Ended as u8;
        assert_eq!(retrans(all.of(&end)), [Some(2), Some(7)]);
        assert_eq!(retrans(all.of(&end)), [None; 2], "it is over");
        assert_eq!(all.counts.retrans(), 9);

        all.of(&event(0, FIGURES_OF_A, 3));
        let mut next = event(0, NO_FIGURES, 0);
        next.first_ns = 6;
        assert_eq!(retrans(all.of(&next)), [None; 2], "the port was used again");
        next.figures.of = FIGURES_OF_A;
        assert_eq!(retrans(all.of(&next)), [None, Some(0)]);
        assert_eq!(retrans(all.of(&end)), [None; 2], "of the one before");
        assert_eq!(all.counts.retrans(), 12);
    }

    #[test]
    fn what_is_sent_again_counts_from_when_a_connection_was_met() {
        let mut all = Qualities::default();
        let mut old = event(0, FIGURES_OF_A, 100);
        old.initiator |= initiator::GUESSED;
        assert_eq!(retrans(all.of(&old)), [None, Some(100)], "its own count");
        old.figures.retrans = 103;
        all.of(&old);
        assert_eq!(all.counts.retrans(), 3);
    }

    #[test]
    fn what_is_sent_again_is_counted_once_whatever_order_events_come_in() {
        let mut all = Qualities::default();
        for (told, known) in [(5, 5), (6, 6), (5, 6), (6, 6), (7, 7)] {
            let quality = all.of(&event(0, FIGURES_OF_A, told));
            assert_eq!(retrans(quality), [None, Some(known)]);
        }
        assert_eq!(all.counts.retrans(), 7);
    }

    #[test]
    fn who_reset_and_whose_window_was_0_is_told_by_who_opened() {
        let mut all = Qualities::default();
        let mut reset = event(0, NO_FIGURES, 0);
        reset.tcp_flags_seen = u32::from(TcpFlags::RST) | u32::from(ZERO_WINDOW) << 16;
        reset.handshake = [short_micros(1500), 0];
        let quality = all.of(&reset).unwrap();
        assert_eq!(quality.reset_by, Some(ResetBy::Server), "side a");
        assert_eq!(quality.zero_window, [true, false], "side b");
        assert_eq!(quality.handshake_us, Some(1500));
        assert_eq!(quality.established_us, None);
        assert_eq!(quality.figures, [None; 2]);
        assert_eq!(all.of(&event(0, NO_FIGURES, 0)), None);
    }
}
