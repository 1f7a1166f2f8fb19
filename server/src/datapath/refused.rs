//! The address that a refused connection would have had: programs tell it before the kernel
//! has chosen one (`deny_error`), so the kernel is asked by which it would go.
//!
//! What it is not: the way that a packet took; there was none. Bound: the last answer is
//! kept for a second, so who tries again and again costs a question a second.

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket},
    time::{Duration, Instant},
};

use sextant_ebpf_common::{Event, Kind, reason};

/// For so long routes stay as they are.
const SAME: Duration = Duration::from_secs(1);

type Words = [u32; 4];

/// What was asked last.
#[derive(Debug, Default)]
pub(super) struct Refused {
    last: Option<Known>,
}

#[derive(Debug)]
struct Known {
    family: u8,
    to: Words,
    from: Words,
    since: Instant,
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
        let is_it = |known: &&Known| {
            known.family == family && known.to == to && known.since.elapsed() < SAME
        };
        if let Some(known) = self.last.as_ref().filter(is_it) {
            return known.from;
        }
        let from = asked(address(family, to)).map(words).unwrap_or_default();
        let since = Instant::now();
        self.last = Some(Known {
            family,
            to,
            from,
            since,
        });
        from
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
