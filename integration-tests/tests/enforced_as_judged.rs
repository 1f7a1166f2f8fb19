//! The kernel says what the engine says: policies that are made at random, and real
//! connections between two namespaces, in both directions, over both families; and any
//! packets, by the programs of the running daemon themselves (BPF_PROG_TEST_RUN).
//!
//! `SEXTANT_SEED` gives the seed, which is printed; `SEXTANT_COMBINATIONS` how many.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    env,
    io::Write as _,
    process::{Child, Command, Stdio},
};

use sextant_integration_tests::{
    Netns, Process,
    enforced::{Hosts, line_of, start},
    frame::{self, IPV4, IPV6, ethernet},
    judged::{CONFIG, Dice, HOST, Message, NEIGHBOUR, Packet, passes, policies},
    root,
};
use sextant_policy::{
    document,
    policy::Policy,
    set::{Enforcement, PolicySet},
};

/// Connections that are tried of each set.
const PROBES: usize = 120;
/// Packets that are tried of each set.
const PACKETS: usize = 150;

/// Tries all connections at once; prints 1 for each that was answered, else 0. A refusal is
/// an answer: nobody listens. Of SCTP the kernel may have no sockets: these are raw.
const PROBE: &str = r#"
import errno, json, select, socket, struct, sys, time
probes, made, raw, answered = json.load(sys.stdin), {}, {}, set()
poll = select.poll()
def associate(n, family, source, to, port):
    if source not in raw:
        raw[source] = s = socket.socket(family, socket.SOCK_RAW, 132)
        s.bind((source, 0))
        s.setblocking(False)
        made[s.fileno()] = (None, s)
        poll.register(s, select.POLLIN)
    raw[source].sendto(struct.pack("!HHIIBBH16x", 10000 + n, port, 0, 0, 1, 0, 20), (to, 0))
def associated(s):
    try:
        while b := s.recv(512):
            if s.family == socket.AF_INET: b = b[(b[0] & 15) * 4:]
            if b[12] == 2: answered.add(struct.unpack("!H", b[2:4])[0] - 10000)
    except BlockingIOError: pass
for n, (protocol, source, to, port) in enumerate(probes):
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
    if protocol == "sctp":
        try: associate(n, family, source, to, port)
        except OSError as error:
            if error.errno != errno.ENOBUFS: raise
        continue
    if protocol == "icmp":
        kind = socket.getprotobyname("ipv6-icmp" if ":" in to else "icmp")
        s = socket.socket(family, socket.SOCK_DGRAM, kind)
    else:
        s = socket.socket(family, socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM)
    s.setblocking(False)
    s.bind((source, 0))
    code = s.connect_ex((to, 0 if protocol == "icmp" else port))
    if code == errno.ECONNREFUSED: answered.add(n)
    elif code not in (0, errno.EINPROGRESS, errno.ENOBUFS): raise OSError(code, to)
    try:
        if protocol == "udp": s.send(b"x")
        if protocol == "icmp": s.send(struct.pack("!BBHHH", 128 if ":" in to else 8, 0, 0, 1, n))
    except OSError as error:
        # What is denied on its way out the sender hears of.
        if error.errno != errno.ENOBUFS: raise
    made[s.fileno()] = (n, s)
    poll.register(s, select.POLLIN | select.POLLERR | select.POLLHUP)
until = time.monotonic() + 0.8
while (left := until - time.monotonic()) > 0:
    for fd, _ in poll.poll(left * 1000):
        n, s = made[fd]
        if n is None: associated(s)
        else:
            answered.add(n)
            poll.unregister(fd)
print(json.dumps([int(n in answered) for n in range(len(probes))]))
"#;

/// Answers whoever opens an association by SCTP with one of these addresses.
const ASSOCIATES: &str = r#"
import select, socket, struct, sys
sockets = []
for address in sys.argv[1:]:
    s = socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_RAW, 132)
    s.bind((address, 0))
    sockets.append(s)
print("ready", flush=True)
while True:
    for s in select.select(sockets, [], [])[0]:
        b, sender = s.recvfrom(512)
        if s.family == socket.AF_INET: b = b[(b[0] & 15) * 4:]
        source, port = struct.unpack("!HH", b[:4])
        if b[12] == 1: s.sendto(struct.pack("!HHIIBBH16x", port, source, 0, 0, 2, 0, 20), sender)
"#;

/// Runs the programs at an interface for each packet of a line; prints what each said. The
/// numbers are those of linux/bpf.h, and of `struct __sk_buff` there.
const TEST_RUN: &str = r#"
import ctypes, json, os, platform, socket, struct, sys
libc = ctypes.CDLL(None, use_errno=True)
number = {"x86_64": 321, "aarch64": 280}[platform.machine()]
def bpf(command, attributes):
    buffer = ctypes.create_string_buffer(attributes, 128)
    value = libc.syscall(number, command, buffer, 128)
    if value < 0: raise OSError(ctypes.get_errno(), command)
    return value, buffer.raw
interface = socket.if_nametoindex(sys.argv[1])
def program(attach_type):
    ids = (ctypes.c_uint32 * 8)()
    _, found = bpf(16, struct.pack("IIIIQI", interface, attach_type, 0, 0, ctypes.addressof(ids), 8))
    assert struct.unpack_from("I", found, 24)[0] == 1, "not one program"
    return bpf(13, struct.pack("III", ids[0], 0, 0))[0]
def run(program, came_in_by, frame):
    data, context = ctypes.create_string_buffer(frame, len(frame)), ctypes.create_string_buffer(44)
    struct.pack_into("II", context, 36, came_in_by, interface)
    _, done = bpf(10, struct.pack("IIIIQQIIIIQ", program, 0, len(frame), 0, ctypes.addressof(data), 0,
        1, 0, len(context), 0, ctypes.addressof(context)))
    return struct.unpack_from("i", done, 4)[0]
print("ready", flush=True)
for line in sys.stdin:
    programs = [program(46), program(47)]
    print([run(programs[sent], interface if not sent else int(forwarded), bytes.fromhex(frame))
        for sent, forwarded, frame in json.loads(line)], flush=True)
    for one in programs: os.close(one)
"#;

/// Which of these were answered.
fn answered(namespace: &Netns, packets: &[&Packet]) -> Vec<bool> {
    let lines: Vec<_> = packets
        .iter()
        .map(|packet| {
            let (source, to) = packet.ends();
            let (protocol, port) = match packet.message {
                Message::Tcp(port) => ("tcp", port),
                Message::Udp(port) => ("udp", port),
                Message::Sctp(port) => ("sctp", port),
                _ => ("icmp", 0),
            };
            (protocol, source, to, port)
        })
        .collect();
    let mut child = Command::new("ip")
        .args(["netns", "exec", &namespace.name, "python3", "-c", PROBE])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let text = serde_json::to_vec(&lines).unwrap();
    child.stdin.take().unwrap().write_all(&text).unwrap();
    let output = child.wait_with_output().unwrap();
    assert!(output.status.success());
    let answers: Vec<u8> = serde_json::from_slice(&output.stdout).unwrap();
    answers.into_iter().map(|answer| answer == 1).collect()
}

/// The neighbour has further addresses, and both answer as fast as they are asked.
fn hosts() -> Hosts {
    let hosts = Hosts::new();
    let (host, neighbour) = (&hosts.host, &hosts.neighbour);
    for last in ["3", "77"] {
        neighbour.run(&format!(
            "ip addr add 10.9.1.{last}/24 dev c0 && ip addr add fd09:1::{last}/64 dev c0 nodad"
        ));
    }
    for namespace in [host, neighbour] {
        // Each refusal is to be told, and each may ping.
        namespace.run(
            "sysctl -qw net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0 \
             net.ipv4.ping_group_range='0 2147483647'",
        );
        let _ = namespace.try_run("sysctl -qw net.ipv4.icmp_msgs_per_sec=1000000");
    }
    for (namespace, to) in [(host, "10.9.1.2"), (neighbour, "10.9.1.1")] {
        namespace.run(&format!("ping -q -c 1 {to}"));
    }
    hosts
}

/// Who answers associations of SCTP at these addresses.
fn associates(namespace: &Netns, addresses: &[&str]) -> Process {
    let mut child = start(namespace, ASSOCIATES, &addresses.join(" "));
    assert_eq!(line_of(&mut child), "ready");
    Process(child)
}

fn parsed(text: &str, enforcement: Enforcement) -> PolicySet {
    let set = document::parse(text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
    PolicySet::new(set, enforcement)
}

fn combinations(usual: usize) -> usize {
    let wanted = env::var("SEXTANT_COMBINATIONS");
    wanted.map_or(usual, |number| number.parse().unwrap())
}

#[test]
fn the_kernel_lets_through_what_the_engine_allows_and_nothing_else() {
    if !root() {
        return;
    }
    let mut dice = Dice::new();
    let seed = dice.0;
    let hosts = hosts();
    let (host, neighbour) = (&hosts.host, &hosts.neighbour);
    let daemon = hosts.observe(CONFIG);
    let _associates = [associates(host, &HOST), associates(neighbour, &NEIGHBOUR)];
    let (mut tried, mut passed) = (0, 0);
    while tried < combinations(2400) {
        let text = policies(&mut dice);
        let set = parsed(&text, Enforcement::Default);
        hosts.apply(&daemon, &text, &[]);
        let packets: Vec<Packet> = (0..PROBES).map(|_| Packet::request(&mut dice)).collect();
        for (namespace, is_sent) in [(host, true), (neighbour, false)] {
            let mine = packets.iter().filter(|packet| packet.is_sent == is_sent);
            let mut mine: Vec<&Packet> = mine.collect();
            let wrong = |mine: &[&Packet]| {
                let answers = answered(namespace, mine);
                let pairs = mine.iter().copied().zip(answers);
                let differing = pairs.filter(|(packet, answer)| passes(&set, packet) != *answer);
                differing
                    .map(|(packet, _)| packet.clone())
                    .collect::<Vec<_>>()
            };
            passed += mine.iter().filter(|packet| passes(&set, packet)).count();
            tried += mine.len();
            // On a busy machine an answer may be late: what differs is tried again.
            let mut left = wrong(&mine);
            for _ in 0..3 {
                if left.is_empty() {
                    break;
                }
                mine = left.iter().collect();
                let again = wrong(&mine);
                left = again;
            }
            assert!(left.is_empty(), "SEXTANT_SEED={seed}\n{text}\n{left:#?}");
        }
    }
    println!("{tried} combinations, {passed} let through");
    assert!(
        passed * 20 > tried && passed * 10 < 9 * tried,
        "{passed} of {tried}"
    );
}

/// The frame of the nth packet: of a flow of its own, wherever its protocol can tell.
fn frame(packet: &Packet, n: usize) -> Vec<u8> {
    let own = (10_000 + n % 50_000) as u16;
    let (source, to) = packet.ends();
    let is_v6 = source.contains(':');
    let (protocol, payload) = match packet.message {
        Message::Tcp(port) => (6, frame::tcp(own, port, 1, 2)),
        Message::TcpAnswer(port) => (6, frame::tcp(port, own, 1, 0x12)),
        Message::Udp(port) => (17, frame::udp(own, port, b"x")),
        Message::Sctp(port) => (132, frame::sctp(own, port, 1)),
        Message::Icmp(kind) => {
            // Of what is no question, type and code are the flow: one way has odd codes.
            let code = match kind {
                0 | 8 | 13 | 14 | 128 | 129 => 0,
                _ => (n % 128 * 2) as u8 + u8::from(packet.is_sent),
            };
            let [high, low] = own.to_be_bytes();
            let message = vec![kind, code, 0, 0, high, low, 0, 1];
            (if is_v6 { 58 } else { 1 }, message)
        }
        Message::Dhcp if is_v6 => (17, frame::udp(546, 547, b"x")),
        Message::Dhcp => (17, frame::udp(68, 67, b"x")),
        Message::Other(protocol) => (protocol, vec![0; 16]),
    };
    if is_v6 {
        let ends = [source, to].map(|end| end.parse().unwrap());
        ethernet(
            &[],
            IPV6,
            &frame::ipv6(ends[0], ends[1], protocol, &payload),
        )
    } else {
        let ends = [source, to].map(|end| end.parse().unwrap());
        ethernet(
            &[],
            IPV4,
            &frame::ipv4(ends[0], ends[1], protocol, &payload),
        )
    }
}

/// What the programs say of packets, the nth one first: whether they go on.
fn said(runner: &mut Child, packets: &[Packet], n: usize) -> Vec<bool> {
    let numbered = packets.iter().zip(n..);
    let lines: Vec<_> = numbered
        .map(|(packet, n)| {
            let frame: String = frame(packet, n)
                .iter()
                .map(|byte| format!("{byte:02x}"))
                .collect();
            (packet.is_sent, packet.is_forwarded(), frame)
        })
        .collect();
    writeln!(
        runner.stdin.as_mut().unwrap(),
        "{}",
        serde_json::to_string(&lines).unwrap()
    )
    .unwrap();
    let verdicts: Vec<i32> = serde_json::from_str(&line_of(runner)).unwrap();
    let passes = verdicts.into_iter().map(|verdict| match verdict {
        // TCX_NEXT and TC_ACT_SHOT.
        -1 => true,
        2 => false,
        other => panic!("a program returned {other}"),
    });
    passes.collect()
}

#[test]
fn programs_say_of_any_packet_what_the_engine_says() {
    if !root() {
        return;
    }
    let mut dice = Dice::new();
    let seed = dice.0;
    let hosts = hosts();
    let mut runner = Process(start(&hosts.host, TEST_RUN, "v0"));
    assert_eq!(line_of(&mut runner.0), "ready");
    let (mut tried, mut passed) = (0, 0);
    for (enforcement, setting) in [
        (Enforcement::Default, ""),
        (Enforcement::Always, "[policy]\nenforcement = \"always\"\n"),
    ] {
        let daemon = hosts.observe(&format!("{CONFIG}{setting}"));
        let until = tried + combinations(3000) / 2;
        while tried < until {
            let text = policies(&mut dice);
            let mut set = parsed(&text, enforcement);
            // A policy keeps its mode, unless another one is said.
            let mode = match dice.below(20) {
                0 => {
                    set = PolicySet::new(Vec::<Policy>::new(), enforcement);
                    "audit"
                }
                _ => "enforce",
            };
            hosts.apply(&daemon, &text, &["--mode", mode]);
            let packets: Vec<Packet> = (0..PACKETS).map(|_| Packet::any(&mut dice)).collect();
            let said = said(&mut runner.0, &packets, tried);
            let differing = packets.iter().zip(&said);
            let differing: Vec<_> = differing
                .filter(|(packet, said)| passes(&set, packet) != **said)
                .collect();
            assert!(
                differing.is_empty(),
                "SEXTANT_SEED={seed}, {mode}\n{text}\n{differing:#?}"
            );
            passed += said.iter().filter(|said| **said).count();
            tried += packets.len();
        }
    }
    println!("{tried} combinations, {passed} let through");
    assert!(
        passed * 20 > tried && passed * 10 < 9 * tried,
        "{passed} of {tried}"
    );
}
