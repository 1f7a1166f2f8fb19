//! Which process is behind each direction of each flow, beside what the processes themselves
//! logged: short-lived ones, in other namespaces, with sockets that were there before or were
//! passed on.
#![allow(clippy::unwrap_used, reason = "tests panic")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io::Write as _,
    os::unix::fs::MetadataExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use prost::Message as _;
use sextant_integration_tests::{
    Daemon, Netns, Process, eventually, hubble::hubble, netns::veth, root,
};
use sextant_proto::flow::{Flow, layer4::Protocol};

/// Less than until flows end for silence, whose last event would tell who was not told.
const PATIENCE: Duration = Duration::from_secs(30);
/// Where the servers listen.
const PORT: u16 = 7777;

/// A process of `talk` and what it and its children logged.
struct Talk {
    child: Child,
    log: PathBuf,
}

impl Talk {
    fn start(namespace: &Netns, folder: &Path, arguments: &str) -> Self {
        Self::start_in(None, namespace, folder, arguments)
    }

    /// Moves into a cgroup before it begins.
    fn start_in(cgroup: Option<&Path>, namespace: &Netns, folder: &Path, arguments: &str) -> Self {
        let log = folder.join(arguments.replace([' ', '[', ']', ':'], "_"));
        let enter = match cgroup {
            Some(cgroup) => format!("echo $$ >{}/cgroup.procs && ", cgroup.display()),
            None => String::new(),
        };
        let child = Command::new("sh")
            .args(["-c", &format!("{enter}exec nsenter \"$@\""), "sh"])
            .arg(format!("--net=/run/netns/{}", namespace.name))
            .arg(env!("CARGO_BIN_EXE_talk"))
            .args(arguments.split_whitespace())
            .stdin(Stdio::piped())
            .stdout(
                File::options()
                    .append(true)
                    .create(true)
                    .open(&log)
                    .unwrap(),
            )
            .spawn()
            .unwrap();
        Self { child, log }
    }

    /// A server, once it listens.
    fn server(namespace: &Netns, folder: &Path, arguments: &str) -> Self {
        let talk = Self::start(namespace, folder, arguments);
        eventually("a server that listens", || {
            (!talk.lines().is_empty()).then_some(())
        });
        talk
    }

    /// What, port and process.
    fn lines(&self) -> Vec<(String, u16, u32)> {
        let text = fs::read_to_string(&self.log).unwrap_or_default();
        let line = |line: &str| {
            let mut words = line.split(' ');
            let mut word = || words.next().unwrap().to_owned();
            (word(), word().parse().unwrap(), word().parse().unwrap())
        };
        text.lines().map(line).collect()
    }

    fn pids(&self) -> BTreeSet<u32> {
        self.lines().into_iter().map(|(.., pid)| pid).collect()
    }

    fn finished(&mut self) {
        assert!(self.child.wait().unwrap().success(), "{:?}", self.log);
    }
}

impl Drop for Talk {
    fn drop(&mut self) {
        // Workers that were forked have no other parent.
        for pid in self.pids() {
            let _ = Command::new("kill").args(["-9", &pid.to_string()]).output();
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A number or text of a process in the extensions; `None` if there is none.
fn of_process(flow: &Flow, side: &str, key: &str) -> Option<String> {
    use prost_types::value::Kind;
    let any = flow.extensions.as_ref()?;
    let all = prost_types::Struct::decode(any.value.as_slice()).unwrap();
    let Some(Kind::StructValue(process)) = all.fields.get(side)?.kind.clone() else {
        return None;
    };
    match process.fields.get(key)?.kind.clone()? {
        Kind::NumberValue(number) => Some(number.to_string()),
        Kind::StringValue(text) => Some(text),
        _ => None,
    }
}

fn pid(flow: &Flow, side: &str) -> Option<u32> {
    of_process(flow, side, "pid")?.parse().ok()
}

fn ports(flow: &Flow) -> Option<(&'static str, u16, u16)> {
    match flow.l4.as_ref()?.protocol.as_ref()? {
        Protocol::Tcp(tcp) => Some(("tcp", tcp.source_port as u16, tcp.destination_port as u16)),
        Protocol::Udp(udp) => Some(("udp", udp.source_port as u16, udp.destination_port as u16)),
        _ => None,
    }
}

/// What became of the directions of all flows to and from the port.
#[derive(Debug, Default)]
struct Tally {
    right: BTreeSet<(&'static str, u16, u32)>,
    answered: usize,
    nobody: Vec<String>,
    wrong: Vec<String>,
}

/// Compares who sends, by flow, with the truth: clients by their port, servers by theirs.
fn tally(flows: &[Flow], clients: &BTreeSet<(String, u16, u32)>, servers: &BTreeSet<u32>) -> Tally {
    let mut by_port: BTreeMap<(&str, u16), BTreeSet<u32>> = BTreeMap::new();
    for (protocol, port, pid) in clients {
        by_port.entry((protocol, *port)).or_default().insert(*pid);
    }
    let mut tally = Tally::default();
    for flow in flows {
        let Some((protocol, from, to)) = ports(flow) else {
            continue;
        };
        if from != PORT && to != PORT {
            continue;
        }
        let Some(found) = pid(flow, "source_process") else {
            tally
                .nobody
                .push(format!("{protocol} {from} -> {to}: {:?}", flow.event_type));
            continue;
        };
        if from == PORT {
            match servers.contains(&found) {
                true => tally.answered += 1,
                false => tally.wrong.push(format!("{protocol} server is {found}")),
            }
        } else if by_port
            .get(&(protocol, from))
            .is_some_and(|pids| pids.contains(&found))
        {
            tally.right.insert((protocol, from, found));
        } else {
            tally.wrong.push(format!("{protocol} {from} is {found}"));
        }
    }
    tally
}

/// All are told, nobody else is.
fn check(daemon: &Daemon, talks: &[&Talk], servers: &BTreeSet<u32>) -> usize {
    let clients: BTreeSet<_> = talks.iter().flat_map(|talk| talk.lines()).collect();
    let mut seen = Tally::default();
    let deadline = Instant::now() + PATIENCE;
    while seen.right.len() < clients.len() && Instant::now() < deadline {
        seen = tally(&daemon.flows(), &clients, servers);
    }
    let missing = clients.iter().filter(|(protocol, port, pid)| {
        let told =
            |right: &&(&str, u16, u32)| right.0 == protocol && right.1 == *port && right.2 == *pid;
        !seen.right.iter().any(|right| told(&right))
    });
    let missing: Vec<_> = missing.collect();
    assert!(missing.is_empty(), "not in any flow: {missing:?}");
    assert!(seen.nobody.is_empty(), "of nobody: {:?}", &seen.nobody);
    assert!(seen.wrong.is_empty(), "wrong: {:?}", &seen.wrong);
    assert!(seen.answered >= clients.len());
    2 * clients.len()
}

#[test]
fn each_short_lived_process_is_behind_its_own_flows() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let mut talks = Vec::new();
    let mut servers = Vec::new();
    for (protocol, address) in [
        ("tcp", "127.0.0.1"),
        ("udp", "127.0.0.1"),
        ("tcp", "[::1]"),
        ("udp", "[::1]"),
    ] {
        let server = format!("serve {protocol} {address}:{PORT}");
        servers.push(Talk::server(&namespace, folder.path(), &server));
        let clients = format!("clients 1300 {protocol} {address}:{PORT}");
        talks.push(Talk::start(&namespace, folder.path(), &clients));
    }
    talks.iter_mut().for_each(Talk::finished);
    let pids = servers.iter().flat_map(Talk::pids).collect();
    let directions = check(&daemon, &talks.iter().collect::<Vec<_>>(), &pids);
    assert!(directions >= 10_000, "{directions}");
    let flows = daemon.flows();
    let own = env!("CARGO_BIN_EXE_talk");
    let exe = |flow: &Flow| of_process(flow, "source_process", "exe");
    let ours = flows.iter().filter(|flow| ports(flow).is_some());
    let others: BTreeSet<_> = ours.filter_map(exe).filter(|exe| exe != own).collect();
    assert!(others.is_empty(), "also of those that are gone: {others:?}");
}

#[test]
fn behind_a_veth_both_sides_are_known_from_the_hosts_end_alone() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let (host, container) = (Netns::new(), Netns::new());
    veth((&host, "va"), (&container, "vb"), 77);
    let daemon = Daemon::start(&host, "", &["--interface", "va"]);
    let mut talks = Vec::new();
    let mut servers = Vec::new();
    for (from, to, address) in [
        (&host, &container, "10.9.77.2"),
        (&container, &host, "10.9.77.1"),
    ] {
        for protocol in ["tcp", "udp"] {
            let server = format!("serve {protocol} {address}:{PORT}");
            servers.push(Talk::server(to, folder.path(), &server));
            let clients = format!("clients 300 {protocol} {address}:{PORT}");
            talks.push(Talk::start(from, folder.path(), &clients));
        }
    }
    talks.iter_mut().for_each(Talk::finished);
    let pids = servers.iter().flat_map(Talk::pids).collect();
    check(&daemon, &talks.iter().collect::<Vec<_>>(), &pids);
}

#[test]
fn sockets_from_before_and_those_passed_on_have_who_holds_them() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    // Who made the socket is gone; its workers have it.
    let workers = format!("fork 3 serve tcp 127.0.0.1:{PORT}");
    let workers = Talk::server(&namespace, folder.path(), &workers);
    let hold = format!("hold tcp 127.0.0.1:{PORT}");
    let mut holds = Talk::server(&namespace, folder.path(), &hold);
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let clients = format!("clients 20 tcp 127.0.0.1:{PORT}");
    let mut new = Talk::start(&namespace, folder.path(), &clients);
    writeln!(holds.child.stdin.as_mut().unwrap()).unwrap();
    new.finished();
    eventually("all workers", || (workers.pids().len() == 3).then_some(()));
    check(&daemon, &[&holds, &new], &workers.pids());
}

#[test]
fn command_lines_are_told_where_they_are_wanted_without_secrets() {
    if !root() {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    let config = "[command_lines]\nenabled = true\nredact = ['hunter\\d']\n";
    // Its socket is older than the daemon.
    let server = format!("serve tcp 127.0.0.1:{PORT}");
    let _server = Talk::server(&namespace, folder.path(), &server);
    let daemon = Daemon::start(&namespace, config, &["--interface", "lo"]);
    let curl = || {
        namespace.try_run(&format!(
        "curl -sm 2 -A hunter2 -H 'Authorization: Bearer S3CRET' http://user:S3CRET@127.0.0.1:{PORT}/"
    ))
    };
    curl();
    let shown = format!(
        "curl -sm 2 -A HUBBLE_REDACTED -H 'Authorization: HUBBLE_REDACTED' \
         http://user:HUBBLE_REDACTED@127.0.0.1:{PORT}/"
    );
    let of = |flow: &Flow, side: &str| of_process(flow, side, "command_line");
    eventually("the command line", || {
        let flows = daemon.flows();
        let found = flows
            .iter()
            .find_map(|flow| of(flow, "source_process").filter(|line| line.starts_with("curl")))?;
        assert_eq!(found, shown);
        Some(())
    });
    let own = format!("{} {server}", env!("CARGO_BIN_EXE_talk"));
    eventually("that of the server", || {
        curl();
        let flows = daemon.flows();
        let is_own = |flow: &Flow| of(flow, "destination_process").as_ref() == Some(&own);
        flows.iter().any(is_own).then_some(())
    });
}

/// Runs a program of Python that prints a line, and gives the numbers in it.
fn python(namespace: &Netns, program: &str) -> (Process, Vec<u64>) {
    use std::io::BufRead as _;
    let mut child = Command::new("nsenter")
        .arg(format!("--net=/run/netns/{}", namespace.name))
        .args(["python3", "-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let stdout = child.stdout.take().unwrap();
    std::io::BufReader::new(stdout)
        .read_line(&mut line)
        .unwrap();
    let numbers = line.split_whitespace().map(|word| word.parse().unwrap());
    (Process(child), numbers.collect())
}

/// Ends a program, and those that it forked, by the end of its input.
fn end(mut program: Process) {
    drop(program.0.stdin.take());
    program.0.wait().unwrap();
}

/// Flows that are sent from a port.
fn from(daemon: &Daemon, port: u64) -> Vec<Flow> {
    let is_from = |flow: &Flow| ports(flow).is_some_and(|(_, from, _)| u64::from(from) == port);
    daemon.flows().into_iter().filter(is_from).collect()
}

#[test]
fn a_socket_of_another_process_is_whose_who_connects_it() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    // Who made them keeps them open.
    let passed = "import socket,os,sys,array\n\
        a,b=socket.socketpair(socket.AF_UNIX,socket.SOCK_STREAM)\n\
        if os.fork()==0:\n \
          os.setsid(); fds=array.array('i'); _,anc,_,_=b.recvmsg(9,99); fds.frombytes(anc[0][2]); f,k,to=FAMILY,KIND,TO\n \
          s=socket.socket(fileno=fds[0]); s.connect(to); s.send(b'x'); print(s.getsockname()[1],os.getpid(),flush=True); sys.stdin.read(); os._exit(0)\n\
        s=socket.socket(FAMILY,KIND); a.sendmsg([b'x'],[(socket.SOL_SOCKET,socket.SCM_RIGHTS,array.array('i',[s.fileno()]))]); os.wait()";
    let inherited = "import socket,os,sys\n\
        s=socket.socket(FAMILY,KIND)\n\
        if os.fork()==0:\n \
          s.connect(TO); s.send(b'x'); print(s.getsockname()[1],os.getpid(),flush=True); sys.stdin.read(); os._exit(0)\n\
        os.wait()";
    let serve = "import socket,sys\n\
        t=socket.create_server(('::',7777),family=socket.AF_INET6,dualstack_ipv6=True)\n\
        u=socket.socket(socket.AF_INET6,socket.SOCK_DGRAM); u.bind(('::',7777))\n\
        print(1,flush=True); sys.stdin.read()";
    let (server, _) = python(&namespace, serve);
    for program in [passed, inherited] {
        for (family, to) in [
            ("socket.AF_INET", "('127.0.0.1',7777)"),
            ("socket.AF_INET6", "('::1',7777)"),
        ] {
            for kind in ["socket.SOCK_STREAM", "socket.SOCK_DGRAM"] {
                let program = program
                    .replace("FAMILY", family)
                    .replace("KIND", kind)
                    .replace("TO", to);
                let (child, told) = python(&namespace, &program);
                let flows = eventually("a flow of it", || {
                    let flows = from(&daemon, told[0]);
                    (!flows.is_empty()).then_some(flows)
                });
                for flow in &flows {
                    let found = pid(flow, "source_process").map(u64::from);
                    assert_eq!(found, Some(told[1]), "{family} {kind}: {flow:?}");
                }
                end(child);
            }
        }
    }
    end(server);
}

#[test]
fn a_socket_that_comes_later_is_found_at_a_later_event() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let config = "[datapath]\nactive_interval = \"200ms\"\n";
    let daemon = Daemon::start(&namespace, config, &["--interface", "lo"]);
    let send = "import socket,time\n\
        s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',0)); print(s.getsockname()[1],flush=True)\n\
        while True: s.sendto(b'x',('127.0.0.1',7778)); time.sleep(0.05)";
    let (_client, told) = python(&namespace, send);
    let receiver = || {
        let flows = from(&daemon, told[0]);
        flows.last().map(|flow| pid(flow, "destination_process"))
    };
    eventually("a flow to nobody", || receiver().filter(Option::is_none));
    let receive = "import socket,sys,os\n\
        s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM); s.bind(('127.0.0.1',7778)); print(os.getpid(),flush=True); sys.stdin.read()";
    let (server, own) = python(&namespace, receive);
    eventually("who receives", || {
        let found = receiver()?.map(u64::from);
        (found == Some(own[0])).then_some(())
    });
    end(server);
}

#[test]
fn a_flow_has_the_cookie_of_the_socket_that_sends() {
    if !root() {
        return;
    }
    let namespace = Netns::new();
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let talk = "import socket,sys\n\
        l=socket.create_server(('127.0.0.1',0)); c=socket.create_connection(l.getsockname()); a,_=l.accept()\n\
        c.send(b'x'); a.recv(1); a.send(b'x'); c.recv(1)\n\
        r,u=[socket.socket(socket.AF_INET,socket.SOCK_DGRAM) for _ in 'ru']; r.bind(('127.0.0.1',0)); u.bind(('127.0.0.1',0)); u.sendto(b'x',r.getsockname())\n\
        of=lambda s: (s.getsockname()[1],int.from_bytes(s.getsockopt(1,57,8),'little'))\n\
        print(*of(c),*of(a),*of(u),flush=True); sys.stdin.read()";
    let (child, told) = python(&namespace, talk);
    for (what, of) in ["client", "accepted", "datagram"]
        .into_iter()
        .zip(told.chunks(2))
    {
        let flows = eventually(what, || {
            let flows = from(&daemon, of[0]);
            (!flows.is_empty()).then_some(flows)
        });
        for flow in flows {
            assert_eq!(flow.socket_cookie, of[1], "{what}: {flow:?}");
        }
    }
    end(child);
}

/// Cgroups of the unified hierarchy; removed when dropped.
struct Cgroups(Vec<PathBuf>);

impl Cgroups {
    /// Of these paths below its root; `None` where it is not mounted, or not ours to use.
    fn new(paths: &[&str]) -> Option<Self> {
        let mounts = fs::read_to_string("/proc/self/mounts").unwrap();
        let mount = mounts.lines().find(|line| line.contains(" cgroup2 "))?;
        let root = Path::new(mount.split(' ').nth(1)?);
        let mut made = Self(Vec::new());
        for path in paths {
            let path = root.join(path);
            fs::create_dir_all(&path).ok()?;
            made.0.push(path);
        }
        Some(made)
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        for path in &self.0 {
            // What is killed leaves its cgroup a moment later.
            eventually("an empty cgroup", || fs::remove_dir(path).ok());
        }
    }
}

#[test]
fn a_unit_and_a_container_are_endpoints_for_the_real_client() {
    if !root() {
        return;
    }
    let id = format!("{:0<64x}", std::process::id());
    let unit = format!("sextant-test-{}.service", std::process::id());
    let slice = format!("sextant-test-{}.slice", std::process::id());
    let paths = [
        format!("{slice}/{unit}"),
        format!("{slice}/docker-{id}.scope"),
    ];
    let Some(cgroups) = Cgroups::new(&[&paths[0], &paths[1], &slice]) else {
        println!("SKIPPED: no cgroup2 hierarchy that can be written");
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    let namespace = Netns::new();
    namespace.run("ip link set lo up");
    let daemon = Daemon::start(&namespace, "", &["--interface", "lo"]);
    let of = |cgroup: usize, arguments: &str| {
        Talk::start_in(
            Some(&cgroups.0[cgroup]),
            &namespace,
            folder.path(),
            arguments,
        )
    };
    let server = of(0, &format!("serve tcp 127.0.0.1:{PORT}"));
    eventually("the server", || (!server.lines().is_empty()).then_some(()));
    let mut clients = of(1, &format!("clients 3 tcp 127.0.0.1:{PORT}"));
    clients.finished();
    let short = &id[..12];
    for filter in [
        format!("--to-pod system/{unit}"),
        format!("--from-pod docker/{short}"),
        format!("--from-label container={short},engine=docker --to-label unit={unit}"),
        format!("--to-workload Unit/{unit} --from-workload Container/{short}"),
        "--from-namespace docker --to-namespace system".to_owned(),
    ] {
        let arguments = format!("observe --last 100 {filter} --tcp-flags syn");
        eventually(&format!("both names: {arguments}"), || {
            let shown = hubble(&daemon.server(), &arguments);
            let is_one = |line: &str| {
                line.contains(&format!("docker/{short}:"))
                    && line.contains(&format!("-> system/{unit}:{PORT}"))
            };
            (shown.lines().filter(|line| is_one(line)).count() == 3).then_some(())
        });
    }
    let flows = daemon.flows();
    let number = |path: &PathBuf| fs::metadata(path).unwrap().ino();
    let of_client = |flow: &&Flow| {
        flow.source
            .as_ref()
            .is_some_and(|side| side.pod_name == short)
    };
    let mut sent = flows.iter().filter(of_client).peekable();
    assert!(sent.peek().is_some() && sent.all(|flow| flow.cgroup_id == number(&cgroups.0[1])));
    let told = |flow: &Flow| of_process(flow, "source_process", "command_line");
    assert!(!flows.iter().any(|flow| told(flow).is_some()), "not wanted");
    drop((server, clients));
}
