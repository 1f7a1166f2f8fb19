//! Frames within frames, what is protected or encrypted, and what firewalls log.

use super::*;

/// A frame of its own addresses around the packet.
fn inner(shims: &[u8]) -> Vec<u8> {
    join(&[&[2, 0, 0, 0, 9, 2, 2, 0, 0, 0, 9, 1], shims, &ip4()])
}

#[test]
fn frames_within_frames_are_read_with_their_own_addresses() {
    let tagged = inner(&[0x81, 0, 0, 9, 8, 0]);
    let plain = inner(&[8, 0]);
    let multicast = [&[0x01, 0, 0x5e, 0, 0, 1][..], &inner(&[8, 0])[6..]].concat();
    let likely_ip4 = [&[0x4c, 0, 0, 30, 0, 1][..], &inner(&[8, 0])[6..]].concat();
    let likely_ip6 = [&[0x60, 0, 0, 0, 0xff, 1][..], &inner(&[8, 0])[6..]].concat();
    let label: &[u8] = &[0x88, 0x47, 0, 1, 0, 64, 0, 2, 1, 64];
    for (what, shims, vlan) in [
        (
            "TRILL",
            join(&[&[0x22, 0xf3, 0, 0x3f, 0, 1, 0, 2], &tagged]),
            [9, 0],
        ),
        (
            "TRILL with options and a tag",
            // Two words of them.
            join(&[
                &[0x81, 0, 0, 3, 0x22, 0xf3, 0, 0x80 | 0x3f, 0, 1, 0, 2],
                &[7; 8],
                &tagged,
            ]),
            [3, 9],
        ),
        (
            "FabricPath",
            join(&[&[0x89, 3, 0x04, 0x60], &tagged]),
            [9, 0],
        ),
        ("bridged", join(&[&[0x65, 0x58], &plain]), [0, 0]),
        (
            "pseudowire, control word",
            join(&[label, &[0, 0, 0, 7], &tagged]),
            [9, 0],
        ),
        ("pseudowire", join(&[label, &tagged]), [9, 0]),
        ("pseudowire to a group", join(&[label, &multicast]), [0, 0]),
        (
            "pseudowire, as IPv4 begins",
            join(&[label, &likely_ip4]),
            [0, 0],
        ),
        (
            "pseudowire, as IPv6 begins",
            join(&[label, &likely_ip6]),
            [0, 0],
        ),
        (
            "pseudowire of PPPoE",
            join(&[
                &[
                    0x88, 0x64, 0x11, 0, 0, 1, 0, 66, 2, 0x81, 0, 2, 1, 64, 0, 0, 0, 0,
                ],
                &plain,
            ]),
            [0, 0],
        ),
        (
            "mesh, to one",
            join(&[&[0x43, 5, 0x40, 15], &[0; 8], &plain]),
            [0, 0],
        ),
        (
            "mesh, to all",
            join(&[&[0x43, 5, 0x01, 15], &[0; 12], &tagged]),
            [9, 0],
        ),
        (
            "two service headers",
            join(&[
                &[0x89, 0x4f, 0x0f, 0xc2, 2, 4, 0, 0, 1, 255],
                &[0x0f, 0xc2, 2, 3, 0, 0, 2, 255],
                &plain,
            ]),
            [0, 0],
        ),
    ] {
        let packet = read(1, &ethernet(&[&shims]));
        assert_eq!(packet.vlan, vlan, "{what}");
        assert_eq!(packet.macs.map(|macs| macs.source[4]), Some(9), "{what}");
    }
}

#[test]
fn ip_behind_labels_is_no_pseudowire() {
    let four = ip4();
    // With options: addresses of Ethernet may begin so, too.
    let mut options = join(&[&[0x46], &four[1..20], &[1; 4], &four[20..]]);
    options[3] = 44;
    let mut looks_like_a_frame = ip4();
    // From 8.0.69.1: as a type and the begin of a packet; with options too.
    looks_like_a_frame[12..16].copy_from_slice(&[8, 0, 0x45, 1]);
    let mut both = options.clone();
    both[12..16].copy_from_slice(&[8, 0, 0x45, 1]);
    let words = both[..24].as_chunks().0.iter();
    let sum: u32 = words.map(|word| u32::from(u16::from_be_bytes(*word))).sum();
    both[10..12].copy_from_slice(&(!(sum + (sum >> 16)) as u16).to_be_bytes());
    for packet in [&four, &options, &looks_like_a_frame, &both, &ip6()] {
        let frame = ethernet(&[&[0x88, 0x47, 0, 1, 1, 64], packet]);
        let macs = read(1, &frame).macs.map(|macs| macs.source[4]);
        assert_eq!(macs, Some(0), "{packet:x?}");
    }
    for other in [&[0, 0, 0, 0][..], &[0x10, 0, 0, 7], &[0x60], &[0x4c; 13]] {
        let frame = ethernet(&[&[0x88, 0x47, 0, 1, 1, 64], other]);
        assert!(decode(Link::Ethernet, &frame).is_err(), "{other:x?}");
    }
}

#[test]
fn many_frames_within_frames_are_not_followed_to_their_end() {
    let mut frame = ethernet(&[]);
    for _ in 0..10_000 {
        frame.extend([0x65, 0x58]);
        frame.extend(MACS);
    }
    frame.extend([8, 0]);
    frame.extend(ip4());
    assert_eq!(decode(Link::Ethernet, &frame), Err(Malformed::TooManyTags));
    let session = [0x88, 0x64, 0x11, 0, 0, 1, 0xff, 0xff, 0, 0x31, 0, 1];
    let mut frame = ethernet(&[]);
    for _ in 0..10_000 {
        frame.extend(session);
        frame.extend(MACS);
    }
    assert_eq!(decode(Link::Ethernet, &frame), Err(Malformed::TooManyTags));
}

#[test]
fn what_is_protected_is_read_and_what_is_encrypted_is_told_so() {
    let four = ip4();
    let check = [0xee; 16];
    let channel = [2, 0, 0, 0, 0, 1, 0, 1];
    for (shims, vlan) in [
        (
            join(&[&[0x88, 0xe5, 0, 0, 0, 0, 0, 1, 8, 0], &four, &check]),
            [0, 0],
        ),
        (
            join(&[
                &[0x88, 0xe5, 0x22, 0, 0, 0, 0, 1],
                &channel,
                &[0x81, 0, 0, 5, 8, 0],
                &four,
                &check,
            ]),
            [5, 0],
        ),
        (
            join(&[
                &[0x81, 0, 0, 4, 0x88, 0xe5, 0x40, 0, 0, 0, 0, 1, 0x86, 0xdd],
                &ip6(),
            ]),
            [4, 0],
        ),
    ] {
        assert_eq!(read(1, &ethernet(&[&shims])).vlan, vlan);
    }
    for control in [0x0c, 0x2c, 0x04, 0x08, 0x2e] {
        let frame = ethernet(&[&[0x88, 0xe5, control, 0, 0, 0, 0, 1], &channel, &four]);
        assert_eq!(decode(Link::Ethernet, &frame), Err(Malformed::Encrypted));
    }
    assert!(Malformed::Encrypted.is_sound());
}

#[test]
fn isl_has_its_vlan_and_a_whole_frame() {
    let head = |group: u8| {
        let mut head = vec![
            group, 0, 0x0c, 0, 0, 0, 2, 0, 0, 0, 0, 1, 0, 80, 0xaa, 0xaa, 3,
        ];
        head.extend([0, 0, 0x0c, 0, 21, 0, 1, 0, 0]);
        head
    };
    for group in [0x01, 0x0c] {
        let packet = read(1, &join(&[&head(group), &inner(&[0x81, 0, 0, 6, 8, 0])]));
        assert_eq!(packet.vlan, [10, 6]);
        assert_eq!(packet.macs.map(|macs| macs.source[4]), Some(9));
    }
    let cut = join(&[&head(1), &[0; 9]]);
    assert_eq!(decode(Link::Ethernet, &cut), Err(Malformed::LinkTruncated));
}

#[test]
fn ppp_is_read_in_parts_and_with_frames_of_bridges() {
    let four = ip4();
    for head in [
        &[0xff, 3, 0, 0x3d, 0xc0, 0, 0, 1, 0, 0x21][..],
        &[0x3d, 0x80, 0, 0, 1, 0x21],
    ] {
        read(9, &join(&[head, &four]));
    }
    for head in [&[0, 0x31, 0, 1][..], &[0, 0x31, 0x40, 1, 0, 0, 0, 7]] {
        let packet = read(9, &join(&[head, &inner(&[8, 0])]));
        assert_eq!(packet.macs.map(|macs| macs.source[4]), Some(9));
    }
    let second = join(&[&[0, 0x3d, 0x40, 0, 0, 2], &four]);
    assert_eq!(decode(Link::Ppp, &second), Err(Malformed::NotIp));
}

#[test]
fn what_pf_blocked_is_told_so() {
    for (length, place) in [(45_u8, 44), (61, 60), (64, 60), (69, 60), (100, 60)] {
        for (action, direction) in [(0, 1), (1, 2)] {
            let mut head = vec![0; usize::from(length).next_multiple_of(4)];
            (head[0], head[1], head[2], head[place]) = (length, 2, action, direction);
            let packet = read(117, &join(&[&head, &ip4()]));
            assert_eq!(packet.is_blocked, action == 1);
            let way = [Direction::Incoming, Direction::Outgoing];
            assert_eq!(packet.direction, Some(way[usize::from(direction) - 1]));
        }
    }
    for family in [24, 28, 30] {
        let mut head = vec![0; 64];
        (head[0], head[1]) = (61, family);
        read(117, &join(&[&head, &ip6()]));
    }
    let empty = decode(Link::Pflog, &[61, 2]);
    assert_eq!(empty, Err(Malformed::LinkTruncated));
}

#[test]
fn radio_and_other_captures_are_read() {
    let four = ip4();
    let stations = |count: usize| {
        let mut stations = vec![0x82; 7 * count];
        stations[7 * count - 1] |= 1;
        stations
    };
    for (number, frame) in [
        (3, join(&[&stations(2), &[0x03, 0xcc], &four])),
        (3, join(&[&stations(4), &[0x2e, 0xcc], &four])),
        (202, join(&[&[0], &stations(2), &[0x13, 0xcc], &four])),
        (11, join(&[&[0xaa, 0xaa, 3, 0, 0, 0, 8, 0], &four])),
        (259, join(&[&[0x55; 8], &MACS, &[8, 0], &four])),
        (
            128,
            join(&[&[1, 0, 0, 1, 0, 10, 1, 9, 1], &MACS, &[8, 0], &four]),
        ),
        (128, join(&[&[1, 0, 0, 7, 1], &four])),
    ] {
        read(number, &frame);
    }
    for (link, frame) in [
        (Link::Ax25, join(&[&stations(2), &[0x03, 0xf0], &four])),
        (Link::Ax25, join(&[&stations(2), &[0x01, 0xcc], &four])),
        (Link::Tzsp, join(&[&[1, 0, 0, 99, 1], &four])),
    ] {
        assert_eq!(decode(link, &frame), Err(Malformed::NotIp));
    }
    for (link, frame) in [
        (Link::Ax25, &[0x82; 80][..]),
        (Link::Ax25Kiss, &[]),
        (Link::Tzsp, &[1, 0, 0, 1, 0]),
        (Link::Tzsp, &[1, 0, 0, 1, 10, 200]),
    ] {
        assert_eq!(decode(link, frame), Err(Malformed::LinkTruncated));
    }
}
