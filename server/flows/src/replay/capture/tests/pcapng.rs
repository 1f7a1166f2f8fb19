//! Blocks of pcapng.

use super::*;

#[test]
fn pcapng_interfaces_have_names_clocks_and_link_types() {
    for order in [Order::Big, Order::Little] {
        let offset = File::new(order).u32(0).u32(0).bytes;
        let file = File::new(order).section();
        let file = file.interface(ETHERNET, &[(2, b"eth0")]);
        let file = file.interface(101, &[(2, b"tun0\0"), (9, &[9]), (14, &offset)]);
        let file = file.interface(101, &[(9, &[0x81])]);
        let file = file.packet(0, 1_500_001, &frame(false), 2);
        // Statistics and other blocks are passed over.
        let file = file
            .block(5, &File::new(order).u32(0))
            .block(0x0bad, &File::new(order));
        let file = file.packet(1, 2_000_000_003, &datagram(true), 1);
        let file = file.packet(2, 7, &datagram(false), 0);
        let flows = load_all(&file);
        assert_eq!(times(&flows), [(1, 500_001_000), (2, 3), (3, 500_000_000)]);
        let name = |flow: &pb::Flow| flow.interface.clone().map(|interface| interface.name);
        assert_eq!(name(&flows[0]).as_deref(), Some("eth0"));
        assert_eq!(name(&flows[1]).as_deref(), Some("tun0"));
        assert_eq!(name(&flows[2]), None);
        let directions: Vec<_> = flows.iter().map(|flow| flow.traffic_direction()).collect();
        let (egress, unknown) = (pb::TrafficDirection::Egress, pb::TrafficDirection::Unknown);
        assert_eq!(directions, [egress, egress, unknown]);
    }
}

#[test]
fn a_new_section_has_its_own_byte_order_and_interfaces() {
    let little = File::new(Order::Little).section();
    let little = little
        .interface(ETHERNET, &[])
        .packet(0, 1, &frame(false), 0);
    let big = File::new(Order::Big).section();
    let big = big.interface(101, &[]).packet(0, 2, &datagram(false), 0);
    assert_eq!(load_all(&little.raw(&big.bytes)).len(), 2);
}

#[test]
fn simple_and_old_packet_blocks_are_read() {
    let order = Order::Little;
    let file = File::new(order).section().interface(101, &[]);
    let simple = File::new(order).u32(28).raw(&datagram(false));
    let old = File::new(order).u16(0).u16(0).u32(0).u32(5).u32(28).u32(28);
    let old = old.raw(&datagram(false));
    let flows = load_all(&file.block(3, &simple).block(2, &old));
    assert_eq!(flows[0].time, None);
    assert_eq!(times(&flows[1..]), [(0, 5_000)]);
}
