//! Frames and what they become.

use super::*;

#[test]
#[expect(deprecated, reason = "the CLI prints the summary")]
fn protocols_without_a_field_have_number_and_name() {
    use prost::Message as _;
    for (number, name, summary) in [
        (47, Some("GRE"), "GRE, protocol 47"),
        (50, Some("ESP"), "ESP, protocol 50"),
        (89, Some("OSPFIGP"), "OSPFIGP, protocol 89"),
        (200, None, "Protocol 200"),
    ] {
        let mut packet = datagram(false);
        packet[9] = number;
        let file = File::pcap(Order::Little, MICROS, 101).record(0, 28, &packet);
        let flow = load_all(&file).remove(0);
        assert_eq!(flow.summary, summary);
        assert_eq!(flow.l4, Some(pb::Layer4 { protocol: None }));
        let extensions = flow.extensions.unwrap();
        let mut fields = prost_types::Struct::decode(&*extensions.value)
            .unwrap()
            .fields;
        let mut kind = |key: &str| fields.remove(key).and_then(|value| value.kind);
        let number = prost_types::value::Kind::NumberValue(number.into());
        assert_eq!(kind("protocol_number"), Some(number));
        let name = name.map(|name| prost_types::value::Kind::StringValue(name.into()));
        assert_eq!(kind("protocol"), name);
    }
    let ported =
        load_all(&File::pcap(Order::Little, MICROS, ETHERNET).record(0, 42, &frame(false)));
    let extensions = ported[0].extensions.as_ref().unwrap();
    let fields = prost_types::Struct::decode(&*extensions.value)
        .unwrap()
        .fields;
    assert!(!fields.keys().any(|key| key.starts_with("protocol")));
}

#[test]
fn records_of_kuznetzovs_libpcap_have_a_direction() {
    for order in [Order::Big, Order::Little] {
        let mut file = File::pcap(order, 0xa1b2_cd34, ETHERNET);
        for (kind, reply) in [(4, false), (0, true), (3, false)] {
            let frame = frame(reply);
            let length = frame.len() as u32;
            let head = file.u32(100).u32(7).u32(length).u32(length);
            let tail = head.u32(2).u16(8).raw(&[kind, 0]);
            file = tail.raw(&frame);
        }
        let flows = load_all(&file);
        assert_eq!(times(&flows), [(100, 7_000); 3]);
        let directions: Vec<_> = flows.iter().map(|flow| flow.traffic_direction()).collect();
        let egress = pb::TrafficDirection::Egress;
        assert_eq!(directions, [egress, egress, pb::TrafficDirection::Unknown]);
    }
}

#[test]
fn a_time_that_no_client_can_print_is_none() {
    let file = File::new(Order::Little).section();
    let file = file.interface(ETHERNET, &[(9, &[0])]);
    let file = file.packet(0, 253_402_300_799, &frame(false), 0);
    let file = file.packet(0, 253_402_300_800, &frame(false), 0);
    let file = file.packet(0, u64::MAX, &frame(false), 0);
    let times: Vec<_> = load_all(&file)
        .iter()
        .map(|flow| flow.time.is_some())
        .collect();
    assert_eq!(times, [true, false, false]);
}

#[test]
fn a_tunnel_is_shown_as_the_flow_that_carries_it() {
    let mut packet = datagram(false);
    packet.extend_from_slice(&[8, 0, 0, 0, 0, 1, 2, 0]);
    packet.extend_from_slice(&frame(true));
    packet[22..24].copy_from_slice(&4789_u16.to_be_bytes());
    let length = packet.len() as u16;
    packet[2..4].copy_from_slice(&length.to_be_bytes());
    packet[24..26].copy_from_slice(&(length - 20).to_be_bytes());
    let file = File::pcap(Order::Little, MICROS, 101).record(0, length.into(), &packet);
    let flow = load_all(&file).remove(0);
    let tunnel = flow.tunnel.unwrap();
    assert_eq!(
        (tunnel.protocol(), tunnel.vni),
        (pb::tunnel::Protocol::Vxlan, 0x102)
    );
    assert_eq!((tunnel.ip, tunnel.l4), (flow.ip.clone(), flow.l4));
    assert_eq!(flow.ip.unwrap().destination, "10.0.0.2");
}

#[test]
fn fragments_have_their_ports_in_whatever_order_they_came() {
    let piece = |place: u16, more: bool| {
        let mut packet = datagram(false);
        let offset = place | u16::from(more) << 13;
        packet[4] = 9;
        packet[6..8].copy_from_slice(&offset.to_be_bytes());
        packet
    };
    for order in [[0, 3, 1, 2], [3, 1, 0, 2], [1, 2, 3, 0]] {
        let mut file = File::pcap(Order::Little, MICROS, 101);
        for place in order {
            file = file.record(0, 28, &piece(place, place != 3));
        }
        let flows = load_all(&file);
        assert_eq!(flows.len(), 4);
        let udp = flows
            .into_iter()
            .map(|flow| flow.l4.and_then(|l4| l4.protocol));
        assert!(udp.into_iter().all(|protocol| matches!(
            protocol,
            Some(pb::layer4::Protocol::Udp(udp)) if udp.destination_port == 53
        )));
    }
    // Without the first one nothing is lost.
    let file = File::pcap(Order::Little, MICROS, 101);
    let flows = load_all(
        &file
            .record(0, 28, &piece(1, true))
            .record(0, 28, &piece(2, false)),
    );
    assert_eq!(flows.len(), 2);
    assert!(flows.iter().all(|flow| flow.l4.is_none()));
}
