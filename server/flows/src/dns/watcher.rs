//! From packets to queries and answers.

use std::net::{IpAddr, SocketAddr};

use super::{
    message::{self, Kind, Malformed, Message, Question},
    pairs::{Conversation, Pairs},
    stream::{Direction, Followed, Segment, Streams},
};

/// Port of DNS.
const PORT: u16 = 53;

/// What a packet to or from port 53 carries.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'a> {
    /// When it was seen, in nanoseconds of any clock.
    pub at_ns: u64,
    /// Address space.
    pub zone: u16,
    /// Sequence number of TCP; none for UDP.
    pub sequence: Option<u32>,
    /// Sender.
    pub source: SocketAddr,
    /// Receiver.
    pub destination: SocketAddr,
    /// How many bytes it carries.
    pub length: u32,
    /// The first of them.
    pub bytes: &'a [u8],
}

/// A message that was seen.
#[derive(Debug)]
pub struct Seen {
    /// It.
    pub message: Message,
    /// What it asks, or what it is the answer to.
    pub question: Question,
    /// Of an answer to a query that was seen: nanoseconds since that.
    pub latency_ns: Option<u64>,
}

impl Seen {
    /// The addresses that the name which was asked for has, with their seconds: of a
    /// sound answer to a query that was seen.
    pub fn learned(&self) -> impl Iterator<Item = (IpAddr, u32)> {
        let message = &self.message;
        let is_trusted = message.kind == Kind::Answer
            && message.is_plain
            && message.rcode == 0
            && self.latency_ns.is_some();
        let asked = message.addresses.iter().filter(|found| found.is_asked);
        asked
            .filter(move |_| is_trusted)
            .map(|found| (found.ip, found.ttl))
    }
}

/// What became of messages since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Queries.
    pub queries: u64,
    /// Answers, those to nobody's query included.
    pub answers: u64,
    /// Answers that nobody had asked for.
    pub unasked: u64,
    /// What was no message, in the order of `Malformed::ALL`.
    pub malformed: [u64; Malformed::ALL.len()],
    /// Queries that were forgotten, for want of room, before their answer came.
    pub forgotten_queries: u64,
    /// TCP streams that were forgotten for want of room.
    pub forgotten_streams: u64,
}

/// Watches DNS pass by.
#[derive(Debug)]
pub struct Watcher {
    pairs: Pairs,
    streams: Streams,
    counts: Counts,
}

impl Default for Watcher {
    fn default() -> Self {
        Self {
            pairs: Pairs::new(),
            streams: Streams::new(),
            counts: Counts::default(),
        }
    }
}

impl Watcher {
    /// What became of messages so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            forgotten_queries: self.pairs.forgotten(),
            forgotten_streams: self.streams.forgotten(),
            ..self.counts
        }
    }

    /// Hands on the messages that a packet has or completes.
    pub fn take(&mut self, packet: Packet<'_>, sink: &mut dyn FnMut(Seen)) {
        let Self {
            pairs,
            streams,
            counts,
        } = self;
        let mut see = |bytes: &[u8], is_partial: bool| match seen(pairs, &packet, bytes, is_partial)
        {
            Ok(seen) => {
                counts.count(&seen);
                sink(seen);
            }
            Err(malformed) => counts.malformed[malformed as usize] += 1,
        };
        let Some(sequence) = packet.sequence else {
            let is_partial = (packet.bytes.len() as u32) < packet.length;
            return see(packet.bytes, is_partial);
        };
        let direction = Direction {
            zone: packet.zone,
            source: packet.source,
            destination: packet.destination,
        };
        let segment = Segment {
            sequence,
            length: packet.length,
            bytes: packet.bytes,
        };
        if streams.take(direction, segment, &mut see) == Followed::Lost {
            counts.malformed[Malformed::Stream as usize] += 1;
        }
    }
}

impl Counts {
    fn count(&mut self, seen: &Seen) {
        match seen.message.kind {
            Kind::Query => self.queries += 1,
            Kind::Answer => {
                self.answers += 1;
                self.unasked += u64::from(seen.latency_ns.is_none());
            }
        }
    }
}

fn seen(
    pairs: &mut Pairs,
    packet: &Packet<'_>,
    bytes: &[u8],
    is_partial: bool,
) -> Result<Seen, Malformed> {
    let mut message = message::read(bytes, is_partial)?;
    let (client, server) = match message.kind {
        Kind::Query => (packet.source, packet.destination),
        Kind::Answer => (packet.destination, packet.source),
    };
    if server.port() != PORT {
        return Err(Malformed::WrongWay);
    }
    let who = Conversation {
        zone: packet.zone,
        is_tcp: packet.sequence.is_some(),
        client,
        server,
    };
    let question = message.question.take();
    let (question, latency_ns) = match message.kind {
        Kind::Query => {
            let question = question.ok_or(Malformed::NoQuestion)?;
            pairs.ask(who, message.id, &question, packet.at_ns);
            (question, None)
        }
        Kind::Answer => {
            let pair = pairs.answer(who, message.id, question.as_ref(), packet.at_ns);
            match pair {
                Some((question, latency)) => (question, Some(latency)),
                None => (question.ok_or(Malformed::NoQuestion)?, None),
            }
        }
    };
    Ok(Seen {
        message,
        question,
        latency_ns,
    })
}

#[cfg(test)]
mod tests;
