//! VLANs of a capture that tell its flows and names apart.

use std::net::Ipv4Addr;

use super::*;
use crate::{dns::testing as dns, sni::testing as sni};

const CLIENT: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 1);
const RESOLVER: Ipv4Addr = Ipv4Addr::new(10, 0, 0, 53);
const SERVER: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 9);

/// Ids of a frame's tags, outer first.
type Tags<'a> = &'a [u16];

fn tagged(tags: Tags<'_>, from: Ipv4Addr, to: Ipv4Addr, protocol: u8, segment: &[u8]) -> Vec<u8> {
    let mut frame = vec![2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1];
    for id in tags {
        frame.extend([0x81, 0]);
        frame.extend(id.to_be_bytes());
    }
    let length = (20 + segment.len()) as u16;
    frame.extend([8, 0, 0x45, 0]);
    frame.extend(length.to_be_bytes());
    frame.extend([0, 0, 0, 0, 64, protocol, 0, 0]);
    frame.extend(from.octets());
    frame.extend(to.octets());
    frame.extend(segment);
    frame
}

/// A query for the address of a name, and the answer to it.
fn asked(tags: Tags<'_>, id: u16, name: &str) -> [Vec<u8>; 2] {
    let datagram = |from: u16, to: u16, message: &[u8]| {
        let length = 8 + message.len() as u16;
        let words = [from, to, length, 0].map(u16::to_be_bytes);
        [&words.concat()[..], message].concat()
    };
    let address = dns::record(name, 1, 300, &SERVER.octets());
    let answer = dns::answer(id, 0, name, 1, &[address]);
    let query = datagram(4000, 53, &dns::query(id, name, 1));
    let answer = datagram(53, 4000, &answer);
    [
        tagged(tags, CLIENT, RESOLVER, 17, &query),
        tagged(tags, RESOLVER, CLIENT, 17, &answer),
    ]
}

fn segment(from: u16, to: u16, sequence: u32, flags: u8, carried: &[u8]) -> Vec<u8> {
    let ports = [from, to].map(u16::to_be_bytes).concat();
    let rest = [0, 0, 0, 0, 0x50, flags, 0, 0, 0, 0, 0, 0];
    [&ports[..], &sequence.to_be_bytes(), &rest, carried].concat()
}

/// A SYN, its answer, and what the client says.
fn connection(tags: Tags<'_>, carried: &[u8]) -> [Vec<u8>; 3] {
    let there = |sequence, flags, carried: &[u8]| segment(40_000, 443, sequence, flags, carried);
    let back = segment(443, 40_000, 70, 0x12, &[]);
    [
        tagged(tags, CLIENT, SERVER, 6, &there(1, 0x02, &[])),
        tagged(tags, SERVER, CLIENT, 6, &back),
        tagged(tags, CLIENT, SERVER, 6, &there(2, 0x18, carried)),
    ]
}

/// The names of the server in the last flow of each of these tags.
fn names(vlan_in_key: bool, frames: &[Vec<u8>], of: &[Tags<'_>]) -> Vec<Vec<String>> {
    let mut file = File::pcap(Order::Little, MICROS, ETHERNET);
    let syns = of.iter().map(|tags| connection(tags, &[])[0].clone());
    for frame in frames.iter().cloned().chain(syns) {
        file = file.record(0, frame.len() as u32, &frame);
    }
    let (report, mut flows) = load_in(vlan_in_key, &file.bytes);
    assert_eq!(report.unwrap().rejected, 0);
    let last = flows.split_off(flows.len() - of.len());
    last.into_iter()
        .map(|flow| flow.destination_names)
        .collect()
}

#[test]
fn what_was_asked_for_in_one_vlan_names_nothing_in_another() {
    let frames = [asked(&[10], 1, "a.test"), asked(&[20], 1, "b.test")].concat();
    let of: [Tags<'_>; 4] = [&[10], &[20], &[30], &[20, 10]];
    let apart: [&[&str]; 4] = [&["a.test"], &["b.test"], &[], &[]];
    assert_eq!(names(true, &frames, &of), apart);
    assert_eq!(names(false, &frames, &of), [["a.test", "b.test"]; 4]);
}

#[test]
fn an_answer_in_another_vlan_than_its_query_names_nothing() {
    let [query, _] = asked(&[10], 1, "a.test");
    let [_, answer] = asked(&[20], 1, "a.test");
    let frames = [query, answer];
    let of: [Tags<'_>; 2] = [&[10], &[20]];
    assert_eq!(names(true, &frames, &of), [[""; 0]; 2]);
    assert_eq!(names(false, &frames, &of), [["a.test"]; 2]);
}

#[test]
fn a_priority_is_no_vlan_to_a_name() {
    let frames = asked(&[5 << 13], 1, "a.test");
    let of: [Tags<'_>; 3] = [&[], &[0], &[7]];
    let expected: [&[&str]; 3] = [&["a.test"], &["a.test"], &[]];
    assert_eq!(names(true, &frames, &of), expected);
}

#[test]
fn tls_names_of_one_vlan_name_nothing_in_another() {
    let frames = [
        connection(&[10], &sni::hello("a.test")),
        connection(&[20], &sni::hello("b.test")),
    ]
    .concat();
    let of: [Tags<'_>; 3] = [&[10], &[20], &[30]];
    let apart: [&[&str]; 3] = [&["a.test"], &["b.test"], &[]];
    assert_eq!(names(true, &frames, &of), apart);
    // Interleaved, as one connection they would be garbage.
    let (ten, twenty) = (
        connection(&[10], &sni::hello("a.test")),
        connection(&[20], &sni::hello("b.test")),
    );
    let mixed: Vec<_> = ten
        .into_iter()
        .zip(twenty)
        .flat_map(<[_; 2]>::from)
        .collect();
    assert_eq!(names(true, &mixed, &of), apart);
}
