//! Where connections of TCP were seen to be answered, so that the initiator of one that
//! was first met in the middle need not be guessed by its ports.
//!
//! Bound: 16,384 addresses and ports; those not met for longest are forgotten, which
//! leaves a guess what it was.

use sextant_ebpf_common::{self as common, Kind, initiator, protocol::TCP};

use crate::{flow::TcpFlags, generations::Generations};

const MAX_SERVERS: usize = 16_384;

/// An address and a port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Place {
    address: [u32; 4],
    port: u16,
    zone: u16,
    family: u8,
}

/// Servers that were seen.
pub(super) struct Servers(Generations<Place, ()>);

impl Default for Servers {
    fn default() -> Self {
        Self(Generations::new(MAX_SERVERS))
    }
}

impl Servers {
    /// Learns from an event, and corrects who initiated its flow if that was guessed by
    /// ports alone and one side alone is known for a server. What was told before stays.
    pub(super) fn see(&mut self, event: &mut common::Event) {
        if event.protocol != TCP || event.kind == Kind::Dropped as u8 {
            return;
        }
        let is_packet = event.kind == Kind::Packet as u8;
        if is_packet && TcpFlags(event.tcp_flags).contains(TcpFlags::SYN | TcpFlags::ACK) {
            let place = place(event, true);
            if self.0.use_mut(&place).is_none() {
                self.0.insert(place, ());
            }
        }
        let guessed = event.initiator & (initiator::GUESSED | initiator::BY_SOCKET);
        if guessed != initiator::GUESSED || self.0.is_empty() {
            return;
        }
        let [is_source, is_destination] =
            [true, false].map(|source| self.0.use_mut(&place(event, source)).is_some());
        let sender = event.direction & 1;
        let client = match (is_source, is_destination) {
            (false, true) => sender,
            (true, false) => 1 - sender,
            _ => return,
        };
        if client == event.initiator & initiator::B {
            return;
        }
        event.initiator = client | initiator::GUESSED;
        if event.kind == Kind::Ended as u8 {
            turn(event);
        }
    }
}

/// Of the sender or of the receiver.
fn place(event: &common::Event, source: bool) -> Place {
    let (address, port) = match source {
        true => (event.source, event.source_port),
        false => (event.destination, event.destination_port),
    };
    Place {
        address,
        port,
        zone: event.zone,
        family: event.family,
    }
}

/// The end of a flow is told as its initiator saw it.
fn turn(event: &mut common::Event) {
    std::mem::swap(&mut event.source, &mut event.destination);
    std::mem::swap(&mut event.source_port, &mut event.destination_port);
    event.direction ^= 1;
    let point = event.owner[usize::from(event.direction & 1)];
    if point != 0 {
        event.point = point;
    }
}

#[cfg(test)]
mod tests {
    use sextant_ebpf_common::Event as Raw;

    use super::*;

    /// From port to port; side a of the key is that of port 40000.
    fn event(from: u16, to: u16, initiator: u8) -> Raw {
        Raw {
            source: [u32::from(from), 0, 0, 0],
            destination: [u32::from(to), 0, 0, 0],
            source_port: from,
            destination_port: to,
            protocol: TCP,
            family: 4,
            direction: u8::from(from != 40_000),
            initiator,
            owner: [3, 4],
            point: 4,
            ..Raw::default()
        }
    }

    fn answered(servers: &mut Servers, port: u16) {
        let mut answer = event(port, 60_000, initiator::A);
        answer.tcp_flags = TcpFlags::SYN | TcpFlags::ACK;
        servers.see(&mut answer);
        assert_eq!(answer.initiator, initiator::A, "known");
    }

    fn seen(servers: &mut Servers, initiator: u8) -> Raw {
        let mut event = event(50_051, 40_000, initiator);
        servers.see(&mut event);
        event
    }

    #[test]
    fn a_port_that_was_seen_to_answer_is_a_server_and_nothing_else_turns_a_flow() {
        let mut servers = Servers::default();
        let wrong = initiator::B | initiator::GUESSED;
        assert_eq!(seen(&mut servers, wrong).initiator, wrong);
        let mut syn = event(60_000, 50_051, initiator::A);
        syn.tcp_flags = TcpFlags::SYN;
        servers.see(&mut syn);
        assert_eq!(
            seen(&mut servers, wrong).initiator,
            wrong,
            "nobody answered"
        );
        answered(&mut servers, 50_051);
        let right = initiator::A | initiator::GUESSED;
        assert_eq!(seen(&mut servers, wrong).initiator, right);
        assert_eq!(seen(&mut servers, right).initiator, right);
        for known in [initiator::B, wrong | initiator::BY_SOCKET] {
            assert_eq!(seen(&mut servers, known).initiator, known);
        }
        // Both sides are servers: of each other's, perhaps.
        answered(&mut servers, 40_000);
        assert_eq!(seen(&mut servers, wrong).initiator, wrong);
    }

    #[test]
    fn an_end_is_told_as_its_initiator_saw_it() {
        let mut servers = Servers::default();
        answered(&mut servers, 50_051);
        let mut end = event(50_051, 40_000, initiator::B | initiator::GUESSED);
        end.kind = Kind::Ended as u8;
        servers.see(&mut end);
        assert_eq!((end.source_port, end.destination_port), (40_000, 50_051));
        assert_eq!((end.source[0], end.direction, end.point), (40_000, 0, 3));
        assert_eq!(end.initiator, initiator::A | initiator::GUESSED);
    }
}
