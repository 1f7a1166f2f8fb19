#![allow(clippy::unwrap_used, reason = "tests panic")]

mod frames;
mod pcapng;
mod vlans;

use std::io::Cursor;

use proptest::prelude::*;
use sextant_proto::flow as pb;

use super::{bytes::Order, *};
use crate::{
    decode::Malformed,
    flow::{Endpoint, Interners, Origin, proto},
};

const MICROS: u32 = 0xa1b2_c3d4;
const NANOS: u32 = 0xa1b2_3c4d;
const ETHERNET: u16 = 1;

/// Writes numbers in either byte order.
struct File {
    order: Order,
    bytes: Vec<u8>,
}

impl File {
    fn new(order: Order) -> Self {
        let bytes = Vec::new();
        Self { order, bytes }
    }

    fn u16(mut self, number: u16) -> Self {
        self.bytes.extend(match self.order {
            Order::Big => number.to_be_bytes(),
            Order::Little => number.to_le_bytes(),
        });
        self
    }

    fn u32(mut self, number: u32) -> Self {
        self.bytes.extend(match self.order {
            Order::Big => number.to_be_bytes(),
            Order::Little => number.to_le_bytes(),
        });
        self
    }

    fn raw(mut self, bytes: &[u8]) -> Self {
        self.bytes.extend(bytes);
        self
    }

    /// A pcap file header.
    fn pcap(order: Order, magic: u32, link_type: u16) -> Self {
        let file = Self::new(order).u32(magic).u16(2).u16(4);
        file.u32(0).u32(0).u32(65_535).u32(link_type.into())
    }

    /// A packet of a pcap file, at second 100.
    fn record(self, fraction: u32, wire_length: u32, frame: &[u8]) -> Self {
        let head = self.u32(100).u32(fraction).u32(frame.len() as u32);
        head.u32(wire_length).raw(frame)
    }

    /// A block of a pcapng file.
    fn block(self, kind: u32, body: &Self) -> Self {
        let padded = body.bytes.len().next_multiple_of(4);
        let padding = vec![0; padded - body.bytes.len()];
        let length = padded as u32 + 12;
        let head = self.u32(kind).u32(length).raw(&body.bytes);
        head.raw(&padding).u32(length)
    }

    fn section(self) -> Self {
        let body = Self::new(self.order).u32(0x1a2b_3c4d).u16(1).u16(0);
        let body = body.raw(&[0xff; 8]);
        self.block(0x0a0d_0d0a, &body)
    }

    /// An interface whose options are given as code and value.
    fn interface(self, link_type: u16, options: &[(u16, &[u8])]) -> Self {
        let body = Self::new(self.order).u16(link_type).u16(0).u32(0);
        let body = body.options(options);
        self.block(1, &body)
    }

    fn options(mut self, options: &[(u16, &[u8])]) -> Self {
        for (code, value) in options {
            self = self.u16(*code).u16(value.len() as u16).raw(value);
            let padded = self.bytes.len().next_multiple_of(4);
            self.bytes.resize(padded, 0);
        }
        self.u32(0)
    }

    fn packet(self, interface: u32, ticks: u64, frame: &[u8], flags: u32) -> Self {
        let length = frame.len() as u32;
        let head = Self::new(self.order).u32(interface);
        let head = head.u32((ticks >> 32) as u32).u32(ticks as u32);
        let mut body = head.u32(length).u32(length).raw(frame);
        body.bytes.resize(body.bytes.len().next_multiple_of(4), 0);
        let flags = Self::new(self.order).u32(flags).bytes;
        let body = body.options(&[(2, &flags)]);
        self.block(6, &body)
    }
}

/// A UDP datagram between 10.0.0.1:1000 and 10.0.0.2:53, without a link header.
fn datagram(reply: bool) -> Vec<u8> {
    let (client, server) = ([10, 0, 0, 1], [10, 0, 0, 2]);
    let ports = [[0x03, 0xe8], [0, 53]];
    let (ends, ports) = match reply {
        false => ([client, server], ports),
        true => ([server, client], [ports[1], ports[0]]),
    };
    let head = [0x45, 0, 0, 28, 0, 0, 0, 0, 64, 17, 0, 0];
    [&head[..], &ends.concat(), &ports.concat(), &[0, 8, 0, 0]].concat()
}

fn frame(reply: bool) -> Vec<u8> {
    let link = [2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0];
    [&link[..], &datagram(reply)].concat()
}

fn load_bytes(bytes: &[u8]) -> (Result<Report, ReplayError>, Vec<pb::Flow>) {
    load_in(false, bytes)
}

fn load_in(vlan_in_key: bool, bytes: &[u8]) -> (Result<Report, ReplayError>, Vec<pb::Flow>) {
    let node = Origin {
        node_name: "node-1".into(),
        ..Origin::default()
    };
    let mut context = Context {
        interners: &mut Interners::default(),
        node: &node.into(),
        resolve: &mut |ip| {
            let pod_name = ip.to_string();
            let endpoint = Endpoint {
                pod_name,
                ..Endpoint::default()
            };
            endpoint.into()
        },
        vlan_in_key,
    };
    let mut flows = Vec::new();
    let report = load(
        Path::new("x.pcap"),
        Cursor::new(bytes),
        &mut context,
        &mut |event| flows.push(proto::to_proto(event.as_flow().unwrap())),
    );
    (report, flows)
}

fn load_all(file: &File) -> Vec<pb::Flow> {
    let (report, flows) = load_bytes(&file.bytes);
    let report = report.unwrap();
    assert_eq!(
        (report.loaded, report.rejected, report.skipped),
        (flows.len() as u64, 0, 0),
        "{report:?}"
    );
    flows
}

fn times(flows: &[pb::Flow]) -> Vec<(i64, i32)> {
    let times = flows.iter().map(|flow| flow.time.unwrap());
    times.map(|time| (time.seconds, time.nanos)).collect()
}

#[test]
fn pcap_is_read_in_both_byte_orders_and_both_resolutions() {
    for order in [Order::Big, Order::Little] {
        for (magic, nanos) in [(MICROS, 7_000), (NANOS, 7)] {
            let file = File::pcap(order, magic, ETHERNET);
            let file = file
                .record(7, 42, &frame(false))
                .record(8, 42, &frame(true));
            let flows = load_all(&file);
            assert_eq!(times(&flows), [(100, nanos), (100, nanos / 7 * 8)]);
        }
    }
}

#[test]
fn a_packet_becomes_the_event_that_hubble_would_give() {
    let file = File::pcap(Order::Little, MICROS, ETHERNET);
    let file = file
        .record(0, 142, &frame(false))
        .record(0, 60, &frame(true));
    let flows = load_all(&file);
    let [query, answer] = flows.as_slice() else {
        panic!("two packets");
    };
    assert_eq!(query.verdict(), pb::Verdict::Forwarded);
    assert_eq!(query.r#type(), pb::FlowType::L3L4);
    assert_eq!(query.event_type.unwrap().r#type, 4);
    assert_eq!(query.node_name, "node-1");
    assert_eq!(query.source.as_ref().unwrap().pod_name, "10.0.0.1");
    assert_eq!(query.destination.as_ref().unwrap().pod_name, "10.0.0.2");
    assert_eq!(query.ethernet.as_ref().unwrap().source, "02:00:00:00:00:01");
    assert_eq!(query.ip.as_ref().unwrap().ip_version(), pb::IpVersion::IPv4);
    let reasons = [query.trace_reason(), answer.trace_reason()];
    assert_eq!(reasons, [pb::TraceReason::New, pb::TraceReason::Reply]);
    assert_eq!([query.is_reply, answer.is_reply], [Some(false), Some(true)]);
    #[expect(deprecated, reason = "the UI reads them")]
    {
        assert_eq!((answer.reply, query.summary.as_str()), (true, "UDP"));
    }
    assert_ne!(query.uuid, answer.uuid);
    assert_eq!(query.uuid.len(), 36);
    let counts = |flow: &pb::Flow| {
        use prost::Message as _;
        let any = flow.extensions.clone().unwrap();
        let fields = prost_types::Struct::decode(any.value.as_slice()).unwrap();
        ["packets", "bytes", "reverse_packets", "reverse_bytes"].map(|key| {
            match fields.fields[key].kind {
                Some(prost_types::value::Kind::NumberValue(number)) => number as u64,
                ref other => panic!("{other:?}"),
            }
        })
    };
    assert_eq!(counts(query), [1, 142, 0, 0]);
    assert_eq!(counts(answer), [0, 0, 1, 60]);
}

#[test]
fn loading_again_gives_the_same_events() {
    let file = File::pcap(Order::Big, MICROS, ETHERNET).record(0, 42, &frame(false));
    assert_eq!(load_all(&file), load_all(&file));
}

#[test]
fn every_link_type_is_read() {
    let packet = datagram(false);
    let cooked = [&[0_u8; 14][..], &[8, 0], &packet].concat();
    let cooked2 = [&[8, 0][..], &[0; 18], &packet].concat();
    let null = [&[2, 0, 0, 0][..], &packet].concat();
    for (link_type, bytes) in [
        (1, &frame(false)),
        (0, &null),
        (108, &null),
        (12, &packet),
        (101, &packet),
        (228, &packet),
        (113, &cooked),
        (276, &cooked2),
    ] {
        let file = File::pcap(Order::Little, NANOS, link_type).record(0, 1, bytes);
        assert_eq!(load_all(&file).len(), 1, "{link_type}");
    }
}

#[test]
fn frames_that_give_no_flow_are_counted_by_cause() {
    let arp = [&[0; 12][..], &[8, 6], &[0; 28]].concat();
    let file = File::pcap(Order::Little, MICROS, ETHERNET);
    let file = file.record(0, 42, &arp).record(0, 42, &frame(false)[..30]);
    let file = file.record(0, 42, &frame(false)).record(0, 0, &[]);
    let (report, flows) = load_bytes(&file.bytes);
    let report = report.unwrap();
    assert_eq!((report.loaded, report.skipped, report.rejected), (1, 1, 2));
    assert_eq!(flows.len(), 1);
    assert_eq!(report.causes[&Cause::Packet(Malformed::Arp)], 1);
    assert_eq!(report.causes[&Cause::Packet(Malformed::IpTruncated)], 1);
    assert_eq!(report.problems[0].number, 2);
    assert_eq!(report.problems[0].text, "the IP header is cut off");
    let other = File::pcap(Order::Little, MICROS, 147).record(0, 1, &[0]);
    let report = load_bytes(&other.bytes).0.unwrap();
    assert_eq!(report.problems[0].text, "link type 147 is not known");
}

#[test]
fn a_file_that_is_no_capture_is_refused() {
    for bytes in [
        &b""[..],
        b"abc",
        b"{\"flow\":{}}",
        &[0x0a, 0x0d, 0x0d, 0x0a, 1, 2, 3, 4, 5, 6, 7, 8],
    ] {
        let error = load_bytes(bytes).0.unwrap_err();
        assert!(matches!(error, ReplayError::NotCapture { .. }), "{bytes:?}");
    }
}

#[test]
fn a_corrupt_length_ends_the_file_and_keeps_what_came_before() {
    let file = File::pcap(Order::Little, MICROS, ETHERNET).record(0, 42, &frame(false));
    let file = file.u32(0).u32(0).u32(u32::MAX).u32(0);
    let report = load_bytes(&file.bytes).0.unwrap();
    assert_eq!((report.loaded, report.causes[&Cause::FileCorrupt]), (1, 1));
    let file = File::new(Order::Little).section().interface(ETHERNET, &[]);
    let file = file
        .packet(0, 0, &frame(false), 0)
        .packet(9, 0, &frame(false), 0);
    let report = load_bytes(&file.bytes).0.unwrap();
    assert_eq!((report.loaded, report.causes[&Cause::FileCorrupt]), (1, 1));
}

fn two_packets(ng: bool, order: Order) -> File {
    if ng {
        let file = File::new(order)
            .section()
            .interface(ETHERNET, &[(2, b"eth0")]);
        return file
            .packet(0, 1, &frame(false), 0)
            .packet(0, 2, &frame(true), 0);
    }
    let file = File::pcap(order, MICROS, ETHERNET);
    file.record(0, 42, &frame(false))
        .record(1, 42, &frame(true))
}

proptest! {
    #[test]
    fn a_file_that_is_cut_off_keeps_what_came_before(ng: bool, cut in any::<prop::sample::Index>()) {
        let file = two_packets(ng, Order::Little);
        let all = load_all(&file);
        let cut = cut.index(file.bytes.len());
        let (report, flows) = load_bytes(&file.bytes[..cut]);
        prop_assert_eq!(&flows[..], &all[..flows.len()]);
        if let Ok(report) = report {
            prop_assert!(report.rejected <= 1);
            prop_assert_eq!(report.loaded, flows.len() as u64);
        }
    }

    #[test]
    fn no_damaged_file_panics(
        ng: bool,
        big: bool,
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..5),
    ) {
        let order = if big { Order::Big } else { Order::Little };
        let mut bytes = two_packets(ng, order).bytes;
        for (at, value) in changes {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        let (report, flows) = load_bytes(&bytes);
        if let Ok(report) = report {
            prop_assert_eq!(report.loaded, flows.len() as u64);
        }
    }

    #[test]
    fn no_bytes_panic(bytes: Vec<u8>) {
        for magic in [&[0xa1, 0xb2, 0xc3, 0xd4][..], &[0x0a, 0x0d, 0x0d, 0x0a], &[]] {
            let _ = load_bytes(&[magic, &bytes].concat());
        }
    }
}
