//! Dropped packets that are cut anywhere: nothing that was not in the frame may
//! be in a flow, and what is missing is counted by cause.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    collections::{BTreeMap, HashMap},
    net::{IpAddr, Ipv4Addr, Ipv6Addr},
};

use sextant_integration_tests::{
    Daemon, Netns, eventually, frame, root,
    there::{self, Told},
    totals,
};

const V4: Ipv4Addr = Ipv4Addr::new(10, 9, 1, 2);

/// Two namespaces; the second drops all that comes, before IP looks at it.
fn dropping() -> (Netns, Netns, Daemon) {
    let (a, b) = (Netns::new(), Netns::new());
    // No word of the kernel itself.
    for namespace in [&a, &b] {
        namespace.run("sysctl -qw net.ipv6.conf.default.disable_ipv6=1");
    }
    let (a_name, b_name) = (&a.name, &b.name);
    sextant_integration_tests::netns::host(&format!(
        "ip link add va netns {a_name} type veth peer name vb netns {b_name} && \
         ip -n {a_name} link set va mtu 9000 up && ip -n {b_name} link set vb mtu 9000 up"
    ));
    b.run(
        "nft 'table netdev t { chain c { type filter hook ingress device vb priority 0; policy drop; }; }'",
    );
    let daemon = Daemon::start(&b, "", &["--interface", "vb"]);
    (a, b, daemon)
}

/// Fills the kernel's memory of freed packets with something else.
fn fill_memory(namespace: &Netns) {
    namespace.run(
        "python3 -c 'import socket\ns=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n\
         for n in range(3000): s.sendto(b\"\\x45\\x60\\x11\\x06secrets of another\"*(1+n%60),(\"127.0.0.1\",9))'",
    );
}

/// Well-formed packets of all kinds: EtherType, and the packet with this
/// address for its source.
fn packets(source4: Ipv4Addr, source6: Ipv6Addr) -> Vec<Vec<u8>> {
    let to6: Ipv6Addr = "fd09:1::2".parse().unwrap();
    let udp = frame::udp(4001, 4002, b"payload of the datagram");
    let mut tcp = vec![
        0x0f, 0xa3, 0x0f, 0xa4, 1, 2, 3, 4, 5, 6, 7, 8, 0x80, 0x18, 9, 9,
    ];
    tcp.extend([0, 0, 0, 0, 1, 1, 8, 10, 1, 1, 1, 1, 2, 2, 2, 2]);
    tcp.extend(b"payload of the segment");
    let echo = [&[8, 0, 0, 0, 0x12, 0x34, 0, 1][..], b"payload of the echo"].concat();
    let echo6 = [&[128, 0, 0, 0, 0x12, 0x34, 0, 1][..], b"of the echo"].concat();
    let unreachable = [&[3, 4, 0, 0, 0, 0, 0, 0][..], &[0x45; 28]].concat();
    let v4 = |protocol, payload: &[u8]| {
        let packet = frame::ipv4(source4, V4, protocol, payload);
        frame::ethernet(&[], frame::IPV4, &packet)
    };
    let v6 = |next, payload: &[u8]| {
        let packet = frame::ipv6(source6, to6, next, payload);
        frame::ethernet(&[], frame::IPV6, &packet)
    };
    let patched = |mut frame: Vec<u8>, at: usize, bytes: &[u8]| {
        frame[at..at + bytes.len()].copy_from_slice(bytes);
        frame
    };
    // Two words of options in front of the datagram, and a longer header.
    let options = v4(17, &[&[1, 1, 1, 1, 7, 3, 4, 0][..], &udp].concat());
    let fragment = |more: u8, next: u8, payload: &[u8]| {
        [&[next, 0, more >> 3, more, 0, 0, 0, 9][..], payload].concat()
    };
    let chain = |next: u8, payload: &[u8]| {
        [
            &frame::extension(43)[..],
            &[next, 0, 0, 0, 0, 0, 0, 0],
            payload,
        ]
        .concat()
    };
    let many = (0..12).fold(Vec::new(), |all, _| [all, frame::extension(60)].concat());
    let packet = frame::ipv4(source4, V4, 17, &udp);
    vec![
        v4(17, &udp),
        v4(6, &tcp),
        v4(1, &echo),
        v4(1, &unreachable),
        v4(132, &frame::sctp(4005, 4006, 1)),
        v4(2, &[0x16, 0, 0, 0, 224, 1, 1, 1]),
        v4(112, &[0x21, 7, 100, 1, 0, 1, 0, 0]),
        v4(47, &[0, 0, 8, 0, 0x45, 0, 0, 20, 1, 1, 1, 1]),
        patched(options, 14, &[0x47]),
        // First and later fragments.
        patched(v4(17, &udp), 20, &[0x20, 0]),
        patched(v4(17, &udp), 20, &[0, 5]),
        // Padding behind the packet.
        patched(v4(6, &tcp), 16, &[0, 20]),
        patched(v4(17, &udp), 16, &[0, 26]),
        frame::ethernet(&[(0x8100, 7)], frame::IPV4, &packet),
        v6(17, &udp),
        v6(6, &tcp),
        v6(58, &echo6),
        v6(0, &[&frame::extension(17)[..], &udp].concat()),
        v6(60, &chain(6, &tcp)),
        v6(44, &fragment(1, 17, &udp)),
        v6(44, &fragment(8, 17, &udp)),
        v6(51, &[&[17, 4, 0, 0][..], &[0; 20], &udp].concat()),
        v6(60, &many),
        // A payload length that is less than what is there.
        patched(v6(6, &tcp), 18, &[0, 2]),
    ]
}

/// An address of its own for each frame.
fn addresses(number: usize) -> (Ipv4Addr, Ipv6Addr) {
    let [_, _, high, low] = (number as u32).to_be_bytes();
    let v6 = Ipv6Addr::new(0xfd00, 0x200, 0, 0, 0, 0, 0, number as u16);
    (Ipv4Addr::new(10, 200, high, low), v6)
}

/// Sends the frames and compares all that is told of them.
fn check(frames: &[Vec<u8>]) {
    let (a, b, daemon) = dropping();
    let cause = |name: &str| {
        let metric = format!("sextant_unaccounted_packets_total{{cause=\"{name}\"}}");
        daemon.metric(&b, &metric)
    };
    let mut causes: BTreeMap<&str, u64> = BTreeMap::new();
    let mut expected: HashMap<IpAddr, Told> = HashMap::new();
    for frame in frames {
        match there::read(frame) {
            Ok(told) => drop(expected.insert(told.source, told)),
            Err(cause) => *causes.entry(cause).or_default() += 1,
        }
    }
    for some in frames.chunks(250) {
        fill_memory(&a);
        frame::send(&a, "va", some);
    }
    let told = || -> Vec<Told> {
        let flows = daemon.flows();
        let dropped = flows.iter().filter(|flow| totals::is_drop(flow));
        dropped.filter_map(there::told).collect()
    };
    eventually("all are told or counted", || {
        let counted = causes.iter().all(|(name, count)| match *name {
            // Others are counted by it that are told.
            "drop_truncated_header" => cause(name) >= *count,
            name => cause(name) == *count,
        });
        (told().len() >= expected.len() && counted).then_some(())
    });
    let told = told();
    for one in &told {
        assert_eq!(
            Some(one),
            expected.get(&one.source),
            "left: told, right: sent"
        );
    }
    assert_eq!(told.len(), expected.len());
}

#[test]
fn a_dropped_frame_of_any_length_tells_what_is_in_it_and_no_more() {
    if !root() {
        return;
    }
    let kinds = packets(addresses(0).0, addresses(0).1).len();
    let mut frames = Vec::new();
    for kind in 0..kinds {
        for length in 14.. {
            let (source4, source6) = addresses(frames.len());
            let whole = packets(source4, source6).swap_remove(kind);
            if length > whole.len() {
                break;
            }
            // The kernel takes no shorter one for tagged.
            if whole[12..14] != [0x81, 0] || length >= 20 {
                frames.push(whole[..length].to_vec());
            }
        }
    }
    check(&frames);
}

/// Numbers that look random, the same each time for a seed (xorshift).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}

#[test]
fn a_dropped_frame_with_a_header_of_any_bytes_tells_what_is_in_it_and_no_more() {
    if !root() {
        return;
    }
    // The same each time, unless one is given.
    let seed = std::env::var("SEXTANT_SEED").ok();
    let seed: u64 = seed.map_or(20_260_101, |seed| seed.parse().unwrap());
    println!("SEXTANT_SEED={seed}");
    let mut numbers = Numbers(seed);
    let frames: Vec<Vec<u8>> = (0..1500)
        .map(|number| {
            let (source4, source6) = addresses(number);
            let mut kinds = packets(source4, source6);
            let mut frame = kinds.swap_remove(numbers.below(kinds.len()));
            // Not the addresses, by which they are found.
            let is_v6 = frame[12..14] == [0x86, 0xdd];
            let (fixed, after) = if is_v6 { (8, 54) } else { (12, 34) };
            for _ in 0..numbers.below(4) {
                let at = match numbers.below(2) {
                    0 => 14 + numbers.below(fixed),
                    _ => after + numbers.below(24),
                };
                if at < frame.len() && frame[12..14] != [0x81, 0] {
                    frame[at] = numbers.below(256) as u8;
                }
            }
            frame.truncate(20 + numbers.below(frame.len() - 19));
            frame
        })
        .collect();
    check(&frames);
}

/// Frames with an own socket that keeps only so many bytes in the linear part.
fn send_in_page_fragments(namespace: &Netns, frame: &[u8], linear: u16) {
    let hex: String = frame.iter().map(|byte| format!("{byte:02x}")).collect();
    namespace.run(&format!(
        "python3 -c 'import socket,struct,sys\n\
         s=socket.socket(socket.AF_PACKET,socket.SOCK_RAW)\n\
         s.setsockopt(263,15,1)\n\
         s.bind((\"va\",0))\n\
         s.send(struct.pack(\"<BBHHHH\",0,0,{linear},0,0,0)+bytes.fromhex(sys.argv[1]))' {hex}"
    ));
}

#[test]
fn headers_in_page_fragments_are_not_read_but_counted() {
    if !root() {
        return;
    }
    let (a, b, daemon) = dropping();
    let cause = || {
        let name = "sextant_unaccounted_packets_total{cause=\"drop_header_in_page_fragment\"}";
        daemon.metric(&b, name)
    };
    let datagram = frame::udp(4001, 4002, &[7; 6000]);
    let of = |number: usize| {
        let packet = frame::ipv4(addresses(number).0, V4, 17, &datagram);
        frame::ethernet(&[], frame::IPV4, &packet)
    };
    // The link header alone; with the IP header; with four bytes of UDP; all.
    for (number, linear) in [14, 34, 38, 42].into_iter().enumerate() {
        fill_memory(&a);
        send_in_page_fragments(&a, &of(number + 1), linear);
    }
    let mut told = eventually("three flows", || {
        let flows = daemon.flows();
        let dropped = flows.iter().filter(|flow| totals::is_drop(flow));
        let told: Vec<_> = dropped
            .filter_map(there::told)
            .map(|told| (told.source, told.transport))
            .collect();
        (told.len() >= 3).then_some(told)
    });
    told.sort_by_key(|(source, _)| *source);
    let source = |number| IpAddr::from(addresses(number).0);
    let ports = there::Transport::Udp(4001, 4002);
    assert_eq!(
        told,
        [
            (source(2), there::Transport::None),
            (source(3), ports.clone()),
            (source(4), ports)
        ]
    );
    eventually("counted", || (cause() == 3).then_some(()));
}
