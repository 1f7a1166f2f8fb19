//! The kernel says what the engine says: policies that are made at random, and real
//! connections between two namespaces, in both directions, over both families.
//!
//! `SEXTANT_SEED` gives the seed, which is printed; `SEXTANT_COMBINATIONS` how many.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    env,
    io::Write as _,
    net::IpAddr,
    process::{Command, Stdio},
    time::{SystemTime, UNIX_EPOCH},
};

use sextant_integration_tests::{Netns, enforced::Hosts, root};
use sextant_policy::{
    document,
    endpoint::Endpoint,
    judgement::Verdict,
    label::Label,
    policy::Direction,
    set::{Connection, Enforcement, PolicySet},
};

/// Connections that are tried of each set.
const PROBES: usize = 120;
/// Addresses of the host, and of the neighbour: the first is that of `shop/api`, which is
/// behind the interface, the second one `shop/db`, others are outside.
const HOST: [&str; 2] = ["10.9.1.1", "fd09:1::1"];
const NEIGHBOUR: [&str; 6] = [
    "10.9.1.2",
    "10.9.1.3",
    "10.9.1.77",
    "fd09:1::2",
    "fd09:1::3",
    "fd09:1::77",
];
const PORTS: [u16; 6] = [80, 81, 443, 4000, 4095, 9999];
const CONFIG: &str = r#"
[[endpoint]]
name = "api"
namespace = "shop"
labels = ["k8s:app=api"]
addresses = ["10.9.1.2", "fd09:1::2"]
interfaces = ["v0"]
[[endpoint]]
name = "db"
namespace = "shop"
labels = ["k8s:app=db"]
addresses = ["10.9.1.3", "fd09:1::3"]
"#;

/// Tries all connections at once; prints 1 for each that was answered, else 0. A refusal is
/// an answer: nobody listens.
const PROBE: &str = r#"
import errno, json, select, socket, struct, sys, time
probes, made, answered = json.load(sys.stdin), {}, set()
poll = select.poll()
for n, (protocol, source, to, port) in enumerate(probes):
    family = socket.AF_INET6 if ":" in to else socket.AF_INET
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
        answered.add(made[fd][0])
        poll.unregister(fd)
print(json.dumps([int(n in answered) for n in range(len(probes))]))
"#;

/// Numbers by a seed (SplitMix64).
struct Dice(u64);

impl Dice {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ mixed >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ mixed >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ mixed >> 31
    }

    fn below(&mut self, most: usize) -> usize {
        (self.next() % most as u64) as usize
    }

    fn one<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len())]
    }

    fn chance(&mut self, of_ten: usize) -> bool {
        self.below(10) < of_ten
    }
}

/// A set of policies about the host and about `shop/api`.
fn policies(dice: &mut Dice) -> String {
    let mut text = String::new();
    for n in 0..1 + dice.below(3) {
        let (head, subject) = match dice.chance(5) {
            true => (
                format!("kind: CiliumClusterwideNetworkPolicy\nmetadata: {{name: p{n}}}"),
                "nodeSelector: {}",
            ),
            false => (
                format!("kind: CiliumNetworkPolicy\nmetadata: {{name: p{n}, namespace: shop}}"),
                *dice.one(&[
                    "endpointSelector: {matchLabels: {app: api}}",
                    "endpointSelector: {}",
                ]),
            ),
        };
        text += &format!("---\napiVersion: cilium.io/v2\n{head}\nspec:\n  {subject}\n");
        for list in ["ingress", "egress", "ingressDeny", "egressDeny"] {
            let denies = list.ends_with("Deny");
            if !dice.chance(if denies { 2 } else { 5 }) {
                continue;
            }
            text += &format!("  {list}:\n");
            let way = if list.starts_with("in") { "from" } else { "to" };
            for _ in 0..1 + dice.below(3) {
                text += &format!("  - {}\n", rule(dice, way));
            }
        }
        // A part without a rule is refused.
        if !text.ends_with("}\n") || !text.rsplit("---").next().unwrap().contains("  - ") {
            text += "  ingress:\n  - {fromEntities: [world]}\n";
        }
    }
    text
}

fn rule(dice: &mut Dice, way: &str) -> String {
    let peers = match dice.below(4) {
        0 => {
            let nets = ["10.9.1.0/24", "10.9.1.77/32", "0.0.0.0/0", "10.9.1.64/26"];
            let nets6 = ["fd09:1::/64", "fd09:1::77/128", "::/0", "fd09:1::70/124"];
            format!(
                "{way}CIDR: [\"{}\", \"{}\"]",
                dice.one(&nets),
                dice.one(&nets6)
            )
        }
        1 => {
            let app = dice.one(&["api", "db"]);
            format!(
                "{way}Endpoints: [{{matchLabels: {{app: {app}, k8s:io.kubernetes.pod.namespace: shop}}}}]"
            )
        }
        2 => {
            let entity = dice.one(&["all", "world", "host", "cluster", "world-ipv4"]);
            format!("{way}Entities: [{entity}]")
        }
        _ => format!(
            "{way}CIDRSet: [{{cidr: 10.9.0.0/16, except: [10.9.1.0/26]}}, {{cidr: \"fd09::/16\", except: [\"fd09:1::77/128\"]}}]"
        ),
    };
    let ports = match dice.below(5) {
        0 | 3 => String::new(),
        1 => ", icmps: [{fields: [{family: IPv4, type: 8}, {family: IPv6, type: 128}]}]".into(),
        2 => {
            let last = dice.one(&[4000, 4095, 5000]);
            format!(", toPorts: [{{ports: [{{port: \"79\", endPort: {last}, protocol: TCP}}]}}]")
        }
        _ => {
            let protocol = dice.one(&["TCP", "UDP", "ANY"]);
            let port = dice.one(&PORTS);
            format!(", toPorts: [{{ports: [{{port: \"{port}\", protocol: {protocol}}}]}}]")
        }
    };
    format!("{{{peers}{ports}}}")
}

/// A connection to try.
#[derive(Clone, Debug)]
struct Probe {
    from_host: bool,
    protocol: &'static str,
    source: &'static str,
    to: &'static str,
    port: u16,
}

fn probe(dice: &mut Dice) -> Probe {
    let neighbour = *dice.one(&NEIGHBOUR);
    let host = HOST[usize::from(neighbour.contains(':'))];
    let from_host = dice.chance(5);
    let (source, to) = if from_host {
        (host, neighbour)
    } else {
        (neighbour, host)
    };
    Probe {
        from_host,
        protocol: ["tcp", "tcp", "udp", "udp", "icmp"][dice.below(5)],
        source,
        to,
        port: *dice.one(&PORTS),
    }
}

/// Who is at an address, to policies.
fn endpoint(address: &str) -> Endpoint {
    let labelled =
        |labels: &[&str]| Endpoint::new(labels.iter().map(|label| Label::parse(label)).collect());
    match address {
        "10.9.1.1" | "fd09:1::1" => labelled(&["reserved:host"]),
        "10.9.1.2" | "fd09:1::2" => {
            labelled(&["k8s:app=api", "k8s:io.kubernetes.pod.namespace=shop"])
        }
        "10.9.1.3" | "fd09:1::3" => {
            labelled(&["k8s:app=db", "k8s:io.kubernetes.pod.namespace=shop"])
        }
        other => Endpoint::outside(other.parse::<IpAddr>().unwrap()),
    }
}

/// What the engine says: both ends that are judged here must agree. Behind the interface
/// is `shop/api`, whatever address it takes.
fn passes(set: &PolicySet, probe: &Probe) -> bool {
    let (protocol, port) = match (probe.protocol, probe.to.contains(':')) {
        ("tcp", _) => (6, probe.port),
        ("udp", _) => (17, probe.port),
        (_, false) => (1, 8),
        (_, true) => (58, 128),
    };
    let (host, neighbour) = if probe.from_host {
        (probe.source, probe.to)
    } else {
        (probe.to, probe.source)
    };
    let (of_host, of_behind) = if probe.from_host {
        (Direction::Egress, Direction::Ingress)
    } else {
        (Direction::Ingress, Direction::Egress)
    };
    let judged = |subject: Endpoint, peer: Endpoint, direction| {
        let judgement = set.judge(&Connection {
            subject: &subject,
            peer: &peer,
            direction,
            protocol,
            port,
        });
        judgement.verdict == Verdict::Allow
    };
    judged(endpoint(host), endpoint(neighbour), of_host)
        && judged(endpoint(NEIGHBOUR[0]), endpoint(host), of_behind)
}

/// Which of these were answered.
fn answered(namespace: &Netns, probes: &[&Probe]) -> Vec<bool> {
    let lines: Vec<_> = probes
        .iter()
        .map(|probe| (probe.protocol, probe.source, probe.to, probe.port))
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

fn seed() -> u64 {
    let now = || {
        SystemTime::now()
            .duration_since(UNIX_EPOCH)
            .unwrap()
            .as_nanos() as u64
    };
    env::var("SEXTANT_SEED").map_or_else(|_| now(), |seed| seed.parse().unwrap())
}

#[test]
fn the_kernel_lets_through_what_the_engine_allows_and_nothing_else() {
    if !root() {
        return;
    }
    let seed = seed();
    println!("SEXTANT_SEED={seed}");
    let combinations = env::var("SEXTANT_COMBINATIONS");
    let combinations = combinations.map_or(2400, |number| number.parse().unwrap());
    let mut dice = Dice(seed);
    let hosts = hosts();
    let (host, neighbour) = (&hosts.host, &hosts.neighbour);
    let daemon = hosts.observe(CONFIG);
    let (mut tried, mut passed) = (0, 0);
    while tried < combinations {
        let text = policies(&mut dice);
        let set = document::parse(&text).unwrap_or_else(|problems| panic!("{problems}\n{text}"));
        let set = PolicySet::new(set, Enforcement::Default);
        hosts.apply(&daemon, &text, &[]);
        let probes: Vec<Probe> = (0..PROBES).map(|_| probe(&mut dice)).collect();
        for (namespace, from_host) in [(host, true), (neighbour, false)] {
            let mine = probes.iter().filter(|probe| probe.from_host == from_host);
            let mut mine: Vec<&Probe> = mine.collect();
            let wrong = |mine: &[&Probe]| {
                let answers = answered(namespace, mine);
                let pairs = mine.iter().copied().zip(answers);
                let differing = pairs.filter(|(probe, answer)| passes(&set, probe) != *answer);
                differing
                    .map(|(probe, _)| probe.clone())
                    .collect::<Vec<_>>()
            };
            passed += mine.iter().filter(|probe| passes(&set, probe)).count();
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
