//! How far a flow got: after how much silence it counts as ended, and which
//! flows go first when room is short. Pure.

use std::time::Duration;

use sextant_ebpf_common::{Entry, protocol::TCP};

use super::Timeouts;

const FIN: u16 = 1;
const SYN: u16 = 1 << 1;
const RST: u16 = 1 << 2;
const ACK: u16 = 1 << 4;

/// Silence before a flow of a turn may be ended for room: a packet may be on its
/// way, and an answer.
const SPARED: [Duration; 5] = [
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_secs(1),
    Duration::from_secs(1),
    // Who fills the table with connections would blind it for as long as they live.
    Duration::from_secs(5),
];

/// How far a flow got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// TCP: reset by one side, or finished by both.
    Closed,
    /// TCP: a side sent a SYN, and nothing that acknowledges the other one's.
    Opening,
    /// One packet.
    Single,
    /// One packet each way: a question and its answer.
    Exchange,
    /// Packets one way only.
    Unanswered,
    /// Packets both ways, without a handshake.
    Answered,
    /// TCP, packets one way only: the others go another way, or it was given up.
    OneSided,
    /// TCP, acknowledged both ways, of which no beginning was seen: older than the
    /// daemon, or forged by who sends both ways.
    Unproven,
    /// TCP, begun and acknowledged both ways.
    Established,
}

impl Stage {
    /// By what the entry counted and saw.
    pub(super) fn of(protocol: u8, entry: &Entry) -> Self {
        let [there, back] = entry.packets;
        let flags = [entry.tcp_flags as u16, (entry.tcp_flags >> 16) as u16];
        let either = flags[0] | flags[1];
        let both = flags[0] & flags[1];
        let is_opening = |flags: u16| flags & (SYN | ACK) == SYN;
        match protocol {
            TCP if either & RST != 0 || both & FIN != 0 => Self::Closed,
            TCP if flags.into_iter().any(is_opening) => Self::Opening,
            TCP if both & ACK != 0 && either & SYN != 0 => Self::Established,
            TCP if both & ACK != 0 => Self::Unproven,
            _ if there + back <= 1 => Self::Single,
            TCP => Self::OneSided,
            _ if there == 0 || back == 0 => Self::Unanswered,
            _ if there + back == 2 => Self::Exchange,
            _ => Self::Answered,
        }
    }

    /// After so much silence it counts as ended.
    pub(super) fn limit(self, protocol: u8, timeouts: &Timeouts) -> Duration {
        match self {
            Self::Closed => timeouts.tcp_closed,
            Self::Opening => timeouts.tcp_opening.min(timeouts.tcp),
            Self::Single if protocol == TCP => timeouts.tcp_opening.min(timeouts.tcp),
            Self::OneSided | Self::Unproven | Self::Established => timeouts.tcp,
            _ => timeouts.other,
        }
    }

    /// Its place among those that are ended for room, the lowest first; none for
    /// a flow that is spared yet. Connections go last, and may go on as others.
    pub(super) fn rank(self, idle: Duration) -> Option<(u8, u32)> {
        let turn = match self {
            Self::Closed | Self::Opening | Self::Single => 0,
            Self::Exchange | Self::Unanswered => 1,
            Self::Answered => 2,
            Self::OneSided | Self::Unproven => 3,
            Self::Established => 4,
        };
        let millis = u32::try_from(idle.as_millis()).unwrap_or(u32::MAX);
        (idle >= SPARED[usize::from(turn)]).then_some((turn, u32::MAX - millis))
    }
}

#[cfg(test)]
mod tests {
    use sextant_ebpf_common::protocol::UDP;

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn entry(packets: [u64; 2], flags: [u16; 2]) -> Entry {
        Entry {
            packets,
            tcp_flags: u32::from(flags[0]) | u32::from(flags[1]) << 16,
            ..Entry::default()
        }
    }

    #[test]
    fn what_a_flow_got_to_is_told_by_packets_and_flags() {
        for (protocol, packets, flags, stage) in [
            (TCP, [1, 0], [SYN, 0], Stage::Opening),
            (TCP, [6, 0], [SYN, 0], Stage::Opening),
            // Answered, and never acknowledged.
            (TCP, [1, 5], [SYN, SYN | ACK], Stage::Opening),
            (TCP, [1, 1], [SYN, ACK | RST], Stage::Closed),
            (TCP, [2, 1], [SYN | ACK, SYN | ACK], Stage::Established),
            (TCP, [9, 9], [SYN | ACK, ACK], Stage::Established),
            (TCP, [9, 9], [ACK, ACK], Stage::Unproven),
            (TCP, [9, 9], [ACK | FIN, ACK], Stage::Unproven),
            (TCP, [9, 9], [ACK | FIN, ACK | FIN], Stage::Closed),
            (TCP, [1, 0], [ACK, 0], Stage::Single),
            (TCP, [0, 1], [0, FIN], Stage::Single),
            (TCP, [1, 0], [RST, 0], Stage::Closed),
            // Of an asymmetric way one side is all that there is to see.
            (TCP, [9, 0], [SYN | ACK, 0], Stage::OneSided),
            (UDP, [1, 0], [0, 0], Stage::Single),
            (UDP, [0, 2], [0, 0], Stage::Unanswered),
            (UDP, [1, 1], [0, 0], Stage::Exchange),
            (UDP, [2, 1], [0, 0], Stage::Answered),
        ] {
            let found = Stage::of(protocol, &entry(packets, flags));
            assert_eq!(found, stage, "{protocol} {packets:?} {flags:?}");
        }
    }

    #[test]
    fn what_is_worth_least_goes_first_and_of_that_the_longest_silent() {
        let rank = |stage: Stage, seconds: u32| stage.rank(SECOND * seconds);
        assert!(rank(Stage::Single, 9) < rank(Stage::Opening, 8));
        assert!(rank(Stage::Closed, 1) < rank(Stage::Exchange, 50));
        assert!(rank(Stage::Unanswered, 1) < rank(Stage::Answered, 50));
        assert!(rank(Stage::Answered, 1) < rank(Stage::OneSided, 500));
        assert!(rank(Stage::OneSided, 2) < rank(Stage::Established, 500));
        assert!(rank(Stage::Unproven, 2) < rank(Stage::Established, 500));
        assert!(rank(Stage::Established, 60) < rank(Stage::Established, 6));
        assert_eq!(rank(Stage::Established, 4), None, "it is at work");
        assert_eq!(Stage::Single.rank(SECOND / 20), None, "it may be answered");
    }

    #[test]
    fn a_handshake_lives_for_seconds_and_never_longer_than_a_connection() {
        let timeouts = |tcp| Timeouts {
            tcp,
            tcp_opening: 10 * SECOND,
            tcp_closed: 3 * SECOND,
            other: 60 * SECOND,
        };
        let long = timeouts(600 * SECOND);
        assert_eq!(Stage::Opening.limit(TCP, &long), 10 * SECOND);
        assert_eq!(Stage::Single.limit(TCP, &long), 10 * SECOND);
        assert_eq!(Stage::Single.limit(UDP, &long), 60 * SECOND);
        assert_eq!(Stage::Established.limit(TCP, &long), 600 * SECOND);
        let short = timeouts(2 * SECOND);
        assert_eq!(Stage::Opening.limit(TCP, &short), 2 * SECOND);
    }
}
