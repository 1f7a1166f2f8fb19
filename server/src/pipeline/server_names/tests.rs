use std::net::{IpAddr, Ipv4Addr};

use sextant_ebpf_common::{Carries, Event, Side};

use super::*;

const SETTINGS: names::Settings = names::Settings {
    capacity: 64,
    shortest_ns: 0,
};
const CLIENT: Client = Client::Other(0, IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
const SERVER: [u8; 4] = [192, 0, 2, 9];

/// A segment of a client to a server that took the connection.
fn event(port: u16, server: [u8; 4]) -> Event {
    let words = |address: [u8; 4]| [u32::from_ne_bytes(address), 0, 0, 0];
    Event {
        time_ns: 1000,
        first_ns: u64::from(port),
        source: words([10, 0, 0, 1]),
        destination: words(server),
        source_port: port,
        destination_port: 443,
        protocol: TCP,
        family: 4,
        tcp_flags_seen: SYN | SYN << 16,
        sides: [Side { tgid: 7, start: 1 }, Side::default()],
        ..Event::default()
    }
}

/// Of a ClientHello with a name, as it is sent.
fn hello(name: &str) -> Vec<u8> {
    let part = |bytes: &[u8]| [&(bytes.len() as u16).to_be_bytes()[..], bytes].concat();
    let names = part(&[&[0][..], &part(name.as_bytes())].concat());
    let extensions = part(&[&[0, 0][..], &part(&names)].concat());
    let body = [&[3, 3][..], &[0; 32], &[0, 0, 2, 19, 1, 1, 0], &extensions].concat();
    let message = [&[1, 0][..], &part(&body)].concat();
    [&[22, 3, 1][..], &part(&message)].concat()
}

struct Tried(ServerNames, Interner<NameList>);

impl Tried {
    fn new() -> Self {
        Self(ServerNames::new(SETTINGS), Interner::default())
    }

    fn take(&mut self, event: &Event, client: Client, name: &str) {
        let bytes = hello(name);
        let carried = Carried {
            event,
            carries: Carries::Hello,
            offset: 0,
            length: bytes.len() as u32,
            bytes: &bytes,
        };
        self.0.take(carried, event.zone, client);
    }

    fn of(&mut self, event: &Event, client: Client) -> String {
        let names = self
            .0
            .of(event, event.zone, client, End::Destination, &mut self.1);
        names.map_or_else(String::new, |names| names.join(" "))
    }
}

#[test]
fn a_connection_has_its_own_name_and_the_next_those_before() {
    let mut it = Tried::new();
    it.take(&event(1, SERVER), CLIENT, "a.test");
    it.take(&event(2, SERVER), CLIENT, "b.test");
    assert_eq!(it.of(&event(1, SERVER), CLIENT), "a.test");
    assert_eq!(it.of(&event(2, SERVER), CLIENT), "b.test");
    assert_eq!(it.of(&event(3, SERVER), CLIENT), "a.test b.test");
    let answer = Event {
        source: event(1, SERVER).destination,
        destination: event(1, SERVER).source,
        source_port: 443,
        destination_port: 1,
        ..event(1, SERVER)
    };
    let names = it.0.of(&answer, 0, CLIENT, End::Source, &mut it.1);
    assert_eq!(names.expect("the server's").join(" "), "a.test");
    let client = it.0.of(&answer, 0, CLIENT, End::Destination, &mut it.1);
    assert_eq!(client, None);
    // It says that there is none.
    it.take(&event(4, SERVER), CLIENT, "10.0.0.1");
    assert_eq!(it.of(&event(4, SERVER), CLIENT), "");
}

#[test]
fn nobody_names_what_others_connect_to() {
    let mut it = Tried::new();
    it.take(&event(1, SERVER), CLIENT, "lie.test");
    let other = Client::Other(0, IpAddr::from([10, 0, 0, 2]));
    for other in [
        other,
        Client::Host,
        Client::Other(1, IpAddr::from([10, 0, 0, 1])),
    ] {
        assert_eq!(it.of(&event(9, SERVER), other), "", "{other:?}");
    }
    // The host's address, but no socket of it: somebody behind it.
    let behind = Event {
        sides: [Side::default(); 2],
        ..event(2, SERVER)
    };
    it.take(&behind, Client::Host, "lie.test");
    assert_eq!(it.of(&behind, Client::Host), "lie.test", "the connection");
    assert_eq!(it.of(&event(9, SERVER), Client::Host), "");
    it.take(&event(3, SERVER), Client::Host, "host.test");
    assert_eq!(it.of(&event(9, SERVER), Client::Host), "host.test");
    assert_eq!(it.of(&event(9, SERVER), other), "", "the host's alone");
}

#[test]
fn a_connection_that_nobody_took_names_itself_alone() {
    let mut it = Tried::new();
    let forged = Event {
        tcp_flags_seen: SYN,
        ..event(1, SERVER)
    };
    it.take(&forged, CLIENT, "lie.test");
    assert_eq!(it.of(&forged, CLIENT), "lie.test");
    assert_eq!(it.of(&event(2, SERVER), CLIENT), "");
    // Of many servers.
    let local = event(3, [127, 0, 0, 1]);
    it.take(&local, Client::Host, "local.test");
    assert_eq!(it.of(&local, Client::Host), "local.test");
    assert_eq!(it.of(&event(4, [127, 0, 0, 1]), Client::Host), "");
}
