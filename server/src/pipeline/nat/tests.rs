use sextant_ebpf_common::{Event as Raw, initiator};

use super::*;

/// Client, address that it calls, server, address that the client is translated to.
const CLIENT: &str = "10.88.1.2:4000";
const CALLED: &str = "10.88.1.1:8080";
const SERVER: &str = "10.88.2.2:80";
const TRANSLATED: &str = "10.88.2.1:4001";

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

fn words(address: IpAddr) -> [u32; 4] {
    match address {
        IpAddr::V4(ip) => [u32::from_ne_bytes(ip.octets()), 0, 0, 0],
        IpAddr::V6(ip) => {
            let mut words = [0; 4];
            for (word, bytes) in words.iter_mut().zip(ip.octets().as_chunks::<4>().0) {
                *word = u32::from_ne_bytes(*bytes);
            }
            words
        }
    }
}

fn tuple(source: &str, destination: &str) -> Tuple {
    let (source, destination) = (at(source), at(destination));
    Tuple {
        source: words(source.ip()),
        source_port: source.port().to_be(),
        family: if source.is_ipv4() { INET } else { INET6 },
        destination: words(destination.ip()),
        destination_port: destination.port().to_be(),
        protocol: 6,
        direction: 0,
    }
}

fn told() -> Translation {
    Translation {
        original: tuple(CLIENT, CALLED),
        reply: tuple(SERVER, TRANSLATED),
    }
}

fn event(source: &str, destination: &str, direction: u8) -> Raw {
    let (source, destination) = (at(source), at(destination));
    Raw {
        source: words(source.ip()),
        destination: words(destination.ip()),
        source_port: source.port(),
        destination_port: destination.port(),
        family: if source.is_ipv4() { 4 } else { 6 },
        protocol: 6,
        direction,
        initiator: initiator::A,
        first_ns: 10,
        last_ns: 20,
        ..Raw::default()
    }
}

fn by(tgid: u32) -> Side {
    Side { tgid, start: 1 }
}

#[test]
fn who_is_behind_a_side_of_one_leg_is_behind_that_side_of_the_other() {
    let mut all = Translations::default();
    assert_eq!(all.join(&mut event(CLIENT, CALLED, 0)), None);
    all.learn(&[told()]);
    // The client is side a here, and side b there.
    let mut inner = event(CLIENT, CALLED, 0);
    inner.sides = [by(7), Side::default()];
    let leg = all.join(&mut inner).unwrap();
    assert!(leg.is_original && leg.is_from_client);
    let mut outer = event(SERVER, TRANSLATED, 0);
    outer.sides = [by(9), Side::default()];
    let leg = all.join(&mut outer).unwrap();
    assert!(!leg.is_original && !leg.is_from_client);
    assert_eq!(outer.sides, [by(9), by(7)]);
    let mut answer = event(CALLED, CLIENT, 1);
    let leg = all.join(&mut answer).unwrap();
    assert!(leg.is_original && !leg.is_from_client);
    assert_eq!(answer.sides, [by(7), by(9)]);
    assert_eq!(leg.nat.original, [at(CLIENT), at(CALLED)]);
    assert_eq!(leg.nat.reply, [at(SERVER), at(TRANSLATED)]);
    assert_eq!((all.counts.told(), all.counts.joined()), (1, 3));

    let mut other = event(CLIENT, CALLED, 0);
    other.protocol = 17;
    assert_eq!(all.join(&mut other), None, "of another protocol");
}

#[test]
fn what_uses_the_ports_again_is_another_connection() {
    let mut all = Translations::default();
    all.learn(&[told()]);
    let mut inner = event(CLIENT, CALLED, 0);
    inner.sides = [by(7), by(9)];
    all.join(&mut inner);
    inner.kind = Kind::Ended as u8;
    assert!(all.join(&mut inner).is_some());
    let mut end = event(TRANSLATED, SERVER, 0);
    end.kind = Kind::Ended as u8;
    assert!(all.join(&mut end).is_some(), "of the other leg");
    assert_eq!(end.sides, [by(7), by(9)]);

    let mut next = event(TRANSLATED, SERVER, 0);
    next.first_ns = 20 + LEG_NS + 1;
    assert_eq!(all.join(&mut next), None, "the host's own");
    all.learn(&[told()]);
    assert!(all.join(&mut next).is_some());
    assert_eq!(next.sides, [Side::default(); 2], "of those before");
}

#[test]
fn ipv6_is_joined_too_and_what_has_no_address_is_passed_over() {
    let mut all = Translations::default();
    let (client, called) = ("[fd00:1::2]:4000", "[fd00:1::1]:8080");
    let (server, translated) = ("[fd00:2::2]:80", "[fd00:2::1]:4000");
    all.learn(&[
        Translation::default(),
        Translation {
            original: tuple(client, called),
            reply: tuple(server, translated),
        },
    ]);
    let leg = all.join(&mut event(translated, server, 0)).unwrap();
    assert!(!leg.is_original && leg.is_from_client);
    assert_eq!(leg.nat.original, [at(client), at(called)]);
    assert_eq!(all.connections.len(), 1);
}
