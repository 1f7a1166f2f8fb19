//! The address that a refused connection would have had: programs tell it before the kernel
//! has chosen one (`deny_error`), so the kernel is asked by which it would go.
//!
//! What it is not: the way that a packet took; there was none. Bound: `QUESTIONS` a second,
//! whose answers are kept for it, so whoever tries ever other addresses does not hold the
//! reader up; beyond that the address stays unknown.

use std::{
    collections::{HashMap, hash_map::Entry},
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use sextant_ebpf_common::{Event, Kind, reason};

/// For so long routes stay as they are.
const SAME: Duration = Duration::from_secs(1);
/// Questions in that time; each takes some microseconds.
const QUESTIONS: usize = 1024;

type Words = [u32; 4];

/// What was asked lately.
#[derive(Debug)]
pub(super) struct Refused {
    since: Instant,
    /// From where it goes, by family and where to.
    known: HashMap<(u8, Words), Words>,
}

impl Default for Refused {
    fn default() -> Self {
        Self {
            since: Instant::now(),
            known: HashMap::new(),
        }
    }
}

impl Refused {
    /// With the sender's address if it is not known yet, but could be.
    pub(super) fn complete(&mut self, mut event: Event) -> Event {
        let is_refused = event.kind == Kind::Packet as u8
            && event.reasons & reason::DENIED != 0
            && event.point == 0;
        if is_refused && event.source == Words::default() {
            event.source = self.source(event.family, event.destination);
        }
        event
    }

    fn source(&mut self, family: u8, to: Words) -> Words {
        if self.since.elapsed() >= SAME {
            self.known.clear();
            self.since = Instant::now();
        }
        let has_room = self.known.len() < QUESTIONS;
        match self.known.entry((family, to)) {
            Entry::Occupied(known) => *known.get(),
            Entry::Vacant(new) if has_room => {
                let from = asked(address(family, to)).map(words);
                *new.insert(from.unwrap_or_default())
            }
            Entry::Vacant(_) => Words::default(),
        }
    }
}

/// Sends nothing: a datagram's socket that is connected has an address.
fn asked(to: IpAddr) -> io::Result<IpAddr> {
    let any: IpAddr = match to {
        IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
        IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
    };
    let socket = UdpSocket::bind(SocketAddr::new(any, 0))?;
    // Any port: routes are by addresses.
    socket.connect(SocketAddr::new(to, 9))?;
    Ok(socket.local_addr()?.ip())
}

fn address(family: u8, words: Words) -> IpAddr {
    let mut bytes = [0; 16];
    for (place, word) in bytes.chunks_exact_mut(4).zip(words) {
        place.copy_from_slice(&word.to_ne_bytes());
    }
    match (family, bytes) {
        (4, [a, b, c, d, ..]) => IpAddr::from([a, b, c, d]),
        _ => IpAddr::from(bytes),
    }
}

fn words(address: IpAddr) -> Words {
    let mut words = Words::default();
    let put = |words: &mut Words, bytes: &[u8]| {
        for (word, bytes) in words.iter_mut().zip(bytes.chunks_exact(4)) {
            *word = bytes.try_into().map_or(0, u32::from_ne_bytes);
        }
    };
    match address {
        IpAddr::V4(address) => put(&mut words, &address.octets()),
        IpAddr::V6(address) => put(&mut words, &address.octets()),
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(to: IpAddr) -> Event {
        Event {
            destination: words(to),
            family: if to.is_ipv4() { 4 } else { 6 },
            reasons: reason::DENIED,
            kind: Kind::Packet as u8,
            ..Event::default()
        }
    }

    #[test]
    fn the_sender_is_whom_the_kernel_would_send_as() {
        let mut asks = Refused::default();
        let to = IpAddr::from([127, 0, 0, 7]);
        let event = asks.complete(refused(to));
        assert_eq!(address(4, event.source), IpAddr::from([127, 0, 0, 1]));
        let again = asks.complete(refused(to));
        assert_eq!(again.source, event.source, "as it was asked before");
    }

    #[test]
    fn only_so_many_are_asked_for_in_a_second() {
        let mut asks = Refused::default();
        let mut known = 0;
        for n in 0..2 * QUESTIONS as u32 {
            let [_, _, c, d] = n.to_be_bytes();
            let event = asks.complete(refused(IpAddr::from([127, 9, c, d])));
            known += usize::from(event.source != Words::default());
            assert!(asks.known.len() <= QUESTIONS);
        }
        assert!(known >= QUESTIONS, "{known}");
        asks.since -= SAME;
        let event = asks.complete(refused(IpAddr::from([127, 9, 9, 9])));
        assert_ne!(event.source, Words::default(), "a second later");
    }

    #[test]
    fn what_a_packet_said_or_nobody_knows_stays() {
        let mut asks = Refused::default();
        let chosen = words(IpAddr::from([192, 0, 2, 1]));
        let mut event = refused(IpAddr::from([127, 0, 0, 7]));
        event.source = chosen;
        assert_eq!(asks.complete(event).source, chosen);
        let mut of_packet = refused(IpAddr::from([127, 0, 0, 7]));
        of_packet.point = 3;
        assert_eq!(asks.complete(of_packet).source, Words::default());
        // No address to send to.
        let nowhere = refused(IpAddr::from([255, 255, 255, 255]));
        assert_eq!(asks.complete(nowhere).source, Words::default());
    }
}
